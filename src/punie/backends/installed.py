"""Which backends are installed on this machine, and the command that brings one."""

import importlib.util

from punie.errors import ModelError

PACKAGES = {
    "mlx": ("mlx_lm",),
    "cuda": ("torch", "transformers", "peft", "bitsandbytes", "accelerate", "fastapi", "openai"),
}
"""What each backend imports; its extra of punie brings all of them."""


def missing(backend: str) -> str | None:
    """The first package of the backend that is not installed; None if it is all there."""
    found = (name for name in PACKAGES[backend] if importlib.util.find_spec(name) is None)
    return next(found, None)


def require(backend: str, *, otherwise: str = "") -> None:
    """Raise ModelError, with the command that helps, where the backend is not installed.

    `otherwise` is what else helps.
    """
    package = missing(backend)
    if package is not None:
        raise ModelError(
            f"the {backend} backend needs {package.replace('_', '-')}, which is not installed",
            hint=f"pip install 'punie[{backend}]'{otherwise}",
        )
