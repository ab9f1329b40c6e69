"""How punie writes numbers, in one place, so that every report says them the same way.

None, NaN and infinity are an en dash, a zero has no sign, and a share that is not quite 0 or 1 is
never rounded to it. Spaces are plain ones: HTML keeps a number on one line by its style sheet.
"""

import math
from collections.abc import Callable

from punie.records.summary import Estimate
from punie.shares import EXACT, fixed, percent, points
from punie.sizes import NOTHING, byte_size, count, counted, scaled


def _significant(value: float, digits: int = 3) -> str:
    """`value` with `digits` significant digits, never in scientific form, integers kept whole."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    magnitude = math.floor(math.log10(abs(rounded)))
    return fixed(rounded, max(0, digits - 1 - magnitude))


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def interval(estimate: Estimate | None) -> str:
    """Write the 95 % interval in percent: `[45–77]`; narrower than 5 points, with a decimal."""
    if estimate is None or not (_finite(estimate.low) and _finite(estimate.high)):
        return NOTHING
    decimals = 0 if estimate.high - estimate.low >= 0.05 else 1
    return f"[{fixed(100 * estimate.low, decimals)}–{fixed(100 * estimate.high, decimals)}]"


def percent_interval(estimate: Estimate | None) -> str:
    """Write a mean and its interval: `62.5 % [45–77]`."""
    if estimate is None or not math.isfinite(estimate.value):
        return NOTHING
    return f"{percent(estimate.value)} {interval(estimate)}"


def points_interval(share: float, low: float, high: float) -> str:
    """Write a difference and its interval in percentage points: `−3.2 [−8.0 to +1.5]`."""
    return f"{points(share)} [{points(low)} to {points(high)}]"


def score(value: float | None) -> str:
    """Write one answer's score in [0, 1] as `0`, `0.67` or `1`."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if abs(value) < EXACT:
        return "0"
    if abs(value - 1) < EXACT:
        return "1"
    return fixed(min(max(value, 0.01), 0.99), 2)


def duration(seconds: float | None) -> str:
    """Write a time with three significant digits: `4.2 ms`, `850 ms`, `1.24 s`, `3 min 20 s`."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if seconds < 0:
        return f"−{duration(-seconds)}"
    if seconds >= 59.95:
        return _long_duration(seconds)
    if seconds >= 0.9995 or seconds == 0:
        return f"{_significant(seconds)} s"
    return f"{_significant(1000 * seconds, 3 if seconds >= 0.01 else 2)} ms"


def _long_duration(seconds: float) -> str:
    if (whole := round(seconds)) < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if (minutes := round(seconds / 60)) < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24:02} h"


def time_left(seconds: float | None) -> str:
    """Write an estimate of remaining time, no finer than it is known: `8 s`, `40 s`, `3 min`."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    left = max(0.0, seconds)
    if left < 10:
        return f"{math.ceil(left)} s"
    if left < 55:
        return f"{5 * round(left / 5)} s"
    if left < 3570:
        return f"{max(1, round(left / 60))} min"
    minutes = 5 * round(left / 300)
    return f"{minutes // 60} h {minutes % 60:02} min"


def compact(number: float | None) -> str:
    """Write a big count in three digits: `950`, `12.3k`, `135M`, `1.5B`."""
    if number is None or not math.isfinite(number):
        return NOTHING
    return scaled(number, ("", "k", "M", "B", "T"), "")


def rate(tokens_per_second: float | None) -> str:
    """Write a speed: `41.2 tok/s`."""
    if tokens_per_second is None or not math.isfinite(tokens_per_second):
        return NOTHING
    if tokens_per_second >= 1000:
        return f"{count(round(tokens_per_second))} tok/s"
    return f"{_significant(tokens_per_second)} tok/s"


def cost(amount: float | None) -> str:
    """Write money in the prices' own currency: `12.50`, `0.042`, `< 0.0001`."""
    if amount is None or not math.isfinite(amount):
        return NOTHING
    if amount == 0:
        return "0"
    if 0 < amount < 0.0001:
        return "< 0.0001"
    if abs(amount) >= 0.995:
        return f"{amount:,.2f}".replace("-", "−")
    return _significant(amount, 2)


def short_hash(digest: str | None) -> str:
    """Write the first twelve digits of a hash."""
    return digest[:12] if digest else NOTHING


FORMATS: dict[str, Callable[..., str]] = {
    "percent": percent,
    "interval": interval,
    "percent_interval": percent_interval,
    "score": score,
    "duration": duration,
    "byte_size": byte_size,
    "compact": compact,
    "count": count,
    "counted": counted,
    "rate": rate,
    "cost": cost,
    "short_hash": short_hash,
}
"""The formats by name, as templates know them."""
