"""How much so many prompts can show, and how many it takes to show so much.

By the normal approximation of the paired difference; see `smallest_detectable`. Effects, margins
and shares are in [0, 1]; a variance is that of one prompt's difference.
"""

import math
from statistics import NormalDist

from punie.analysis.statistics import z_value
from punie.records.comparison import Difference

POWER = 0.8
MOST = 1_000_000
"""More prompts than anybody asks: beyond it there is no number worth telling."""


def smallest_detectable(
    n: float, variance: float, *, confidence: float = 0.95, power: float = POWER
) -> float:
    """The smallest true difference that `n` prompts find in the share `power` of cases.

    (z for the confidence + z for the power) · √(variance / n), never more than 1. `variance` is
    that of one prompt's difference. For right-or-wrong scores it is the share of prompts that
    differ, less the square of the difference, which is left out to be careful: at 20 % and n = 50
    it gives 18 points. Source: Connor 1987, "Sample size for testing differences in proportions for
    the paired-sample design"; Miller 2024, "Adding Error Bars to Evals". Where no prompt differed,
    up to 3/n of them may all the same (the rule of three), and that is what is taken.
    """
    return min(1.0, _reach(confidence, power) * math.sqrt((variance or min(1.0, 3 / n)) / n))


def required_n(
    effect: float, variance: float, *, confidence: float = 0.95, power: float = POWER
) -> int:
    """Prompts that find a true difference of `effect` (above 0) in the share `power` of cases.

    The inverse of `smallest_detectable`.
    """
    return max(1, math.ceil(_reach(confidence, power) ** 2 * variance / effect**2))


def more_prompts(difference: Difference, bound: float) -> int | None:
    """How many more prompts like these would settle whether the difference is above `bound`.

    `bound` is minus the margin, or the gain. The reach of an interval shrinks as 1/√n: the number
    at which the bound that is nearer to being crossed would be, if the difference stayed as it is.
    0 where it is settled; None where the difference is so near that it would take more than a
    million, or no number would do.
    """
    away = difference.value - bound
    if difference.lower > bound or difference.upper < bound:
        return 0
    reach = difference.value - difference.lower if away > 0 else difference.upper - difference.value
    if away == 0 or (needed := difference.n * (reach / away) ** 2) > MOST:
        return None
    return max(1, math.floor(needed) + 1 - difference.n)


def _reach(confidence: float, power: float) -> float:
    return z_value(confidence) + NormalDist().inv_cdf(power)
