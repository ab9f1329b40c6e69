"""Which backend serves and trains: the one that is asked for, or the one that this machine has."""

import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from punie.backends.base import TrainingBackend
from punie.backends.cuda_training import CudaTraining
from punie.backends.gpu import gpus
from punie.backends.installed import PACKAGES, missing, require
from punie.backends.mlx_training import MlxTraining
from punie.errors import InputError
from punie.records.training import Quantization

AUTO = "auto"
_TRAINERS: dict[str, Callable[[str], TrainingBackend]] = {
    "mlx": lambda _device: MlxTraining(),
    "cuda": CudaTraining,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendChoice:
    """What serves a model of this machine, and how."""

    backend: str | None = None
    """`mlx` or `cuda`; None and `auto`: the machine's usual."""
    quantization: Quantization = Quantization.NONE
    """How cuda packs the weights while it loads them."""
    device: Literal["auto", "gpu", "cpu"] = "auto"
    """What cuda computes on."""
    vllm: str | None = None
    """The Python of an environment with vLLM, which then serves for cuda."""

    def settled(self) -> "BackendChoice":
        """The choice with a backend that is installed.

        Raises ModelError where it is not, and InputError for packing that mlx does not do.
        """
        elsewhere = ", or give --url for a server that runs elsewhere"
        backend = chosen_backend(self.backend, otherwise=elsewhere)
        if backend == "mlx" and self.quantization is not Quantization.NONE:
            raise InputError(
                "mlx packs no model while it loads it",
                hint="give a model that is 4-bit already, or --backend cuda",
            )
        return replace(self, backend=backend)


def chosen_backend(name: str | None, *, otherwise: str = "") -> str:
    """`mlx` or `cuda`, installed and ready to be used; None and `auto` mean the machine's usual.

    That is mlx on Apple silicon, cuda where an NVIDIA GPU is visible, else what is installed.
    Raises ModelError, with the command that brings it and `otherwise`, where it is not installed,
    and InputError for a name that nobody knows.
    """
    chosen = usual_backend() if name in {None, AUTO} else str(name)
    if chosen not in PACKAGES:
        raise InputError(
            f"no backend is called {chosen}", hint=f"one of: {AUTO}, {', '.join(PACKAGES)}"
        )
    require(chosen, otherwise=otherwise)
    return chosen


def training_backend(name: str | None, device: str = AUTO) -> TrainingBackend:
    """The backend called `name`, as `chosen_backend` has it, for training.

    `device`, auto, gpu or cpu, is what cuda computes on. Raises as that does, and InputError for
    one that trains nothing.
    """
    if name == "endpoint":
        raise InputError(
            "the backend endpoint trains nothing: it is somebody else's server",
            hint=f'backend = "{usual_backend()}" trains on this machine',
        )
    return _TRAINERS[chosen_backend(name)](device)


def usual_backend() -> str:
    """What `auto` means here, installed or not."""
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "mlx"
    if gpus():
        return "cuda"
    return next((name for name in PACKAGES if missing(name) is None), "mlx")
