"""The bootstrap against scipy, against itself on every machine, and by coverage."""

# scipy carries no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false

import random
import tracemalloc
from itertools import product
from statistics import fmean, median, stdev

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from punie.analysis import bootstrap
from punie.analysis.bootstrap import (
    median_draws,
    percentile_interval,
    resamples,
    studentized_draws,
    studentized_interval,
)

VALUES = [0.0, 0.25, 0.4, 1.0, 1.0, 0.7, 0.05]
CLUSTERS = ["a", "b", "a", "c", "b", "c", "c"]


def test_a_seed_gives_the_same_positions_for_good() -> None:
    """Written down from PCG64's words: a journal's numbers hang on them."""
    (drawn,) = resamples(7, seed=42, samples=2)
    words = [int(word) for word in np.random.PCG64(42).random_raw(8)]
    halves = [half for word in words for half in (word & 0xFFFFFFFF, word >> 32)]
    expected = [half * 7 >> 32 for half in [*halves[:7], *halves[8:15]]]
    assert drawn.ravel().tolist() == expected
    assert drawn.tolist()[0] == [0, 5, 4, 3, 3, 6, 0]


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [f(VALUES, seed=3, samples=50) for f in (studentized_draws, median_draws)]
    grouped = median_draws(VALUES, seed=3, samples=50, clusters=CLUSTERS)
    monkeypatch.setattr(bootstrap, "CHUNK", 20)
    assert [f(VALUES, seed=3, samples=50) for f in (studentized_draws, median_draws)] == found
    assert median_draws(VALUES, seed=3, samples=50, clusters=CLUSTERS) == grouped


@given(st.integers(1, 12), st.integers(0, 5))
@settings(max_examples=30)
def test_draws_are_the_statistics_of_the_resamples(n: int, seed: int) -> None:
    values = [random.Random(seed).random() for _ in range(n)]
    rows = [row for chunk in resamples(n, seed=seed, samples=9) for row in chunk.tolist()]
    picked = [[values[at] for at in row] for row in rows]
    assert median_draws(values, seed=seed, samples=9) == pytest.approx(sorted(map(median, picked)))


def test_studentized_draws_are_the_means_in_their_standard_errors() -> None:
    draw = random.Random(4)
    values = [draw.lognormvariate(0, 1) for _ in range(25)]
    rows = [row for chunk in resamples(25, seed=6, samples=9) for row in chunk.tolist()]
    picked = [[values[at] for at in row] for row in rows]
    expected = sorted((fmean(row) - fmean(values)) / (stdev(row) / 5) for row in picked)
    draws = studentized_draws(values, seed=6, samples=9)
    assert draws == pytest.approx(expected)
    low, high = studentized_interval(values, draws, 0.90)
    error = stdev(values) / 5
    assert low == pytest.approx(fmean(values) - float(np.quantile(expected, 0.95)) * error)
    assert high == pytest.approx(fmean(values) - float(np.quantile(expected, 0.05)) * error)


def test_one_slow_answer_of_many_leaves_the_mean_open() -> None:
    """A third of all resamples lack it, and know nothing of how far a mean may be off."""
    values = [1.0] * 19 + [10.0]
    draws = studentized_draws(values, seed=0, samples=1000)
    assert studentized_interval(values, draws, 0.90) == (1.0, 10.0)


def test_the_mean_of_skewed_times_is_hardly_passed_by_chance() -> None:
    """Percentiles of the resampled means put the upper bound below the mean in 13 % of these."""
    draw, below = random.Random(9), 0
    for seed in range(400):
        values = [draw.lognormvariate(-0.5, 1) for _ in range(50)]
        draws = studentized_draws(values, seed=seed, samples=1000)
        below += studentized_interval(values, draws, 0.90)[1] < 1
    assert below / 400 <= 0.095


@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from("abcd")), min_size=1, max_size=12))
@settings(max_examples=40)
def test_clusters_are_drawn_whole(rows: list[tuple[float, str]]) -> None:
    values, clusters = [value for value, _ in rows], [cluster for _, cluster in rows]
    names = list(dict.fromkeys(clusters))
    members = {name: [value for value, of in rows if of == name] for name in names}
    (drawn,) = resamples(len(names), seed=1, samples=11)
    picked = [[v for at in row for v in members[names[at]]] for row in drawn.tolist()]
    medians = median_draws(values, seed=1, samples=11, clusters=clusters)
    assert medians == pytest.approx(sorted(map(median, picked)), abs=1e-12)


def test_every_resample_is_as_likely_as_any_other() -> None:
    counts = dict.fromkeys(product(range(3), repeat=3), 0)
    for chunk in resamples(3, seed=8, samples=27_000):
        for row in chunk.tolist():
            counts[tuple(row)] += 1
    assert stats.chisquare(list(counts.values())).pvalue > 0.001


def test_the_interval_is_scipy_s_up_to_the_draw() -> None:
    values = [random.Random(5).lognormvariate(0, 1) for _ in range(60)]
    expected = stats.bootstrap(
        (values,), np.median, method="percentile", n_resamples=20_000, rng=1
    ).confidence_interval
    found = percentile_interval(median_draws(values, seed=0, samples=20_000))
    assert found == pytest.approx((expected.low, expected.high), abs=0.02)


def test_the_median_of_ratios_is_covered() -> None:
    """Log-ratios of latencies, skewed, at n = 20 and 50, as a gate on times uses them."""
    draw = random.Random(17)
    for n in (20, 50):
        inside = 0
        for seed in range(300):
            values = [0.1 + draw.expovariate(4) - 0.17328679514 for _ in range(n)]
            low, high = percentile_interval(median_draws(values, seed=seed, samples=1000))
            inside += low <= 0.1 <= high
        assert 0.91 <= inside / 300 <= 0.985


def test_memory_stays_small_however_many_samples() -> None:
    values = [0.5, 1.0] * 1000
    studentized_draws(values, seed=0, samples=10)
    tracemalloc.start()
    studentized_draws(values, seed=0)
    median_draws(values, seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000
