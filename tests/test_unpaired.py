"""Runs that share no prompts, against statsmodels."""

# statsmodels carries no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import confint_proportions_2indep

from punie.analysis.statistics import wilson
from punie.analysis.unpaired import implied_n, unpaired_difference
from punie.records.summary import Estimate

RUN = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def rate(right: float, n: int) -> Estimate:
    low, high = wilson(right / n, n)
    return Estimate(value=right / n, low=low, high=high, n=n)


@given(RUN, RUN)
def test_the_interval_is_that_of_statsmodels(first: tuple[int, int], second: tuple[int, int]):
    found = unpaired_difference(rate(*first), rate(*second))
    bounds = {0.95: (found.low, found.high), 0.90: (found.lower, None), 0.98: (None, found.upper)}
    for confidence, limits in bounds.items():
        expected = confint_proportions_2indep(
            second[0], second[1], first[0], first[1], "newcomb", alpha=1 - confidence
        )
        for limit, oracle in zip(limits, expected, strict=True):
            assert limit is None or limit == pytest.approx(float(oracle), abs=1e-9)
    assert found.n == min(first[1], second[1])


@given(st.floats(0, 1), st.floats(0.5, 1e5))
def test_a_width_tells_the_number_behind_it(mean: float, n: float):
    low, high = wilson(mean, n)
    estimate = Estimate(value=mean, low=low, high=high, n=int(n))
    assert implied_n(estimate) == pytest.approx(n, rel=1e-6)


def test_an_estimate_of_the_whole_range_says_nothing():
    nothing = Estimate(value=0.5, low=0, high=1, n=1)
    found = unpaired_difference(nothing, rate(1, 1))
    assert found.low < -0.4
    assert found.high > 0.9
