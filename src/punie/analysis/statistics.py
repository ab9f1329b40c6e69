"""Means of small samples and how sure they are: pure functions over plain numbers.

Every score is in [0, 1], right-or-wrong or graded, and one interval serves both: Wilson's. It takes
p(1 - p) as the variance of one observation. For right-or-wrong scores that is exact. For graded
ones it is a bound: where 0 <= x <= 1, x² <= x, so Var x = E[x²] - p² <= p - p². Wilson is then as
wide as needed or wider, and unlike a mean ± z·SE it does not collapse when all scores are equal.
"""

import math
from collections.abc import Hashable, Sequence
from statistics import NormalDist

from punie.analysis.student import student_t
from punie.records.summary import Spread

Interval = tuple[float, float]


def z_value(confidence: float) -> float:
    """Two-sided standard normal quantile: 1.96 for 0.95."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


def wilson(mean: float, n: float, confidence: float = 0.95) -> Interval:
    """Score interval of a mean of `n` observations in [0, 1]; `n` may be an effective size.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference";
    [p + z²/2n ± z√(p(1-p)/n + z²/4n²)] / (1 + z²/n). Valid, if wide, for graded scores: see above.
    Raises ValueError where `n` is not positive or `mean` is outside [0, 1].
    """
    if n <= 0 or not 0 <= mean <= 1:
        msg = f"no interval for a mean of {mean} over {n} observations"
        raise ValueError(msg)
    z = z_value(confidence)
    share = z * z / n
    centre = mean + share / 2
    reach = z * math.sqrt(mean * (1 - mean) / n + share / (4 * n))
    # Rounding may push a limit past the mean or past 0 and 1 by one part in 10^16.
    low = max(0.0, min(mean, (centre - reach) / (1 + share)))
    high = min(1.0, max(mean, (centre + reach) / (1 + share)))
    return low, high


def weighted_mean(values: Sequence[float], weights: Sequence[float]) -> float:
    """Σwx / Σw, kept within the values' own range."""
    mean = math.fsum(w * x for w, x in zip(weights, values, strict=True)) / math.fsum(weights)
    return min(max(mean, min(values)), max(values))


def kish_n(weights: Sequence[float]) -> float:
    """Size of the equally weighted sample that is as informative: (Σw)² / Σw².

    Source: Kish 1965, "Survey Sampling". `weights` are positive; equal ones give their number.
    """
    return math.fsum(weights) ** 2 / math.fsum(w * w for w in weights)


def design_effect(
    values: Sequence[float], weights: Sequence[float], clusters: Sequence[Hashable]
) -> float:
    """How many times larger the variance of the mean is because observations share clusters.

    The clustered variance over the simple one, never below 1. Clustered: Σ_c(Σ_{i∈c} w_i(x_i - m))²
    · G/(G-1) / (Σw)², which at equal weights is Miller 2024, "Adding Error Bars to Evals", with the
    usual correction for few clusters; simple: the same with every observation its own cluster.

    Where the data cannot show a correlation (one cluster, or all values equal), it is taken as
    full, as if each cluster were one observation: the cautious reading of "all right".
    """
    sums: dict[Hashable, float] = {}
    sizes: dict[Hashable, float] = {}
    mean = weighted_mean(values, weights)
    residuals = [w * (x - mean) for w, x in zip(weights, values, strict=True)]
    for cluster, weight, residual in zip(clusters, weights, residuals, strict=True):
        sums[cluster] = sums.get(cluster, 0.0) + residual
        sizes[cluster] = sizes.get(cluster, 0.0) + weight
    n, count = len(values), len(sums)
    if count == n:
        return 1.0
    simple = math.fsum(r * r for r in residuals) * n / (n - 1)
    if count == 1 or simple == 0:
        return kish_n(weights) / kish_n(list(sizes.values()))
    clustered = math.fsum(s * s for s in sums.values()) * count / (count - 1)
    return max(1.0, clustered / simple)


def effective_n(
    values: Sequence[float], weights: Sequence[float], clusters: Sequence[Hashable]
) -> float:
    """Number of independent, equally weighted observations that say as much as these.

    Kish's size for the weights over the design effect for the clusters. The three sequences have
    one length, at least 1.
    """
    return kish_n(weights) / design_effect(values, weights, clusters)


def cautious_n(
    values: Sequence[float],
    weights: Sequence[float],
    clusters: Sequence[Hashable],
    confidences: Sequence[float],
) -> list[float]:
    """`effective_n` for intervals that a verdict rests on, with few clusters: one a confidence.

    The design effect is estimated from as many numbers as there are clusters, so the interval is
    due Student's t at one degree less in place of z. Wilson's depends on z²/n alone: a size that is
    (z/t)² as large does the same. It is never less than one observation a cluster, which is what
    full correlation leaves.
    """
    sizes: dict[Hashable, float] = {}
    for cluster, weight in zip(clusters, weights, strict=True):
        sizes[cluster] = sizes.get(cluster, 0.0) + weight
    if len(sizes) == len(values):
        return [kish_n(weights)] * len(confidences)
    least = kish_n(list(sizes.values()))
    if len(sizes) == 1:
        return [least] * len(confidences)
    n, degrees = effective_n(values, weights, clusters), len(sizes) - 1
    few = [z_value(each) / student_t(each, degrees) for each in confidences]
    return [max(least, each**2 * n) for each in few]


def mean_of_means(
    parts: Sequence[tuple[float, Interval]],
    *,
    weights: Sequence[float] | None = None,
    lowest: float = 0.0,
) -> tuple[float, Interval]:
    """Mean of independent means, equally weighted or by `weights`, with its interval, from theirs.

    `parts` are (mean, (low, high)), at least one, in [lowest, 1]. MOVER: the distances from each
    mean to its limits are squared, added, and rooted, on each side by itself. Source: Zou and
    Donner 2008, "Construction of confidence limits about effect measures: a general approach".
    Unlike adding standard errors it keeps the skew of the parts' intervals, and so their range.
    """
    weights = weights or [1.0] * len(parts)
    total = math.fsum(weights)
    weighted = [(weight / total, *part) for weight, part in zip(weights, parts, strict=True)]
    mean = math.fsum(share * value for share, value, _ in weighted)
    below = math.hypot(*(share * (value - low) for share, value, (low, _) in weighted))
    above = math.hypot(*(share * (high - value) for share, value, (_, high) in weighted))
    return mean, (max(lowest, mean - below), min(1.0, mean + above))


def quantile(values: Sequence[float], q: float) -> float:
    """Sample quantile by linear interpolation between order statistics; `q` in [0, 1].

    Source: Hyndman and Fan 1996, "Sample quantiles in statistical packages", type 7 (what numpy
    and R use by default). `values` holds at least one number, in any order.
    """
    ordered = sorted(values)
    position = (len(ordered) - 1) * q
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


def spread(values: Sequence[float]) -> Spread | None:
    """Mean, median, 95th percentile and extremes in the values' unit; None without values."""
    if not values:
        return None
    ordered = sorted(values)
    return Spread(
        mean=math.fsum(ordered) / len(ordered),
        median=quantile(ordered, 0.5),
        p95=quantile(ordered, 0.95),
        min=ordered[0],
        max=ordered[-1],
        n=len(ordered),
    )
