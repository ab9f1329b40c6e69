"""Two runs on different prompts: the difference of their means where nothing can be paired."""

import math

from punie.analysis.paired import FAILS, PASSES, TWO_SIDED
from punie.analysis.statistics import Interval, wilson, z_value
from punie.records.comparison import Difference
from punie.records.summary import Estimate


def unpaired_difference(first: Estimate, second: Estimate) -> Difference:
    """How much higher `second` is than `first`, two independent means; `n` is the smaller one's.

    Source: Newcombe 1998, "Interval estimation for the difference between independent proportions",
    Statistics in Medicine 17, 873-890, method 10: Wilson's limits of each mean, their distances
    squared, added and rooted. The bounds at other confidences take each mean for one of as many
    prompts as the width of its interval says.
    """
    value = second.value - first.value

    def interval(confidence: float) -> Interval:
        (l1, u1), (l2, u2) = (
            wilson(each.value, implied_n(each), confidence) for each in (first, second)
        )
        low = value - math.hypot(second.value - l2, u1 - first.value)
        return low, value + math.hypot(u2 - second.value, first.value - l1)

    low, high = interval(TWO_SIDED)
    return Difference(
        value=value,
        low=low,
        high=high,
        n=min(first.n, second.n),
        lower=interval(PASSES)[0],
        upper=interval(FAILS)[1],
    )


def implied_n(estimate: Estimate) -> float:
    """Number of prompts for which Wilson's 95 % interval is as wide as this one.

    With s = z²/n the width w is 2√(p(1-p)s + s²/4) / (1 + s): the positive root of
    (1 - w²)s² + 2(2p(1-p) - w²)s - w² = 0. Infinite where the estimate has no width.
    """
    square = (estimate.high - estimate.low) ** 2
    half = 2 * estimate.value * (1 - estimate.value) - square
    rest = max(1e-9, 1 - square)
    # Of the two ways to write the root, the one that does not subtract what is nearly equal.
    root = math.sqrt(half * half + rest * square)
    share = square / (half + root) if half > 0 else (root - half) / rest
    return z_value(TWO_SIDED) ** 2 / share if share else math.inf
