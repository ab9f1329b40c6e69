"""The protocols behind which every way of serving and of training a model stands."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar

from punie.records.training import TrainEvent, TrainJob
from punie.serving.endpoint import Endpoint

ConfigT = TypeVar("ConfigT", contravariant=True)  # noqa: PLC0105 - the name reads better without


class ServingBackend(Protocol[ConfigT]):
    """Serves a model: inside the context the endpoint is ready, after it nothing is left running.

    `ConfigT` is what the backend must be told: `ServerConfig` where punie owns the server,
    `EndpointConfig` where somebody else does.
    """

    def serve(self, config: ConfigT) -> AbstractAsyncContextManager[Endpoint]:
        """Start or reach it. Raises ServerError, ModelError or EndpointError."""
        ...


class TrainingBackend(Protocol):
    """Trains in a child of its own, so that a crash is an event and memory is given back."""

    name: str
    """`mlx` or `cuda`."""

    def train(
        self, job: TrainJob, *, stop: asyncio.Event | None = None
    ) -> AsyncGenerator[TrainEvent]:
        """Run the job and give its events; the last one is always `Ended` or `Failed`.

        Once `stop` is set the worker ends after the iteration that it is in, and keeps everything.
        Closing the generator ends it within a grace, and nothing of it is left running. Raises
        ModelError where the backend is not installed.
        """
        ...
