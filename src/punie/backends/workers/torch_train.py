"""Trains with torch: `python -m punie.backends.workers.torch_train JOB.json`.

`train_program` says what a program that trains is told, and what it says.
"""

import sys
import warnings

from punie.backends.workers.train_engine import Engine
from punie.backends.workers.train_program import main
from punie.records.training import TrainJob


def make_engine(_job: TrainJob) -> Engine:
    """Import torch and make its engine."""
    # On the CPU bitsandbytes complains at every start that nothing is paged there. It is meant.
    warnings.filterwarnings("ignore", message="Paged optimizers are not supported on CPU")
    from punie.backends.workers.torch_engine import TorchEngine  # noqa: PLC0415 - it takes seconds

    return TorchEngine()


if __name__ == "__main__":
    sys.exit(main(make_engine))
