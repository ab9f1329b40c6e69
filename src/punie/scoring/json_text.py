"""Reading JSON that a model wrote: bounded, finite, and with ValueError as the only failure."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, TypeGuard, cast

from pydantic import JsonValue

MAX_DEPTH = 64
"""Deeper nesting is refused, so that plain recursion over what was read is safe."""
_STARTS_LIMIT = 200
_START = re.compile(r'\{\s*+"|\[\s*+\{\s*+"')


def parse_json(text: str) -> JsonValue:
    """The value of a JSON text as RFC 8259 has it: no NaN or Infinity, no nesting past MAX_DEPTH.

    Raises ValueError for anything else, among it numbers of more digits than Python converts.
    Lone surrogates, which escapes can smuggle in, become `?`.
    """
    try:
        return as_json(_DECODER.decode(text.strip()))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def find_json(text: str) -> Iterator[tuple[JsonValue, int, int]]:
    """Each outermost JSON object, or list of objects, in prose with its start and end.

    Looks at a bounded number of places, because every brace of a hostile text could begin one.
    """
    position = 0
    for _ in range(_STARTS_LIMIT):
        start = _START.search(text, position)
        if start is None:
            return
        try:
            value, position = _DECODER.raw_decode(text, start.start())
            yield as_json(value), start.start(), position
        except (ValueError, RecursionError):
            position = start.start() + 1


def as_json(value: Any, depth: int = 0) -> JsonValue:
    """A parsed value as sound JSON: text keys, tuples as lists, only finite numbers.

    Raises ValueError for what JSON cannot hold.
    """
    if depth > MAX_DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("a number is not finite")
        return value
    if isinstance(value, list | tuple):
        return [as_json(each, depth + 1) for each in cast("list[Any]", value)]
    if isinstance(value, dict):
        items = cast("dict[Any, Any]", value).items()
        return {_key(key): as_json(each, depth + 1) for key, each in items}
    raise ValueError(f"no JSON value: {type(value).__name__}")


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a JSON value is an object."""
    return isinstance(value, dict)


def is_array(value: Any) -> TypeGuard[list[Any]]:
    """Whether a JSON value is a list."""
    return isinstance(value, list)


def same(one: JsonValue, other: JsonValue) -> bool:
    """Whether two JSON values are equal: 5 is 5.0, but True is not 1 and "5" is not 5."""
    if is_object(one) and is_object(other):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if is_array(one) and is_array(other):
        return len(one) == len(other) and all(map(same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def show(value: JsonValue, limit: int = 80) -> str:
    """A JSON value on one short line, for a note."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):  # an int of too many digits, a cycle in given arguments
        text = f"a {type(value).__name__}"
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise ValueError("a key is not a text")  # noqa: TRY004 - the one failure promised
    return key if key.isascii() else key.encode("utf-8", "replace").decode("utf-8")


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


_DECODER = json.JSONDecoder(parse_constant=_refuse)
