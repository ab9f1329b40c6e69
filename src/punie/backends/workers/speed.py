"""How fast mlx multiplies here: `PUNIE_BLAS=… python -m punie.backends.workers.speed`.

Prints one line of JSON: `{"mlx": VERSION, "device": "gpu" or "cpu", "gflops": N}`. The matrices are
float32 and as large as those of a small model's prompt; the fastest of the tries counts.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# mlx is only partly typed.

import json
import time
from importlib import metadata

from punie.backends.workers.before_mlx import before_mlx

SIZE = 640
TRIES = 3


def main() -> None:
    """Load BLAS where it is named, multiply, and say how fast."""
    before_mlx()
    import mlx.core as mx  # noqa: PLC0415 - only after BLAS

    left = mx.random.normal((SIZE, SIZE))
    right = mx.random.normal((SIZE, SIZE))
    mx.eval(left, right, left @ right)
    seconds: list[float] = []
    for _ in range(TRIES):
        began = time.perf_counter()
        mx.eval(left @ right)
        seconds.append(time.perf_counter() - began)
    gflops = 2 * SIZE**3 / min(seconds) / 1e9
    device = "gpu" if mx.default_device() == mx.gpu else "cpu"
    print(json.dumps({"mlx": metadata.version("mlx"), "device": device, "gflops": gflops}))


if __name__ == "__main__":
    main()
