"""Two servers in turns: whose turn it is, what is dropped, what ends both."""

import asyncio
from dataclasses import replace
from itertools import chain, repeat
from typing import Any

import pytest

from fake_server import Behaviour, FakeServer, SeenRequest
from punie.errors import InputError
from punie.evaluation.ask import Patience
from punie.evaluation.clock import Clock
from punie.evaluation.run import Progress, new_run
from punie.evaluation.side_by_side import WARM_UP_TOKENS, WARM_UPS, Side, run_side_by_side
from punie.records.expect import Exact, Expect
from punie.records.result import EvalFault, EvalResult, Outcome
from punie.records.run import ModelIdentity, Run, RunStatus
from punie.records.suite import EvalPrompt, EvalSuite, Message, Sampling
from punie.records.trust import IncidentKind
from punie.serving.endpoint import Endpoint

HASTE = Patience(first_pause_s=0.001, longest_pause_s=0.002)


def a_suite(number: int = 5, **sampling: Any) -> EvalSuite:
    prompts = tuple(
        EvalPrompt(
            id=f"p{i}",
            messages=(Message(role="user", content=f"question {i}"),),
            expect=Expect(exact=Exact(values=(f"question {i}",))),
            hash=f"h{i}",
        )
        for i in range(number)
    )
    return EvalSuite(name="s", prompts=prompts, sampling=Sampling(**sampling), hash="h")


class Pair:
    """Two fake servers, what they were asked in one order, and what was kept."""

    def __init__(self, a: Behaviour | None = None, b: Behaviour | None = None) -> None:
        self.asked: list[tuple[str, str, int]] = []
        self.a = FakeServer(a or Behaviour(), log=lambda seen: self._see("A", seen))
        self.b = FakeServer(b or Behaviour(), log=lambda seen: self._see("B", seen))
        self.kept: dict[str, list[Outcome]] = {"A": [], "B": []}
        self.heads: dict[str, list[Run]] = {"A": [], "B": []}
        self.hear = asyncio.Event()
        self.stop_at = -1

    def _see(self, side: str, seen: SeenRequest) -> None:
        self.asked.append((side, seen.body["messages"][-1]["content"], seen.body["max_tokens"]))
        if len(self.asked) == self.stop_at:
            self.hear.set()

    @property
    def counted(self) -> list[str]:
        """Who was asked what, after the warm-up."""
        return [f"{side} {text[-1]}" for side, text, _ in self.asked[2 * WARM_UPS :]]

    async def ask(self, suite: EvalSuite, **more: Any) -> tuple[Run, Run]:
        async with self.a, self.b:
            sides = self.side("A", self.a, suite), self.side("B", self.b, suite)
            return await run_side_by_side(suite, sides, stop=self.hear, patience=HASTE, **more)

    def side(self, name: str, server: FakeServer, suite: EvalSuite) -> Side:
        identity = ModelIdentity(name=name, backend="endpoint")
        endpoint = Endpoint(base_url=server.url, model="m", identity=identity, timeout_s=5)

        async def record(outcome: Outcome) -> None:
            self.kept[name].append(outcome)

        async def record_head(run: Run) -> None:
            self.heads[name].append(run)

        return Side(endpoint, new_run(suite, endpoint, concurrency=1), record, record_head)


async def test_who_goes_first_changes_with_each_prompt() -> None:
    pair = Pair()
    one, other = await pair.ask(a_suite(4))
    assert pair.counted == ["A 0", "B 0", "B 1", "A 1", "A 2", "B 2", "B 3", "A 3"]
    assert [one.status, other.status] == [RunStatus.DONE] * 2
    for run, kept in ((one, pair.kept["A"]), (other, pair.kept["B"])):
        assert [outcome.prompt_id for outcome in kept] == ["p0", "p1", "p2", "p3"]
        assert run.summary is not None
        assert run.summary.answered == 4
        assert run.summary.score is not None
        assert run.summary.score.value == 1
        assert all(isinstance(each, EvalResult) and each.completion.first_token_s for each in kept)


async def test_the_warm_up_is_short_is_dropped_and_asks_nothing_of_the_suite() -> None:
    pair = Pair()
    suite = a_suite(3, max_tokens=99)
    await pair.ask(suite)
    warm, counted = pair.asked[: 2 * WARM_UPS], pair.asked[2 * WARM_UPS :]
    assert sorted(side for side, _, _ in warm) == ["A"] * WARM_UPS + ["B"] * WARM_UPS
    texts = {text for _, text, _ in warm}
    assert len(texts) == WARM_UPS
    assert not texts & {text for _, text, _ in counted}
    assert {tokens for _, _, tokens in warm} == {WARM_UP_TOKENS}
    assert {tokens for _, _, tokens in counted} == {99}
    assert len(pair.kept["A"]) == len(pair.kept["B"]) == 3


async def test_one_request_is_in_flight_at_a_time() -> None:
    pair = Pair(Behaviour(first_token_s=0.002), Behaviour(first_token_s=0.002))
    progress = Progress(total=0)
    one, other = await pair.ask(a_suite(6), progress=progress)
    assert (progress.done, progress.total) == (12, 12)
    rows = sorted([*pair.kept["A"], *pair.kept["B"]], key=lambda each: each.started_at)
    assert len(rows) == 12
    assert one.summary is not None
    assert other.summary is not None
    asked_s = sum(e.completion.latency_s for e in pair.kept["A"] if isinstance(e, EvalResult))
    # The wall time of a side is that of its own requests.
    assert asked_s <= one.summary.wall_s < progress.elapsed_s


async def test_a_stop_ends_both_after_the_request_in_flight() -> None:
    pair = Pair()
    pair.stop_at = 2 * WARM_UPS + 3
    one, other = await pair.ask(a_suite())
    assert [one.status, other.status] == [RunStatus.INTERRUPTED] * 2
    assert len(pair.counted) == 3
    assert len(pair.kept["A"]) + len(pair.kept["B"]) == 3


async def test_a_stop_during_the_warm_up_measures_nothing() -> None:
    pair = Pair()
    pair.stop_at = 1
    one, _ = await pair.ask(a_suite())
    assert len(pair.asked) == 1
    assert one.status is RunStatus.INTERRUPTED
    assert not pair.kept["A"]


async def test_a_fault_of_one_is_kept_and_the_other_is_asked_all_the_same() -> None:
    pair = Pair(b=Behaviour(fault="status", status=400))
    one, other = await pair.ask(a_suite(3))
    assert one.status is RunStatus.DONE
    assert all(isinstance(each, EvalFault) for each in pair.kept["B"])
    assert one.summary is not None
    assert other.summary is not None
    assert (one.summary.answered, other.summary.answered) == (3, 0)
    assert other.summary.faults == 3


async def test_what_passes_is_tried_again_in_its_own_turn() -> None:
    pair = Pair(Behaviour(fault="status", status=503, times=WARM_UPS + 1))
    await pair.ask(a_suite(2))
    assert pair.counted == ["A 0", "A 0", "B 0", "B 1", "A 1"]
    assert [each.attempts for each in pair.kept["A"]] == [2, 1]


async def test_a_nap_is_an_incident_of_the_run_that_slept() -> None:
    pair = Pair()
    # Each attempt reads the clocks three times; the nap falls into the first that counts of A.
    quiet = chain(repeat(0.0, 3 * 2 * WARM_UPS + 2), repeat(90.0))
    clock = Clock(wall=lambda: next(quiet), monotonic=lambda: 0.0)
    one, other = await pair.ask(a_suite(2), clock=clock)
    assert [each.kind for each in one.incidents] == [IncidentKind.SLEPT]
    assert not other.incidents
    assert pair.heads["A"][0].incidents == one.incidents
    assert pair.kept["A"][0].attempts == 2


async def test_sampling_that_a_server_cannot_do_is_refused_first() -> None:
    pair = Pair()
    suite = a_suite(2, top_k=50)
    async with pair.a, pair.b:
        one, other = pair.side("A", pair.a, suite), pair.side("B", pair.b, suite)
        small = replace(other, endpoint=replace(other.endpoint, vocabulary=10))
        with pytest.raises(InputError, match="top_k 50"):
            await run_side_by_side(suite, (one, small))
    assert not pair.asked
