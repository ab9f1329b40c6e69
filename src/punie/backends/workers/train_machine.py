"""What of a machine decides the bits of a training."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# mlx is only partly typed.

import ctypes
import os
from importlib import metadata

BLAS = "PUNIE_BLAS"
LOOP_FORMAT = 1
"""Grows with every change of punie's own that changes the bits of a training: the order of rows,
what shares a batch and how wide it is, where logits are computed, and when what is updated."""


def load_blas() -> dict[str, str]:
    """Load OpenBLAS where the environment names it, before mlx is imported.

    Gives its version, the processor that it found, and its threads.
    """
    path = os.environ.get(BLAS)
    if not path:
        return {"blas": "mlx's own"}
    library = ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    try:
        library.openblas_get_config.restype = ctypes.c_char_p
        config = library.openblas_get_config().decode()
        threads = str(library.openblas_get_num_threads())
    except AttributeError:
        return {"blas": os.path.realpath(path).rsplit("/", 1)[-1]}
    return {"blas": config, "blas_threads": threads}


def describe(blas: dict[str, str]) -> dict[str, str]:
    """What `Started` says of the machine; two that say the same give the same bits on the CPU."""
    import mlx.core as mx  # noqa: PLC0415 - only after BLAS

    device = mx.default_device()
    info = mx.device_info(device)
    return {
        "device": "gpu" if device == mx.gpu else "cpu",
        "processor": str(info.get("device_name", "")) or str(info.get("architecture", "")),
        **blas,
        "omp_threads": os.environ.get("OMP_NUM_THREADS", "default"),
        "compile": "off" if os.environ.get("MLX_DISABLE_COMPILE") else "on",
        "mlx": metadata.version("mlx"),
        "mlx_lm": metadata.version("mlx-lm"),
        "loop": str(LOOP_FORMAT),
    }


def other_bits(before: dict[str, str], now: dict[str, str]) -> str:
    """Why a training that goes on here may not give the bits of one that was never interrupted."""
    if now.get("device") == "gpu":
        return "a GPU does not promise the same bits twice"
    changed = [
        f"{key} was {before.get(key, 'unknown')} and is {now.get(key, 'unknown')}"
        for key in sorted({*before, *now})
        if before.get(key) != now.get(key)
    ]
    return "; ".join(changed)
