"""What every training backend does: real workers under the guardian, stopped, killed, orphaned.

A backend that is new adds its program to `PROGRAMS`; specs/training_worker.md says what it must do.
"""

import asyncio
import os
import signal
import sys
from contextlib import aclosing
from pathlib import Path

import psutil
import pytest
from safetensors.numpy import load_file  # pyright: ignore[reportUnknownVariableType]

from punie.backends.base import TrainingBackend
from punie.backends.choose import training_backend
from punie.errors import ModelError
from punie.records.training import (
    EVENTS_FILE,
    TRAIN_EVENT,
    Ended,
    Ending,
    Failed,
    FailureKind,
    Order,
    Phase,
    Saved,
    Started,
    Step,
    TrainEvent,
    TrainJob,
)
from short_trainings import LONG, PROGRAMS, changed, hurry, short_job, until_step, workers
from train_rows_file import random_rows, write_rows

ALONE = """
import asyncio, sys
from pathlib import Path
from punie.backends.choose import training_backend
from punie.records.training import TrainJob

async def main():
    job = TrainJob.model_validate_json(Path(sys.argv[1]).read_bytes())
    async for event in training_backend(sys.argv[2]).train(job):
        print(event.kind, flush=True)

asyncio.run(main())
"""


@pytest.fixture(params=PROGRAMS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> TrainingBackend:
    """Each backend that is installed here."""
    hurry(monkeypatch)
    try:
        return training_backend(request.param)
    except ModelError as error:
        pytest.skip(error.message)


@pytest.fixture
def job(tiny_model: Path, tmp_path: Path) -> TrainJob:
    return short_job(tiny_model, tmp_path)


def promises_bits(heard: list[TrainEvent]) -> bool:
    """A GPU does not give the same bits twice; a processor must."""
    (started,) = [event for event in heard if isinstance(event, Started)]
    return started.machine["device"] == "cpu"


def test_it_is_known_by_the_name_that_it_is_asked_for(backend: TrainingBackend) -> None:
    assert backend.name in PROGRAMS
    assert training_backend(backend.name).name == backend.name


async def test_a_stop_ends_after_the_iteration_and_it_goes_on_to_the_same_bits(
    backend: TrainingBackend,
    job: TrainJob,
) -> None:
    stop = asyncio.Event()
    heard: list[TrainEvent] = []
    async for event in backend.train(job, stop=stop):
        heard.append(event)
        if isinstance(event, Step) and event.step == 3:
            stop.set()
    last, saved = heard[-1], heard[-2]
    assert isinstance(last, Ended)
    assert last.ending is Ending.STOPPED
    assert 3 <= last.step < LONG
    assert isinstance(saved, Saved)
    assert saved.step == last.step
    weights = [load_file(job.folder / saved.file)]
    # Without the stop, the checkpoint of that iteration is the same.
    whole = changed(job, checkpoint_every=last.step).model_copy(
        update={"folder": job.folder.with_name("whole")}
    )
    async with aclosing(backend.train(whole)) as events:
        saved = await anext(event async for event in events if isinstance(event, Saved))
        weights.append(load_file(whole.folder / saved.file))
    assert not workers(backend.name)
    one, two = weights
    assert one.keys() == two.keys()
    if promises_bits(heard):
        assert all(one[name].tobytes() == two[name].tobytes() for name in one)


async def test_the_worker_loads_while_the_rows_are_still_made(
    backend: TrainingBackend, job: TrainJob
) -> None:
    ready = job.rows
    job = changed(job, iterations=2).model_copy(update={"rows": ready.with_name("later")})
    kinds: list[str] = []
    async for event in backend.train(job):
        kinds.append(event.kind)
        if event.kind == "loaded":
            ready.rename(job.rows)
    assert kinds == ["loaded", "probed", "started", "step", "step", "validated", "saved", "ended"]


async def test_a_stop_while_it_waits_for_rows_ends_it(
    backend: TrainingBackend, job: TrainJob
) -> None:
    job = job.model_copy(update={"rows": job.folder / "never"})
    stop = asyncio.Event()
    heard: list[TrainEvent] = []
    async for event in backend.train(job, stop=stop):
        heard.append(event)
        stop.set()
    assert isinstance(heard[-1], Ended)
    assert (heard[-1].ending, heard[-1].step) == (Ending.STOPPED, 0)


async def test_a_stop_before_the_worker_can_hear_it_ends_it(
    backend: TrainingBackend, job: TrainJob
) -> None:
    stop = asyncio.Event()
    stop.set()
    heard = [event async for event in backend.train(job, stop=stop)]
    assert isinstance(heard[-1], Ended)
    assert (heard[-1].ending, heard[-1].step) == (Ending.STOPPED, 0)


async def test_closing_the_generator_leaves_a_checkpoint_and_nothing_running(
    backend: TrainingBackend,
    job: TrainJob,
) -> None:
    events = backend.train(job)
    await until_step(events, 2)
    assert len(workers(backend.name)) == 1
    await events.aclose()
    assert not workers(backend.name)
    assert len(list((job.folder / "checkpoints").glob("*.safetensors"))) == 1
    going_on = backend.train(job.model_copy(update={"resume": True}))
    heard = await until_step(going_on, 3)
    await going_on.aclose()
    (started,) = [event for event in heard if isinstance(event, Started)]
    assert started.step >= 2
    assert started.exact is promises_bits(heard)


@pytest.mark.parametrize(
    ("number", "what", "said"),
    [
        (signal.SIGKILL, FailureKind.MEMORY, "a smaller batch"),
        (signal.SIGSEGV, FailureKind.INTERNAL, "signal 11"),
    ],
)
async def test_a_worker_that_dies_is_a_failure_with_its_reason(
    backend: TrainingBackend, job: TrainJob, number: signal.Signals, what: FailureKind, said: str
) -> None:
    events = backend.train(job)
    await until_step(events, 2)
    (worker,) = workers(backend.name)
    os.kill(worker.pid, number)
    *_, last = [event async for event in events]
    assert isinstance(last, Failed)
    assert last.what is what
    assert last.step >= 2
    assert said in last.message


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_parent_that_dies_leaves_a_checkpoint_and_nothing_running(
    backend: TrainingBackend, job: TrainJob, tmp_path: Path, number: signal.Signals
) -> None:
    file = tmp_path / "given.json"
    file.write_text(job.model_dump_json())
    argv = [sys.executable, "-c", ALONE, file, backend.name]
    parent = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    await anext(line async for line in parent.stdout if line == b"step\n")
    orphans = psutil.Process(parent.pid).children(recursive=True)
    assert len(orphans) == 2  # the guardian, and the worker
    parent.send_signal(number)
    await parent.wait()
    _, alive = await asyncio.to_thread(psutil.wait_procs, orphans, 20)
    assert not alive
    assert len(list((job.folder / "checkpoints").glob("*.safetensors"))) == 1


async def test_a_probe_goes_no_further(backend: TrainingBackend, job: TrainJob) -> None:
    job = job.model_copy(update={"phase": Phase.PROBE})
    heard = [event async for event in backend.train(job)]
    assert [event.kind for event in heard] == ["loaded", "probed", "ended"]
    assert isinstance(heard[-1], Ended)
    assert heard[-1].ending is Ending.PROBED
    assert heard[-1].peak_memory_bytes > 0


async def test_the_workers_own_record_has_every_event(
    backend: TrainingBackend, job: TrainJob
) -> None:
    heard = [event async for event in backend.train(changed(job, iterations=2))]
    lines = (job.folder / EVENTS_FILE).read_bytes().splitlines()
    assert [TRAIN_EVENT.validate_json(line) for line in lines] == heard


async def test_what_is_not_to_be_saved_leaves_no_weights(
    backend: TrainingBackend, job: TrainJob
) -> None:
    job = changed(job, iterations=2).model_copy(update={"save": False})
    heard = [event async for event in backend.train(job)]
    assert isinstance(heard[-1], Ended)
    assert not [event for event in heard if isinstance(event, Saved)]
    assert not list(job.folder.rglob("*.safetensors"))


async def test_too_much_memory_is_refused_before_the_first_iteration(
    backend: TrainingBackend, job: TrainJob
) -> None:
    job = job.model_copy(update={"memory_limit_bytes": 1000})
    heard = [event async for event in backend.train(job)]
    assert isinstance(heard[-1], Failed)
    assert heard[-1].what is FailureKind.MEMORY
    assert not [event for event in heard if isinstance(event, Step)]


async def test_another_plan_does_not_go_on(backend: TrainingBackend, job: TrainJob) -> None:
    async for _ in backend.train(changed(job, iterations=2)):
        pass
    job = changed(job, iterations=2, rank=4).model_copy(update={"resume": True})
    *_, last = [event async for event in backend.train(job)]
    assert isinstance(last, Failed)
    assert last.what is FailureKind.RESUME
    assert "rank" in last.message


async def test_a_batch_of_which_nothing_counts_is_named(
    backend: TrainingBackend, job: TrainJob, tmp_path: Path
) -> None:
    rows = random_rows(4)
    rows[2:] = [(tokens, [0] * len(tokens)) for tokens, _ in rows[2:]]
    masked = write_rows(tmp_path / "masked", train=rows, valid=random_rows(2))
    job = changed(job, order=Order.FILE).model_copy(update={"rows": masked})
    *_, last = [event async for event in backend.train(job)]
    assert isinstance(last, Failed)
    assert (last.what, last.step, last.rows) == (FailureKind.DATA, 2, (2, 3))
