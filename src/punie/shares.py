"""How punie writes shares and differences of shares, in every sentence and every table the same.

None, NaN and infinity are an en dash, a zero has no sign, and a share that is not quite 0 or 1 is
never rounded to it.
"""

import math

from punie.sizes import NOTHING

EXACT = 1e-9
"""Shares nearer to 0 or 1 than this are those, written with floating point's noise."""


def fixed(value: float, decimals: int) -> str:
    """Write a finite number with so many decimals, a minus as `−`, and never `-0`."""
    text = f"{value:.{decimals}f}"
    # A small negative value rounds to "-0.0".
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def percent(value: float | None) -> str:
    """Write a share in [0, 1] as `62.5 %`; exactly none and all are `0 %` and `100 %`."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if abs(value) < EXACT:
        return "0 %"
    if abs(value - 1) < EXACT:
        return "100 %"
    if 0 < value < 0.0005:
        return "< 0.1 %"
    if 0.9995 <= value < 1:
        return "> 99.9 %"
    return f"{fixed(100 * value, 1)} %"


def points(share: float | None) -> str:
    """Write a difference of shares in percentage points with its sign: `+3.2`, `−12.5`, `0`."""
    if share is None or not math.isfinite(share):
        return NOTHING
    text = fixed(100 * share, 1)
    return "0" if text in ("0.0", "0") else text if share < 0 else f"+{text}"
