"""Paired differences against a published example, scipy, and simulation."""

# scipy carries no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false
# pyright: reportAttributeAccessIssue=false

import math
import random
from collections.abc import Callable
from statistics import fmean, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from punie.analysis.paired import (
    difference_over_categories,
    graded_interval,
    newcombe_paired,
    paired_difference,
    stratified_difference,
)
from punie.analysis.statistics import mean_of_means
from punie.analysis.student import student_t

COUNTS = st.tuples(*[st.integers(0, 60)] * 4).filter(any)
SCORES = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=40)


def test_newcombe_s_interval_on_a_published_table() -> None:
    # Airway hyper-responsiveness before and after stem cell transplantation (Bentur 2009), as in
    # Fagerland, Lydersen and Laake 2014, "Recommended tests and confidence intervals for paired
    # binomial proportions": 1 both, 7 after only, 1 before only, 12 neither of 21.
    assert newcombe_paired(1, 7, 1, 12) == pytest.approx((0.026, 0.507), abs=6e-4)


@given(COUNTS)
def test_newcombe_s_interval_holds_the_difference(cells: tuple[int, int, int, int]) -> None:
    both, only_second, only_first, neither = cells
    value = (only_second - only_first) / sum(cells)
    low, high = newcombe_paired(*cells)
    assert -1 - 1e-12 <= low <= value <= high <= 1 + 1e-12
    swapped = newcombe_paired(both, only_first, only_second, neither)
    assert swapped == pytest.approx((-high, -low), abs=1e-12)
    if only_first == only_second == 0:
        assert low < 0 < high  # equal answers are no proof of equal models


def test_newcombe_s_interval_covers_what_it_should() -> None:
    draw = random.Random(11)
    inside = 0
    rounds = 2000
    for _ in range(rounds):
        kinds = draw.choices(range(4), weights=(0.6, 0.05, 0.15, 0.2), k=50)
        low, high = newcombe_paired(*(kinds.count(kind) for kind in range(4)))
        inside += low <= 0.05 - 0.15 <= high
    assert 0.93 <= inside / rounds <= 0.985


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 10, 29, 30, 99, 500])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_student_s_quantile_is_scipy_s(degrees: int, confidence: float) -> None:
    expected = float(stats.t.ppf((1 + confidence) / 2, degrees))
    assert student_t(confidence, degrees) == pytest.approx(expected, rel=1e-9)


def test_a_graded_interval_is_the_normal_one_after_two_more_prompts() -> None:
    first, second = [0.1, 0.5, 0.5, 0.9, 0.25, 1.0], [0.2, 0.4, 0.8, 0.95, 0.25, 0.5]
    found = paired_difference(first, second)
    deltas = [*(b - a for a, b in zip(first, second, strict=True)), 1.0, -1.0]
    low, high = stats.norm.interval(0.95, fmean(deltas), pstdev(deltas) / math.sqrt(8))
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9)
    assert found.n == 6
    assert found.value == pytest.approx(-0.025)


def test_the_graded_interval_of_right_or_wrong_is_bonett_and_price_s() -> None:
    # (b - c)/(n + 2) ± z √(b + c + 2 - (b - c)²/(n + 2)) / (n + 2), b = 12, c = 4, n = 50.
    reach = stats.norm.ppf(0.975) * math.sqrt(18 - 64 / 52) / 52
    found = graded_interval([1.0] * 12 + [-1.0] * 4 + [0.0] * 34, [1.0] * 50, 50)
    assert found == pytest.approx((8 / 52 - reach, 8 / 52 + reach), rel=1e-9)


@given(SCORES)
def test_a_difference_turns_its_sign_with_the_arms(pairs: list[tuple[float, float]]) -> None:
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    there, back = paired_difference(first, second), paired_difference(second, first)
    assert there.value == pytest.approx(-back.value, abs=1e-9)
    assert there.low == pytest.approx(-back.high, abs=1e-9)
    assert -1 <= there.low <= there.lower <= there.value <= there.high <= there.upper <= 1


def test_bounds_are_those_of_the_same_interval_at_their_confidence() -> None:
    found = paired_difference([1.0] * 21, [0.0] + [1.0] * 20)
    assert (found.low, found.high) == pytest.approx(newcombe_paired(20, 0, 1, 0))
    assert found.lower == pytest.approx(newcombe_paired(20, 0, 1, 0, 0.90)[0])
    assert found.upper == pytest.approx(newcombe_paired(20, 0, 1, 0, 0.98)[1])
    first, second = [0.1, 0.5, 0.5, 0.9, 0.25, 1.0], [0.2, 0.4, 0.8, 0.95, 0.25, 0.5]
    graded = paired_difference(first, second)
    deltas = [b - a for a, b in zip(first, second, strict=True)]
    assert graded.lower == graded_interval(deltas, [1.0] * 6, 6, 0.90)[0]
    assert graded.upper == graded_interval(deltas, [1.0] * 6, 6, 0.98)[1]


def test_weights_that_are_equal_change_nothing_and_none_leaves_out() -> None:
    first, second = [1.0, 0.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0]
    plain = paired_difference(first, second)
    equal = paired_difference(first, second, weights=[2.0] * 4)
    assert equal.model_dump() == pytest.approx(plain.model_dump())
    without = paired_difference([*first, 1.0], [*second, 0.0], weights=[1.0] * 4 + [0.0])
    assert without.model_dump() == pytest.approx(plain.model_dump())
    heavy = paired_difference(first, second, weights=[1.0, 5.0, 1.0, 1.0])
    assert heavy.value == pytest.approx((5 - 2) / 8)
    assert heavy.high - heavy.low > plain.high - plain.low


@given(st.floats(0, 1), st.integers(1, 100))
def test_graded_scores_that_do_not_differ_prove_nothing(score: float, n: int) -> None:
    found = paired_difference([score] * n, [score] * n)
    assert found.low < 0 == found.value < found.high
    assert found.lower < 0 < found.upper


def test_categories_count_alike_whatever_their_size() -> None:
    small = paired_difference([1.0] * 10, [0.0] * 4 + [1.0] * 6)
    large = paired_difference([1.0] * 90, [0.0] * 9 + [1.0] * 81)
    both = stratified_difference([small, large])
    assert both.value == pytest.approx(-0.25)
    assert both.n == 100
    bounds = [(part.value, (part.low, part.high)) for part in (small, large)]
    assert (both.low, both.high) == mean_of_means(bounds, lowest=-1)[1]
    assert both.low < both.lower < both.value < both.high < both.upper
    weighted = stratified_difference([small, large], weights=[1, 3])
    assert weighted.value == pytest.approx((0.4 + 3 * 0.1) / -4)
    alone = stratified_difference([small])
    assert alone.model_dump() == pytest.approx(small.model_dump())
    with pytest.raises(ValueError, match="no category"):
        stratified_difference([])


def test_of_categories_the_wider_of_two_readings_counts() -> None:
    sizes, lost = (10, 90), (4, 9)
    first, names = [1.0] * 100, ["a"] * 10 + ["b"] * 90
    second = [
        x for size, n in zip(sizes, lost, strict=True) for x in [0.0] * n + [1.0] * (size - n)
    ]
    parts = [paired_difference(first[at], second[at]) for at in (slice(10), slice(10, 100))]
    by_category = stratified_difference(parts)
    as_one = paired_difference(first, second, weights=[9.0] * 10 + [1.0] * 90)
    found = difference_over_categories(first, second, names)
    assert found.value == pytest.approx(by_category.value)
    for bound, widest in (("low", min), ("lower", min), ("high", max), ("upper", max)):
        readings = getattr(by_category, bound), getattr(as_one, bound)
        assert getattr(found, bound) == pytest.approx(widest(readings))
    assert found.independent == pytest.approx(1 / (10 * 0.05**2 + 90 * (1 / 180) ** 2))
    alone = difference_over_categories(first, second, ["a"] * 100)
    assert alone.model_dump() == pytest.approx(paired_difference(first, second).model_dump())


def test_passages_that_span_categories_widen_the_difference() -> None:
    first, second = [1.0] * 60, ([0.0] * 4 + [1.0] * 16) * 3
    names, passages = [str(at // 20) for at in range(60)], [at % 20 for at in range(60)]
    alone = difference_over_categories(first, second, names)
    spanning = difference_over_categories(first, second, names, clusters=passages)
    assert alone.upper < 0 < spanning.upper
    assert alone.independent is None
    assert spanning.independent == pytest.approx(20)


def test_what_is_clearly_worse_and_what_is_not() -> None:
    right, wrong = [1.0] * 40, [0.0] * 10 + [1.0] * 30
    assert paired_difference(right, wrong).clearly_below
    assert paired_difference(wrong, right).clearly_above
    one_lost = [0.0] + [1.0] * 39
    assert not paired_difference(right, one_lost).clearly_below


def test_prompts_that_share_a_passage_count_less() -> None:
    first = [1.0] * 40
    second = [0.0] * 8 + [1.0] * 32
    alone = paired_difference(first, second)
    grouped = paired_difference(first, second, clusters=[at // 8 for at in range(40)])
    assert alone.clearly_below
    assert not grouped.clearly_below
    assert grouped.value == alone.value
    assert paired_difference(first, second, clusters=list(range(40))) == alone


def test_one_pair_says_next_to_nothing_and_none_is_an_error() -> None:
    single = paired_difference([0.5], [0.8])
    assert single.low < -0.7
    assert single.high > 0.9
    with pytest.raises(ValueError, match="no pair"):
        paired_difference([], [])


def rare_losses(draw: random.Random) -> float:
    return -draw.uniform(0.5, 1) if draw.random() < 0.05 else draw.uniform(-0.05, 0.05)


def partial_credit(draw: random.Random) -> float:
    return draw.choices([-1.0, -1 / 3, 0.0, 1 / 3], weights=[4, 12, 78, 6])[0]


@pytest.mark.parametrize("shape", [rare_losses, partial_credit])
@pytest.mark.parametrize("n", [10, 30, 100])
def test_graded_bounds_hold_where_losses_are_rare(
    shape: Callable[[random.Random], float], n: int
) -> None:
    """Student's t and the bootstrap set the lower bound too high in 10 to 60 % of these cases."""
    draw = random.Random(n)
    truth = math.fsum(shape(draw) for _ in range(100_000)) / 100_000
    rounds, inside, too_high = 1500, 0, 0
    for _ in range(rounds):
        deltas = [shape(draw) for _ in range(n)]
        low, high = graded_interval(deltas, [1.0] * n, n)
        inside += low <= truth <= high
        too_high += graded_interval(deltas, [1.0] * n, n, 0.90)[0] > truth
    assert inside / rounds >= 0.94
    assert too_high / rounds <= 0.075
