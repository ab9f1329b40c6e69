"""How much so many prompts show, against known figures and simulation."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.analysis.paired import paired_difference
from punie.analysis.power import (
    more_prompts,
    required_n,
    smallest_detectable,
)
from punie.records.comparison import Difference


def test_what_so_many_prompts_show_at_a_fifth_discordant() -> None:
    points = [round(100 * smallest_detectable(n, 0.2), 1) for n in (30, 50, 100, 200, 400)]
    assert points == [22.9, 17.7, 12.5, 8.9, 6.3]
    assert smallest_detectable(1, 0.2) == 1
    assert 0.04 < smallest_detectable(100, 0.0) < 0.05  # as if three of them had differed


@given(st.floats(0.01, 0.5), st.floats(0.01, 1))
def test_the_number_needed_is_the_first_that_shows_it(effect: float, variance: float) -> None:
    n = required_n(effect, variance)
    assert smallest_detectable(n, variance) <= effect * (1 + 1e-9)
    assert n == 1 or smallest_detectable(n - 1, variance) >= min(1, effect * (1 - 1e-9))


@pytest.mark.parametrize(("n", "discordance"), [(50, 0.3), (100, 0.2), (400, 0.1)])
def test_the_smallest_difference_is_found_in_four_of_five(n: int, discordance: float) -> None:
    effect = smallest_detectable(n, discordance)
    chances = [(discordance + effect) / 2, (discordance - effect) / 2, 1 - discordance]
    draw = random.Random(n)
    found = 0
    for _ in range(600):
        changes = draw.choices([1, -1, 0], chances, k=n)
        first = [
            1.0 if change < 0 else float(at % 2 * (change == 0))
            for at, change in enumerate(changes)
        ]
        second = [a + change for a, change in zip(first, changes, strict=True)]
        found += paired_difference(first, second).clearly_above
    assert 0.76 <= found / 600 <= 0.95


@given(st.integers(0, 8), st.integers(0, 8), st.integers(40, 100))
def test_with_so_many_more_prompts_it_is_settled(gained: int, lost: int, n: int) -> None:
    def run(times: float) -> Difference:
        cells = [round(times * each) for each in (gained, lost, n - gained - lost)]
        first = [0.0] * cells[0] + [1.0] * (cells[1] + cells[2])
        second = [1.0] * cells[0] + [0.0] * cells[1] + [1.0] * cells[2]
        return paired_difference(first, second)

    found = run(1)
    more = more_prompts(found, -0.05)
    if found.lower > -0.05 or found.upper < -0.05:
        assert more == 0
    elif more is None:
        assert abs(found.value + 0.05) < 0.01
    elif more < 5000:
        larger = run(1.5 * (n + more) / n)  # the guess is one of normal intervals
        assert larger.lower > -0.05 or larger.upper < -0.05
