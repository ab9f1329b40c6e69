"""A run of one answer, or of none, is told from one whose right answers are all alike."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_server import FakeServer, Reply
from punie.analysis.degenerate import LEAST_PROMPTS, MOST_REMEMBERED, AnswerCounts
from punie.evaluation.run import new_run, run_evaluation
from punie.records.expect import Exact, Expect
from punie.records.result import (
    Completion,
    EvalFault,
    EvalResult,
    FaultKind,
    Outcome,
    ToolCall,
)
from punie.records.run import ModelIdentity
from punie.records.suite import EvalPrompt, EvalSuite, Message
from punie.records.trust import Checks, Finding, Level
from punie.serving.endpoint import Endpoint


def answer(text: str, *, passed: bool | None = False, repeat: int = 0, **more: object) -> Outcome:
    completion = Completion.model_validate({"text": text, **more})
    return EvalResult(
        prompt_id="p", prompt_hash="h", repeat=repeat, completion=completion, passed=passed
    )


def found(*outcomes: Outcome) -> Finding:
    counts = AnswerCounts()
    for outcome in outcomes:
        counts.add(outcome)
    return counts.finding()


def test_answers_that_differ_are_fine() -> None:
    finding = found(*(answer(f"answer {n}") for n in range(20)))
    assert finding.level is Level.OK
    assert finding.details == {"answered": 20, "different": 20, "empty": 0}


def test_one_wrong_answer_to_all_is_a_warning() -> None:
    finding = found(*(answer("No.") for _ in range(20)))
    assert finding.level is Level.WARNING
    assert "20 of 20 prompts got the same answer" in finding.sentence
    nearly = [answer("No.") for _ in range(18)] + [answer("Yes."), answer("Perhaps.")]
    assert found(*nearly).level is Level.WARNING
    fewer = [answer("No.") for _ in range(17)] + [answer(f"{n}") for n in range(3)]
    assert found(*fewer).level is Level.OK


def test_white_space_does_not_make_another_answer() -> None:
    assert found(*(answer("No." + " " * n) for n in range(20))).level is Level.WARNING


def test_a_suite_whose_right_answers_are_all_alike_is_fine() -> None:
    assert found(*(answer("No.", passed=True) for _ in range(20))).level is Level.OK
    mostly = [answer("No.", passed=n > 0) for n in range(20)]
    finding = found(*mostly)
    assert finding.level is Level.NOTE
    assert "wrong for 1 of them" in finding.sentence


def test_one_answer_where_nothing_is_expected_is_a_warning() -> None:
    assert found(*(answer("Hm.", passed=None) for _ in range(20))).level is Level.WARNING


def test_the_same_call_everywhere_is_the_same_answer() -> None:
    calls = [ToolCall(name="f", arguments={"n": 1}).model_dump()]
    assert found(*(answer("", tool_calls=calls) for _ in range(9))).level is Level.WARNING
    different = [
        answer("", tool_calls=[ToolCall(name="f", arguments={"n": n}).model_dump()])
        for n in range(9)
    ]
    assert found(*different).level is Level.OK


def test_many_empty_answers_are_a_warning_with_the_reason() -> None:
    some = [answer(f"{n}") for n in range(15)]
    finding = found(*some, *(answer(" ", reasoning="so ...") for _ in range(5)))
    assert finding.level is Level.WARNING
    assert "5 of 20 answers are empty, 5 of them after reasoning" in finding.sentence
    assert found(*some, *(answer("") for _ in range(2))).level is Level.OK
    abstained = [answer("", passed=True) for _ in range(5)]
    assert found(*some, *abstained).level is Level.OK
    assert found(*(answer("") for _ in range(9))).level is Level.WARNING


def test_few_answers_repeats_and_faults_say_nothing() -> None:
    assert found(*(answer("No.") for _ in range(LEAST_PROMPTS - 1))).level is Level.UNKNOWN
    repeats = [answer("No.", repeat=n) for n in range(50)]
    assert found(*repeats).level is Level.UNKNOWN
    fault = EvalFault(prompt_id="p", prompt_hash="h", kind=FaultKind.TIMEOUT, message="")
    assert found(*[fault] * 50).level is Level.UNKNOWN
    assert found().level is Level.UNKNOWN


@given(st.lists(st.sampled_from(["a", "b", "", " a"]), max_size=60))
def test_any_answers_have_a_finding(texts: list[str]) -> None:
    finding = found(*(answer(text) for text in texts))
    assert finding.name == "degenerate"
    assert finding.details["answered"] == len(texts)


def test_memory_is_bounded() -> None:
    counts = AnswerCounts()
    for number in range(20 * MOST_REMEMBERED):
        counts.add(answer(f"answer {number}"))
    assert counts.finding().details["different"] == MOST_REMEMBERED
    counts = AnswerCounts()
    for number in range(20 * MOST_REMEMBERED):
        counts.add(answer("No." if number % 20 else f"answer {number}"))
    assert counts.finding().level is Level.WARNING


@pytest.mark.parametrize("said", ["No.", ""])
async def test_a_run_ends_with_what_its_answers_look_like(said: str) -> None:
    texts = [f"question {number}" for number in range(10)]
    prompts = tuple(
        EvalPrompt(
            id=text,
            messages=(Message(role="user", content=text),),
            expect=Expect(exact=Exact(values=(text,))),
        )
        for text in texts
    )
    suite = EvalSuite(name="s", prompts=prompts)
    identity = ModelIdentity(name="m", backend="endpoint")
    earlier = Finding(name="seed", level=Level.OK, sentence="Fine.")
    kept: dict[str, Checks | None] = {}
    async with FakeServer(answers={text: Reply(text=said) for text in texts}) as server:
        endpoint = Endpoint(base_url=server.url, model="m", identity=identity)
        for name, checks in {
            "made": Checks(findings=(earlier,)),
            "skipped": Checks(skipped=True),
            "not asked for": None,
        }.items():
            head = new_run(suite, endpoint).model_copy(update={"checks": checks})
            kept[name] = (await run_evaluation(suite, endpoint, run=head)).run.checks
    made = kept["made"]
    assert made is not None
    assert [each.name for each in made.findings] == ["seed", "degenerate"]
    assert made.findings[1].level is Level.WARNING
    assert kept["skipped"] == Checks(skipped=True, findings=made.findings[1:])
    assert kept["not asked for"] is None
