"""Rubric files: YAML whose problems have places; the built-in rubric is one of them."""

import json
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from punie.errors import InputError, Problem
from punie.records.judgement import Rubric
from punie.scoring.json_text import is_array, is_object
from punie.sources.faults import FormError, nearest, wording
from punie.sources.yaml_source import DataPath, NotReadableError, YamlSource, read_text

BUILTIN = "built in"
HINT = "mend the rubric; punie judge rubric shows one that works"
_KEYS = ["name", "about", "dimensions", "max_tokens"]
_DIMENSION_KEYS = ["question", "weight", "levels"]


def read_rubric(path: Path) -> Rubric:
    """Read a rubric. Raises InputError with the place of everything that is wrong with it."""
    file = str(path)
    try:
        source = YamlSource(file, read_text(path, file))
    except NotReadableError as error:
        raise InputError(str(error.problem), hint=HINT) from None
    return _rubric(source, file)


def default_rubric() -> Rubric:
    """The built-in rubric: correctness, completeness, format, each from 1 to 5."""
    return _rubric(YamlSource(BUILTIN, default_text()), BUILTIN)


def default_text() -> str:
    """The built-in rubric's file, to begin one's own with."""
    return (files("punie.judging") / "rubrics" / "default.yaml").read_text("utf-8")


def _rubric(source: YamlSource, file: str) -> Rubric:
    data = source.data
    if not is_object(data):
        raise _refusal([*source.problems, source.problem((), "should be a mapping of keys")])
    errors = list(_unknown(data))
    rubric: Rubric | None = None
    try:
        rubric = Rubric.model_validate_json(json.dumps(_values(data, file)), strict=True)
    except ValidationError as error:
        errors += _form_errors(error, data)
    if errors or source.problems or rubric is None:
        problems = [source.problem(each.path, each.what, key=each.key) for each in errors]
        raise _refusal([*source.problems, *problems])
    return rubric


def _unknown(data: dict[str, Any]) -> Iterator[FormError]:
    if is_array(data.get("dimensions")):
        yield FormError(("dimensions",), "should be a mapping of names to dimensions")
    for key in data:
        if key not in _KEYS:
            yield FormError((key,), f"unknown key{nearest(key, _KEYS)}", key=True)
    for name, each in _dimensions(data).items():
        for key in each if is_object(each) else ():
            if key not in _DIMENSION_KEYS:
                what = f"unknown key{nearest(key, _DIMENSION_KEYS)}"
                yield FormError(("dimensions", name, key), what, key=True)


def _values(data: dict[str, Any], file: str) -> dict[str, Any]:
    """The file's values in the form of a Rubric: its dimensions are a list of named ones there."""
    values = {key: data[key] for key in _KEYS if key in data}
    if is_object(values.get("dimensions")):
        values["dimensions"] = [
            {"name": name, **{key: each[key] for key in _DIMENSION_KEYS if key in each}}
            if is_object(each)
            else each
            for name, each in _dimensions(data).items()
        ]
    elif is_array(values.get("dimensions")):
        del values["dimensions"]  # has its error already
    return {**values, "source": file}


def _dimensions(data: dict[str, Any]) -> dict[str, Any]:
    dimensions = data.get("dimensions")
    return dimensions if is_object(dimensions) else {}


def _form_errors(error: ValidationError, data: dict[str, Any]) -> Iterator[FormError]:
    """Each error where the person wrote it: dimension 0 of the record is a name in the file."""
    names = list(_dimensions(data))
    for each in error.errors(include_url=False):
        place: list[str | int] = list(each["loc"])
        key = False
        if place == ["dimensions"] and is_array(data.get("dimensions")):
            continue
        if place == ["dimensions"] and each["type"] in ("too_short", "too_long"):
            if len(names) not in range(1, 13):  # else only what is in them is wrong
                yield FormError(("dimensions",), "should be one dimension to twelve")
            continue
        if len(place) > 1 and place[0] == "dimensions" and isinstance(place[1], int):
            place[1] = names[place[1]] if place[1] < len(names) else place[1]
        if place[-1] == "[key]":
            place, key = place[:-1], True
        if len(place) == 3 and place[2] == "name":
            place, key = place[:2], True
        if len(place) == 2 and each["type"] == "value_error":
            place.append("levels")
        path: DataPath = tuple(place)
        yield FormError(path, wording(each["type"], each["msg"], each["input"]), key=key)


def _refusal(problems: Iterable[Problem]) -> InputError:
    ordered = sorted(problems, key=lambda each: (each.line, each.column))
    return InputError("\n".join(str(problem) for problem in ordered), hint=HINT)
