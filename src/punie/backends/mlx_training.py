"""Training with mlx: one worker under the guardian, and its events."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from punie.backends.installed import require
from punie.backends.mlx import server_env
from punie.models.cache import cache_root
from punie.models.worker import worker_argv
from punie.records.training import (
    TRAIN_EVENT,
    Ended,
    Ending,
    Failed,
    FailureKind,
    Started,
    Step,
    TrainEvent,
    TrainJob,
)
from punie.serving.child import Child

GRACE_S = 30.0
"""A worker that must end may finish its iteration and write a checkpoint."""
TAIL_BYTES = 4000
LESS_MEMORY = "a smaller batch, gradient checkpointing, shorter rows or fewer layers need less"
METAL_MEMORY = ("Resource limit", "Insufficient Memory", "OutOfMemory")
"""What Metal writes before it ends the process: too many buffers, or too large ones."""


class MlxTraining:
    """Trains a local MLX folder."""

    name = "mlx"

    async def train(
        self, job: TrainJob, *, stop: asyncio.Event | None = None
    ) -> AsyncGenerator[TrainEvent]:
        """Run the job in a worker and give its events; `Ended` or `Failed` is the last.

        Writes `job.json` and `worker.log` into the job's folder. Raises ModelError where mlx_lm is
        not installed, and OSError where the folder cannot be written.
        """
        require("mlx")
        job.folder.mkdir(parents=True, exist_ok=True)
        file, log = job.folder / "job.json", job.folder / "worker.log"
        file.write_text(job.model_dump_json(indent=2) + "\n", encoding="utf-8")
        log_begins = log.stat().st_size if log.exists() else 0
        hub_cache = cache_root() / "no-hub"
        hub_cache.mkdir(parents=True, exist_ok=True)
        heard: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        child = Child(heard.put_nowait)
        tasks = [asyncio.create_task(_end_of(child, heard))]
        step = 0
        try:
            argv = worker_argv("mlx_train", str(file))
            await child.spawn(argv, server_env(hub_cache), log=log, grace_s=GRACE_S)
            if stop is not None:
                tasks.append(asyncio.create_task(_stop(child, stop)))
            while (said := await heard.get()) is not None:
                event = _parsed(said)
                if event is None:
                    continue
                if isinstance(event, Started | Step):
                    step = event.step
                yield event
                if isinstance(event, Ended | Failed):
                    return
            asked = stop is not None and stop.is_set()
            yield _last_word(child, step, _tail(log, log_begins), asked=asked)
        finally:
            for task in tasks:
                task.cancel()
            await child.end()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _end_of(child: Child, heard: asyncio.Queue[dict[str, Any] | None]) -> None:
    await child.exited.wait()
    heard.put_nowait(None)


async def _stop(child: Child, stop: asyncio.Event) -> None:
    """Ask the worker itself, and not its guardian, to end: it finishes its iteration."""
    await stop.wait()
    if child.alive and child.pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGTERM)


def _parsed(said: dict[str, Any]) -> TrainEvent | None:
    try:
        return TRAIN_EVENT.validate_python(said)
    except ValidationError:
        return None


def _last_word(child: Child, step: int, tail: str, *, asked: bool) -> TrainEvent:
    """What a worker would have said that ended without a last word."""
    if asked and child.exit_code == -signal.SIGTERM:
        # It was told to stop before it could hear it: nothing was begun.
        return Ended(step=step, ending=Ending.STOPPED, seconds=0.0, peak_memory_bytes=0)
    if child.out_of_memory:
        message = (
            f"the worker was killed (signal 9), probably because memory ran out: {LESS_MEMORY}"
        )
        return Failed(what=FailureKind.MEMORY, message=message, step=step)
    if any(word in tail for word in METAL_MEMORY):
        message = (
            f"Metal ran out of memory or of buffers, and ended the worker. The training can be "
            f"resumed from its last checkpoint; {LESS_MEMORY}"
        )
        return Failed(what=FailureKind.MEMORY, message=message, step=step)
    code = child.exit_code
    ended = "with its guardian" if code is None else f"with exit code {code}"
    if code is not None and code < 0:
        ended = f"by signal {-code} ({signal.Signals(-code).name})"
    message = f"the worker ended {ended} and without a word. The end of its log:\n{tail}"
    return Failed(what=FailureKind.INTERNAL, message=message, step=step)


def _tail(log: Path, begins: int) -> str:
    """The end of what this worker wrote into its log."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(begins, size - TAIL_BYTES))
            return file.read().decode("utf-8", "replace").strip()
    except OSError:
        return ""
