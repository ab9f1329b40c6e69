"""Training with torch: its worker, on a GPU where one is visible, else on the CPU."""

import asyncio
from collections.abc import AsyncGenerator

from punie.backends.cuda_env import AUTO, cuda_env, uses_gpu
from punie.backends.installed import require
from punie.backends.worker_training import Worker
from punie.records.training import TrainEvent, TrainJob

CUDA_MEMORY = ("CUDA out of memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""What stands in the log where CUDA's own allocations fail, and not torch's."""


class CudaTraining:
    """Trains a local folder of Hugging Face's form; `device` is auto, gpu or cpu."""

    name = "cuda"

    def __init__(self, device: str = AUTO) -> None:
        self._device = device

    def train(
        self, job: TrainJob, *, stop: asyncio.Event | None = None
    ) -> AsyncGenerator[TrainEvent]:
        """As `Worker.train`.

        Raises ModelError where torch is not installed, or a GPU is asked for and none is visible.
        """
        require("cuda")
        return cuda_worker(self._device).train(job, stop=stop)


def cuda_worker(device: str) -> Worker:
    """The worker, and its environment. Raises ModelError where there is no such device."""
    env = cuda_env(device)
    if uses_gpu(device):
        # Rows of many lengths leave holes between large blocks of memory; these grow instead.
        env = {"PYTORCH_ALLOC_CONF": "expandable_segments:True", **env, "PUNIE_DEVICE": "gpu"}
    return Worker(
        backend=CudaTraining.name,
        program="torch_train",
        env=env,
        memory_words=CUDA_MEMORY,
        memory_ran_out="the GPU's memory ran out, and the worker ended",
    )
