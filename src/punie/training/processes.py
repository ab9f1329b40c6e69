"""How many processes may train together here, and what each of them may take and has to do."""

import os

from punie.backends.cuda_env import uses_gpu
from punie.backends.gpu import gpus
from punie.errors import InputError
from punie.records.training import ResolvedPlan


def require_places(processes: int, *, backend: str, device: str) -> None:
    """Raise InputError where this machine has fewer places than processes.

    A place is a GPU for cuda, where it uses any, and else a core: two processes that share one are
    slower than one process.
    """
    if _each_has_a_gpu(backend, device):
        if processes > len(gpus()):
            raise InputError(
                f"--processes is {processes}, and {_counted(len(gpus()), 'GPU')} visible",
                hint="give as many as there are GPUs; CUDA_VISIBLE_DEVICES may hide some",
            )
    elif processes > (cores := os.cpu_count() or 1):
        raise InputError(
            f"--processes is {processes}, and {_counted(cores, 'core')} there to compute on",
            hint="give no more than it has",
        )


def require_rows(processes: int, plan: ResolvedPlan) -> None:
    """Raise InputError where some process would never have a row of a batch."""
    if processes > plan.batch_size:
        raise InputError(
            f"--processes is {processes}, and {_counted(plan.batch_size, 'row')} in a batch, to "
            "be dealt out among them",
            hint="give fewer processes or a larger --batch-size, which is that of all together",
        )


def part_for_each(plan: ResolvedPlan, processes: int) -> ResolvedPlan:
    """The plan as one process sees it, for its memory: with the largest share of a batch."""
    return plan.model_copy(update={"batch_size": -(-plan.batch_size // processes)})


def _each_has_a_gpu(backend: str, device: str) -> bool:
    return backend == "cuda" and uses_gpu(device)


def _counted(count: int, what: str) -> str:
    return f"{count} {what} is" if count == 1 else f"{count} {what}s are"
