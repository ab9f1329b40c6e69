"""How often a gate errs, in a few cells of the simulation that `make bench` runs in full."""

import random

import pytest

from gate_simulation import KINDS, categories, prompts_until_decided, spanning
from punie.analysis.pairing import arm_of, pair
from punie.analysis.portion import Portion, score_of
from punie.analysis.rule import holds_gain, holds_margin
from punie.records.gate import Verdict
from run_pairs import Rows, a_prompt, an_answer

MARGIN = 0.05
ROUNDS = 500


def rate(kind: str, n: int, discordance: float, loss: float, verdict: Verdict) -> float:
    draw = random.Random(f"{kind} {n}")
    made = (KINDS[kind](draw, n, discordance, loss) for _ in range(ROUNDS))
    return sum(holds_margin(each, MARGIN) is verdict for each in made) / ROUNDS


CELLS = [
    ("half right", 50, 0.3),
    ("four categories", 100, 0.2),
    ("graded", 50, 0.2),
    ("passages of five", 50, 0.2),
    ("passages across four", 160, 0.2),
]


@pytest.mark.parametrize(("kind", "n", "discordance"), CELLS)
def test_a_loss_of_the_margin_hardly_passes(kind: str, n: int, discordance: float) -> None:
    assert rate(kind, n, discordance, MARGIN, Verdict.PASS) <= 0.09


@pytest.mark.parametrize(("kind", "n", "discordance"), CELLS)
def test_an_unchanged_model_hardly_fails(kind: str, n: int, discordance: float) -> None:
    assert rate(kind, n, discordance, 0.0, Verdict.FAIL) <= 0.025


@pytest.mark.parametrize("sizes", [[1] * 8, [2] * 10, [3] * 6, [50, 2]], ids=str)
def test_categories_of_few_prompts_decide_nothing_by_chance(sizes: list[int]) -> None:
    """Bounds of one prompt, squared and added, fail 6 to 10 % of models that did not change."""
    draw, made = random.Random(3), categories(sizes, [0.6] * len(sizes))
    found = [made(draw, 0, 0.5, 0.0) for _ in range(ROUNDS)]
    assert sum(holds_margin(each, MARGIN) is Verdict.FAIL for each in found) / ROUNDS <= 0.025
    assert sum(holds_gain(each, 0) is Verdict.PASS for each in found) / ROUNDS <= 0.08


def test_questions_about_one_passage_are_no_independent_categories() -> None:
    draw, made = random.Random(4), spanning(5)
    found = [made(draw, 250, 0.2, 0.0) for _ in range(ROUNDS)]
    assert sum(holds_margin(each, MARGIN) is Verdict.FAIL for each in found) / ROUNDS <= 0.025
    assert sum(holds_gain(each, 0) is Verdict.PASS for each in found) / ROUNDS <= 0.08


@pytest.mark.parametrize("sizes", [[2] * 6, [1] * 10, [50, 3]], ids=str)
def test_two_samples_of_few_prompts_a_category_decide_nothing_by_chance(sizes: list[int]) -> None:
    """By MOVER alone one in ten of equal models was better here."""
    draw, better, worse = random.Random(8), 0, 0

    def rows(arm: str) -> Rows:
        return [
            (each, an_answer(each, float(draw.random() < 0.5)))
            for name, size in enumerate(sizes)
            for each in (a_prompt(f"{arm}{name}-{at}", category=str(name)) for at in range(size))
        ]

    for _ in range(ROUNDS):
        arms = [arm_of(rows(arm)) for arm in "ab"]
        found = Portion.all_of(pair(*arms, how="unpaired")).difference(score_of, score_of)
        better += holds_gain(found, 0) is Verdict.PASS
        worse += holds_margin(found, MARGIN) is Verdict.FAIL
    assert better / ROUNDS <= 0.075
    assert worse / ROUNDS <= 0.025


def test_enough_prompts_tell_a_loss_from_none() -> None:
    assert rate("four of five right", 400, 0.1, 0.0, Verdict.PASS) >= 0.85
    assert rate("four of five right", 200, 0.3, 0.2, Verdict.FAIL) >= 0.95


def test_a_large_gain_is_decided_soon() -> None:
    draw = random.Random(5)
    ended = [prompts_until_decided(draw, 0.3, 0.05, 45) for _ in range(400)]
    assert sum(prompt is not None for prompt, _ in ended) >= 200
    assert all(better for prompt, better in ended if prompt is not None)
