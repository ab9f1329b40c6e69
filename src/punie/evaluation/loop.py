"""The workers that ask a run's prompts, so many at a time, until none is owed."""

import asyncio
import contextlib
import heapq
import itertools
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from punie.analysis.degenerate import AnswerCounts
from punie.analysis.draws import Draws
from punie.analysis.summary import Tally
from punie.evaluation.ask import Asker, Case, Later
from punie.records.result import EvalFault, FaultKind, Outcome
from punie.records.run import Run, RunStatus
from punie.records.suite import EvalPrompt, EvalSuite
from punie.scoring.expressions import UnscorableError

if TYPE_CHECKING:
    from punie.serving.keeper import Keeper

HOPELESS = frozenset(
    {
        FaultKind.UNREACHABLE,
        FaultKind.CONNECTION_LOST,
        FaultKind.TIMEOUT,
        FaultKind.RATE_LIMITED,
    }
)
"""Faults that say, in a row, that a server which is not ours answers nothing any more."""
HOPELESS_IN_A_ROW = 8
PAUSING = 4
"""For each place, so many prompts may pause at once; memory stays bounded when nobody answers."""
LOOK_S = 0.2

Record = Callable[[Outcome], Awaitable[None]]
RecordHead = Callable[[Run], Awaitable[None]]
Asked = tuple[EvalPrompt, int]
"""A prompt and which of its repeats, counted from 0."""
Decide = Callable[[EvalPrompt, Outcome], bool]
"""Sees each outcome once it is kept; True says that what the run was to find out is known."""


@dataclass(slots=True)
class Progress:
    """How far a run is; the same object is updated all along, to be read at leisure."""

    total: int
    done: int = 0
    done_before: int = 0
    """How many of `done` were measured by earlier parts of the run."""
    in_flight: int = 0
    faults: int = 0
    asked_again: int = 0
    """Prompts that took more than one request."""
    note: str = ""
    """Why nothing comes just now, in words: a restart, or an endpoint that asked for a pause."""
    score: float | None = None
    tokens_out: int = 0
    elapsed_s: float = 0.0
    stop: asyncio.Event | None = None
    """Set once somebody has asked for the run's end, where that can be told."""


class Loop:
    """The workers' common state: what is left to ask, what came back, whether to go on."""

    def __init__(
        self,
        suite: EvalSuite,
        run: Run,
        work: Iterable[Asked],
        *,
        record: Record | None,
        progress: Progress,
        stop: asyncio.Event,
        keeper: "Keeper | None",
        decide: Decide | None = None,
    ) -> None:
        self.tally = Tally(suite.prompts)
        self.answers = AnswerCounts()
        self.draws = Draws()
        self.kept: list[Outcome] = []
        self._work = iter(work)
        self._standing: dict[tuple[str, int], tuple[EvalPrompt, Outcome]] = {}
        self._run = run
        self._record = record
        self._progress = progress
        self._stop = stop
        self._keeper = keeper
        self._decide = decide
        self._decided = False
        self._hopeless = 0
        self._paused: list[tuple[float, int, Case]] = []
        self._order = itertools.count()
        self._changed = asyncio.Event()
        self._began = time.perf_counter()

    def go_on_from(
        self, before: Iterable[tuple[EvalPrompt, Outcome]], owed: Iterable[Asked]
    ) -> None:
        """Count what was measured earlier; a fault that is owed stands until it is asked again."""
        progress = self._progress
        keys = {(prompt.id, repeat) for prompt, repeat in owed}
        for prompt, outcome in before:
            key = (prompt.id, outcome.repeat)
            if key in keys:
                self._standing[key] = (prompt, outcome)
                continue
            self.tally.add(prompt, outcome)
            self.answers.add(outcome)
            self.draws.add(outcome)
            self._look_at(prompt, outcome)
            progress.total += 1
            progress.done += 1
            progress.done_before += 1
            progress.faults += isinstance(outcome, EvalFault)
        progress.score = self.tally.running_score()

    def count_what_stands(self) -> None:
        """Count the earlier faults that were not asked again: they are still the last word."""
        for prompt, outcome in self._standing.values():
            self.tally.add(prompt, outcome)
        self._standing.clear()

    @property
    def status(self) -> RunStatus:
        """How the run ended."""
        whole = self._decided or self._progress.done == self._progress.total
        if whole and not self._gave_up:
            return RunStatus.DONE
        return RunStatus.FAILED if self._gave_up else RunStatus.INTERRUPTED

    async def ask_all(self, asker: Asker) -> None:
        """Run the workers to the end. The first error of `record` ends all and is raised."""
        workers = [asyncio.create_task(self._worker(asker)) for _ in range(self._run.concurrency)]
        looking = asyncio.create_task(self._look_around(asker))
        try:
            await asyncio.gather(*workers)
            for _, _, case in self._paused:  # only where the run was stopped before their turn
                if case.failures and not self._decided:  # of a decided run they are not needed
                    await self._end(case.prompt, case.fault())
        finally:
            for task in (looking, *workers):
                task.cancel()
            await asyncio.gather(looking, *workers, return_exceptions=True)
            self._progress.note = ""
            self._progress.elapsed_s = time.perf_counter() - self._began

    async def _worker(self, asker: Asker) -> None:
        while not (self._stop.is_set() or self._gave_up):
            case = await self._next_case()
            if case is None:
                return
            self._progress.in_flight += 1
            try:
                ended = await asker.attempt(case)
            except UnscorableError as error:
                ended = unscorable(case, error)
            finally:
                self._progress.in_flight -= 1
                self._changed.set()
            if isinstance(ended, Later):
                due = time.monotonic() + ended.pause_s
                heapq.heappush(self._paused, (due, next(self._order), case))
            else:
                await self._end(case.prompt, ended)

    async def _next_case(self) -> Case | None:
        """The prompt that paused longest and is due, else a new one; None when all are asked.

        Waits only where everything else is in flight or pausing.
        """
        while not (self._stop.is_set() or self._gave_up):
            now = time.monotonic()
            if self._paused and self._paused[0][0] <= now:
                return heapq.heappop(self._paused)[2]
            if len(self._paused) < PAUSING * self._run.concurrency:
                fresh = next(self._work, None)
                if fresh is not None:
                    return Case(*fresh)
            if not self._paused and not self._progress.in_flight:
                return None
            self._changed.clear()
            wait_s = self._paused[0][0] - now if self._paused else None
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), wait_s)
        return None

    async def _look_around(self, asker: Asker) -> None:
        """Wake who waits when the run is stopped, and say in the progress why nothing comes."""
        while True:
            self._progress.note = self._keeper.waiting if self._keeper else ""
            if (held_s := asker.pacer.held_s) >= 1:
                self._progress.note = f"the endpoint asked for a pause, {held_s:.0f} s left"
            if self._stop.is_set():
                self._changed.set()
            await asyncio.sleep(LOOK_S)

    async def _end(self, prompt: EvalPrompt, outcome: Outcome) -> None:
        if self._record is None:
            self.kept.append(outcome)
        else:
            await self._record(outcome)
        self._count(prompt, outcome)

    @property
    def _gave_up(self) -> bool:
        if self._keeper is not None:
            return self._keeper.death() is not None
        return self._hopeless >= HOPELESS_IN_A_ROW + self._run.concurrency

    def _count(self, prompt: EvalPrompt, outcome: Outcome) -> None:
        self.tally.add(prompt, outcome)
        self.answers.add(outcome)
        self.draws.add(outcome)
        self._look_at(prompt, outcome)
        self._standing.pop((prompt.id, outcome.repeat), None)
        progress = self._progress
        progress.done += 1
        progress.asked_again += outcome.attempts > 1
        progress.elapsed_s = time.perf_counter() - self._began
        progress.score = self.tally.running_score()
        if isinstance(outcome, EvalFault):
            progress.faults += 1
            self._hopeless = self._hopeless + 1 if outcome.kind in HOPELESS else 0
        else:
            progress.tokens_out += outcome.completion.completion_tokens or 0
            self._hopeless = 0

    def _look_at(self, prompt: EvalPrompt, outcome: Outcome) -> None:
        """End the run after what is in flight, where this outcome decides what it was made for."""
        if self._decide is not None and not self._decided and self._decide(prompt, outcome):
            self._decided = True
            self._stop.set()


def unscorable(case: Case, error: UnscorableError) -> EvalFault:
    """An answer on which the suite's own pattern or schema did not end: nobody's wrong answer."""
    return EvalFault(
        prompt_id=case.prompt.id,
        prompt_hash=case.prompt.hash,
        repeat=case.repeat,
        attempts=len(case.failures) + 1,
        failures=tuple(case.failures),
        started_at=case.started_at,
        kind=FaultKind.UNSCORABLE,
        message=error.message,
        elapsed_s=time.perf_counter() - case.began,
    )
