"""The smallest true difference that a comparison would have found."""

import math
from dataclasses import replace

from punie.analysis.estimates import clusters_of_questions
from punie.analysis.portion import Portion
from punie.analysis.power import smallest_detectable
from punie.analysis.statistics import effective_n, weighted_mean, z_value
from punie.records.comparison import Pair
from punie.records.summary import Estimate


def smallest_found(portion: Portion) -> float | None:
    """A share, found in 80 % of cases; None where nothing was scored in both runs.

    At the spread of the differences that the prompts show, which is their discordance where answers
    are right or wrong. The headline is a mean over categories, read in two ways like its interval,
    and the larger variance counts: Σ v_c/n_c / k² over k categories; and that of one sample in
    which each category has the same weight, where a spread too small to be seen is allowed for.
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
    parts = [_size_and_square(each) for each in categories.values()]
    by_category = math.fsum(square / size for size, square in parts) / len(parts) ** 2
    totals = {name: math.fsum(p.weight for p in each) for name, each in categories.items()}
    size, square = _size_and_square(
        [
            replace(pair, weight=pair.weight / totals[name])
            for name, each in categories.items()
            for pair in each
        ]
    )
    as_one = max(square, min(1.0, 3 / size)) / size  # 3/n: the rule of three
    return smallest_detectable(1, max(by_category, as_one))


def _delta(pair: Pair) -> float:
    return (pair.current.score or 0.0) - (pair.base.score or 0.0)


def _size_and_square(pairs: list[Pair]) -> tuple[float, float]:
    """How many prompts of equal weight these say as much as, and their mean square difference."""
    clusters = clusters_of_questions((pair.group, pair.hash) for pair in pairs)
    deltas, weights = [_delta(pair) for pair in pairs], [pair.weight for pair in pairs]
    square = weighted_mean([delta * delta for delta in deltas], weights)
    return effective_n(deltas, weights, clusters), square


def _error(estimate: Estimate) -> float:
    """The standard error that the interval's width says."""
    return (estimate.high - estimate.low) / 2 / z_value(0.95)
