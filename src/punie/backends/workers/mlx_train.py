"""Trains with mlx: `python -m punie.backends.workers.mlx_train JOB.json`.

`train_program` says what a program that trains is told, and what it says.
"""

import sys

from punie.backends.workers.before_mlx import before_mlx
from punie.backends.workers.train_engine import Engine
from punie.backends.workers.train_program import main
from punie.records.training import TrainJob


def make_engine(job: TrainJob) -> Engine:
    """Load BLAS, then mlx, and find the other processes."""
    blas = before_mlx()
    from punie.backends.workers.mlx_engine import (  # noqa: PLC0415 - only after BLAS
        MlxEngine,
        join,
    )

    return MlxEngine(blas, join() if job.processes > 1 else None)


if __name__ == "__main__":
    sys.exit(main(make_engine))
