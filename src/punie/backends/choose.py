"""Which backend trains: the one that is asked for, or the one that this machine has."""

import importlib.util
import platform
import sys
from collections.abc import Callable
from typing import NamedTuple

from punie.backends.base import TrainingBackend
from punie.backends.mlx_training import MlxTraining
from punie.errors import InputError, ModelError

AUTO = "auto"


class _Kind(NamedTuple):
    """A way of training, and the package without which it is not here."""

    make: Callable[[], TrainingBackend]
    package: str
    install: str


_KINDS = {"mlx": _Kind(MlxTraining, "mlx_lm", "pip install 'punie[mlx]'")}
"""By the name that a person asks for; it is also the backend's own."""


def training_backend(name: str | None) -> TrainingBackend:
    """The backend called `name`; None and `auto`: mlx on Apple silicon, else what is installed.

    Raises ModelError where it is not here or not installed, and InputError for one that trains
    nothing or that nobody knows.
    """
    if name == "endpoint":
        raise InputError(
            "the backend endpoint trains nothing: it is somebody else's server",
            hint=f'backend = "{_usual()}" trains on this machine',
        )
    if name == "cuda":
        raise ModelError(
            "the backend cuda is not here yet: this punie trains with mlx alone",
            hint='backend = "mlx" in punie.toml trains on this machine, on Linux by its processor',
        )
    chosen = _usual() if name in {None, AUTO} else str(name)
    if chosen not in _KINDS:
        raise InputError(
            f"no backend is called {chosen}", hint=f"one of: {AUTO}, {', '.join(_KINDS)}"
        )
    kind = _KINDS[chosen]
    if not _installed(kind):
        raise ModelError(
            f"training with {chosen} needs {kind.package}, which is not installed",
            hint=kind.install,
        )
    return kind.make()


def _usual() -> str:
    """The first of those that are installed; mlx where it runs on the machine's own GPU."""
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "mlx"
    return next((name for name, kind in _KINDS.items() if _installed(kind)), "mlx")


def _installed(kind: _Kind) -> bool:
    return importlib.util.find_spec(kind.package) is not None
