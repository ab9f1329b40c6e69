"""The matrices of an adapter, written transposed under other names: word by word, never rounded.

mlx_lm keeps `lora_a` as (in, rank), PEFT `lora_A` as (rank, in). The words keep their order in the
file, and each form is spelled as its own library spells it: back and forth gives the same bytes.
"""

import json
from collections.abc import Mapping
from enum import Enum
from math import prod
from pathlib import Path
from typing import Any

from punie.errors import ModelError
from punie.models.safetensors import BITS, NAMES, TensorInfo, read_header
from punie.reading import open_regular
from punie.sizes import byte_size
from punie.text import one_line

WORDS = {"F32": "<u4", "F16": "<u2", "BF16": "<u2"}
"""Types that adapters have; moved as whole numbers, since numpy knows no bfloat16."""
MAX_BYTES = 2**34
"""16 GiB, some fifty times what a rank of 64 takes on a model of 70 billion parameters."""


class Spelling(Enum):
    """Whose header: both are safetensors, but neither library writes the other's bytes."""

    MLX = "mlx"
    TORCH = "pt"


def write_transposed(
    source: Path, target: Path, names: Mapping[str, str], spelling: Spelling
) -> None:
    """Write the file `target` with every matrix of `source` transposed, under its name in `names`.

    Raises ModelError for a file that is no adapter of matrices in 16 or 32 bits; OSError where
    nothing can be written.
    """
    import numpy as np  # noqa: PLC0415 - 60 ms, for whoever converts alone

    tensors = require_matrices(source)
    order = sorted(tensors, key=lambda name: tensors[name].start)
    entries: dict[str, dict[str, Any]] = {}
    end = 0
    for name in order:
        info = tensors[name]
        start, end = end, end + _size(info)
        shape = list(reversed(info.shape))
        entries[names[name]] = {"dtype": info.dtype, "shape": shape, "data_offsets": [start, end]}
    with open_regular(source) as file, target.open("xb") as out:
        out.write(_header(entries, spelling))
        file.seek(8 + int.from_bytes(file.read(8), "little"))
        for name in order:
            info = tensors[name]
            raw = file.read(_size(info))
            words = np.frombuffer(raw, WORDS[info.dtype]).reshape(info.shape)
            out.write(np.ascontiguousarray(words.T).data)


def first_difference(one: Path, other: Path) -> str:
    """The first tensor that two files do not share, bit for bit; nothing where they share all.

    Where the tensors stand in their files does not count. Raises ModelError or OSError.
    """
    mine, theirs = read_header(one), read_header(other)
    with open_regular(one) as first, open_regular(other) as second:
        starts = [8 + int.from_bytes(file.read(8), "little") for file in (first, second)]
        for name in sorted(mine.keys() | theirs.keys()):
            if mine.get(name) != theirs.get(name):
                return name
            first.seek(starts[0] + mine[name].start)
            second.seek(starts[1] + theirs[name].start)
            size = _size(mine[name])
            if first.read(size) != second.read(size):
                return name
    return ""


def require_matrices(source: Path) -> dict[str, TensorInfo]:
    """The tensors of a file that holds nothing but matrices in 16 or 32 bits, and not too much.

    Raises ModelError for any other.
    """
    tensors = read_header(source)
    for name, info in tensors.items():
        if info.dtype not in WORDS or len(info.shape) != 2:
            kind = NAMES.get(info.dtype, info.dtype)
            raise ModelError(
                f"{source}: {one_line(name, 80)} is {kind} of shape {info.shape}, no matrix of "
                "float32, float16 or bfloat16",
                hint="save the adapter in one of these types; expert layers are not converted",
            )
    if (total := sum(map(_size, tensors.values()))) > MAX_BYTES:
        raise ModelError(
            f"{source} holds {byte_size(total)}, more than any adapter that is read",
            hint="is it an adapter?",
        )
    return tensors


def _size(info: TensorInfo) -> int:
    return prod(info.shape) * BITS[info.dtype] // 8


def _header(entries: dict[str, dict[str, Any]], spelling: Spelling) -> bytes:
    """With mlx keys are sorted and nothing is filled up; safetensors keeps the data's order."""
    if spelling is Spelling.MLX:
        text = json.dumps(
            {"__metadata__": None, **entries}, separators=(",", ":"), sort_keys=True
        ).encode()
    else:
        header = {"__metadata__": {"format": spelling.value}, **entries}
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
