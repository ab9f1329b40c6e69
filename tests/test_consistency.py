"""Consistency by hand, against scipy, and in its words."""

# pyright: reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false
# scipy's stubs leave its statistics partly unknown

import io
import math
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from scipy.stats import entropy

from punie.analysis.consistency import (
    FAINT_RATE,
    LEAST_FAILING,
    consistency,
    curve_steps,
    losses_of,
    repeats_for,
    unseen_rate,
)
from punie.analysis.greedy import against_greedy, is_greedy_twin
from punie.analysis.repeated import capability, entropy_bits, pair_agreement
from punie.errors import InputError
from punie.records.consistency import (
    Capability,
    Cause,
    Consistency,
    Mark,
    PromptConsistency,
)
from punie.records.expect import Expect, Number
from punie.records.result import Completion, EvalFault, EvalResult, FaultKind, Outcome
from punie.records.run import ModelIdentity, Provenance, Run, RunStatus
from punie.records.suite import EvalPrompt, Sampling
from punie.records.trust import Checks, Finding, Level
from punie.reporting import consistency_wording as words
from punie.reporting.consistency_html import consistency_html
from punie.reporting.consistency_markdown import consistency_markdown
from punie.reporting.consistency_terminal import consistency_view
from punie.scoring.normal import normal_answer

Rows = list[tuple[EvalPrompt, Outcome]]
Answer = int | None
"""The number that was answered; None for a fault. 42 is right."""


def a_run(repeats: int = 4, temperature: float = 0.7, **more: Any) -> Run:
    fields: dict[str, Any] = {"status": RunStatus.DONE, **more}
    return Run(
        id="20261121-0152-k3f9",
        created_at="2026-11-21T01:52:07+00:00",
        suite_name="baseline",
        suite_version="1",
        suite_hash="e1",
        suite_source="builtin",
        model=ModelIdentity(name="smollm2-135m", backend="mlx", model_hash="5b"),
        sampling=Sampling(temperature=temperature),
        concurrency=8,
        repeats=repeats,
        provenance=Provenance(versions={"punie": "0.1.0"}),
        **fields,
    )


def answers_to(name: str, answers: Sequence[Answer], **fields: Any) -> Rows:
    """The rows of one prompt that wants 42, its answers in prose."""
    prompt = EvalPrompt(
        id=name, messages=(), expect=Expect(number=Number(value=42)), hash=f"h-{name}", **fields
    )
    return [(prompt, _outcome(prompt, repeat, answer)) for repeat, answer in enumerate(answers)]


def _outcome(prompt: EvalPrompt, repeat: int, answer: Answer) -> Outcome:
    told: dict[str, Any] = {"prompt_id": prompt.id, "prompt_hash": prompt.hash, "repeat": repeat}
    if answer is None:
        return EvalFault(**told, kind=FaultKind.TIMEOUT, message="")
    text = f"Try number {repeat} makes it {answer}."
    right = answer == 42
    return EvalResult(**told, completion=Completion(text=text), score=float(right), passed=right)


def found_in(rows: Rows, run: Run | None = None, k: int | None = None) -> Consistency:
    prompts = {prompt.id: prompt for prompt, _ in rows}
    return consistency(run or a_run(), prompts.values(), rows, normal_answer, k=k)


def shown(found: Consistency, width: int = 100) -> str:
    console = Console(width=width, file=io.StringIO(), highlight=False)
    console.print(consistency_view(found))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_one_prompt_by_hand():
    (prompt,) = found_in(answers_to("p", [42, 7, 42, 8])).prompts
    assert prompt.marks == (Mark.RIGHT, Mark.WRONG, Mark.RIGHT, Mark.WRONG)
    assert (prompt.answers, prompt.scored, prompt.right, prompt.unique) == (4, 4, 2, 3)
    assert prompt.rate == 0.5
    assert prompt.entropy_bits == 1.5  # 1/2 · 1 + 2 · 1/4 · 2
    assert prompt.pair_agreement == pytest.approx(1 / 6)  # one of six pairs
    assert prompt.score_mean == 0.5
    assert prompt.score_variance == pytest.approx(1 / 3)  # 4 · 1/4 / 3
    assert prompt.pass_at == pytest.approx((1 / 2, 5 / 6, 1, 1))
    assert prompt.pass_hat == pytest.approx((1 / 2, 1 / 6, 0, 0))
    assert prompt.capability is Capability.UNSTABLE
    assert (prompt.majority, prompt.majority_right, prompt.majority_tied) == ("42", True, False)


def test_of_equally_frequent_answers_the_first_is_the_majority():
    (prompt,) = found_in(answers_to("p", [7, 42, 42, 7])).prompts
    assert (prompt.majority, prompt.majority_right, prompt.majority_tied) == ("7", False, True)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=12))
def test_entropy_is_scipys(counts: list[int]):
    assert entropy_bits(counts) == pytest.approx(float(entropy(counts, base=2)), abs=1e-9)


@given(st.lists(st.sampled_from("abc"), min_size=2, max_size=12))
def test_agreement_is_that_of_every_pair(answers: list[str]):
    pairs = [one == other for at, one in enumerate(answers) for other in answers[at + 1 :]]
    counts = [answers.count(each) for each in set(answers)]
    assert pair_agreement(counts) == pytest.approx(sum(pairs) / len(pairs))


def test_the_rate_that_is_not_seen_is_the_one_of_the_formula():
    for k in (2, 4, 10, 29):
        assert (1 - unseen_rate(k)) ** k == pytest.approx(0.05)
    assert repeats_for(0.1) == 29


def test_a_curve_ends_at_k_and_never_has_many_points():
    assert curve_steps(4) == (1, 2, 3, 4)
    assert curve_steps(1000)[-1] == 1000
    assert len(curve_steps(1000)) < 45


def three_categories() -> Rows:
    """Ten prompts each: `able` always right, `wavering` right in half, `unable` never right."""
    rows: Rows = []
    for at in range(10):
        rows += answers_to(f"a{at}", [42, 42, 42, 42], category="able")
        rows += answers_to(f"w{at}", [42, 7, 42, at], category="wavering", role="coder")
        rows += answers_to(f"u{at}", [1, 1, 2, 1], category="unable", role="tester")
    return rows


def test_the_cause_is_said_by_category():
    found = found_in(three_categories())
    causes = {each.name: each.losses.cause for each in found.categories if each.losses}
    assert causes == {
        "able": Cause.NONE,
        "wavering": Cause.INCONSISTENCY,
        "unable": Cause.CAPABILITY,
    }
    assert words.verdict(found) == "Inconsistency in wavering; capability in unable"
    said = {each.name: words.sentence(found, each) for each in found.categories}
    assert said == {
        "able": "It can: all answers to all 10 prompts are right (100 % [72–100]).",
        "wavering": (
            "Inconsistency: of 10 prompts not always right, "
            "10 (100 % [72–100]) are right sometimes."
        ),
        "unable": (
            "Capability: of 10 prompts not always right, 10 (100 % [72–100]) never are "
            "(or in less than 52.7 % of draws)."
        ),
    }


def drawn(rates: Sequence[float], k: int, random: Random) -> list[PromptConsistency]:
    """Prompts that are right at these rates, each asked k times."""
    rights = [sum(random.random() < rate for _ in range(k)) for rate in rates]
    return [
        PromptConsistency(
            id=str(at),
            hash="",
            marks=(),
            answers=k,
            scored=k,
            right=right,
            capability=capability(k, right),
        )
        for at, right in enumerate(rights)
    ]


@pytest.mark.parametrize("k", [2, 4, 8, 16, 29])
@pytest.mark.parametrize("n", [4, 6, 12, 40])
def test_half_of_the_prompts_being_unstable_is_rarely_called_capability(k: int, n: int):
    """At the rate that counts just so, where repeats see the least of it."""
    random = Random(k * n)
    rates = [FAINT_RATE] * (n // 2) + [0.0] * (n // 2)
    causes = [losses_of(drawn(rates, k, random)) for _ in range(400)]
    wrong = sum(each is not None and each.cause is Cause.CAPABILITY for each in causes)
    assert wrong <= 0.05 * 400


def test_few_failing_prompts_are_not_called_capability_however_often_they_were_asked():
    losses = [
        losses_of(drawn([0.0] * n, 100, Random(0))) for n in (LEAST_FAILING - 1, LEAST_FAILING)
    ]
    causes = [each.cause for each in losses if each]
    assert causes == [Cause.BOTH, Cause.CAPABILITY]


@pytest.mark.parametrize("n", [4, 12, 40])
def test_half_of_the_prompts_being_beyond_it_is_rarely_called_inconsistency(n: int):
    random = Random(n)
    rates = [0.5] * (n // 2) + [0.0] * (n // 2)
    causes = [losses_of(drawn(rates, 16, random)) for _ in range(400)]
    wrong = sum(each is not None and each.cause is Cause.INCONSISTENCY for each in causes)
    assert wrong <= 0.05 * 400


def test_few_answers_to_few_prompts_are_not_called_capability():
    rows = [row for at in range(6) for row in answers_to(f"p{at}", [1, 2])]
    found = found_in(rows, a_run(2))
    assert words.verdict(found) == "Capability and inconsistency are not told apart"
    assert words.sentence(found, found.overall) == (
        "Not told apart: of 6 prompts not always right, 0 (0 % [0–39]) are right sometimes, "
        "6 never (or in less than 77.6 % of draws)."
    )
    assert words.advice(found).endswith(
        "14 repeats would show rates of right answers down to 20.0 %."
    )


def test_overall_is_the_mean_over_categories():
    rows = three_categories()
    found = found_in([row for row in rows if row[0].id != "a0"])  # categories of unequal size
    first, last = found.overall.curve[0], found.overall.curve[-1]
    assert first.pass_at.value == pytest.approx((1 + 0.5 + 0) / 3)
    assert last.pass_at.value == pytest.approx(2 / 3)
    assert last.pass_hat.value == pytest.approx(1 / 3)
    assert found.overall.counts == {
        Capability.CANNOT: 10,
        Capability.UNSTABLE: 10,
        Capability.CAN: 9,
    }
    assert sum(share.value for share in found.overall.shares.values()) == pytest.approx(1)
    assert found.overall.losses is not None
    assert found.overall.losses.to_inconsistency == pytest.approx(20 / 60)


def test_prompts_of_one_group_count_as_one():
    rows: Rows = []
    for at in range(10):
        rows += answers_to(f"p{at}", [42, 42] if at < 5 else [1, 1], group=f"g{at // 5}")
    alone = [(EvalPrompt(id=p.id, messages=(), hash=p.hash), outcome) for p, outcome in rows]
    grouped, single = (found_in(each, a_run(2)).overall.curve[0].pass_at for each in (rows, alone))
    assert grouped.value == single.value
    assert grouped.high - grouped.low > single.high - single.low


def test_k_is_what_nine_in_ten_prompts_have_and_the_others_are_named():
    rows = [row for at in range(20) for row in answers_to(f"p{at}", [42, 7, 42, 42])]
    rows = rows[:-4] + answers_to("p19", [42, None, None, 42])
    found = found_in(rows)
    assert found.k == 4
    assert (found.overall.prompts, found.overall.too_few) == (19, 1)
    assert found.cautions == ("1 prompt has fewer than 4 answers and no part in the numbers.",)
    assert found.prompts[-1].marks[1] is Mark.FAULT
    assert found_in(rows, k=2).overall.prompts == 20


def test_a_run_cut_short_has_the_k_that_it_came_to():
    rows = [row for at in range(20) for row in answers_to(f"p{at}", [42, 7][: 1 + (at < 19)])]
    run = a_run(4, status=RunStatus.INTERRUPTED)
    found = found_in(rows, run)
    assert found.k == 2
    assert found.prompts[0].marks == (Mark.RIGHT, Mark.WRONG, Mark.UNASKED, Mark.UNASKED)
    assert "not whole (its status: interrupted)" in found.cautions[0]


@pytest.mark.parametrize("answers", [[42], [None, None, 42], [None, None]])
def test_too_few_answers_are_an_error(answers: list[Answer]):
    with pytest.raises(InputError, match="no prompt with two answers"):
        found_in(answers_to("p", answers), a_run(3))


def test_a_k_that_nothing_has_is_an_error():
    with pytest.raises(InputError, match="k 5 is more than the 4 answers"):
        found_in(answers_to("p", [42, 42, 42, 42]), k=5)


def test_without_expectations_answers_agree_or_not_and_nothing_is_said_of_capability():
    rows: Rows = []
    for prompt, outcome in answers_to("p", [42, 42, 7]):
        assert isinstance(outcome, EvalResult)
        bare = EvalPrompt(id=prompt.id, messages=())
        completion = Completion(text=outcome.completion.text[-3:])
        update = {"score": None, "passed": None, "completion": completion}
        rows.append((bare, outcome.model_copy(update=update)))
    found = found_in(rows, a_run(3))
    (prompt,) = found.prompts
    assert prompt.rate == pytest.approx(2 / 3)
    assert prompt.capability is None
    assert found.overall.curve == ()
    assert words.verdict(found) == "Cannot be told: no prompt has enough scored answers"
    assert words.sentence(found, found.overall).startswith("Its prompts expect nothing")
    assert "Cannot be told" in shown(found)
    assert "not scored" in "".join(consistency_html(found))


def test_a_journal_without_words_knows_right_and_wrong_alone():
    rows = three_categories()
    stored = Finding(name="repeats", level=Level.OK, sentence="", details={"separate": True})
    run = a_run(checks=Checks(findings=(stored,)))
    found = consistency(run, [], rows, None)
    assert found.sampled
    assert found.overall.rate is None
    assert found.overall.curve[0].pass_at.value == pytest.approx(0.5)
    assert "differ" not in shown(found)
    assert "Entropy" not in consistency_markdown(found)
    assert consistency(a_run(), [], rows, None).draws.level is Level.UNKNOWN


def test_at_temperature_0_nothing_is_said_of_capability():
    found = found_in(three_categories(), a_run(temperature=0))
    assert not found.sampled
    assert found.overall.losses is None
    assert words.verdict(found) == "Cannot be told: the repeats are one draw"
    assert "10 of 10 prompts are right" in words.sentence(found, found.categories[0])


def test_warnings_of_the_runs_own_checks_are_passed_on():
    warned = Finding(name="seed", level=Level.WARNING, sentence="The seed is ignored.")
    found = found_in(three_categories(), a_run(checks=Checks(findings=(warned,))))
    assert found.cautions == ("The run's check of seed warned: The seed is ignored.",)


def test_greedy_is_paired_with_the_sampled_mean_and_the_vote():
    found = found_in(three_categories())
    greedy: Rows = []
    for at in range(10):
        greedy += answers_to(f"a{at}", [42], category="able")
        greedy += answers_to(f"w{at}", [42 if at < 3 else 7], category="wavering")
    run = a_run(1, 0)
    against = against_greedy(found, run, greedy)
    assert against is not None
    assert against.prompts == 20
    assert against.greedy.value == pytest.approx((1 + 0.3) / 2)
    assert against.sampled_difference.value == pytest.approx((0 + 0.2) / 2)
    assert against.majority is not None
    assert against.majority.value == pytest.approx(1)  # of a tie, the first: 42
    assert against.majority_difference is not None
    assert against.majority_difference.value == pytest.approx((0 + 0.7) / 2)
    assert against.majority_difference.clearly_above
    both = words.greedy(found.model_copy(update={"greedy": against}))
    assert [line.name for line in both] == ["Greedy", "Sampled", "Majority"]
    assert both[2].words.endswith("better than greedy")
    assert against_greedy(found, run, answers_to("other", [42])) is None


def test_a_greedy_run_is_one_of_the_same_suite_model_and_adapter():
    sampled, greedy = a_run(), a_run(1, 0)
    assert is_greedy_twin(greedy, sampled)
    assert not is_greedy_twin(a_run(1, 0.1), sampled)
    other = greedy.model.model_copy(update={"adapter": "x", "adapter_hash": "a7"})
    assert not is_greedy_twin(greedy.model_copy(update={"model": other}), sampled)
    assert not is_greedy_twin(greedy.model_copy(update={"suite_name": "quick"}), sampled)


@pytest.mark.parametrize("width", [40, 60, 64, 72, 96, 120])
def test_no_line_is_wider_than_the_window_and_no_number_cut(width: int):
    long = [
        row for at in range(9) for row in answers_to(f"x{at}", [42, 7], category="a long name" * 3)
    ]
    found = found_in(three_categories() + long, k=2)
    lines = shown(found, width).splitlines()
    assert max(map(len, lines)) <= width
    (head,) = (line.split() for line in lines if "pass@1" in line)
    assert head[:3] == ["pass@1", "pass@2", "pass^2"]
    assert head[3:] == (["cannot", "unstable", "can"] if width >= 64 else [])
    assert "Inconsistency in wavering" in " ".join(" ".join(lines).split())


def test_every_report_says_the_same_verdict_and_is_harmless():
    rows = answers_to("<b>`p|` --> ![x](y)", [42, 7]) + answers_to("q\x1b[31m", [42, 42])
    found = found_in(rows, a_run(2))
    page, text = "".join(consistency_html(found)), consistency_markdown(found)
    for report in (page, text, shown(found)):
        assert words.verdict(found) in report
        assert "\x1b[31m" not in report
    assert "<b>`p" not in page
    assert "&lt;b&gt;`p|`" in page
    assert "<b>" not in text
    assert page.count("<svg") == 2


def test_numbers_survive_their_json():
    found = found_in(three_categories())
    assert Consistency.model_validate_json(found.model_dump_json()) == found
    assert math.isclose(found.unseen_rate, 1 - 0.05**0.25)
