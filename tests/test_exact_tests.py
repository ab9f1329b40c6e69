"""The sign test, McNemar's and Holm's, against scipy and statsmodels."""

# scipy and statsmodels carry no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportMissingTypeStubs=false

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from punie.analysis.holm import holm
from punie.analysis.mcnemar import exact_mcnemar
from punie.analysis.signs import sign_test

COUNT = st.integers(0, 300)


@given(COUNT, COUNT)
def test_the_sign_test_is_scipy_s(ups: int, downs: int) -> None:
    expected = stats.binomtest(ups, ups + downs, 0.5).pvalue if ups + downs else 1.0
    assert sign_test(ups, downs) == pytest.approx(float(expected), rel=1e-9)


@given(COUNT, COUNT)
def test_mcnemar_s_exact_test_is_that_of_statsmodels(gained: int, lost: int) -> None:
    expected = mcnemar([[5, gained], [lost, 5]], exact=True).pvalue if gained + lost else 1.0
    assert exact_mcnemar(gained, lost) == pytest.approx(float(expected), rel=1e-9)


def test_what_is_far_out_has_a_p_and_no_overflow() -> None:
    assert 0 < exact_mcnemar(900, 0) < 1e-200
    assert exact_mcnemar(3000, 2000) < 1e-40
    assert exact_mcnemar(2500, 2500) == 1


@settings(max_examples=25)
@given(st.lists(st.sampled_from([0.0, 0.001, 0.01, 0.02, 0.05, 0.3, 1.0]), min_size=1, max_size=9))
def test_holm_is_that_of_statsmodels(p_values: list[float]) -> None:
    expected = multipletests(p_values, method="holm")[1]
    assert expected is not None
    assert holm(p_values) == pytest.approx(list(map(float, expected)), abs=1e-9)


def test_nothing_needs_no_adjustment() -> None:
    assert holm([]) == []
