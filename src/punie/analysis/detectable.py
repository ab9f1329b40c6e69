"""The smallest true difference that a comparison would have found."""

import math

from punie.analysis.estimates import clusters_of_questions
from punie.analysis.portion import Portion
from punie.analysis.power import smallest_detectable
from punie.analysis.statistics import effective_n, weighted_mean, z_value
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
    parts = [_size_and_variance(each) for each in categories.values()]
    n = len(parts) ** 2 / math.fsum(1 / size for size, _ in parts)
    variance = n * math.fsum(square / size for size, square in parts) / len(parts) ** 2
    return smallest_detectable(n, variance)


def _delta(pair: Pair) -> float:
    return (pair.current.score or 0.0) - (pair.base.score or 0.0)


def _size_and_variance(pairs: list[Pair]) -> tuple[float, float]:
    """How many prompts of equal weight these say as much as, and the variance of their difference.

    However few of them differ, 3/n of others may (the rule of three), in each category by itself.
    """
    clusters = clusters_of_questions((pair.group, pair.hash) for pair in pairs)
    deltas, weights = [_delta(pair) for pair in pairs], [pair.weight for pair in pairs]
    size = effective_n(deltas, weights, clusters)
    square = weighted_mean([delta * delta for delta in deltas], weights)
    return size, max(square, min(1.0, 3 / size))


def _error(estimate: Estimate) -> float:
    """The standard error that the interval's width says."""
    return (estimate.high - estimate.low) / 2 / z_value(0.95)
