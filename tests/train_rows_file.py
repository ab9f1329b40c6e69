"""Files of tokens for the trainer's tests, as the encoding worker writes them."""

# safetensors is only partly typed.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

Row = tuple[Sequence[int], Sequence[int]]
"""Token ids, and a mask as long."""


def random_rows(
    count: int, seed: int = 0, *, shortest: int = 8, longest: int = 60, vocabulary: int = 500
) -> list[Row]:
    """Rows of different lengths whose second half counts in the loss."""
    draw = np.random.default_rng(seed)
    rows: list[Row] = []
    lengths: list[int] = draw.integers(shortest, longest, count).tolist()
    for length in lengths:
        tokens: list[int] = draw.integers(3, vocabulary, length).tolist()
        rows.append((tokens, [int(n >= length // 2) for n in range(length)]))
    return rows


def write_rows(path: Path, **splits: Sequence[Row]) -> Path:
    """Write splits, by their names, into one file."""
    tensors: dict[str, NDArray[np.generic]] = {}
    for name, rows in splits.items():
        lengths = [len(tokens) for tokens, _ in rows]
        tensors[f"{name}.tokens"] = np.array([n for row in rows for n in row[0]], np.int32)
        tensors[f"{name}.mask"] = np.array([n for row in rows for n in row[1]], np.uint8)
        tensors[f"{name}.starts"] = np.array([0, *np.cumsum(lengths)], np.int64)
    found = hashlib.sha256(b"".join(tensors[name].tobytes() for name in sorted(tensors)))
    save_file(tensors, path, metadata={"hash": found.hexdigest()})
    return path
