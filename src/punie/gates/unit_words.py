"""Bounds that someone wrote without their unit, or in another one, and how to write them."""

import re
from typing import Any, NamedTuple


class _Written(NamedTuple):
    key: str
    scale: float = 1.0
    share: bool = False
    """Whether a number up to 1 is a share, so 100 times as much in percent or points."""


_POINTS, _GAIN = _Written("margin_points", share=True), _Written("minimum_gain_points", share=True)
_FLOOR, _SLOWER = _Written("floor_percent", share=True), _Written("slower_percent", share=True)
_WINS, _MARKS = _Written("win_rate_percent", share=True), _Written("score_percent", share=True)
_MEMORY = _Written("memory_gb")
_WORDS: dict[str, _Written] = {
    **dict.fromkeys(
        ("margin", "margin_percent", "max_drop", "max_loss", "max_regression"), _POINTS
    ),
    **dict.fromkeys(("tolerance", "drop", "loss", "regression"), _POINTS),
    **dict.fromkeys(("gain", "min_gain", "minimum_gain", "minimum_gain_percent"), _GAIN),
    **dict.fromkeys(("gain_points", "min_gain_points", "improvement"), _GAIN),
    **dict.fromkeys(("floor", "floor_points", "min_score", "minimum", "threshold"), _FLOOR),
    **dict.fromkeys(("success", "success_rate", "min_success_rate", "accuracy"), _FLOOR),
    **dict.fromkeys(("slower", "slowdown", "slower_points", "max_slowdown"), _SLOWER),
    **dict.fromkeys(("win_rate", "wins", "min_win_rate", "win_rate_points"), _WINS),
    **dict.fromkeys(("score", "score_points", "mark", "marks", "mark_percent"), _MARKS),
    **dict.fromkeys(("average", "avg", "mean", "avg_s", "mean_s"), _Written("average_s")),
    **dict.fromkeys(("average_ms", "avg_ms", "mean_ms"), _Written("average_s", 1e-3)),
    "median": _Written("median_s"),
    "median_ms": _Written("median_s", 1e-3),
    **dict.fromkeys(("memory", "ram", "ram_gb", "max_memory", "max_memory_gb"), _MEMORY),
    **dict.fromkeys(("memory_mb", "ram_mb"), _Written("memory_gb", 1e-3)),
    "role_floor": _Written("role_floor_percent", share=True),
    "role_margin": _Written("role_margin_points", share=True),
}
_NUMBER = re.compile(
    r"\s*[-+<>=≤≥]*\s*(\d+(?:\.\d+)?)\s*(?:%|s|ms|gb|pts?|points?)?\s*", re.IGNORECASE
)
_MOST = 1e15
"""No bound is larger, whatever its unit."""
_LEAST = {"points": 0.5, "percent": 1.0}
"""A bound is hardly ever this fine or less, and a share in its place always is."""


def with_unit(key: str, value: Any, known: list[str]) -> str | None:
    """Say how a key without its unit, or in another one, is written: `margin_points: 5`.

    None where the word stands for none of the `known` keys.
    """
    written = _WORDS.get(key.lower().replace("-", "_"))
    if written is None or written.key not in known:
        return None
    number = _number(value)
    if number is None:
        return f"{written.key} (the unit stands in the name)"
    number = _as_percent(number) if written.share else number * written.scale
    return f"{written.key}: {number:g}"


def looks_like_a_share(key: str, value: float) -> str | None:
    """Say what a number that can only be meant as a share of 1 is in the key's unit.

    None where it is no such number.
    """
    unit = key.rsplit("_", 1)[-1]
    if unit not in _LEAST or key == "slower_percent" or not 0 < value <= _LEAST[unit]:
        return None
    if unit == "points" and value == _LEAST[unit]:
        return None
    return f"{key}: {_as_percent(value):g}"


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(abs(value)) if abs(value) <= _MOST else None
    match = _NUMBER.fullmatch(value) if isinstance(value, str) else None
    number = float(match[1]) if match else None
    return number if number is not None and number <= _MOST else None


def _as_percent(number: float) -> float:
    return round(100 * number, 6) if number <= 1 else number
