"""Two runs on the same prompts: the difference of their means, and how sure it is.

Pairing takes away what both runs share: a hard prompt is hard for both. Pure functions.
"""

import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

from punie.analysis.statistics import (
    Interval,
    cautious_n,
    kish_n,
    mean_of_means,
    weighted_mean,
    wilson,
    z_value,
)
from punie.records.comparison import Difference

TWO_SIDED, PASSES, FAILS = 0.95, 0.90, 0.98
"""Confidence of the interval that is shown, and of those whose lower end, at one-sided 95 %, and
upper end, at one-sided 99 %, a gate rests on."""


def paired_difference(
    first: Sequence[float],
    second: Sequence[float],
    *,
    weights: Sequence[float] | None = None,
    clusters: Sequence[Hashable] | None = None,
) -> Difference:
    """How much higher `second` scores than `first`; both in [0, 1], in the same order of prompts.

    Right-or-wrong scores: Newcombe's interval. Graded ones: Bonett and Price's. Neither collapses
    where nothing differs. `weights` (prompts without weight have no part) and `clusters` (passages
    or templates that prompts share) go in through the effective number of prompts. Raises
    ValueError without prompts.
    """
    weights = weights or [1.0] * len(first)
    clusters = clusters or range(len(first))
    rows = list(zip(first, second, weights, clusters, strict=True))
    rows = [row for row in rows if row[2] > 0]
    if not rows:
        msg = "no pair to compare"
        raise ValueError(msg)
    pairs = [(a, b) for a, b, _, _ in rows]
    deltas, weights = [b - a for a, b in pairs], [row[2] for row in rows]
    clusters = [row[3] for row in rows]
    right_or_wrong = all(score in {0.0, 1.0} for pair in set(pairs) for score in pair)
    shares = _shares(pairs, weights) if right_or_wrong else None

    def interval(size: float, confidence: float) -> Interval:
        if shares is None:
            return graded_interval(deltas, weights, size, confidence)
        both, only_second, only_first, neither = (share * size for share in shares)
        return newcombe_paired(both, only_second, only_first, neither, confidence)

    confidences = (TWO_SIDED, PASSES, FAILS)
    sizes = cautious_n(deltas, weights, clusters, confidences)
    shown, passes, fails = map(interval, sizes, confidences)
    value = weighted_mean(deltas, weights)
    return Difference(
        value=value,
        low=max(-1.0, min(shown[0], value)),
        high=min(1.0, max(shown[1], value)),
        n=len(rows),
        lower=max(-1.0, passes[0]),
        upper=min(1.0, fails[1]),
        independent=independent_of(weights, clusters),
    )


def independent_of(weights: Sequence[float], clusters: Sequence[Hashable]) -> float | None:
    """How many prompts that share nothing and weigh alike there are at least; None where all do.

    Kish's size of the clusters: what is left if the prompts of each come out all alike.
    """
    sizes: dict[Hashable, float] = {}
    for weight, cluster in zip(weights, clusters, strict=True):
        sizes[cluster] = sizes.get(cluster, 0.0) + weight
    found = kish_n(list(sizes.values()))
    return found if found < len(weights) * (1 - 1e-9) else None


def difference_over_categories(
    first: Sequence[float],
    second: Sequence[float],
    categories: Sequence[str],
    *,
    weights: Sequence[float] | None = None,
    clusters: Sequence[Hashable] | None = None,
) -> Difference:
    """Mean over categories of `paired_difference`, which see for the arguments.

    Two readings, and of each bound the wider one. MOVER keeps the skew of the categories' bounds,
    but takes them for independent, and has little to go by where a category has one or two prompts.
    One sample of all prompts, in which each category has the same weight, sees the clusters that
    span categories, and has enough prompts. Raises ValueError without prompts.
    """
    weights = weights or [1.0] * len(first)
    clusters = clusters or range(len(first))
    rows = [_Row(*row) for row in zip(first, second, weights, clusters, strict=True)]
    strata: dict[str, list[_Row]] = {}
    for category, row in zip(categories, rows, strict=True):
        if row.weight > 0:
            strata.setdefault(category, []).append(row)
    parts = [_of_rows(of_category) for of_category in strata.values()]
    by_category = stratified_difference(parts)
    if len(parts) == 1:
        return by_category
    shared: list[_Row] = []
    for of_category in strata.values():
        total = math.fsum(row.weight for row in of_category)
        shared += [row._replace(weight=row.weight / total) for row in of_category]
    return wider(by_category, _of_rows(shared))


def wider(by_category: Difference, as_one: Difference) -> Difference:
    """Two readings of one difference: of each bound the one that claims less."""
    return by_category.model_copy(
        update={
            "low": min(by_category.low, as_one.low),
            "high": max(by_category.high, as_one.high),
            "lower": min(by_category.lower, as_one.lower),
            "upper": max(by_category.upper, as_one.upper),
            "independent": as_one.independent,
        }
    )


class _Row(NamedTuple):
    before: float
    after: float
    weight: float
    cluster: Hashable


def _of_rows(rows: Sequence[_Row]) -> Difference:
    first, second, weights, clusters = zip(*rows, strict=True)
    return paired_difference(first, second, weights=weights, clusters=clusters)


def stratified_difference(
    strata: Sequence[Difference], *, weights: Sequence[float] | None = None
) -> Difference:
    """Mean of independent differences, equally weighted or by `weights`.

    Each bound by MOVER from the parts' bounds of the same confidence; see `mean_of_means`. For
    categories of few prompts it claims too much: see `difference_over_categories`. Raises
    ValueError without parts.
    """
    if not strata:
        msg = "no category to compare"
        raise ValueError(msg)

    def mover(limits: Sequence[Interval]) -> tuple[float, Interval]:
        parts = [(part.value, limit) for part, limit in zip(strata, limits, strict=True)]
        return mean_of_means(parts, weights=weights, lowest=-1.0)

    value, (low, high) = mover([(part.low, part.high) for part in strata])
    _, (lower, upper) = mover([(part.lower, part.upper) for part in strata])
    n = sum(part.n for part in strata)
    independent = math.fsum(
        part.n if part.independent is None else part.independent for part in strata
    )
    return Difference(
        value=value,
        low=low,
        high=high,
        n=n,
        lower=lower,
        upper=upper,
        independent=independent if independent < n else None,
    )


def newcombe_paired(
    both: float, only_second: float, only_first: float, neither: float, confidence: float = 0.95
) -> Interval:
    """Interval of p2 - p1 of paired right-or-wrong answers, from the four counts.

    Source: Newcombe 1998, "Improved confidence intervals for the difference between binomial
    proportions based on paired data", Statistics in Medicine 17, 2635-2650, method 10: Wilson's
    limits of both proportions, combined with the correlation φ of the answers, whose numerator is
    reduced by n/2 where it is positive. Counts need not be whole: weighted or clustered answers
    count as their effective number. Raises ValueError where all counts are 0.
    """
    n = both + only_second + only_first + neither
    p1, p2 = ((both + only) / n if n else 0.0 for only in (only_first, only_second))
    (l1, u1), (l2, u2) = wilson(min(1.0, p1), n, confidence), wilson(min(1.0, p2), n, confidence)
    phi = _phi(both, only_second, only_first, neither)

    def reach(towards: float, away: float) -> float:
        return math.sqrt(max(0.0, towards**2 - 2 * phi * towards * away + away**2))

    difference = p2 - p1
    return difference - reach(p2 - l2, u1 - p1), difference + reach(u2 - p2, p1 - l1)


def _shares(
    pairs: Sequence[tuple[float, float]], weights: Sequence[float]
) -> tuple[float, float, float, float]:
    """Of the weight: both right, only the second, only the first, neither."""
    sums = {(a, b): 0.0 for a in (0.0, 1.0) for b in (0.0, 1.0)}
    for pair, weight in zip(pairs, weights, strict=True):
        sums[pair] += weight
    total = math.fsum(weights)
    return sums[1, 1] / total, sums[0, 1] / total, sums[1, 0] / total, sums[0, 0] / total


def _phi(both: float, only_second: float, only_first: float, neither: float) -> float:
    n = both + only_second + only_first + neither
    margins = (both + only_first) * (only_second + neither)
    margins *= (both + only_second) * (only_first + neither)
    product = both * neither - only_second * only_first
    corrected = max(product - n / 2, 0) if product > 0 else product
    return corrected / math.sqrt(margins) if margins else 0.0


def graded_interval(
    deltas: Sequence[float], weights: Sequence[float], n: float, confidence: float = 0.95
) -> Interval:
    """Interval of the weighted mean of graded differences in [-1, 1], of effective number `n`.

    Source: Bonett and Price 2012, "Adjusted Wald confidence interval for a difference of binomial
    proportions based on paired data", Journal of Educational and Behavioral Statistics 37, 479-488:
    the normal interval after one prompt that gains all and one that loses all are added. For
    right-or-wrong scores this is theirs; for graded ones the same two prompts stand for the losses
    that few prompts have not shown yet.
    """
    total = math.fsum(weights)
    square = math.fsum(w * d * d for w, d in zip(weights, deltas, strict=True)) / total
    mean = weighted_mean(deltas, weights) * n / (n + 2)
    variance = (square * n + 2) / (n + 2) - mean**2
    reach = z_value(confidence) * math.sqrt(variance / (n + 2))
    return mean - reach, mean + reach
