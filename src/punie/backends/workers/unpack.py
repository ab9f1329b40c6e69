"""Unpack a folder that mlx quantised: `python -m … workers.unpack MODEL FOLDER`.

Writes `model.safetensors` with 16- or 32-bit weights into FOLDER, which is there. On stdout, JSON
lines: `{"done": n, "total": n}` for each tensor, or `{"error": {"message": …, "hint": …}}` and exit
status 1. Ends by itself when stdin is closed.

numpy alone, because a machine with CUDA has no mlx. The values are those of mlx's own dequantize,
bit for bit: it rounds the product to the type of the scales, and then the sum.
"""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from punie.backends.workers.lifeline import end_with_parent, say
from punie.backends.workers.weights_file import Tensor, bfloat16, require_space, write_safetensors
from punie.backends.workers.weights_read import WeightsFile
from punie.errors import ModelError
from punie.models.check import read_json, weight_files
from punie.models.quantization import bits_and_group

PIECE = 1 << 22
"""Weights that are unpacked at a time, which takes some 100 MB."""
Values = NDArray[np.float32]


def unpack(model: Path, folder: Path, progress: Callable[[int, int], None]) -> None:
    """Write the weights of the quantised `model` into `folder`. Raises ModelError."""
    config = read_json(model / "config.json")
    files = [WeightsFile(path) for path in weight_files(model)]
    tensors = list(unpacked({name: file for file in files for name in file.tensors}, config))
    require_space(folder, tensors)
    with (folder / "model.safetensors").open("wb") as out:
        write_safetensors(out, tensors, progress)


def unpacked(stored: dict[str, WeightsFile], config: dict[str, Any]) -> Iterator[Tensor]:
    """The tensors of the unpacked model, of the file that holds each one. Raises ModelError."""
    for name, file in stored.items():
        module, _, leaf = name.rpartition(".")
        packed = f"{module}.scales" in stored
        if packed and leaf in ("scales", "biases"):
            continue
        info = file.tensors[name]
        if not (packed and leaf == "weight"):
            yield Tensor(name, info.dtype, info.shape, partial(_as_it_is, file, name))
            continue
        packing = bits_and_group(config, module)
        if packing is None or f"{module}.biases" not in stored:
            raise ModelError(f"nothing says how {name} is packed", hint="is config.json whole?")
        bits, group = packing
        scales = stored[f"{module}.scales"].tensors[f"{module}.scales"]
        shape = (*info.shape[:-1], info.shape[-1] * 32 // bits)
        if (*scales.shape[:-1], scales.shape[-1] * group) != shape:
            raise ModelError(
                f"{name} and its scales do not fit {bits} bits in groups of {group}",
                hint="is config.json of this model?",
            )
        read = partial(_dequantized, stored, module, bits, group)
        yield Tensor(name, scales.dtype, shape, read)


def _as_it_is(file: WeightsFile, name: str) -> Iterator[NDArray[Any]]:
    yield file.raw(name)


def _dequantized(
    stored: dict[str, WeightsFile], module: str, bits: int, group: int
) -> Iterator[NDArray[Any]]:
    """Some rows at a time; each holds its weights as one stream of bits, the lowest first."""
    scales, biases = (f"{module}.{leaf}" for leaf in ("scales", "biases"))
    dtype = stored[scales].tensors[scales].dtype
    scale = stored[scales].floats(scales)
    bias = stored[biases].floats(biases)
    groups = scale.shape[-1]
    rows = stored[f"{module}.weight"].raw(f"{module}.weight").reshape(-1, groups * group // 8, bits)
    scale, bias = (each.reshape(-1, groups, 1) for each in (scale, bias))
    step = max(1, PIECE // (groups * group))
    for first in range(0, len(rows), step):
        some = slice(first, first + step)
        whole = integers(rows[some], bits).reshape(-1, groups, group)
        product = rounded(whole * scale[some], dtype)
        yield stored_as(rounded(product + bias[some], dtype), dtype)


def integers(packed: NDArray[np.uint8], bits: int) -> Values:
    """Eight numbers of so many bits from each `bits` bytes, the last axis."""
    words = np.zeros((*packed.shape[:-1], 8), np.uint8)
    words[..., :bits] = packed
    shifts = np.arange(8, dtype=np.uint64) * np.uint64(bits)
    return (words.view("<u8") >> shifts & np.uint64((1 << bits) - 1)).astype(np.float32)


def rounded(values: Values, dtype: str) -> Values:
    """The nearest values that the type has."""
    if dtype == "BF16":
        return (bfloat16(values).astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float16).astype(np.float32) if dtype == "F16" else values


def stored_as(values: Values, dtype: str) -> NDArray[Any]:
    """As a file holds them; they are values of the type already."""
    if dtype == "BF16":
        return bfloat16(values)
    return values.astype("<f2") if dtype == "F16" else values


def main(model: Path, folder: Path) -> int:
    """Unpack and report on stdout; the exit status."""
    end_with_parent()
    try:
        unpack(model, folder, lambda done, total: say({"done": done, "total": total}))
    except ModelError as error:
        say({"error": {"message": f"{model}: {error.message}", "hint": error.hint}})
        return 1
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m punie.backends.workers.unpack MODEL FOLDER")
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
