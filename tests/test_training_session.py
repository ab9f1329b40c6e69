"""One worker's session, with a made-up worker in the backend's place."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import pytest

from punie.backends.base import TrainingBackend
from punie.errors import DataCheckError, ModelError, TrainingError
from punie.records.training import (
    Ended,
    Ending,
    Failed,
    FailureKind,
    Loaded,
    ResolvedPlan,
    Started,
    Step,
    TrainEvent,
    TrainJob,
)
from punie.training.session import HINTS, SHOWN_ROWS, failure, run_session

LOADED = Loaded(parameters=9, trainable=3, modules=2, layers=2, memory_bytes=1, seconds=1.0)
STARTED = Started(step=0, exact=True, machine={})
STEP = Step(step=1, loss=1.0, learning_rate=1e-4, tokens=9, seconds=0.5, memory_bytes=1)
ENDED = Ended(step=1, ending=Ending.DONE, seconds=0.5, peak_memory_bytes=2)
STOPPED = Ended(step=1, ending=Ending.STOPPED, seconds=0.5, peak_memory_bytes=2)
FAILED = Failed(what=FailureKind.MEMORY, message="9 GB are needed", step=7, rows=(3, 5))
JOB = TrainJob(
    plan=ResolvedPlan(
        layers=2, learning_rate=1e-4, iterations=1, validate_every=1, checkpoint_every=1
    ),
    model=Path("model"),
    rows=Path("rows.safetensors"),
    folder=Path("work"),
)


class Worker:
    """Loads at once, begins when the rows are there, says its events, and waits for a stop."""

    name = "made-up"

    def __init__(
        self, *after_rows: TrainEvent, before_rows: Sequence[TrainEvent] = (LOADED,)
    ) -> None:
        self.rows = asyncio.Event()
        self.closed = False
        self._before, self._after = before_rows, after_rows

    async def train(
        self, job: TrainJob, *, stop: asyncio.Event | None = None
    ) -> AsyncGenerator[TrainEvent]:
        assert job == JOB
        try:
            for event in self._before:
                yield event
            await self.rows.wait()
            for event in self._after:
                yield event
            if stop is not None:
                await stop.wait()
                yield STOPPED
        finally:
            self.closed = True


class Session:
    """A session of a worker: what it showed, and what became of the preparation."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.seen: list[TrainEvent] = []
        self.loaded = asyncio.Event()
        self.prepared = ""

    async def run(
        self, *, raises: Exception | None = None, never: bool = False, stop: bool = False
    ) -> Ended:
        stopping = asyncio.Event() if stop else None

        async def prepare() -> None:
            self.prepared = "begun"
            try:
                await self.loaded.wait()
                if never:
                    await asyncio.Event().wait()
                if raises:
                    raise raises
            except asyncio.CancelledError:
                self.prepared = "cancelled"
                raise
            self.worker.rows.set()
            self.prepared = "done"

        def watch(event: TrainEvent) -> None:
            self.seen.append(event)
            self.loaded.set()
            if stopping is not None and isinstance(event, Step):
                stopping.set()

        backend: TrainingBackend = self.worker
        return await run_session(
            backend,
            JOB,
            prepare=prepare,
            watch=watch,
            places=lambda rows: [f"train.jsonl:{row + 1}" for row in rows],
            stop=stopping,
        )


async def test_a_worker_loads_while_the_rows_are_prepared_and_has_the_last_word() -> None:
    session = Session(Worker(STARTED, STEP, ENDED))
    assert await session.run() == ENDED
    assert session.seen == [LOADED, STARTED, STEP, ENDED]
    assert session.prepared == "done"
    assert session.worker.closed


async def test_what_goes_wrong_with_the_rows_ends_the_worker_that_waits_for_them() -> None:
    session = Session(Worker(STARTED, STEP, ENDED))
    with pytest.raises(DataCheckError, match="row 3"):
        await session.run(raises=DataCheckError("row 3"))
    assert session.seen == [LOADED]
    assert session.worker.closed


async def test_what_goes_wrong_with_the_rows_at_the_same_time_as_an_event_is_raised() -> None:
    """The worker never waits here, so its next event is there when the preparation fails."""
    worker = Worker(*[STEP] * 50, ENDED)
    worker.rows.set()
    session = Session(worker)
    with pytest.raises(DataCheckError):
        await session.run(raises=DataCheckError("row 3"))
    assert ENDED not in session.seen
    assert worker.closed


async def test_a_worker_that_fails_first_ends_the_preparation() -> None:
    session = Session(Worker(before_rows=(LOADED, FAILED)))
    with pytest.raises(TrainingError) as raised:
        await session.run(never=True)
    assert session.prepared == "cancelled"
    assert session.seen == [LOADED, FAILED]
    assert session.worker.closed
    assert "after iteration 7: 9 GB are needed" in raised.value.message
    assert raised.value.message.splitlines()[1:] == ["  train.jsonl:4", "  train.jsonl:6"]
    assert "gradient_checkpointing" in raised.value.hint


@pytest.mark.parametrize("events", [(), (STARTED, STEP)])
async def test_a_worker_without_a_last_word_is_an_error(events: tuple[TrainEvent, ...]) -> None:
    session = Session(Worker(*events))
    with pytest.raises(TrainingError, match="without a word"):
        await session.run()
    assert session.seen == [LOADED, *events]


async def test_a_worker_that_ends_before_there_are_rows_is_an_error_too() -> None:
    worker = Worker(before_rows=())
    worker.rows.set()
    session = Session(worker)
    with pytest.raises(TrainingError, match="without a word"):
        await session.run(never=True)
    assert session.prepared == "cancelled"


async def test_a_stop_reaches_the_worker_and_is_its_end() -> None:
    session = Session(Worker(STARTED, STEP))
    assert await session.run(stop=True) == STOPPED
    assert session.seen == [LOADED, STARTED, STEP, STOPPED]
    assert session.worker.closed


async def test_who_ends_the_session_ends_the_worker_and_the_preparation() -> None:
    session = Session(Worker(STARTED))
    running = asyncio.ensure_future(session.run(never=True))
    await session.loaded.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert session.worker.closed
    assert session.prepared == "cancelled"


async def test_what_a_watcher_raises_ends_the_worker() -> None:
    worker = Worker(STARTED)

    async def ready() -> None:
        worker.rows.set()

    def full(_event: TrainEvent) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        await run_session(worker, JOB, prepare=ready, watch=full, places=lambda _: ())
    assert worker.closed


@pytest.mark.parametrize("kind", FailureKind)
def test_each_failure_says_what_and_where_and_what_to_do(kind: FailureKind) -> None:
    error = failure(Failed(what=kind, message="so it went", step=3), ["train.jsonl:1"])
    assert "so it went" in error.message
    if kind is FailureKind.MODEL:
        assert isinstance(error, ModelError)
        assert "keys and layers" in error.hint
        return
    assert isinstance(error, TrainingError)
    assert "iteration 3: so it went" in error.message
    assert "train.jsonl:1" in error.message
    assert error.hint == HINTS.get(kind, "")
    assert bool(error.hint) == (kind is not FailureKind.INTERNAL)


def test_a_failure_before_the_first_iteration_names_none_and_few_rows_stand_for_many() -> None:
    places = [f"train.jsonl:{n}" for n in range(1, 100)]
    error = failure(Failed(what=FailureKind.DATA, message="no token counts"), places)
    assert "iteration" not in error.message
    assert error.message.splitlines()[1:] == [f"  {place}" for place in places[:SHOWN_ROWS]]
