"""What every program that trains does around the loop: the job, signals, the lock, the last word.

The job is a `TrainJob`; what happens is said as `TrainEvent`s, one JSON object a line, on the
descriptor that `PUNIE_EVENTS_FD` names. SIGTERM and SIGINT end the training after the iteration
that it is in, with a checkpoint, and the exit code is 0. The exit code of a failure is 1.

Of several processes that train together the first one speaks and writes; the others say only why
they failed. One that could not add up with the others says nothing: they know why.
"""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from punie.backends.workers.train_engine import Engine
from punie.backends.workers.train_failure import Emit, Failure, emit_to, keeps, less_memory
from punie.backends.workers.train_lock import hold, wait_for_first
from punie.records.training import Ended, Ending, Failed, FailureKind, TrainJob

RANKS = ("RANK", "MLX_RANK")
"""Variables in which a launcher of several processes says which one this is."""
PEER_LOST = 72
"""The exit code of a process that could not add up with the others."""
LOST = ("[ring]", "gloo", "NCCL", "Connection closed by peer", "Connection reset by peer")
"""What the frameworks say where another process is gone, or a network."""
stopping = False


def main(make_engine: Callable[[TrainJob], Engine]) -> int:
    """Do the job that the first argument names; the exit code.

    `make_engine` is called once the folder is held, and imports what the engine needs.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    try:
        job = TrainJob.model_validate_json(Path(sys.argv[1]).read_bytes())
    except (IndexError, OSError, ValidationError) as problem:
        emit_to(None)(Failed(what=FailureKind.INTERNAL, message=f"no job to do: {problem}"))
        return 2
    first = all(os.environ.get(name, "0") == "0" for name in RANKS)
    try:
        # Before anything of the folder is read, and its file of events is opened.
        if keeps(job) and not (hold if first else wait_for_first)(job.folder, lambda: stopping):
            stopped = Ended(step=0, ending=Ending.STOPPED, seconds=0.0, peak_memory_bytes=0)
            if first:
                emit_to(None)(stopped)
            return 0
    except Failure as failure:
        emit_to(None)(failure.event)
        return 1
    return _train(job, emit_to(job if first else None), make_engine)


def _stop(_number: int, _frame: object) -> None:
    global stopping  # noqa: PLW0603 - a signal handler has no other way to tell
    stopping = True


def _train(job: TrainJob, emit: Emit, make_engine: Callable[[TrainJob], Engine]) -> int:
    from punie.backends.workers.train_loop import run  # noqa: PLC0415 - numpy, after BLAS

    engine: Engine | None = None
    try:
        engine = make_engine(job)
        run(job, emit, lambda: stopping, engine)
    except Failure as failure:
        last = failure.event
    except Exception as error:  # noqa: BLE001 - whatever it was, punie hears of it
        traceback.print_exc()
        if job.processes > 1 and any(word in str(error) for word in LOST):
            return PEER_LOST
        last = _failed(error, job)
    else:
        return 0
    peak = 0 if engine is None else engine.peak_memory()
    emit(replace(last, peak_memory_bytes=peak))
    return 1


def _failed(error: Exception, job: TrainJob) -> Failed:
    """What to say of an error that nobody foresaw. Frameworks name a lack of memory in words."""
    message = f"{type(error).__name__}: {error}"
    if isinstance(error, MemoryError) or "allocate" in message:
        return Failed(what=FailureKind.MEMORY, message=f"{message}: {less_memory(job.plan)}")
    return Failed(what=FailureKind.INTERNAL, message=message)
