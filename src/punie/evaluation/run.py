"""`run_evaluation`: a suite against an endpoint."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from punie.analysis.summary import Tally
from punie.errors import InputError
from punie.evaluation.ask import IN_PROMPT, NATIVE, Asker, Patience
from punie.records.result import EvalFault, FaultKind, Outcome
from punie.records.run import EvalReport, Run, RunStatus
from punie.records.suite import EvalPrompt, EvalSuite
from punie.serving.client import ChatClient
from punie.serving.endpoint import Endpoint

DEFAULT_CONCURRENCY = 8
HOPELESS = frozenset({FaultKind.UNREACHABLE, FaultKind.CONNECTION_LOST, FaultKind.SERVER_DIED})
"""Faults that say that nobody is there any more."""
HOPELESS_IN_A_ROW = 8

Record = Callable[[Outcome], Awaitable[None]]
Asked = tuple[EvalPrompt, int]
"""A prompt and which of its repeats, counted from 0."""


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


def new_run_id() -> str:
    """An id that sorts by time and that two commands of the same second do not share."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def new_run(
    suite: EvalSuite,
    endpoint: Endpoint,
    *,
    run_id: str | None = None,
    concurrency: int = DEFAULT_CONCURRENCY,
    repeats: int = 1,
    tools: str = "auto",
) -> Run:
    """The head of a run that is about to start, with an id of its own."""
    native = endpoint.abilities.tools if tools == "auto" else tools == NATIVE
    return Run(
        id=run_id or new_run_id(),
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        suite_name=suite.name,
        suite_version=suite.version,
        suite_hash=suite.hash,
        suite_source=suite.source,
        model=endpoint.identity,
        sampling=suite.sampling,
        concurrency=concurrency,
        repeats=repeats,
        tools_mode=NATIVE if native else IN_PROMPT,
    )


async def run_evaluation(
    suite: EvalSuite,
    endpoint: Endpoint,
    *,
    run: Run | None = None,
    concurrency: int = DEFAULT_CONCURRENCY,
    repeats: int = 1,
    tools: str = "auto",
    record: Record | None = None,
    progress: Progress | None = None,
    stop: asyncio.Event | None = None,
    patience: Patience | None = None,
    owed: Sequence[Asked] | None = None,
    before: Iterable[tuple[EvalPrompt, Outcome]] = (),
) -> EvalReport:
    """Ask every prompt of `suite`, `repeats` times each, at most `concurrency` at once.

    Each outcome is handed to `record` and awaited; without `record` the outcomes are held in the
    report. A request that fails is tried again with patience and then becomes a fault; the run goes
    on. Setting `stop` ends it after what is in flight. The report's status tells how it ended:
    done, interrupted (by `stop`), or failed (nobody answers any more).

    `run` is the head to complete, from `new_run`; its concurrency, repeats and tools mode then
    count instead of the arguments. Raises InputError for sampling that the endpoint cannot do.

    To go on with a run, `owed` says what is left to ask and `before` gives the outcomes that are
    kept already: progress and summary then stand for all of them. An outcome of `before` that is
    owed, which is a fault, counts only if it is not asked again. The wall time of the summary in
    `run` is added to, its peak of memory is kept where it is higher.
    """
    _check_sampling(suite, endpoint)
    run = run or new_run(suite, endpoint, concurrency=concurrency, repeats=repeats, tools=tools)
    progress = progress or Progress(total=0)
    stop = stop or asyncio.Event()
    work = list(_in_rounds(suite, run.repeats)) if owed is None else list(owed)
    loop = _Loop(suite, run, work, record=record, progress=progress, stop=stop)
    loop.go_on_from(before)
    async with ChatClient(endpoint) as client:
        asker = Asker(
            client,
            sampling=suite.sampling,
            tools_mode=run.tools_mode,
            patience=patience,
            died=endpoint.died,
            stop=stop,
        )
        await loop.ask_all(asker)
    loop.count_what_stands()
    earlier_s = run.summary.wall_s if run.summary else 0.0
    peaks = (endpoint.peak_memory(), run.summary.peak_memory_bytes if run.summary else None)
    summary = loop.tally.summary(
        wall_s=earlier_s + progress.elapsed_s,
        peak_memory_bytes=max((peak for peak in peaks if peak is not None), default=None),
        prices=endpoint.prices,
    )
    finished = run.model_copy(update={"status": loop.status, "summary": summary})
    return EvalReport(run=finished, suite=suite, outcomes=tuple(loop.kept))


def _check_sampling(suite: EvalSuite, endpoint: Endpoint) -> None:
    top_k, vocabulary = suite.sampling.top_k, endpoint.vocabulary
    if top_k is not None and vocabulary is not None and top_k > vocabulary:
        raise InputError(
            f"top_k {top_k} is more than the {vocabulary} tokens of the model",
            hint="leave top_k out to sample among all tokens",
        )


class _Loop:
    """The workers' common state: what is left to ask, what came back, whether to go on."""

    def __init__(
        self,
        suite: EvalSuite,
        run: Run,
        work: Sequence[Asked],
        *,
        record: Record | None,
        progress: Progress,
        stop: asyncio.Event,
    ) -> None:
        self.tally = Tally(suite.prompts)
        self.kept: list[Outcome] = []
        self._owed = {(prompt.id, repeat) for prompt, repeat in work}
        self._work = iter(work)
        self._standing: dict[tuple[str, int], tuple[EvalPrompt, Outcome]] = {}
        self._run = run
        self._record = record
        self._progress = progress
        self._stop = stop
        self._hopeless = 0
        self._began = time.perf_counter()
        progress.total = len(work)

    def go_on_from(self, before: Iterable[tuple[EvalPrompt, Outcome]]) -> None:
        """Count what was measured earlier; a fault that is owed stands until it is asked again."""
        progress = self._progress
        for prompt, outcome in before:
            key = (prompt.id, outcome.repeat)
            if key in self._owed:
                self._standing[key] = (prompt, outcome)
                continue
            self.tally.add(prompt, outcome)
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
        if self._progress.done == self._progress.total and not self._gave_up:
            return RunStatus.DONE
        return RunStatus.FAILED if self._gave_up else RunStatus.INTERRUPTED

    async def ask_all(self, asker: Asker) -> None:
        """Run the workers to the end. The first error of `record` ends all and is raised."""
        workers = [asyncio.create_task(self._worker(asker)) for _ in range(self._run.concurrency)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            self._progress.elapsed_s = time.perf_counter() - self._began

    async def _worker(self, asker: Asker) -> None:
        for prompt, repeat in self._work:
            self._progress.in_flight += 1
            try:
                outcome = await asker.ask(prompt, repeat)
            finally:
                self._progress.in_flight -= 1
            if self._record is None:
                self.kept.append(outcome)
            else:
                await self._record(outcome)
            self._count(prompt, outcome)
            if self._stop.is_set() or self._gave_up:
                return

    @property
    def _gave_up(self) -> bool:
        return self._hopeless >= HOPELESS_IN_A_ROW + self._run.concurrency

    def _count(self, prompt: EvalPrompt, outcome: Outcome) -> None:
        self.tally.add(prompt, outcome)
        self._standing.pop((prompt.id, outcome.repeat), None)
        progress = self._progress
        progress.done += 1
        progress.asked_again += outcome.attempts > 1
        progress.elapsed_s = time.perf_counter() - self._began
        progress.score = self.tally.running_score()
        if isinstance(outcome, EvalFault):
            progress.faults += 1
            self._hopeless = self._hopeless + 1 if outcome.kind in HOPELESS else 0
            if outcome.kind is FaultKind.SERVER_DIED:
                self._hopeless = HOPELESS_IN_A_ROW + self._run.concurrency
        else:
            progress.tokens_out += outcome.completion.completion_tokens or 0
            self._hopeless = 0


def _in_rounds(suite: EvalSuite, repeats: int) -> Iterator[Asked]:
    """All prompts once, then again: a run that is cut short has asked as many as it could."""
    for repeat in range(repeats):
        for prompt in suite.prompts:
            yield prompt, repeat
