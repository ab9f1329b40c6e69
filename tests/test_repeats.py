"""What k answers would do together, against every way to draw them."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.analysis.repeats import pass_at_k, pass_hat_k

DRAWS = st.integers(1, 9).flatmap(
    lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))
)


@given(DRAWS)
def test_the_chances_are_those_of_all_draws(case: tuple[int, int, int]) -> None:
    n, right, k = case
    draws = list(combinations([True] * right + [False] * (n - right), k))
    assert pass_at_k(n, right, k) == pytest.approx(sum(map(any, draws)) / len(draws), abs=1e-12)
    assert pass_hat_k(n, right, k) == pytest.approx(sum(map(all, draws)) / len(draws), abs=1e-12)


@given(DRAWS)
def test_more_answers_help_one_and_hurt_the_other(case: tuple[int, int, int]) -> None:
    n, right, k = case
    assert pass_hat_k(n, right, k) <= right / n + 1e-12
    assert pass_at_k(n, right, k) >= right / n - 1e-12


@pytest.mark.parametrize(("n", "right", "k"), [(3, 1, 4), (3, 1, 0), (3, 4, 2), (3, -1, 2)])
def test_what_cannot_be_drawn_has_no_chance(n: int, right: int, k: int) -> None:
    for chance in (pass_at_k, pass_hat_k):
        with pytest.raises(ValueError, match="no chance"):
            chance(n, right, k)
