"""The protocol behind which every way of serving a model stands."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar

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
