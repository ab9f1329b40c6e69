"""A loss curve in one line of text: pure."""

import math
from collections.abc import Sequence
from itertools import pairwise

_LEVELS = "▁▂▃▄▅▆▇█"
_GAP = "·"


def sparkline(values: Sequence[float], width: int) -> str:
    """Write a curve in at most `width` blocks, from its lowest `▁` to its highest `█`.

    Where there are more values than blocks, each block is the mean of its share of them. Equal
    values run along the bottom; a value that is no number is a dot.
    """
    shown = _means(values, width)
    known = [each for each in shown if math.isfinite(each)]
    low, reach = (min(known), max(known) - min(known)) if known else (0.0, 0.0)
    return "".join(_block(each, low, reach) for each in shown)


def _block(value: float, low: float, reach: float) -> str:
    if not math.isfinite(value):
        return _GAP
    share = (value - low) / reach if reach else 0.0
    return _LEVELS[round(share * (len(_LEVELS) - 1))]


def _means(values: Sequence[float], width: int) -> list[float]:
    blocks = min(max(width, 0), len(values))
    edges = [len(values) * at // blocks for at in range(blocks + 1)] if blocks else []
    parts = [values[start:end] for start, end in pairwise(edges)]
    return [sum(part) / len(part) for part in parts]
