"""What of a machine decides the bits of a training."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# mlx is only partly typed.

import os
from importlib import metadata

LOOP_FORMAT = 1
"""Grows with every change of punie's own that changes the bits of a training: the order of rows,
what shares a batch and how wide it is, where logits are computed, and when what is updated."""


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
