"""The bootstrap: what a mean or median would have been on other prompts of the same kind.

Prompts are drawn again with replacement; where they share clusters, whole clusters are. Source:
Efron and Tibshirani 1993, "An Introduction to the Bootstrap"; for clusters Davison and Hinkley
1997, "Bootstrap Methods and their Application", 3.8.

The draws come from the raw words of PCG64, whose stream numpy guarantees for good, and sums run in
one fixed order: a seed gives the same interval on every machine, and a journal can be recomputed.
"""

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TYPE_CHECKING

from punie.analysis.statistics import Interval, quantile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Whole = NDArray[np.int64]

SAMPLES = 10_000
CHUNK = 250_000
"""Draws that are held at once: some megabytes, whatever the number of samples."""


def studentized_draws(values: Sequence[float], *, seed: int, samples: int = SAMPLES) -> list[float]:
    """How many of its standard errors each resample's mean is off that of `values`, ascending.

    `values` holds at least two numbers, not all equal. A resample of one number over and over has
    no standard error: it is taken as next to none, so that it is as far off as can be told.
    """
    import numpy as np  # noqa: PLC0415 - commands that need no numbers start without it

    found = np.asarray(values, dtype=np.float64)
    count = len(values)
    off = found - found.cumsum()[-1] / count
    squares = off * off
    least = 1e-18 * squares.cumsum()[-1]

    def studentized(drawn: "Whole") -> "Floats":
        # A running sum adds in order; numpy's plain one adds in blocks.
        sums = off[drawn].cumsum(axis=1)[:, -1]
        spread = squares[drawn].cumsum(axis=1)[:, -1] - sums * sums / count
        return sums / np.sqrt(np.maximum(spread, least) * count / (count - 1))

    return _sorted_draws(studentized, count, seed, samples)


def studentized_interval(
    values: Sequence[float], draws: Sequence[float], confidence: float = 0.95
) -> Interval:
    """Interval of the mean of `values` from their `studentized_draws`: the bootstrap-t.

    Of skewed values few show how far the tail goes, and the percentiles of the resampled means end
    too early; here a resample without the tail knows that its standard error is small. Never beyond
    the values themselves. Source: Efron 1979; Hall 1988, "Theoretical comparison of bootstrap
    confidence intervals".
    """
    mean = math.fsum(values) / len(values)
    square = math.fsum((each - mean) ** 2 for each in values)
    error = math.sqrt(square / (len(values) - 1) / len(values))
    low, high = percentile_interval(draws, confidence)
    return max(min(values), mean - high * error), min(max(values), mean - low * error)


def median_draws(
    values: Sequence[float],
    *,
    seed: int,
    clusters: Sequence[Hashable] | None = None,
    samples: int = SAMPLES,
) -> list[float]:
    """Medians of `samples` resamples of `values` (at least one), in ascending order."""
    import numpy as np  # noqa: PLC0415 - as above

    found = np.asarray(values, dtype=np.float64)
    order = found.argsort(kind="stable")
    ordered = found[order]
    if clusters is None:
        middle = [(len(values) - 1) // 2, len(values) // 2]

        def plain(drawn: "Whole") -> "Floats":
            drawn.partition(middle, axis=1)  # places in ascending order, so no values are moved
            return ordered[drawn[:, middle]].mean(axis=1)

        return _sorted_draws(plain, len(values), seed, samples)
    of = _numbered(clusters, len(values))[order]
    count = int(of.max()) + 1

    def clustered(drawn: "Whole") -> "Floats":
        # How often each value, in ascending order, is in each resample; then where half is reached.
        rows = np.arange(len(drawn))[:, None] * count
        times = np.bincount((drawn + rows).ravel(), minlength=len(drawn) * count)
        reached = times.reshape(len(drawn), count)[:, of].cumsum(axis=1)
        lower = (2 * reached >= reached[:, -1:]).argmax(axis=1)
        upper = (2 * reached > reached[:, -1:]).argmax(axis=1)
        return (ordered[lower] + ordered[upper]) / 2

    return _sorted_draws(clustered, count, seed, samples, wide=len(values))


def percentile_interval(draws: Sequence[float], confidence: float = 0.95) -> Interval:
    """The middle share of the draws. Source: Efron 1979, "Bootstrap methods"."""
    tail = (1 - confidence) / 2
    return quantile(draws, tail), quantile(draws, 1 - tail)


def resamples(
    count: int, *, seed: int, samples: int = SAMPLES, wide: int | None = None
) -> Iterator["Whole"]:
    """Positions in a sample of `count`, drawn with replacement: one row a resample, in chunks.

    Each half of a 64-bit word of PCG64 gives one position, by multiplication (Lemire 2019, "Fast
    random integer generation in an interval"; without rejection its bias is below count / 2^32). A
    resample begins with a word of its own, so chunks change nothing. `wide` is how many numbers the
    caller makes of a row, where that is more than `count`. Each chunk overwrites the one before.
    """
    import numpy as np  # noqa: PLC0415 - as above

    source = np.random.PCG64(seed)
    words = (count + 1) // 2
    rows = min(samples, max(1, CHUNK // max(count, wide or 0)))
    drawn = np.empty((rows, count), np.uint64)
    for start in range(0, samples, rows):
        here = drawn[: samples - start]
        raw = source.random_raw(len(here) * words).astype("<u8", copy=False)
        halves = raw.view("<u4").reshape(len(here), 2 * words)[:, :count]
        np.multiply(halves, np.uint64(count), out=here, dtype=np.uint64)
        np.right_shift(here, np.uint64(32), out=here)
        yield here.view(np.int64)


def _numbered(clusters: Sequence[Hashable] | None, count: int) -> "Whole":
    """Clusters as numbers from 0, in the order in which they first stand."""
    import numpy as np  # noqa: PLC0415 - as above

    if clusters is None:
        return np.arange(count)
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(each, len(numbers)) for each in clusters])


def _sorted_draws(
    statistic: Callable[["Whole"], "Floats"],
    count: int,
    seed: int,
    samples: int,
    wide: int | None = None,
) -> list[float]:
    import numpy as np  # noqa: PLC0415 - as above

    drawn = resamples(count, seed=seed, samples=samples, wide=wide)
    return np.sort(np.concatenate([statistic(each) for each in drawn])).tolist()
