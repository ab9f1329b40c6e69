"""Training in a worker: one child under the guardian, and its events."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from punie.models.worker import launched, worker_argv
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """How one backend trains in a child."""

    backend: str
    program: str
    """The worker's module."""
    env: dict[str, str]
    memory_words: Sequence[str] = ()
    """What stands in the log of a worker that memory ended before it could say so."""
    memory_ran_out: str = ""
    """What that means, in words."""

    async def train(
        self, job: TrainJob, *, stop: asyncio.Event | None = None
    ) -> AsyncGenerator[TrainEvent]:
        """Run the job in a worker and give its events; `Ended` or `Failed` is the last.

        Writes `job.json` and `worker.log` into the job's folder. Raises OSError where the folder
        cannot be written.
        """
        job.folder.mkdir(parents=True, exist_ok=True)
        file, log = job.folder / "job.json", job.folder / "worker.log"
        file.write_text(job.model_dump_json(indent=2) + "\n", encoding="utf-8")
        log_begins = log.stat().st_size if log.exists() else 0
        heard: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        child = Child(heard.put_nowait)
        tasks = [asyncio.create_task(_end_of(child, heard))]
        step = 0
        try:
            argv = worker_argv(self.program, str(file))
            argv = launched(argv, backend=self.backend, processes=job.processes)
            await child.spawn(argv, self.env, log=log, grace_s=GRACE_S)
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
            yield self.last_word(child, step, _tail(log, log_begins), asked=asked)
        finally:
            for task in tasks:
                task.cancel()
            await child.end()
            await asyncio.gather(*tasks, return_exceptions=True)

    def last_word(self, child: Child, step: int, tail: str, *, asked: bool) -> TrainEvent:
        """What a worker would have said that ended without a last word; `tail` ends its log."""
        if asked and child.exit_code == -signal.SIGTERM:
            # It was told to stop before it could hear it: nothing was begun.
            return Ended(step=step, ending=Ending.STOPPED, seconds=0.0, peak_memory_bytes=0)
        if child.out_of_memory:
            message = (
                f"the worker was killed (signal 9), probably because memory ran out: {LESS_MEMORY}"
            )
            return Failed(what=FailureKind.MEMORY, message=message, step=step)
        if any(word in tail for word in self.memory_words):
            message = (
                f"{self.memory_ran_out}. The training can be resumed from its last checkpoint; "
                f"{LESS_MEMORY}"
            )
            return Failed(what=FailureKind.MEMORY, message=message, step=step)
        code = child.exit_code
        ended = "with its guardian" if code is None else f"with exit code {code}"
        if code is not None and code < 0:
            ended = f"by signal {-code} ({signal.Signals(-code).name})"
        message = f"the worker ended {ended} and without a word. The end of its log:\n{tail}"
        return Failed(what=FailureKind.INTERNAL, message=message, step=step)


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


def _tail(log: Path, begins: int) -> str:
    """The end of what this worker wrote into its log."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(begins, size - TAIL_BYTES))
            return file.read().decode("utf-8", "replace").strip()
    except OSError:
        return ""
