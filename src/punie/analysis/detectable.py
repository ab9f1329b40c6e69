"""The smallest true difference that a comparison would have found."""

import math
from statistics import fmean

from punie.analysis.estimates import clusters_of
from punie.analysis.portion import Portion
from punie.analysis.power import smallest_detectable
from punie.analysis.statistics import effective_n, z_value
from punie.records.comparison import Pair
from punie.records.summary import Estimate


def smallest_found(portion: Portion) -> float | None:
    """A share, found in 80 % of cases; None where nothing was scored in both runs.

    At the spread of the differences that the prompts show, which is their discordance where answers
    are right or wrong. The headline is a mean over k categories of n_c prompts each: it says as
    much as n = k² / Σ 1/n_c prompts of one category, whose variance is n / k² · Σ v_c/n_c.
    """
    if portion.unpaired:
        before, after = portion.base_mean(), portion.current_mean()
        if before is None or after is None:
            return None
        return smallest_detectable(1, _error(before) ** 2 + _error(after) ** 2)
    categories: dict[str, list[Pair]] = {}
    for pair in portion.scored:
        if pair.weight > 0:
            categories.setdefault(pair.category, []).append(pair)
    if not categories:
        return None
    parts = [(_size(each), fmean(_delta(p) ** 2 for p in each)) for each in categories.values()]
    n = len(parts) ** 2 / math.fsum(1 / size for size, _ in parts)
    variance = n * math.fsum(square / size for size, square in parts) / len(parts) ** 2
    return smallest_detectable(n, variance)


def _delta(pair: Pair) -> float:
    return (pair.current.score or 0.0) - (pair.base.score or 0.0)


def _size(pairs: list[Pair]) -> float:
    clusters = clusters_of([pair.group for pair in pairs])
    return effective_n([_delta(p) for p in pairs], [p.weight for p in pairs], clusters)


def _error(estimate: Estimate) -> float:
    """The standard error that the interval's width says."""
    return (estimate.high - estimate.low) / 2 / z_value(0.95)
