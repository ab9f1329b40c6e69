"""What a training worker says, and how it says that it cannot go on."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from punie.records.training import (
    EVENTS_FILE,
    TRAIN_EVENT,
    Ended,
    Failed,
    FailureKind,
    Phase,
    ResolvedPlan,
    Saved,
    TrainEvent,
    TrainJob,
)

EVENTS_FD = "PUNIE_EVENTS_FD"

Emit = Callable[[TrainEvent], None]


class Failure(Exception):  # noqa: N818 - it reads as what happened
    """The training cannot go on; `event` is the worker's last word."""

    def __init__(
        self, what: FailureKind, message: str, *, step: int = 0, rows: tuple[int, ...] = ()
    ) -> None:
        super().__init__(message)
        self.event = Failed(what=what, message=message, step=step, rows=rows)


def keeps(job: TrainJob) -> bool:
    """Whether the job leaves anything in its folder."""
    return job.save and job.phase is Phase.TRAIN


def emit_to(job: TrainJob | None) -> Emit:
    """How to say an event: one line of JSON on the descriptor that the environment names.

    A training's events go to a file in the job's folder as well: when punie dies, the worker saves
    once more, and what it did until then must not be lost to the loss curve. The file is on the
    disk with each checkpoint.
    """
    descriptor = int(os.environ.get(EVENTS_FD, "-1"))
    kept = -1
    if job is not None and keeps(job):
        kept = _file_to_append(job.folder / EVENTS_FILE)

    def emit(event: TrainEvent) -> None:
        line = TRAIN_EVENT.dump_json(event) + b"\n"
        # Nobody may be listening any more: then the guardian ends us, and we still save. A disk
        # that is full is said by the next checkpoint.
        for each in (descriptor, kept):
            with contextlib.suppress(OSError):
                _write(each, line)
        if kept >= 0 and isinstance(event, Saved | Ended):
            with contextlib.suppress(OSError):
                os.fsync(kept)

    return emit


def less_memory(plan: ResolvedPlan) -> str:
    """What would make a job smaller, the least painful first."""
    ways: list[str] = []
    if plan.batch_size > 1:
        ways.append(
            f"a batch of {plan.batch_size // 2} and an accumulation of {plan.accumulation * 2}"
        )
    if not plan.gradient_checkpointing:
        ways.append("gradient checkpointing")
    ways += ["shorter rows", "fewer layers", "a smaller or quantised model"]
    return "what helps is " + ", ".join(ways)


def _file_to_append(path: Path) -> int:
    """A descriptor at the end of the file, after what a kill may have torn. -1 if there is none."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            _write(descriptor, b"\n")
    except OSError:
        return -1
    return descriptor


def _write(descriptor: int, line: bytes) -> None:
    while descriptor >= 0 and line:
        line = line[os.write(descriptor, line) :]
