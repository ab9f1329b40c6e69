"""Regular expressions of a suite: run on a model's answer for a bounded time.

An expression can need time that doubles with each character of an unlucky answer. The `regex`
module runs the expressions of `re` and ends a search after a time; `re` knows no end.
"""

import warnings
from functools import lru_cache
from typing import TYPE_CHECKING

from punie.errors import InputError

if TYPE_CHECKING:
    import regex

SECONDS = 1.0
"""Processor time that one search may take."""
MAX_LENGTH = 10_000
"""Characters of an expression."""
_PROBE_SECONDS = 0.25
_PROBE_LENGTH = 300
_PROBES = ("a", "A", "0", " ", "_", "aA", "ab", "a ", "a0", "a.")


class UnscorableError(InputError):
    """An answer that cannot be scored because of the suite: neither right nor wrong."""

    code = "suite"


def finds(pattern: str, text: str, *, case: bool = True) -> bool:
    """Whether the expression is found in a text.

    Raises UnscorableError where that took more than `SECONDS`, InputError for a broken expression.
    """
    try:
        return _compiled(pattern, case).search(text, timeout=SECONDS) is not None
    except ValueError as error:
        raise InputError(
            f"the regular expression {pattern!r:.80} of the suite cannot be used: {error}",
            hint="mend it, or use `match: substring`",
        ) from error
    except TimeoutError:
        raise UnscorableError(
            f"the regular expression {pattern:.80} of the suite takes more than {SECONDS:g} s "
            f"on this answer of {len(text):,} characters",
            hint="write its inner repetition possessive, as in (a++)+, or make it simpler",
        ) from None


def expression_fault(pattern: str, *, case: bool = True) -> str:
    """Why an expression cannot be used, or an empty text.

    It is tried on texts on which expressions of exponential cost are slow. One that passes can
    still be slow on another text: `finds` is bounded all the same.
    """
    try:
        compiled = _compiled(pattern, case)
    except ValueError as error:
        return f"is no valid regular expression: {error}"
    for unit in _PROBES:
        text = (unit * _PROBE_LENGTH)[:_PROBE_LENGTH] + "\0"
        try:
            compiled.search(text, timeout=_PROBE_SECONDS)
        except TimeoutError:
            return (
                f"takes more than {_PROBE_SECONDS:g} s on {_PROBE_LENGTH} characters of {unit!r}: "
                "its repetitions overlap (write the inner one possessive, as in (a++)+)"
            )
    return ""


@lru_cache(maxsize=4096)
def _compiled(pattern: str, case: bool) -> "regex.Pattern[str]":  # noqa: FBT001 - a cache key
    import regex  # noqa: PLC0415 - few suites have expressions

    if len(pattern) > MAX_LENGTH:
        raise ValueError(f"it is longer than {MAX_LENGTH:,} characters")
    flags = regex.VERSION0 if case else regex.VERSION0 | regex.IGNORECASE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # `[[` is a question of style
            return regex.compile(pattern, flags)
    except (regex.error, ArithmeticError, LookupError, RecursionError, ValueError) as error:
        raise ValueError(str(error)) from error
