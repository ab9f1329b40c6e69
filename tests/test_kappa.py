"""Cohen's kappa against statsmodels, and the coverage of its interval."""

# statsmodels carries no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

import random

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from statsmodels.stats.inter_rater import cohens_kappa

from punie.analysis.kappa import cohen_kappa, kappa_interval

PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)


@given(PAIRS)
def test_kappa_is_that_of_statsmodels(pairs: list[tuple[int, int]]) -> None:
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    assume(len({*first, *second}) > 1)
    table = np.zeros((4, 4))
    for pair in pairs:
        table[pair] += 1
    plain = np.asarray(cohens_kappa(table, return_results=False))
    assert cohen_kappa(first, second) == pytest.approx(float(plain), abs=1e-9)
    oracle = cohens_kappa(table, weights=np.arange(4), wt="quadratic", return_results=False)
    squared = np.asarray(oracle)
    found = cohen_kappa(first, second, scale=range(4))
    assert found == pytest.approx(float(squared), abs=1e-9)


def test_raters_who_give_one_label_have_no_kappa() -> None:
    assert cohen_kappa([1, 1], [1, 1]) is None
    assert kappa_interval([1, 1], [1, 1], seed=0) is None
    assert cohen_kappa([1, 1], [2, 2]) == 0
    assert cohen_kappa(["a", "b"], ["a", "b"]) == 1


def test_labels_must_be_there_and_on_the_scale() -> None:
    with pytest.raises(ValueError, match="no labels"):
        cohen_kappa([], [])
    with pytest.raises(ValueError, match="7 is not on the scale"):
        cohen_kappa([1, 2], [1, 7], scale=[1, 2, 3])


@pytest.mark.parametrize("graded", [False, True])
def test_the_interval_covers_the_truth_with_fifty_labels(graded: bool) -> None:
    draw = random.Random(23)

    def rated(n: int) -> tuple[list[int], list[int]]:
        first = [draw.choices(range(3), [5, 3, 2])[0] for _ in range(n)]
        return first, [a if draw.random() < 0.7 else draw.choice(range(3)) for a in first]

    scale = range(3) if graded else None
    truth = cohen_kappa(*rated(200_000), scale=scale)
    assert truth is not None
    inside = 0
    for seed in range(400):
        interval = kappa_interval(*rated(50), seed=seed, samples=400, scale=scale)
        assert interval is not None
        inside += interval[0] <= truth <= interval[1]
    assert 0.9 <= inside / 400 <= 0.985
