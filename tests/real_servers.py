"""The two real servers that punie starts, for tests of what must hold with either."""

from collections.abc import Callable
from typing import Any

import pytest

from punie.backends.base import ServingBackend
from punie.backends.cuda import CudaBackend
from punie.backends.installed import missing
from punie.backends.mlx import MlxBackend
from punie.records.run import ModelIdentity
from punie.serving.config import ServerConfig

SERVERS = ("mlx", "cuda")
either = pytest.mark.parametrize("server", SERVERS)
"""Runs a test with mlx_lm.server and with transformers serve."""


def real(server: str, **options: Any) -> ServingBackend[ServerConfig]:
    """The backend called `server`, on the CPU; skips the test where it is not installed."""
    if missing(server):
        pytest.skip(f"the {server} backend is not installed")
    identity = ModelIdentity(name="tiny", backend=server)
    make: Callable[..., ServingBackend[ServerConfig]] = MlxBackend
    if server == "cuda":
        make, options = CudaBackend, {"device": "cpu", **options}
    return make(identity, tools=True, parser="json_tools", **options)
