"""Environments like the one that runs the tests, with some distributions left out."""

import sys
import sysconfig
import venv
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

MLX = ("mlx", "mlx-cpu", "mlx-metal", "mlx-lm")
"""What the extra `mlx` brings of its own."""
CUDA = ("torch", "bitsandbytes", "peft", "accelerate", "fastapi", "openai")
"""What the extra `cuda` brings of its own; transformers comes with mlx-lm too."""


def venv_without(folder: Path, *left_out: str) -> Path:
    """Make a virtual environment in `folder` that has all of ours but `left_out`; its python.

    Its site-packages are links to ours, so it is made in a moment and punie in it is this punie.
    """
    venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
    gone = {top for name in left_out for top in _top_levels(name)}
    ours = Path(sysconfig.get_path("purelib"))
    theirs = folder / ours.relative_to(sys.prefix)
    for entry in ours.iterdir():
        if entry.name not in gone and entry.name != "__pycache__":
            (theirs / entry.name).symlink_to(entry)
    return folder / "bin" / "python"


def _top_levels(name: str) -> set[str]:
    """The entries that a distribution has in site-packages; none where it is not installed."""
    try:
        files = distribution(name).files or []
    except PackageNotFoundError:
        return set()
    return {file.parts[0] for file in files if file.parts[0] not in {"..", "__pycache__"}}
