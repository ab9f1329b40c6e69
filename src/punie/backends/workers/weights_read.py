"""Reading a safetensors file tensor by tensor, by numpy alone, which knows no bfloat16."""

from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from punie.models.safetensors import BITS, read_header

FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""How numpy reads decimal numbers; of bfloat16 the raw 16-bit words."""


class WeightsFile:
    """The tensors of one file. Raises ModelError for a damaged one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tensors = read_header(path)
        with path.open("rb") as file:
            self._begin = 8 + int.from_bytes(file.read(8), "little")

    def raw(self, name: str) -> NDArray[np.uint8]:
        """The bytes of one tensor as they are in the file."""
        tensor = self.tensors[name]
        length = prod(tensor.shape) * BITS[tensor.dtype] // 8
        return np.fromfile(self.path, np.uint8, length, offset=self._begin + tensor.start)

    def floats(self, name: str) -> NDArray[np.float32]:
        """The values of a tensor of one of the types `FLOATS`, in its shape."""
        tensor = self.tensors[name]
        values = self.raw(name).view(FLOATS[tensor.dtype])
        if tensor.dtype == "BF16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        return values.astype(np.float32, copy=False).reshape(tensor.shape)
