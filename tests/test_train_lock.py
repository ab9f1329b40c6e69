"""Two workers in one folder: the second waits for the end of the first, and goes on from there."""

import asyncio
import fcntl
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from punie.backends.mlx_training import MlxTraining
from punie.backends.workers.train_failure import Failure
from punie.backends.workers.train_lock import LOCK, hold
from punie.records.training import (
    Ended,
    Ending,
    FailureKind,
    ResolvedPlan,
    Saved,
    Started,
    Step,
    TrainEvent,
    TrainJob,
)
from train_rows_file import random_rows, write_rows

LONG = 100_000
WAITS = "waiting for the worker before this one"


@pytest.fixture
def job(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainJob:
    for name in ("MLX_DISABLE_COMPILE", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    plan = ResolvedPlan(
        layers=1, learning_rate=1e-3, iterations=LONG, validate_every=LONG, checkpoint_every=LONG
    )
    rows = write_rows(tmp_path / "rows", train=random_rows(6))
    return TrainJob(plan=plan, model=tiny_model, rows=rows, folder=tmp_path / "work")


@contextmanager
def held(folder: Path) -> Generator[None]:
    folder.mkdir(exist_ok=True)
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


async def until_it_waits(log: Path) -> None:
    def look() -> None:
        give_up = time.monotonic() + 60
        while not (log.exists() and WAITS in log.read_text()):
            assert time.monotonic() < give_up, "it does not wait"
            time.sleep(0.02)

    await asyncio.to_thread(look)


async def test_a_resumed_training_waits_for_the_worker_that_is_still_saving(job: TrainJob) -> None:
    first = MlxTraining().train(job)
    async for event in first:
        if isinstance(event, Step) and event.step >= 2:
            break
    heard: list[TrainEvent] = []
    stop = asyncio.Event()

    async def go_on() -> None:
        async for event in MlxTraining().train(job.model_copy(update={"resume": True}), stop=stop):
            heard.append(event)
            if isinstance(event, Step):
                stop.set()

    second = asyncio.create_task(go_on())
    await until_it_waits(job.folder / "worker.log")
    assert heard == []
    await first.aclose()  # as the guardian does for a punie that died: TERM, and time to save
    (left,) = (job.folder / "checkpoints").glob("*.safetensors")
    await second
    (started,) = [event for event in heard if isinstance(event, Started)]
    assert started.step == int(left.stem)
    assert started.exact
    assert [event.step for event in heard if isinstance(event, Saved)] == sorted(
        int(each.stem) for each in (job.folder / "checkpoints").glob("*.safetensors")
    )


async def test_a_stop_while_it_waits_ends_it(job: TrainJob) -> None:
    stop = asyncio.Event()
    with held(job.folder):

        async def all_of_it() -> list[TrainEvent]:
            return [event async for event in MlxTraining().train(job, stop=stop)]

        training = asyncio.create_task(all_of_it())
        await until_it_waits(job.folder / "worker.log")
        stop.set()
        assert await training == [
            Ended(step=0, ending=Ending.STOPPED, seconds=0.0, peak_memory_bytes=0)
        ]
    assert not (job.folder / "events.jsonl").exists()


def test_one_that_does_not_end_is_said(tmp_path: Path) -> None:
    with (
        held(tmp_path),
        pytest.raises(Failure, match=r"another worker has been training in .* for 0 s") as raised,
    ):
        hold(tmp_path, lambda: False, wait_s=0.0)
    assert raised.value.event.what is FailureKind.RESUME


def test_a_folder_that_cannot_hold_a_lock_is_said(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=LOCK) as raised:
        hold(tmp_path / "none", lambda: False)
    assert raised.value.event.what is FailureKind.DISK
    (tmp_path / LOCK).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Failure, match=LOCK):
        hold(tmp_path, lambda: False)
    assert not (tmp_path / "elsewhere").exists()
