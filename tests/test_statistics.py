# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# statsmodels and parts of numpy carry no types; here they are only oracles.
import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from punie.analysis.estimates import clusters_of_questions
from punie.analysis.statistics import (
    cautious_n,
    design_effect,
    effective_n,
    kish_n,
    mean_of_means,
    quantile,
    spread,
    weighted_mean,
    wilson,
    z_value,
)

UNIT = st.floats(0, 1)


@pytest.mark.parametrize("confidence", [0.8, 0.9, 0.95, 0.99])
def test_z_is_the_normal_quantile(confidence: float):
    assert z_value(confidence) == pytest.approx(stats.norm.ppf((1 + confidence) / 2), abs=1e-9)


@given(n=st.integers(1, 100_000), share=UNIT, confidence=st.floats(0.5, 0.999))
def test_wilson_is_that_of_statsmodels(n: int, share: float, confidence: float):
    right = round(share * n)
    expected = proportion_confint(right, n, alpha=1 - confidence, method="wilson")
    assert wilson(right / n, n, confidence) == pytest.approx(expected, abs=1e-9)


def test_wilson_gives_the_textbook_interval():
    low, high = wilson(0.8, 50)
    assert (round(low, 2), round(high, 2)) == (0.67, 0.89)


@given(mean=UNIT, n=st.floats(0.5, 1e6))
def test_wilson_contains_the_mean_within_zero_and_one(mean: float, n: float):
    low, high = wilson(mean, n)
    assert 0 <= low <= mean <= high <= 1


@given(mean=UNIT, n=st.floats(0.5, 1e5))
def test_more_observations_never_widen_the_interval(mean: float, n: float):
    low, high = wilson(mean, n)
    narrower_low, narrower_high = wilson(mean, 2 * n)
    assert narrower_high - narrower_low <= high - low + 1e-12


@pytest.mark.parametrize(("mean", "n"), [(0.5, 0), (0.5, -1), (1.1, 5), (-0.1, 5)])
def test_wilson_refuses_what_is_no_mean_of_scores(mean: float, n: float):
    with pytest.raises(ValueError, match="no interval"):
        wilson(mean, n)


@given(st.lists(st.tuples(UNIT, st.floats(0.01, 100)), min_size=1, max_size=30))
def test_weighted_mean_is_that_of_numpy_and_within_range(rows: list[tuple[float, float]]):
    values, weights = [row[0] for row in rows], [row[1] for row in rows]
    mean = weighted_mean(values, weights)
    assert mean == pytest.approx(float(np.average(values, weights=weights)), abs=1e-9)
    assert min(values) <= mean <= max(values)


@given(st.floats(0.1, 10), st.integers(1, 50))
def test_equal_weights_are_worth_their_number(weight: float, n: int):
    assert kish_n([weight] * n) == pytest.approx(n)


def test_one_heavy_weight_is_worth_little_more_than_one():
    assert kish_n([1000, 1, 1, 1]) == pytest.approx(1003**2 / (1000**2 + 3))


def test_design_effect_is_the_ratio_of_the_published_variances():
    values = [1.0, 1.0, 0.0, 0.0, 1.0, 0.5, 0.0, 0.0]
    clusters = ["a", "a", "b", "b", "c", "c", "d", "d"]
    mean = float(np.mean(values))
    simple = float(np.var(values, ddof=1)) / len(values)
    # Miller's form: the simple sum plus the cross products within each cluster.
    cross = sum(
        (values[i] - mean) * (values[j] - mean)
        for i in range(8)
        for j in range(8)
        if clusters[i] == clusters[j]
    )
    clustered = cross / len(values) ** 2 * 4 / 3
    assert design_effect(values, [1.0] * 8, clusters) == pytest.approx(clustered / simple, abs=1e-9)


def test_clusters_of_one_have_no_effect():
    assert design_effect([0.0, 1.0, 0.3], [1.0, 2.0, 3.0], ["a", "b", "c"]) == 1


def test_clusters_that_cancel_out_never_help():
    assert design_effect([1.0, 0.0] * 5, [1.0] * 10, [i // 2 for i in range(10)]) == 1


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_equal_values_count_as_one_observation_a_cluster(value: float):
    clusters = ["a"] * 10 + ["b"] * 10 + ["c"] * 10
    assert effective_n([value] * 30, [1.0] * 30, clusters) == pytest.approx(3)


def test_a_single_cluster_is_one_observation():
    assert effective_n([0.0, 1.0, 1.0], [1.0] * 3, ["a"] * 3) == pytest.approx(1)


@given(
    st.lists(
        st.tuples(UNIT, st.floats(0.1, 10), st.sampled_from("abc")),
        min_size=1,
        max_size=30,
    )
)
def test_clusters_never_add_information(rows: list[tuple[float, float, str]]):
    values, weights = [row[0] for row in rows], [row[1] for row in rows]
    n = effective_n(values, weights, [row[2] for row in rows])
    assert 0 < n <= kish_n(weights) + 1e-9


def test_few_clusters_are_due_student_s_t():
    values, ones = [1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0], [1.0] * 8
    clusters = [0, 0, 1, 1, 2, 2, 3, 3]
    assert cautious_n(values, ones, clusters, [0.95]) == [4]  # one a cluster, and no less
    effect = design_effect(values * 30, ones * 30, list(range(60)) * 4)
    few = (stats.norm.ppf(0.975) / stats.t.ppf(0.975, 59)) ** 2
    (found,) = cautious_n(values * 30, ones * 30, list(range(60)) * 4, [0.95])
    assert found == pytest.approx(240 / effect * few, rel=1e-9)
    assert found > 60


@pytest.mark.parametrize("alike", [0.3, 0.7])
def test_intervals_of_few_clusters_cover_the_truth(alike: float):
    """Six passages of five questions; z in place of t covers the truth in less than 91 %."""
    rng = random.Random(20260104)
    spread_of = 1 / alike - 1
    ones, clusters = [1.0] * 30, [i // 5 for i in range(30)]
    covered = 0
    for _ in range(1500):
        values: list[float] = []
        for _ in range(6):
            easy = rng.betavariate(0.7 * spread_of, 0.3 * spread_of)
            values += [float(rng.random() < easy) for _ in range(5)]
        (n,) = cautious_n(values, ones, clusters, [0.95])
        low, high = wilson(weighted_mean(values, ones), n)
        covered += low <= 0.7 <= high
    assert covered / 1500 >= 0.93


def test_prompts_of_one_passage_or_one_hash_are_a_cluster():
    found = clusters_of_questions(
        [
            ("a", "1"),
            ("a", "2"),
            (None, "3"),
            (None, "3"),
            ("b", "2"),
            (None, ""),
            (None, ""),
            ("c", ""),
        ]
    )
    assert [found.index(each) for each in found] == [0, 0, 2, 2, 0, 5, 6, 7]


@given(
    st.lists(st.tuples(st.none() | st.sampled_from("abc"), st.sampled_from(["", "1", "2", "3"])))
)
def test_questions_that_share_anything_share_a_cluster(prompts: list[tuple[str | None, str]]):
    found = clusters_of_questions(prompts)
    for this, (group, question) in zip(found, prompts, strict=True):
        for other, (its_group, its_question) in zip(found, prompts, strict=True):
            same = group is not None and group == its_group
            assert this == other or not (same or (question and question == its_question))


def test_mean_of_means_adds_squared_distances_on_each_side():
    mean, (low, high) = mean_of_means([(0.9, (0.7, 0.95)), (0.5, (0.4, 0.6))])
    assert mean == pytest.approx(0.7)
    assert low == pytest.approx(0.7 - math.sqrt(0.2**2 + 0.1**2) / 2)
    assert high == pytest.approx(0.7 + math.sqrt(0.05**2 + 0.1**2) / 2)


@given(st.lists(st.tuples(UNIT, st.integers(1, 100)), min_size=1, max_size=8))
def test_mean_of_means_contains_its_value_within_zero_and_one(rows: list[tuple[float, int]]):
    mean, (low, high) = mean_of_means([(mean, wilson(mean, n)) for mean, n in rows])
    assert 0 <= low <= mean <= high <= 1


def test_a_single_mean_keeps_its_interval():
    _, interval = mean_of_means([(0.8, wilson(0.8, 50))])
    assert interval == pytest.approx(wilson(0.8, 50))


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50),
    st.sampled_from([0.0, 0.05, 0.5, 0.9, 0.95, 1.0]),
)
def test_quantile_is_that_of_numpy(values: list[float], q: float):
    expected = float(np.quantile(values, q))
    assert quantile(values, q) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_spread_describes_the_values_in_any_order():
    result = spread([3.0, 1.0, 2.0, 10.0])
    assert result is not None
    assert (result.min, result.median, result.max, result.n) == (1.0, 2.5, 10.0, 4)
    assert result.mean == 4.0
    assert result.p95 == pytest.approx(np.quantile([1, 2, 3, 10], 0.95))


def test_nothing_has_no_spread():
    assert spread([]) is None


def test_headline_interval_covers_the_truth():
    """Three categories of unlike size and difficulty: 95 % is meant, 93 % is asked for."""
    rng = random.Random(20260101)
    plan = [(20, 0.9), (30, 0.5), (40, 0.15)]
    truth = sum(p for _, p in plan) / 3
    covered = 0
    for _ in range(2000):
        means = [(sum(rng.random() < p for _ in range(n)) / n, n) for n, p in plan]
        _, (low, high) = mean_of_means([(mean, wilson(mean, n)) for mean, n in means])
        covered += low <= truth <= high
    assert 0.93 <= covered / 2000 <= 0.98


def test_clustered_interval_covers_the_truth_where_the_simple_one_does_not():
    """Thirty passages of five questions, of which some passages are hard and some easy."""
    rng = random.Random(20260102)
    weights = [1.0] * 150
    clusters = [i // 5 for i in range(150)]
    clustered = simple = 0
    for _ in range(1000):
        values: list[float] = []
        for _ in range(30):
            difficulty = rng.betavariate(0.7, 0.7)
            values += [float(rng.random() < difficulty) for _ in range(5)]
        mean = weighted_mean(values, weights)
        low, high = wilson(mean, effective_n(values, weights, clusters))
        clustered += low <= 0.5 <= high
        low, high = wilson(mean, len(values))
        simple += low <= 0.5 <= high
    assert clustered / 1000 >= 0.92
    assert simple / 1000 < 0.85


def test_graded_scores_are_covered_at_least_as_often_as_meant():
    rng = random.Random(20260103)
    covered = 0
    for _ in range(1000):
        mean = sum(rng.betavariate(4, 2) for _ in range(25)) / 25
        low, high = wilson(mean, 25)
        covered += low <= 2 / 3 <= high
    assert covered / 1000 >= 0.95
