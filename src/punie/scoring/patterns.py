"""Expected arguments as patterns, and in which ways a value misses one.

A plain value accepts itself; `{any_of: [...], optional: true}` accepts any of its patterns and may
be left out. Both nest in objects and lists.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeGuard

from pydantic import JsonValue

from punie.records.result import Culprit
from punie.scoring.json_text import is_array, is_object, parse_json, same, show

_IGNORED = str.maketrans("", "", " \t\r\n,./-_*^")
_QUOTES = str.maketrans({"'": '"', "\u2018": '"', "\u2019": '"', "\u201c": '"', "\u201d": '"'})

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Miss:
    """One way in which a call misses what was expected, and where in its arguments."""

    culprit: Culprit
    path: Path
    wanted: str
    got: str


def misses(pattern: JsonValue, value: JsonValue, *, strict: bool, path: Path = ()) -> list[Miss]:
    """How `value` misses `pattern`; empty where it is accepted.

    With several accepted patterns the one missed least speaks, and only of itself as a whole. A
    miss is a wrong type where the JSON type differs from that of every accepted value; the tool's
    schema, which knows better, is asked by the caller.
    """
    if is_choice(pattern):
        return _choice_misses(pattern, value, strict=strict, path=path)
    if not strict:
        value = _converted(pattern, value)
    if is_object(pattern) and is_object(value):
        return list(object_misses(pattern, value, strict=strict, path=path))
    if is_array(pattern) and is_array(value) and len(pattern) == len(value):
        pairs = enumerate(zip(pattern, value, strict=True))
        each = (misses(want, got, strict=strict, path=(*path, i)) for i, (want, got) in pairs)
        return list(chain.from_iterable(each))
    if _equal(pattern, value, strict=strict):
        return []
    culprit = Culprit.WRONG_VALUE if _type(pattern) == _type(value) else Culprit.WRONG_TYPE
    return [Miss(culprit, path, describe(pattern), show(value))]


def object_misses(
    patterns: Mapping[str, JsonValue],
    made: Mapping[str, JsonValue],
    *,
    strict: bool,
    path: Path = (),
    defaults: Mapping[str, JsonValue] | None = None,
) -> Iterator[Miss]:
    """How an object misses the patterns of its members: missing ones, unknown ones, wrong ones.

    Leaving out an argument that would have had its default, or writing the default out, makes the
    same call: `defaults` has them.
    """
    defaults = defaults or {}
    for key, pattern in patterns.items():
        optional = is_choice(pattern) and pattern.get("optional") is True
        if key in made or optional:
            continue
        if key not in defaults or misses(pattern, defaults[key], strict=strict):
            yield Miss(Culprit.MISSING_ARGUMENT, (*path, key), describe(pattern), "nothing")
    for key, value in made.items():
        if key not in patterns and not (key in defaults and same(defaults[key], value)):
            yield Miss(Culprit.UNKNOWN_ARGUMENT, (*path, key), "no such argument", show(value))
    for key, pattern in patterns.items():
        if key in made:
            yield from misses(pattern, made[key], strict=strict, path=(*path, key))


def is_choice(pattern: JsonValue) -> TypeGuard[dict[str, Any]]:
    """Whether a pattern is `{any_of: [...]}`, with or without `optional`, and nothing else."""
    return (
        is_object(pattern)
        and is_array(pattern.get("any_of"))
        and pattern.keys() <= {"any_of", "optional"}
    )


def describe(pattern: JsonValue) -> str:
    """A pattern for people."""
    if is_choice(pattern):
        return " or ".join(map(describe, pattern["any_of"])) or "nothing"
    return show(pattern)


def _choice_misses(
    pattern: dict[str, Any], value: JsonValue, *, strict: bool, path: Path
) -> list[Miss]:
    found: list[list[Miss]] = []
    for choice in pattern["any_of"]:
        missed = misses(choice, value, strict=strict, path=path)
        if not missed:
            return []
        found.append(missed)
    if len(found) == 1:
        return found[0]
    of_types = [all(m.culprit is Culprit.WRONG_TYPE and m.path == path for m in f) for f in found]
    culprit = Culprit.WRONG_TYPE if all(of_types) else Culprit.WRONG_VALUE
    return [Miss(culprit, path, describe(pattern), show(value))]


def _equal(pattern: JsonValue, value: JsonValue, *, strict: bool) -> bool:
    if same(pattern, value):
        return True
    if strict or not (isinstance(pattern, str) and isinstance(value, str)):
        return False
    folded = _folded(pattern)
    return bool(folded) and folded == _folded(value)


def _folded(text: str) -> str:
    """A text as BFCL's checker compares it: without case, white space and , . / - _ * ^."""
    return text.casefold().translate(_IGNORED).translate(_QUOTES)


def _converted(pattern: JsonValue, value: JsonValue) -> JsonValue:
    """A value as the type that is expected, where it is only written differently."""
    if isinstance(value, str) and not isinstance(pattern, str):
        try:
            parsed = parse_json(value.strip().lower() if isinstance(pattern, bool) else value)
        except ValueError:
            return value
        return parsed if _type(parsed) == _type(pattern) else value
    if isinstance(pattern, str) and isinstance(value, bool | int | float):
        return show(value)
    return value


def _type(value: JsonValue) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "number"
    return type(value).__name__
