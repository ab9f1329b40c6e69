"""What a worker does before it imports mlx, mlx_lm or a tokenizer of transformers."""

import ctypes
import os
import sys

BLAS = "PUNIE_BLAS"
"""Names the OpenBLAS that the parent found: mlx's own build for Linux carries a reference BLAS,
about thirty times slower."""


def leave_torch_out() -> None:
    """Have transformers work as where torch is not installed: it would import it for nothing.

    On a machine with both backends that is a second of processor time and 180 MB for each worker.
    """
    sys.modules["torch"] = None  # pyright: ignore[reportArgumentType] - what stops its import


def before_mlx() -> dict[str, str]:
    """Leave torch out, and load OpenBLAS where the environment names it.

    Gives its version, the processor that it found, and its threads.
    """
    leave_torch_out()
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
