"""Jobs of the tiny model that a test stops, kills or lets end, and what it hears of them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from punie.records.training import ResolvedPlan, Step, TrainEvent, TrainJob
from train_rows_file import random_rows, write_rows

PROGRAMS = {"mlx": "mlx_train", "cuda": "torch_train"}
LONG = 100_000
"""Iterations that no test waits for."""
PLAN = ResolvedPlan(
    layers=2,
    learning_rate=1e-3,
    iterations=LONG,
    validate_every=LONG,
    checkpoint_every=LONG,
    batch_size=2,
    dropout=0.1,
)


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compilation takes longer than these trainings, and more threads are slower on small ones."""
    for name in ("MLX_DISABLE_COMPILE", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")


def short_job(model: Path, folder: Path) -> TrainJob:
    """A job of six rows and two to validate on."""
    rows = write_rows(folder / "rows", train=random_rows(6), valid=random_rows(2, 1))
    return TrainJob(plan=PLAN, model=model, rows=rows, folder=folder / "work")


def changed(job: TrainJob, **plan: Any) -> TrainJob:
    """The job with other values in its plan."""
    return job.model_copy(update={"plan": PLAN.model_copy(update=plan)})


async def until_step(events: AsyncIterator[TrainEvent], step: int) -> list[TrainEvent]:
    """Listen until an iteration is done; what was heard."""
    heard: list[TrainEvent] = []
    async for event in events:
        heard.append(event)
        if isinstance(event, Step) and event.step >= step:
            break
    return heard


def workers(backend: str = "mlx") -> list[psutil.Process]:
    """The trainers among the processes that descend from this one."""
    module = f"punie.backends.workers.{PROGRAMS[backend]}"
    found: list[psutil.Process] = []
    for process in psutil.Process().children(recursive=True):
        try:
            if process.cmdline()[1:4] == ["-P", "-m", module]:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found
