"""What a gate makes of a difference."""

import pytest

from punie.analysis.paired import paired_difference
from punie.analysis.rule import FEWEST, holds_floor, holds_gain, holds_margin, under_both, word_of
from punie.records.comparison import Difference, Word
from punie.records.gate import Verdict
from punie.records.summary import Estimate


def difference(lower: float, value: float, upper: float) -> Difference:
    return Difference(value=value, low=lower, high=upper, n=100, lower=lower, upper=upper)


@pytest.mark.parametrize(
    ("bounds", "word", "margin", "gain"),
    [
        ((0.01, 0.1, 0.2), Word.BETTER, Verdict.PASS, Verdict.PASS),
        ((-0.04, 0.0, 0.04), Word.NO_WORSE, Verdict.PASS, Verdict.INCONCLUSIVE),
        ((-0.04, -0.03, -0.02), Word.NO_WORSE, Verdict.PASS, Verdict.FAIL),
        ((-0.05, 0.0, 0.05), Word.UNCLEAR, Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE),
        ((-0.2, -0.1, 0.0), Word.UNCLEAR, Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE),
        ((-0.2, -0.1, -0.01), Word.WORSE, Verdict.FAIL, Verdict.FAIL),
        ((-0.06, -0.04, -0.01), Word.WORSE, Verdict.INCONCLUSIVE, Verdict.FAIL),
    ],
)
def test_the_three_verdicts(
    bounds: tuple[float, float, float], word: Word, margin: Verdict, gain: Verdict
):
    found = difference(*bounds)
    assert word_of(found, 0.05) is word
    assert holds_margin(found, 0.05) is margin
    assert holds_gain(found, 0.0) is gain


@pytest.mark.parametrize("number", [1, FEWEST - 1, FEWEST])
def test_few_prompts_decide_nothing_however_they_changed(number: int):
    gained, lost = (paired_difference([a] * number, [1 - a] * number) for a in (0.0, 1.0))
    few = number < FEWEST
    assert word_of(gained, 0.05) is (Word.UNCLEAR if few else Word.BETTER)
    assert holds_gain(gained, 0.0) is (Verdict.INCONCLUSIVE if few else Verdict.PASS)
    assert holds_margin(gained, 0.05) is (Verdict.INCONCLUSIVE if few else Verdict.PASS)
    assert holds_margin(lost, 0.05) is (Verdict.INCONCLUSIVE if few else Verdict.FAIL)


@pytest.mark.parametrize(
    ("weights", "clusters"),
    [
        (None, [at // 5 for at in range(15)]),
        ([300.0] * 3 + [1.0] * 12, None),
        (None, [0] * 8 + list(range(1, 8))),
    ],
)
def test_what_rests_on_few_independent_prompts_decides_nothing(
    weights: list[float] | None, clusters: list[int] | None
):
    arms = [0.0] * 15, [1.0] * 15
    for first, second in (arms, arms[::-1]):
        found = paired_difference(first, second, weights=weights, clusters=clusters)
        assert found.independent is not None
        assert found.independent < FEWEST
        assert word_of(found, 0.05) is Word.UNCLEAR
        assert holds_gain(found, 0.0) is Verdict.INCONCLUSIVE
        assert holds_margin(found, 0.05) is Verdict.INCONCLUSIVE


def test_nothing_compared_is_no_verdict():
    assert word_of(None, 0.05) is None
    for verdict in (holds_margin(None, 0.05), holds_gain(None, 0.0), holds_floor(None, 0.98)):
        assert verdict is Verdict.INCONCLUSIVE


def test_a_drop_of_just_the_margin_is_one_however_it_is_rounded():
    assert holds_margin(difference(-0.07, -(0.1 + 0.2) / 6, -0.03), 0.05) is Verdict.FAIL
    assert holds_margin(difference(-0.07, -0.05 + 1e-12, -0.03), 0.05) is Verdict.FAIL


@pytest.mark.parametrize(("n", "verdict"), [(51, Verdict.INCONCLUSIVE), (52, Verdict.PASS)])
def test_how_many_unchanged_prompts_hold_five_points(n: int, verdict: Verdict):
    assert holds_margin(paired_difference([1.0] * n, [1.0] * n), 0.05) is verdict


def test_the_lower_end_counts_for_a_floor():
    assert holds_floor(Estimate(value=1.0, low=0.98, high=1.0, n=189), 0.98) is Verdict.PASS
    assert holds_floor(Estimate(value=1.0, low=0.93, high=1.0, n=52), 0.98) is Verdict.INCONCLUSIVE
    assert holds_floor(Estimate(value=0.5, low=0.4, high=0.6, n=100), 0.98) is Verdict.FAIL


def test_faults_leave_a_verdict_only_where_both_readings_agree():
    assert under_both(Verdict.PASS, Verdict.PASS) is Verdict.PASS
    assert under_both(Verdict.FAIL, Verdict.FAIL) is Verdict.FAIL
    assert under_both(Verdict.FAIL, Verdict.PASS) is Verdict.INCONCLUSIVE
    assert under_both(Verdict.PASS, Verdict.INCONCLUSIVE) is Verdict.INCONCLUSIVE
