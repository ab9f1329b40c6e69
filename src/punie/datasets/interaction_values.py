"""What the values of a collected interaction mean: success, seconds, a time of day, a length."""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from punie.datasets.interaction_fields import normal
from punie.scoring.json_text import is_array, is_object
from punie.text import one_line

WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("success", "succeeded", "successful", "complete", "completed", "ok"), True),
    **dict.fromkeys(("done", "passed", "pass", "finished", "true", "yes"), True),
    **dict.fromkeys(
        ("failure", "failed", "fail", "error", "errored", "timeout", "timedout"), False
    ),
    **dict.fromkeys(("cancelled", "canceled", "aborted", "rejected", "exception"), False),
    **dict.fromkeys(("crashed", "false", "no"), False),
    **dict.fromkeys(("running", "pending", "queued", "inprogress", "started", "unknown", "")),
}
"""Statuses without case and separators; None is a status that tells neither."""
EARLIEST, LATEST = 631_152_000, 7_258_118_400
"""Seconds since 1970 of the years 1990 and 2200. What lies outside is no time of an interaction."""
LONGEST_S = 366 * 86_400
LONGEST_NAME = 80


class MeaninglessError(ValueError):
    """A value that cannot be what its key says; the message says why."""


def success_of(value: Any, words: Mapping[str, bool | None]) -> bool | None:
    """Whether an interaction succeeded; None where its status says neither.

    `words` are statuses as `normal` writes them. Numbers are 0 and 1, or a status of HTTP. Raises
    MeaninglessError.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        if value in (0, 1):
            return bool(value)
        if 100 <= value < 600:
            return value < 400
        raise MeaninglessError("this number is neither 0, 1 nor a status of HTTP")
    told = normal(value.strip())
    if told not in words:
        shown = one_line(value, 40)
        raise MeaninglessError(
            f"{shown!r} means neither success nor failure to punie: --status {shown!r}=success"
        )
    return words[told]


def seconds_of(value: Any, unit: float) -> float:
    """A duration in seconds from a number of `unit` seconds each. Raises MeaninglessError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MeaninglessError("should be a number")
    try:
        seconds = value * unit
    except OverflowError:
        seconds = math.inf
    if not 0 <= seconds <= LONGEST_S:
        raise MeaninglessError("is no duration between 0 and a year")
    return seconds


def moment_of(value: Any) -> float:
    """Seconds since 1970, UTC, from ISO 8601 or a count of s, ms, µs or ns.

    A time without an offset is taken as UTC. Raises MeaninglessError.
    """
    if isinstance(value, bool):
        raise MeaninglessError("should be a time")
    moment = _iso(value) if isinstance(value, str) else value
    for unit in (1, 10**3, 10**6, 10**9):
        if EARLIEST * unit <= moment <= LATEST * unit:
            return moment / unit
    raise MeaninglessError("is no time between 1990 and 2200")


def _iso(text: str) -> float:
    try:
        parsed = datetime.fromisoformat(text.strip())
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        pass
    try:
        return float(text)
    except ValueError:
        raise MeaninglessError("is no time: ISO 8601, or seconds since 1970") from None


def length_of(value: Any) -> int | None:
    """Characters of a task or an output; of a chat, those of all turns but the assistant's.

    What has another form counts as JSON. None where it is no text: a number, true, false.
    """
    if isinstance(value, str):
        return len(value)
    if is_array(value):
        turns = [turn for turn in value if is_object(turn) and isinstance(turn.get("content"), str)]
        if turns:
            return sum(len(turn["content"]) for turn in turns if turn.get("role") != "assistant")
    if is_array(value) or is_object(value):
        return len(json.dumps(value, ensure_ascii=False))
    return None


def name_of(value: Any) -> str | None:
    """The name of a role or provider; None where the value is none."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return _name(str(value)[: 4 * LONGEST_NAME]) or None


@lru_cache(maxsize=1024)
def _name(text: str) -> str:
    return one_line(text, LONGEST_NAME)


def error_of(value: Any) -> str:
    """The message of an error, empty where there was none."""
    if isinstance(value, str):
        return value
    if is_object(value):
        texts = (value.get(key) for key in ("message", "detail", "type", "code", "name"))
        return next((text for text in texts if isinstance(text, str) and text), "error")
    return "error" if value else ""
