"""Trains with mlx: `python -m punie.backends.workers.mlx_train JOB.json`.

The job is a `TrainJob`; what happens is said as `TrainEvent`s, one JSON object a line, on the
descriptor that `PUNIE_EVENTS_FD` names. SIGTERM and SIGINT end the training after the iteration
that it is in, with a checkpoint, and the exit code is 0. The exit code of a failure is 1.
"""

import signal
import sys
import traceback
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from punie.backends.workers.train_failure import Emit, Failure, emit_to, keeps, less_memory
from punie.backends.workers.train_lock import hold
from punie.backends.workers.train_machine import describe, load_blas
from punie.records.training import Ended, Ending, Failed, FailureKind, TrainJob

stopping = False


def main() -> int:
    """Load BLAS, then mlx, then train."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    try:
        job = TrainJob.model_validate_json(Path(sys.argv[1]).read_bytes())
    except (IndexError, OSError, ValidationError) as problem:
        emit_to(None)(Failed(what=FailureKind.INTERNAL, message=f"no job to do: {problem}"))
        return 2
    try:
        # Before anything of the folder is read, and its file of events is opened.
        if keeps(job) and not hold(job.folder, lambda: stopping):
            stopped = Ended(step=0, ending=Ending.STOPPED, seconds=0.0, peak_memory_bytes=0)
            emit_to(None)(stopped)
            return 0
    except Failure as failure:
        emit_to(None)(failure.event)
        return 1
    return _train(job, emit_to(job))


def _stop(_number: int, _frame: object) -> None:
    global stopping  # noqa: PLW0603 - a signal handler has no other way to tell
    stopping = True


def _train(job: TrainJob, emit: Emit) -> int:
    blas = load_blas()
    import mlx.core as mx  # noqa: PLC0415 - only after BLAS

    from punie.backends.workers.train_run import run  # noqa: PLC0415 - only after BLAS

    try:
        run(job, emit, lambda: stopping, describe(blas))
    except Failure as failure:
        last = failure.event
    except Exception as error:  # noqa: BLE001 - whatever it was, punie hears of it
        traceback.print_exc()
        message = f"{type(error).__name__}: {error}"
        if isinstance(error, MemoryError) or "allocate" in message:
            last = Failed(what=FailureKind.MEMORY, message=f"{message}: {less_memory(job.plan)}")
        else:
            last = Failed(what=FailureKind.INTERNAL, message=message)
    else:
        return 0
    emit(replace(last, peak_memory_bytes=mx.get_peak_memory()))
    return 1


if __name__ == "__main__":
    sys.exit(main())
