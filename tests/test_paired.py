"""Paired differences against a published example, scipy, and simulation."""

# scipy carries no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false
# pyright: reportAttributeAccessIssue=false

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from punie.analysis.paired import newcombe_paired, paired_difference, student_interval, student_t

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


def test_the_interval_of_a_mean_is_scipy_s() -> None:
    first = [0.1, 0.5, 0.5, 0.9, 0.25, 1.0]
    second = [0.2, 0.4, 0.8, 0.95, 0.25, 0.5]
    expected = stats.ttest_rel(second, first).confidence_interval(0.95)
    found = paired_difference(first, second)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert found.n == 6
    assert not found.clearly_below
    assert not found.clearly_above


@given(SCORES)
def test_a_difference_turns_its_sign_with_the_arms(pairs: list[tuple[float, float]]) -> None:
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    there, back = paired_difference(first, second), paired_difference(second, first)
    assert there.value == pytest.approx(-back.value, abs=1e-9)
    assert there.low == pytest.approx(-back.high, abs=1e-9)
    assert -1 <= there.low <= there.high <= 1


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
    grouped = paired_difference(first, second, [at // 8 for at in range(40)])
    assert alone.clearly_below
    assert not grouped.clearly_below
    assert grouped.value == alone.value
    assert paired_difference(first, second, list(range(40))) == alone


def test_a_single_graded_pair_says_nothing() -> None:
    assert student_interval([0.3]) == (-1.0, 1.0)
    with pytest.raises(ValueError, match="no pair"):
        paired_difference([], [])
