"""Reading the header of a safetensors file, and telling a damaged file from a sound one.

The format: https://github.com/huggingface/safetensors#format
"""

import json
import os
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, cast

from punie.errors import ModelError
from punie.reading import open_regular

MAX_HEADER = 100_000_000
BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}
NAMES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""How PyTorch's files begin: a zip, or a bare pickle of protocol 2 to 5."""
_AGAIN = "copy or download the file again"


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor as the header describes it; `dtype` in the format's spelling (`BF16`)."""

    dtype: str
    shape: tuple[int, ...]
    start: int = field(default=0, compare=False)
    """Of its bytes, counted from the end of the header; two files may keep equal tensors apart."""


def read_header(path: Path) -> dict[str, TensorInfo]:
    """The tensors of a file, by name. Raises ModelError if header and size do not agree."""
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            first = file.read(8)
            length = int.from_bytes(first, "little")
            if first.startswith(b"version "):
                raise ModelError(
                    f"{path} is a Git LFS pointer, not the weights", hint="run `git lfs pull`"
                )
            if length > size - 8 and first.startswith(_PICKLES):
                raise ModelError(
                    f"{path} is a pickle under another name, which can run code when loaded",
                    hint="get the safetensors version",
                )
            if len(first) < 8 or length > min(MAX_HEADER, size - 8):
                raise ModelError(f"{path} is cut short or is no safetensors file", hint=_AGAIN)
            header: Any = json.loads(file.read(length))
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}", hint=_AGAIN) from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} has a damaged header", hint=_AGAIN) from error
    try:
        return _checked(cast("dict[str, Any]", header), size - 8 - length)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path} has a damaged header", hint=_AGAIN) from error
    except ModelError as error:
        raise ModelError(f"{path} {error.message}", hint=_AGAIN) from error


def _checked(header: dict[str, Any], data_bytes: int) -> dict[str, TensorInfo]:
    header.pop("__metadata__", None)
    tensors: dict[str, TensorInfo] = {}
    spans: list[tuple[int, int]] = []
    for name, entry in header.items():
        shape = tuple(map(_count, entry["shape"]))
        start, end = map(_count, entry["data_offsets"])
        if (end - start) * 8 != prod(shape) * BITS[entry["dtype"]]:
            raise ModelError(f"is damaged: {name} does not have the size of its shape")
        tensors[name] = TensorInfo(entry["dtype"], shape, start)
        spans.append((start, end))
    position = 0
    for start, end in sorted(spans):
        if start != position:
            raise ModelError("is damaged: its tensors overlap or leave gaps")
        position = end
    if data_bytes != position:
        raise ModelError(
            f"is damaged: it should hold {position} bytes of weights, not {data_bytes}"
        )
    return tensors


def _count(value: Any) -> int:
    """A whole number from 0; ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r:.40} is no count")
    return value
