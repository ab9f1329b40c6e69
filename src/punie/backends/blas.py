"""OpenBLAS on Linux: mlx's wheel carries a reference BLAS that is about thirty times slower."""

import ctypes.util
import os
import sys
from pathlib import Path

PLACES = (
    "/usr/lib/{arch}-linux-gnu/openblas-pthread/libopenblas.so.0",
    "/usr/lib/{arch}-linux-gnu/libopenblas.so.0",
    "/usr/lib64/libopenblasp.so.0",
    "/usr/lib64/libopenblas.so.0",
    "/usr/lib/libopenblas.so.0",
)


def find_openblas() -> Path | None:
    """The OpenBLAS library of this machine, or None; on macOS always None, it is not needed."""
    if not sys.platform.startswith("linux"):
        return None
    arch = os.uname().machine
    for place in PLACES:
        path = Path(place.format(arch=arch))
        if path.exists():
            return path
    name = ctypes.util.find_library("openblas")
    return Path(name) if name else None
