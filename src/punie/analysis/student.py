"""Student's t, for means whose spread is estimated from few clusters."""

import math
from functools import cache


@cache
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
