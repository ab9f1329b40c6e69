"""Two servers asked the same prompts in turns, so that their times can be compared.

What slows a machine down for a while (heat, another program) falls on both alike: one request is
in flight at a time, and who goes first changes with each prompt (A B, B A, A B, …).
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from punie.analysis.degenerate import AnswerCounts
from punie.analysis.summary import Tally
from punie.evaluation.ask import Asker, Case, Later, Patience
from punie.evaluation.clock import Clock
from punie.evaluation.incidents import Incidents
from punie.evaluation.loop import Progress, Record, RecordHead, unscorable
from punie.evaluation.needs import check_needs
from punie.evaluation.run import finished, with_heads
from punie.records.expect import Expect
from punie.records.result import EvalFault, Outcome
from punie.records.run import Run, RunStatus
from punie.records.suite import EvalPrompt, EvalSuite
from punie.scoring.expressions import UnscorableError
from punie.serving.client import ChatClient
from punie.serving.endpoint import Endpoint

WARM_UPS = 12
"""Requests to each server before the first that counts: more than the ten prompts that mlx_lm keeps
(`--prompt-cache-size`), so that no server has seen a prompt of the suite lately."""
WARM_UP_TOKENS = 8


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two: who answers, the head of its run, and where its outcomes are kept."""

    endpoint: Endpoint
    run: Run
    record: Record
    record_head: RecordHead


async def run_side_by_side(
    suite: EvalSuite,
    sides: tuple[Side, Side],
    *,
    progress: Progress | None = None,
    stop: asyncio.Event | None = None,
    patience: Patience | None = None,
    clock: Clock | None = None,
) -> tuple[Run, Run]:
    """Ask both servers every prompt of `suite` once, one request at a time, in ABBA order.

    Gives both heads with their numbers. Setting `stop` ends both after the request in flight; a
    server that is given up ends both. The wall time of each is that of its own requests. Raises
    InputError for what an endpoint cannot do.
    """
    for side in sides:
        check_needs(suite, side.endpoint, side.run)
    progress = progress or Progress(total=0)
    progress.total = len(sides) * len(suite.prompts)
    stop = stop or asyncio.Event()
    async with AsyncExitStack() as stack:
        askers = [
            _OneSide(
                side,
                suite,
                await stack.enter_async_context(ChatClient(side.endpoint)),
                stop=stop,
                patience=patience,
                clock=clock,
            )
            for side in sides
        ]
        first, second = askers
        progress.note = "warming up"
        await _warm_up(first, second, suite, stop)
        progress.note = ""
        began = time.perf_counter()
        for asker, prompt in _turns(first, second, suite):
            if stop.is_set() or first.gave_up or second.gave_up:
                break
            progress.in_flight = 1
            outcome = await asker.ask(prompt)
            progress.in_flight = 0
            if outcome is not None:
                progress.done += 1
                progress.faults += isinstance(outcome, EvalFault)
                progress.asked_again += outcome.attempts > 1
            progress.elapsed_s = time.perf_counter() - began
    status = RunStatus.INTERRUPTED
    if first.gave_up or second.gave_up:
        status = RunStatus.FAILED
    elif progress.done == progress.total:
        status = RunStatus.DONE
    return first.ended(status), second.ended(status)


def _turns(
    first: "_OneSide", second: "_OneSide", suite: EvalSuite
) -> "Iterator[tuple[_OneSide, EvalPrompt]]":
    for at, prompt in enumerate(suite.prompts):
        for asker in (second, first) if at % 2 else (first, second):
            yield asker, prompt


async def _warm_up(
    first: "_OneSide", second: "_OneSide", suite: EvalSuite, stop: asyncio.Event
) -> None:
    """Ask each server some short questions whose answers are dropped.

    They are the suite's prompts in other words, so that no prompt of it is met again in a cache.
    """
    for at in range(WARM_UPS):
        prompt = suite.prompts[at % len(suite.prompts)]
        *before, last = prompt.messages
        other = replace(last, content=f"({at + 1}) {last.content or ''}")
        longest = min(WARM_UP_TOKENS, prompt.max_tokens or suite.sampling.max_tokens)
        question = replace(prompt, messages=(*before, other), expect=Expect(), max_tokens=longest)
        for asker in (second, first) if at % 2 else (first, second):
            if stop.is_set():
                return
            await asker.asker.attempt(Case(question))


class _OneSide:
    """Asks one server, and counts what came of it."""

    def __init__(
        self,
        side: Side,
        suite: EvalSuite,
        client: ChatClient,
        *,
        stop: asyncio.Event,
        patience: Patience | None,
        clock: Clock | None,
    ) -> None:
        self._side = side
        self._incidents = Incidents(side.endpoint.keeper, side.run.incidents)
        self._record = with_heads(side.record, side.record_head, side.run, self._incidents)
        self._tally = Tally(suite.prompts)
        self._answers = AnswerCounts()
        self._stop = stop
        self._asked_s = 0.0
        self.asker = Asker(
            client,
            sampling=suite.sampling,
            tools_mode=side.run.tools_mode,
            patience=patience,
            clock=clock,
            on_nap=self._incidents.napped,
            stop=stop,
        )

    @property
    def gave_up(self) -> bool:
        """Whether the server is gone for good."""
        keeper = self._side.endpoint.keeper
        return keeper is not None and keeper.death() is not None

    async def ask(self, prompt: EvalPrompt) -> Outcome | None:
        """Ask until there is an outcome, and keep it; None where the run was stopped before."""
        began = time.perf_counter()
        outcome = await self._outcome(Case(prompt))
        self._asked_s += time.perf_counter() - began
        if outcome is not None:
            await self._record(outcome)
            self._tally.add(prompt, outcome)
            self._answers.add(outcome)
        return outcome

    async def _outcome(self, case: Case) -> Outcome | None:
        while True:
            try:
                ended = await self.asker.attempt(case)
            except UnscorableError as error:
                return unscorable(case, error)
            if not isinstance(ended, Later):
                return ended
            if self._stop.is_set():
                return None
            await asyncio.sleep(ended.pause_s)

    def ended(self, status: RunStatus) -> Run:
        """The run's head with how it ended and its numbers."""
        incidents = self._incidents.in_order()
        run = self._side.run.model_copy(update={"status": status, "incidents": incidents})
        return finished(
            run, self._tally, [self._answers.finding()], self._side.endpoint, wall_s=self._asked_s
        )
