"""Writing a safetensors file tensor after tensor, so that one of them at a time is in memory.

The format: https://github.com/huggingface/safetensors#format
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from punie.errors import ModelError
from punie.models.safetensors import BITS
from punie.sizes import byte_size

RESERVE = 2**26
"""Bytes that the disk keeps beside the weights: for the tokenizer, and for others."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of the file; `dtype` in the format's spelling (`BF16`).

    `read` gives its values from first to last, in one piece or in many, as they go to the file: of
    bfloat16, which numpy does not have, the raw 16-bit words.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    read: Callable[[], Iterator[NDArray[Any]]]

    @property
    def size(self) -> int:
        """In bytes."""
        return prod(self.shape) * BITS[self.dtype] // 8


def require_space(folder: Path, tensors: Sequence[Tensor]) -> None:
    """Raise ModelError where the disk of `folder` has no room for these tensors."""
    needed, free = sum(tensor.size for tensor in tensors), shutil.disk_usage(folder).free
    if needed + RESERVE > free:
        raise ModelError(
            f"the converted model takes {byte_size(needed)}, {byte_size(free)} are free",
            hint="free some space, or set PUNIE_CACHE to a folder on another disk",
        )


def write_safetensors(
    out: IO[bytes], tensors: Sequence[Tensor], progress: Callable[[int, int], None]
) -> None:
    """Write the file and flush it to disk; `progress` is told the tensors done, and of how many."""
    header: dict[str, Any] = {"__metadata__": {"format": "mlx"}}
    end = 0
    for tensor in tensors:
        start, end = end, end + tensor.size
        header[tensor.name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    out.write(len(text).to_bytes(8, "little") + text)
    for done, tensor in enumerate(tensors, 1):
        for piece in tensor.read():
            out.write(np.ascontiguousarray(piece).data)
        progress(done, len(tensors))
    out.flush()
    os.fsync(out.fileno())


def bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The upper halves of 32-bit floats, rounded to nearest, ties to even."""
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
