"""One thing that is wrong with what a person wrote, and what they probably meant."""

from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache

from punie.sources.yaml_source import DataPath


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
