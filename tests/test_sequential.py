"""The sequential test, in exact arithmetic: when it stops, and how often in error."""

from fractions import Fraction
from math import comb, exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.analysis.sequential import ALPHA, ALPHA_WORSE, decided, log_evidence


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_evidence_is_the_mean_likelihood_ratio(gained: int, lost: int) -> None:
    n = gained + lost
    exact = Fraction(2**n, (n + 1) * comb(n, gained))
    assert log_evidence(gained, lost) == pytest.approx(log(exact), abs=1e-9)


@given(st.integers(0, 200), st.integers(0, 200))
def test_fair_flips_leave_the_evidence_as_it_is_on_average(gained: int, lost: int) -> None:
    now = log_evidence(gained, lost)
    steps = exp(log_evidence(gained + 1, lost) - now) + exp(log_evidence(gained, lost + 1) - now)
    assert steps / 2 == pytest.approx(1, abs=1e-9)


def test_how_few_flips_decide() -> None:
    assert [lost for lost in range(4) if decided(8, lost)] == [0]
    assert not decided(7, 0)
    assert not decided(0, 8)
    assert decided(0, 9)  # worse is decided later: a gate that fails must be surer
    assert not decided(0, 0)
    assert not decided(100, 100)
    assert decided(5000, 4000)


def chances(gain: float, lose: float, prompts: int) -> tuple[list[float], float]:
    """Chance of having decided by each prompt, and of having decided for a gain at the end."""
    states, stopped, better, by_prompt = {(0, 0): 1.0}, 0.0, 0.0, list[float]()
    for _ in range(prompts):
        following: dict[tuple[int, int], float] = {}
        for (b, c), chance in states.items():
            for after, share in (((b + 1, c), gain), ((b, c + 1), lose), ((b, c), 1 - gain - lose)):
                reached = chance * share
                if after != (b, c) and decided(*after):
                    stopped += reached
                    better += reached * (after[0] > after[1])
                elif reached > 1e-16:
                    following[after] = following.get(after, 0.0) + reached
        states = following
        by_prompt.append(stopped)
    return by_prompt, better


@pytest.mark.parametrize("discordance", [0.1, 0.2, 0.3, 1.0])
def test_equal_models_are_told_apart_in_at_most_alpha_of_cases(discordance: float) -> None:
    by_prompt, better = chances(discordance / 2, discordance / 2, 250)
    assert 0 < by_prompt[-1] <= ALPHA
    assert better <= ALPHA / 2
    assert by_prompt[-1] - better <= ALPHA_WORSE / 2


def test_a_worse_model_is_hardly_ever_found_better() -> None:
    assert chances(0.08, 0.12, 250)[1] <= ALPHA / 2


@pytest.mark.parametrize("discordance", [0.25, 0.3, 0.35])
def test_a_gain_of_25_points_is_found_in_45_prompts_in_most_cases(discordance: float) -> None:
    by_prompt, _ = chances((discordance + 0.25) / 2, (discordance - 0.25) / 2, 45)
    assert by_prompt[-1] >= 0.5
