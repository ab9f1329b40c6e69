"""Gate files: YAML to `Gates`, or every problem at its place."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from punie.errors import InputError, Problem
from punie.gates.contradictions import contradictions
from punie.gates.unit_words import looks_like_a_share, with_unit
from punie.records.base import digest
from punie.records.gate import NAME_LENGTH, Gates
from punie.scoring.json_text import is_array, is_object
from punie.sources.faults import FormError, nearest, wording
from punie.sources.yaml_source import DataPath, NotReadableError, YamlSource, read_text

NOT_WRITTEN = frozenset({"schema_version", "source", "hash"})
"""Fields of the record that punie fills in."""
_KEYS = [key for key in Gates.model_fields if key not in NOT_WRITTEN]
HINT = f"mend the gate file; its keys: {', '.join(_KEYS)}"


def read_gates(path: Path) -> Gates:
    """Read a gate file. Raises InputError with the place of everything that is wrong with it."""
    file = str(path)
    try:
        text = read_text(path, file)
    except NotReadableError as error:
        raise InputError(str(error.problem), hint=HINT) from None
    return gates_of(text, file, name=path.stem[:NAME_LENGTH])


def gates_of(text: str, file: str, *, name: str) -> Gates:
    """Read the text of a gate file; `name` is its own where it gives itself none.

    Raises InputError as `read_gates` does.
    """
    try:
        source = YamlSource(file, text)
    except NotReadableError as error:
        raise InputError(str(error.problem), hint=HINT) from None
    data = source.data
    if not is_object(data):
        raise _refusal([*source.problems, source.problem((), "should be a mapping of keys")])
    gates, errors = _validated({"name": name, **data})
    errors += contradictions(data)
    if errors or source.problems or gates is None:
        problems = [source.problem(each.path, each.what, key=each.key) for each in errors]
        raise _refusal([*source.problems, *problems])
    return sealed(gates, file)


def sealed(gates: Gates, source: str) -> Gates:
    """The gates with where they come from, and the hash of what they ask.

    Settings at their defaults are left out, so that a new setting leaves old hashes alone.
    """
    asked = gates.model_dump(mode="json", exclude={"source", "hash"}, exclude_defaults=True)
    return gates.model_copy(update={"source": source, "hash": digest(asked)})


def _validated(data: dict[str, Any]) -> tuple[Gates | None, list[FormError]]:
    """Validate as JSON is validated: a list may be a tuple, no more."""
    errors = [FormError((key,), _unknown((key,), data), key=True) for key in NOT_WRITTEN & {*data}]
    errors += _shares(data, ())
    rest = {key: value for key, value in data.items() if key not in NOT_WRITTEN}
    try:
        return Gates.model_validate_json(json.dumps(rest), strict=True), errors
    except ValidationError as error:
        found = error.errors(include_url=False)
    shares = {error.path for error in errors}
    for each in found:
        path = each["loc"]
        if each["type"] == "extra_forbidden":
            errors.append(FormError(path, _unknown(path, data), key=True))
        elif path not in shares:
            errors.append(FormError(path, wording(each["type"], each["msg"], each["input"])))
    return None, errors


def _unknown(path: DataPath, data: Any) -> str:
    known = _keys_at(path[:-1])
    value = data
    for step in path:
        value = value[step]
    key = str(path[-1])
    meant = with_unit(key, value, known)
    if meant is not None:
        return f"unknown key; write {meant}"
    return f"unknown key{nearest(key, known)}"


def _keys_at(path: DataPath) -> list[str]:
    """The keys of the record that stands at `path`."""
    kind: type[BaseModel] = Gates
    for step in path:
        if isinstance(step, str):
            kind = next(_records_in(kind.model_fields[step].annotation))
    return [key for key in kind.model_fields if kind is not Gates or key not in NOT_WRITTEN]


def _records_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _records_in(inner)


def _shares(value: Any, path: DataPath) -> Iterator[FormError]:
    """Yield numbers that look like shares of 1 where points or percent are meant."""
    if is_object(value):
        for key, inner in value.items():
            number = isinstance(inner, int | float) and not isinstance(inner, bool)
            meant = looks_like_a_share(key, inner) if number else None
            if meant:
                what = f"is not a share of 1: write {meant}"
                yield FormError((*path, key), f"{inner:g} {what}")
            yield from _shares(inner, (*path, key))
    elif is_array(value):
        for index, inner in enumerate(value):
            yield from _shares(inner, (*path, index))


def _refusal(problems: Iterable[Problem]) -> InputError:
    ordered = sorted(problems, key=lambda each: (each.line, each.column))
    return InputError("\n".join(str(problem) for problem in ordered), hint=HINT)
