"""What a training worker says, and how it says that it cannot go on."""

import contextlib
import os
from collections.abc import Callable

from punie.records.training import TRAIN_EVENT, Failed, FailureKind, TrainEvent

EVENTS_FD = "PUNIE_EVENTS_FD"

Emit = Callable[[TrainEvent], None]


class Failure(Exception):  # noqa: N818 - it reads as what happened
    """The training cannot go on; `event` is the worker's last word."""

    def __init__(
        self, what: FailureKind, message: str, *, step: int = 0, rows: tuple[int, ...] = ()
    ) -> None:
        super().__init__(message)
        self.event = Failed(what=what, message=message, step=step, rows=rows)


def emit_on_descriptor() -> Emit:
    """How to say an event: one line of JSON on the descriptor that the environment names."""
    descriptor = int(os.environ.get(EVENTS_FD, "-1"))

    def emit(event: TrainEvent) -> None:
        line = TRAIN_EVENT.dump_json(event) + b"\n"
        # Nobody may be listening any more: then the guardian ends us, and we still save.
        with contextlib.suppress(OSError):
            while descriptor >= 0 and line:
                line = line[os.write(descriptor, line) :]

    return emit
