"""Two runs on the same prompts: the difference of their means, and how sure it is.

Pairing takes away what both runs share: a hard prompt is hard for both. Pure functions.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from punie.analysis.statistics import Interval, design_effect, wilson


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean of second minus first over `n` prompts, in [-1, 1], with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int

    @property
    def clearly_below(self) -> bool:
        """Whether the second is worse by more than chance explains."""
        return self.high < 0

    @property
    def clearly_above(self) -> bool:
        """Whether the second is better by more than chance explains."""
        return self.low > 0


def paired_difference(
    first: Sequence[float], second: Sequence[float], clusters: Sequence[Hashable] | None = None
) -> Difference:
    """How much higher `second` scores than `first`; both in [0, 1], in the same order of prompts.

    Right-or-wrong scores: Newcombe's interval, which does not collapse where nothing differs.
    Graded ones: Student's. Where prompts share `clusters` (passages, templates), the interval is
    wider by the root of the design effect. Raises ValueError without prompts.
    """
    deltas = [b - a for a, b in zip(first, second, strict=True)]
    if not deltas:
        msg = "no pair to compare"
        raise ValueError(msg)
    value = fmean(deltas)
    if {*first, *second} <= {0.0, 1.0}:
        pairs = list(zip(first, second, strict=True))
        cells = [pairs.count(cell) for cell in ((1, 1), (0, 1), (1, 0), (0, 0))]
        low, high = newcombe_paired(*cells)
    else:
        low, high = student_interval(deltas)
    ones = [1.0] * len(deltas)
    wider = math.sqrt(design_effect(deltas, ones, clusters)) if clusters else 1.0
    return Difference(
        value,
        max(-1.0, value - wider * (value - low)),
        min(1.0, value + wider * (high - value)),
        len(deltas),
    )


def newcombe_paired(
    both: int, only_second: int, only_first: int, neither: int, confidence: float = 0.95
) -> Interval:
    """Interval of p2 - p1 of paired right-or-wrong answers, from the four counts.

    Source: Newcombe 1998, "Improved confidence intervals for the difference between binomial
    proportions based on paired data", Statistics in Medicine 17, 2635-2650, method 10: Wilson's
    limits of both proportions, combined with the correlation φ of the answers, whose numerator is
    reduced by n/2 where it is positive. Raises ValueError where all counts are 0.
    """
    n = both + only_second + only_first + neither
    p1, p2 = (both + only_first) / n, (both + only_second) / n
    (l1, u1), (l2, u2) = wilson(p1, n, confidence), wilson(p2, n, confidence)
    phi = _phi(both, only_second, only_first, neither)

    def reach(towards: float, away: float) -> float:
        return math.sqrt(max(0.0, towards**2 - 2 * phi * towards * away + away**2))

    difference = p2 - p1
    return difference - reach(p2 - l2, u1 - p1), difference + reach(u2 - p2, p1 - l1)


def _phi(both: int, only_second: int, only_first: int, neither: int) -> float:
    n = both + only_second + only_first + neither
    margins = (both + only_first) * (only_second + neither)
    margins *= (both + only_second) * (only_first + neither)
    product = both * neither - only_second * only_first
    corrected = max(product - n / 2, 0) if product > 0 else product
    return corrected / math.sqrt(margins) if margins else 0.0


def student_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Interval of a mean: mean ± t · s/√n, t Student's quantile at n - 1 degrees of freedom.

    Source: "Student" 1908, "The probable error of a mean". A single value says nothing of its
    spread: it gets the whole range of a difference, [-1, 1].
    """
    if len(values) < 2:
        return -1.0, 1.0
    mean = fmean(values)
    reach = student_t(confidence, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return mean - reach, mean + reach


def student_t(confidence: float, degrees: int) -> float:
    """Two-sided quantile of Student's t: 2.228 for 0.95 and 10 degrees of freedom.

    By bisection on the probability, to the last bits of a float.
    """
    low, high = 0.0, 1.0
    while _probability_within(high, degrees) < confidence:
        low, high = high, 2 * high
    for _ in range(80):
        middle = (low + high) / 2
        below = _probability_within(middle, degrees) < confidence
        low, high = (middle, high) if below else (low, middle)
    return (low + high) / 2


def _probability_within(t: float, degrees: int) -> float:
    """P(|T| < t): the finite series for whole degrees of freedom.

    Source: Abramowitz and Stegun 1964, "Handbook of Mathematical Functions", 26.7.3 and 26.7.4.
    """
    theta = math.atan(t / math.sqrt(degrees))
    sine, square = math.sin(theta), math.cos(theta) ** 2
    if degrees % 2:
        term = total = math.cos(theta) if degrees > 1 else 0.0
        for k in range(3, degrees - 1, 2):
            term *= square * (k - 1) / k
            total += term
        return 2 / math.pi * (theta + sine * total)
    term = total = 1.0
    for k in range(2, degrees - 1, 2):
        term *= square * (k - 1) / k
        total += term
    return sine * total
