"""One thing that is wrong with what a person wrote, and what they probably meant."""

from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from punie.sources.yaml_source import DataPath

_WRONG_CONTAINER = {
    "model_type": "should be a mapping of keys to values",
    "dataclass_type": "should be a mapping of keys to values",
    "model_attributes_type": "should be a mapping of keys to values",
    "missing": "is missing",
    "missing_argument": "is missing",
}


@dataclass(frozen=True, slots=True)
class FormError:
    """One error of a form: where in its data, and what. `key`: it is the key that is wrong."""

    path: DataPath
    what: str
    key: bool = False


def nearest(word: str, known: list[str]) -> str:
    """Say which of the known words was probably meant, or all of them."""
    return _nearest(word, tuple(known))


@lru_cache(maxsize=256)
def _nearest(word: str, known: tuple[str, ...]) -> str:
    """Say it once: a file with one mistake often has it on every line."""
    close = get_close_matches(word[:200], known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; known: {', '.join(known)}" if known else ""


def wording(kind: str, message: str, value: Any) -> str:
    """Say pydantic's error (its type, message, input) in the words of who wrote the file."""
    if kind in _WRONG_CONTAINER:
        return _WRONG_CONTAINER[kind]
    message = message.removeprefix("Value error, ")
    if not message.startswith("Input should "):
        return message[:1].lower() + message[1:]
    message = message.removeprefix("Input ")
    if isinstance(value, str | int | float | bool) or value is None:
        message += f", not {_shortened(_spelled(value), 60)}"
    if kind == "string_type" and isinstance(value, int | float):
        message += ' (write it in quotes, as "1")'
    return message


def _spelled(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)


def _shortened(text: str, length: int) -> str:
    """Cut a text that is quoted in a message."""
    return text if len(text) <= length else text[: length - 3] + "..."
