"""Training with mlx: its worker, and what Metal says when memory runs out."""

import asyncio
from collections.abc import AsyncGenerator

from punie.backends.installed import require
from punie.backends.mlx import server_env
from punie.backends.worker_training import Worker
from punie.models.cache import cache_root
from punie.records.training import TrainEvent, TrainJob

METAL_MEMORY = ("Resource limit", "Insufficient Memory", "OutOfMemory")
"""What Metal writes before it ends the process: too many buffers, or too large ones."""


class MlxTraining:
    """Trains a local MLX folder."""

    name = "mlx"

    def train(
        self, job: TrainJob, *, stop: asyncio.Event | None = None
    ) -> AsyncGenerator[TrainEvent]:
        """As `Worker.train`. Raises ModelError where mlx_lm is not installed."""
        require("mlx")
        return mlx_worker().train(job, stop=stop)


def mlx_worker() -> Worker:
    """The worker, and its environment."""
    hub_cache = cache_root() / "no-hub"
    hub_cache.mkdir(parents=True, exist_ok=True)
    return Worker(
        backend=MlxTraining.name,
        program="mlx_train",
        env=server_env(hub_cache),
        memory_words=METAL_MEMORY,
        memory_ran_out="Metal ran out of memory or of buffers, and ended the worker",
    )
