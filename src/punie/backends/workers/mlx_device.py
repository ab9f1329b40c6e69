"""What mlx computes on, and what of it decides the bits of a training."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# mlx is only partly typed.

import os
from importlib import metadata

from punie.backends.workers.train_machine import LOOP_FORMAT


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
