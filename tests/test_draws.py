"""Whether repeats are draws: servers that repeat themselves are found out."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.analysis.draws import MOST_PROMPTS, Draws
from punie.records.result import Completion, EvalFault, EvalResult, FaultKind
from punie.records.trust import Finding, Level

LONG = "The river rises in the mountains, crosses two lakes and reaches the sea near a small port."


def found(
    said: Callable[[int, int], str], *, prompts: int = 20, repeats: int = 4, temperature: float = 1
) -> Finding:
    """The finding where `said` gives each answer by prompt and repeat."""
    draws = Draws()
    for repeat in range(repeats):
        for prompt in range(prompts):
            completion = Completion(text=said(prompt, repeat))
            name = f"p{prompt}"
            draws.add(
                EvalResult(prompt_id=name, prompt_hash="", repeat=repeat, completion=completion)
            )
    return draws.finding(temperature)


def usually(usual: float, seed: int) -> Callable[[int, int], str]:
    """One answer to every prompt in a share `usual` of the cases, else another one a repeat."""
    drawn = random.Random(seed)
    return lambda _, repeat: "usual" if drawn.random() < usual else f"other {repeat}"


def test_answers_that_never_vary_warn_where_they_are_long():
    finding = found(lambda prompt, _: f"{prompt} {LONG}")
    assert finding.level is Level.WARNING
    assert finding.details["separate"] is False
    expected = "All answers (up to 4) to 20 of 20 prompts are the same to the letter at"
    assert finding.sentence == f"{expected} temperature 1."
    assert "--temperature 2" in finding.consequence


def test_one_prompt_that_varies_does_not_hide_it():
    finding = found(lambda prompt, repeat: LONG + (str(repeat) if prompt == 3 else ""))
    assert finding.level is Level.WARNING
    assert "to 19 of 20 prompts" in finding.sentence


def test_short_answers_that_never_vary_may_be_those_of_a_sure_model():
    finding = found(lambda prompt, _: str(prompt % 4))
    assert finding.level is Level.NOTE
    assert finding.details["separate"] is True


def test_answers_that_vary_are_draws():
    finding = found(lambda prompt, repeat: f"{prompt} {repeat % 3} {LONG}")
    assert finding.level is Level.WARNING  # repeats 1 and 4 are one
    finding = found(lambda prompt, repeat: f"{prompt} {repeat} {LONG}")
    assert finding.level is Level.OK
    assert finding.details["separate"] is True


def test_a_server_with_two_seeds_is_named_by_the_repeats_that_it_repeats():
    finding = found(lambda prompt, repeat: f"{prompt} {repeat % 2} {LONG}")
    assert finding.level is Level.WARNING
    assert finding.details["alike"] in ([0, 2], [1, 3])
    assert "to 20 of the 20 prompts whose answers vary at all" in finding.sentence


@pytest.mark.parametrize("usual", [0.5, 0.8, 0.95])
def test_draws_of_a_model_with_a_favourite_answer_are_no_pattern(usual: float):
    for seed in range(20):
        finding = found(usually(usual, seed), repeats=16, prompts=40)
        assert finding.level is not Level.WARNING


def test_at_temperature_0_being_alike_is_as_it_should_be():
    finding = found(lambda _, __: LONG, temperature=0)
    assert finding.level is Level.OK
    assert finding.details["separate"] is False
    finding = found(lambda prompt, repeat: str(repeat * (prompt == 1)), temperature=0)
    assert finding.level is Level.NOTE
    assert finding.sentence == "At temperature 0 the answers to 1 of 20 prompts differ."


def test_few_prompts_faults_and_single_answers_tell_nothing():
    assert found(lambda _, __: LONG, prompts=7).level is Level.UNKNOWN
    assert found(lambda _, __: LONG, repeats=1).level is Level.UNKNOWN
    draws = Draws()
    for repeat in range(4):
        fault = EvalFault(
            prompt_id="p", prompt_hash="", repeat=repeat, kind=FaultKind.TIMEOUT, message=""
        )
        draws.add(fault)
    finding = draws.finding(1)
    assert finding.level is Level.UNKNOWN
    assert finding.sentence.startswith("0 prompts")


def test_memory_is_bounded():
    finding = found(lambda prompt, repeat: f"{prompt}{repeat}", prompts=MOST_PROMPTS + 50)
    assert finding.details["prompts"] == MOST_PROMPTS


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=6), max_size=30))
def test_any_answers_give_a_finding(answers: list[list[str]]):
    draws = Draws()
    for number, texts in enumerate(answers):
        for repeat, text in enumerate(texts):
            result = EvalResult(
                prompt_id=str(number),
                prompt_hash="",
                repeat=repeat,
                completion=Completion(text=text),
            )
            draws.add(result)
    several = [set(texts) for texts in answers if len(texts) > 1]
    details = draws.finding(0.7).details
    assert details["prompts"] == len(several)
    assert details["same"] == sum(len(each) == 1 for each in several)
