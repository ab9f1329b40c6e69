"""JSON Schemas of a suite: compiled once, and never fetching anything."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from pydantic import JsonValue

from punie.errors import InputError

_CACHE_SIZE = 512


class _Error(Protocol):
    """What is read of `jsonschema.ValidationError`."""

    message: str
    json_path: str
    validator: str
    absolute_path: Sequence[str | int]
    context: Sequence["_Error"]


class _Validator(Protocol):
    """What is used of a `jsonschema` validator."""

    def iter_errors(self, instance: JsonValue) -> Iterator[_Error]: ...


@dataclass(frozen=True, slots=True)
class Misfit:
    """Where a value does not fit a schema, what the schema says, and whether it is the type."""

    path: str
    what: str
    keys: tuple[str | int, ...] = ()
    is_type: bool = False


_compiled: dict[int, tuple[dict[str, JsonValue], _Validator]] = {}


def misfits(schema: dict[str, JsonValue], value: JsonValue) -> Iterator[Misfit]:
    """Every way in which `value` does not fit; InputError if the schema itself is unusable."""
    from jsonschema.exceptions import UnknownType  # noqa: PLC0415 - most runs need no schema
    from referencing.exceptions import Unresolvable  # noqa: PLC0415 - as above

    validator = _validator(schema)
    try:
        for error in validator.iter_errors(value):
            keys = tuple(error.absolute_path)
            yield Misfit(error.json_path, error.message, keys, _is_type(error))
    except (UnknownType, Unresolvable) as problem:
        raise _unusable(str(problem).splitlines()[0]) from problem
    except (RecursionError, ValueError):
        # Too deep for the schema's references, or an int of more digits than Python writes.
        yield Misfit("$", "a value that is too deep or too long to validate")


def _is_type(error: _Error) -> bool:
    """Whether a value has the wrong type, for a choice of schemas: for each of them."""
    if error.validator in ("anyOf", "oneOf"):
        return bool(error.context) and all(map(_is_type, error.context))
    return error.validator == "type"


def _validator(schema: dict[str, JsonValue]) -> _Validator:
    """The schema's validator, kept by the schema's identity: prompts share and keep theirs."""
    known = _compiled.get(id(schema))
    if known is not None and known[0] is schema:
        return known[1]
    validator = _compile(schema)
    if len(_compiled) >= _CACHE_SIZE:
        _compiled.clear()
    # The schema is kept beside it, so that its id is not given to another one.
    _compiled[id(schema)] = (schema, validator)
    return validator


def _compile(schema: dict[str, JsonValue]) -> _Validator:
    from jsonschema import Draft202012Validator, SchemaError  # noqa: PLC0415 - as above
    from jsonschema.validators import validator_for  # noqa: PLC0415 - as above
    from referencing import Registry  # noqa: PLC0415 - as above

    try:
        kind: Any = validator_for(schema, default=Draft202012Validator)
        kind.check_schema(schema)
    except (SchemaError, RecursionError) as problem:
        raise _unusable(str(problem).splitlines()[0]) from problem
    # An empty registry: a `$ref` to the network is an error and never a request.
    return cast("_Validator", kind(schema, registry=cast("Any", Registry)()))


def _unusable(reason: str) -> InputError:
    return InputError(
        f"a JSON Schema of the suite cannot be used: {reason}",
        hint="Mend the schema under `expect.json` or in the tool's parameters.",
    )
