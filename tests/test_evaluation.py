"""The loop: every prompt once, faults apart from answers, patience, an orderly end."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from fake_server import Behaviour, FakeServer, Reply
from punie.evaluation.ask import Pacer, Patience
from punie.evaluation.run import Progress, new_run, run_evaluation
from punie.records.expect import Exact, Expect, ToolCalls
from punie.records.result import EvalFault, EvalResult, FaultKind, Outcome
from punie.records.run import ModelIdentity, RunStatus
from punie.records.suite import EvalPrompt, EvalSuite, Message, Sampling, Tool
from punie.serving.client import RequestFailed
from punie.serving.endpoint import Abilities, Endpoint
from punie.serving.keeper import RestartPolicy

HASTE = Patience(first_pause_s=0.001, longest_pause_s=0.002)


def a_prompt(number: int, **changes: Any) -> EvalPrompt:
    text = f"question {number}"
    prompt = EvalPrompt(
        id=f"p{number}",
        messages=(Message(role="user", content=text),),
        expect=Expect(exact=Exact(values=(text,))),
        hash=f"h{number}",
    )
    return replace(prompt, **changes)


def a_suite(*prompts: EvalPrompt, **sampling: Any) -> EvalSuite:
    chosen = prompts or tuple(a_prompt(number) for number in range(20))
    return EvalSuite(name="s", prompts=chosen, sampling=Sampling(**sampling), hash="h")


def at(server: FakeServer, **changes: Any) -> Endpoint:
    identity = ModelIdentity(name="m", backend="endpoint")
    endpoint = Endpoint(base_url=server.url, model="m", identity=identity, timeout_s=5)
    return replace(endpoint, **changes)


def by_id(outcomes: tuple[Outcome, ...]) -> dict[str, Outcome]:
    return {outcome.prompt_id: outcome for outcome in outcomes}


async def test_every_prompt_is_asked_once_and_scored() -> None:
    async with FakeServer() as server:
        report = await run_evaluation(a_suite(), at(server), concurrency=4)
        assert len(server.requests) == 20
    assert report.run.status is RunStatus.DONE
    assert report.summary.answered == 20
    assert report.summary.score is not None
    assert report.summary.score.value == 1
    assert set(by_id(report.outcomes)) == {f"p{n}" for n in range(20)}


async def test_a_wrong_answer_is_data_and_a_fault_is_no_zero() -> None:
    answers = {"question 1": "something else"}
    async with FakeServer(
        Behaviour(fault="status", status=400, times=1), answers=answers
    ) as server:
        report = await run_evaluation(a_suite(), at(server), concurrency=1)
    outcomes = by_id(report.outcomes)
    assert isinstance(outcomes["p0"], EvalFault)
    assert outcomes["p0"].kind is FaultKind.REFUSED
    wrong = outcomes["p1"]
    assert isinstance(wrong, EvalResult)
    assert wrong.passed is False
    assert report.summary.faults == 1
    assert report.summary.score is not None
    assert report.summary.score.n == 19
    assert report.summary.score.value == pytest.approx(18 / 19)


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_what_passes_is_tried_again_and_recorded(status: int) -> None:
    behaviour = Behaviour(fault="status", status=status, times=3, retry_after="0")
    async with FakeServer(behaviour) as server:
        report = await run_evaluation(
            a_suite(a_prompt(0)), at(server), concurrency=1, patience=HASTE
        )
    (outcome,) = report.outcomes
    assert isinstance(outcome, EvalResult)
    assert outcome.attempts == 4
    assert report.summary.retried == 1


async def test_patience_has_an_end() -> None:
    async with FakeServer(Behaviour(fault="status", status=500)) as server:
        report = await run_evaluation(
            a_suite(a_prompt(0)), at(server), concurrency=1, patience=HASTE
        )
        assert len(server.requests) == HASTE.attempts
    (outcome,) = report.outcomes
    assert isinstance(outcome, EvalFault)
    assert outcome.attempts == HASTE.attempts
    assert report.summary.score is None


def test_a_server_that_says_when_is_believed() -> None:
    fault = RequestFailed(FaultKind.RATE_LIMITED, "slow down", retry_after_s=7)
    assert Patience().pause_s(1, fault) >= 7
    late = RequestFailed(FaultKind.RATE_LIMITED, "slow down", retry_after_s=1e6)
    assert Patience().pause_s(1, late) == Patience().longest_wait_s
    plain = RequestFailed(FaultKind.SERVER_ERROR, "oops")
    assert Patience().pause_s(9, plain) <= Patience().longest_pause_s


async def test_nobody_there_any_more_ends_the_run() -> None:
    async with FakeServer() as server:
        endpoint = at(server)
    suite = a_suite(*(a_prompt(number) for number in range(500)))
    report = await run_evaluation(suite, endpoint, concurrency=2, patience=HASTE)
    assert report.run.status is RunStatus.FAILED
    assert report.summary.faults < 30
    assert report.summary.fault_kinds == {"unreachable": report.summary.faults}


async def test_stop_ends_after_what_is_in_flight() -> None:
    stop = asyncio.Event()
    seen: list[Outcome] = []

    async def record(outcome: Outcome) -> None:
        seen.append(outcome)
        if len(seen) == 5:
            stop.set()

    async with FakeServer() as server:
        report = await run_evaluation(
            a_suite(), at(server), concurrency=3, record=record, stop=stop
        )
    assert report.run.status is RunStatus.INTERRUPTED
    assert 5 <= len(seen) <= 8
    assert report.summary.answered == len(seen)
    assert report.outcomes == ()


async def test_an_outcome_that_cannot_be_kept_ends_the_run_with_its_reason() -> None:
    async def record(_outcome: Outcome) -> None:
        raise OSError("disk full")

    async with FakeServer() as server:
        with pytest.raises(OSError, match="disk full"):
            await run_evaluation(a_suite(), at(server), record=record)


async def test_each_prompt_and_each_repeat_has_a_seed_of_its_own() -> None:
    suite = a_suite(a_prompt(0), a_prompt(1), temperature=0.7, seed=40)
    async with FakeServer() as server:
        report = await run_evaluation(suite, at(server), concurrency=1, repeats=3)
        seeds = [request.body["seed"] for request in server.requests]
        await run_evaluation(suite, at(server), concurrency=1, repeats=3)
        again = [request.body["seed"] for request in server.requests[len(seeds) :]]
        await run_evaluation(a_suite(a_prompt(0), temperature=0.7, seed=41), at(server))
    assert len({*seeds, server.requests[-1].body["seed"]}) == 7
    assert again == seeds
    assert max(seeds) < 2**31
    assert report.summary.prompts == 2
    assert report.summary.repeats == 3
    assert report.summary.answered == 6


async def test_a_prompt_s_own_max_tokens_counts() -> None:
    suite = a_suite(a_prompt(0, max_tokens=7), a_prompt(1), max_tokens=9)
    async with FakeServer() as server:
        await run_evaluation(suite, at(server), concurrency=1)
        assert [request.body["max_tokens"] for request in server.requests] == [7, 9]


WEATHER = Tool(name="weather", description="The weather of a city.")


async def test_tools_go_by_template_or_into_the_prompt() -> None:
    prompt = a_prompt(0, tools=(WEATHER,), expect=Expect(tool_calls=ToolCalls()))
    suite = a_suite(prompt)
    async with FakeServer() as server:
        native = await run_evaluation(suite, at(server))
        unable = at(server, abilities=Abilities(tools=False))
        written = await run_evaluation(suite, unable)
        forced = await run_evaluation(suite, at(server), tools="prompt")
        first, second, third = server.requests
    assert "tools" in first.body
    assert "tools" not in second.body
    assert second.body["messages"][0]["role"] == "system"
    assert "weather" in second.body["messages"][0]["content"]
    assert third.body["messages"] == second.body["messages"]
    modes = [report.run.tools_mode for report in (native, written, forced)]
    assert modes == ["native", "prompt", "prompt"]


async def test_a_call_in_text_counts_as_a_call() -> None:
    call: dict[str, Any] = {"calls": [{"name": "weather"}]}
    expect = Expect(tool_calls=ToolCalls(**call))
    text = '<tool_call>{"name": "weather", "arguments": {}}</tool_call>'
    async with FakeServer(answers={"question 0": Reply(text=text)}) as server:
        report = await run_evaluation(
            a_suite(a_prompt(0, tools=(WEATHER,), expect=expect)), at(server), tools="prompt"
        )
    (outcome,) = report.outcomes
    assert isinstance(outcome, EvalResult)
    assert outcome.passed


async def test_progress_tells_how_far_it_is() -> None:
    progress = Progress(total=0)
    async with FakeServer() as server:
        await run_evaluation(a_suite(), at(server), progress=progress)
    assert (progress.total, progress.done, progress.faults) == (20, 20, 0)
    assert progress.score == 1
    assert progress.elapsed_s > 0


async def test_prices_make_a_cost() -> None:
    async with FakeServer() as server:
        report = await run_evaluation(a_suite(), at(server, prices=(1.0, 2.0)))
    summary = report.summary
    assert summary.tokens_in is not None
    assert summary.tokens_out is not None
    expected = (summary.tokens_in + 2 * summary.tokens_out) / 1e6
    assert summary.cost == pytest.approx(expected)


async def test_a_pacer_spreads_its_turns() -> None:
    hurry = asyncio.Event()
    hurry.set()
    pacer = Pacer(per_minute=60)
    for _ in range(3):
        await pacer.turn(hurry)
    assert pacer.held_s == pytest.approx(3, abs=0.2)
    pacer.hold(10)
    pacer.hold(2)
    assert pacer.held_s == pytest.approx(10, abs=0.2)
    free = Pacer(None)
    await free.turn(asyncio.Event())
    assert free.held_s == 0


async def test_two_runs_never_share_an_id() -> None:
    async with FakeServer() as server:
        ids = {new_run(a_suite(), at(server)).id for _ in range(20)}
    assert len(ids) == 20


async def test_a_run_that_goes_on_asks_what_is_owed_and_stands_for_all() -> None:
    suite = a_suite(*(a_prompt(number) for number in range(6)))
    async with FakeServer(Behaviour(fault="status", status=400, times=2)) as server:
        first = await run_evaluation(suite, at(server), concurrency=1)
    assert first.summary.faults == 2
    summary = first.summary.model_copy(update={"peak_memory_bytes": 700})
    run = first.run.model_copy(update={"summary": summary})
    pairs = [(prompt, by_id(first.outcomes)[prompt.id]) for prompt in suite.prompts]
    owed = [(suite.prompts[0], 0), (suite.prompts[1], 0), (suite.prompts[5], 0)]
    progress = Progress(total=0)
    async with FakeServer() as server:
        report = await run_evaluation(
            suite,
            at(server),
            run=run,
            owed=owed,
            before=pairs[:5],
            progress=progress,
        )
        assert len(server.requests) == 3
    assert (progress.done, progress.total, progress.done_before) == (6, 6, 3)
    assert report.run.status is RunStatus.DONE
    assert report.summary.answered == 6
    assert report.summary.faults == 0
    assert report.summary.peak_memory_bytes == 700
    assert report.summary.wall_s == pytest.approx(first.summary.wall_s + progress.elapsed_s)


async def test_a_fault_that_is_not_asked_again_still_stands() -> None:
    suite = a_suite(*(a_prompt(number) for number in range(3)))
    async with FakeServer(Behaviour(fault="status", status=400, times=2)) as server:
        first = await run_evaluation(suite, at(server), concurrency=1)
    pairs = [(prompt, by_id(first.outcomes)[prompt.id]) for prompt in suite.prompts]
    stop = asyncio.Event()

    async def stop_after_one(_: Outcome) -> None:
        stop.set()

    async with FakeServer() as server:
        report = await run_evaluation(
            suite,
            at(server),
            run=new_run(suite, at(server), concurrency=1),
            owed=[(suite.prompts[0], 0), (suite.prompts[1], 0)],
            before=pairs,
            record=stop_after_one,
            stop=stop,
        )
    assert report.run.status is RunStatus.INTERRUPTED
    assert report.summary.answered + report.summary.faults == 3
    assert report.summary.faults == 1


async def test_an_endpoint_that_wants_a_day_is_left_alone() -> None:
    behaviour = Behaviour(fault="status", status=429, retry_after="86399")
    prompts = (a_prompt(number) for number in range(100))
    async with FakeServer(behaviour) as server:
        report = await run_evaluation(a_suite(*prompts), at(server), concurrency=4)
        assert len(server.requests) < 20
    assert report.run.status is RunStatus.FAILED
    assert report.summary.answered == 0
    (fault, *_) = report.outcomes
    assert isinstance(fault, EvalFault)
    assert "asks to come back in 86399 s" in fault.message


@pytest.mark.parametrize(("restart", "pause_s"), [(1, 0.5), (2, 1.0), (3, 2.0), (5, 8.0), (9, 8.0)])
def test_restarts_pause_longer_each_time(restart: int, pause_s: float) -> None:
    assert RestartPolicy().pause_s(restart) == pause_s
