"""One text of a GGUF file's metadata, read without loading the file.

The layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import os
import struct
from io import BufferedReader
from pathlib import Path

from punie.reading import MIB, open_regular

TIES = "punie.ties"
"""The key under which a file says what its weights have to do with suites, as JSON."""
LONGEST = 64 * MIB
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a value, by its type."""
_STRING, _ARRAY = 8, 9


def gguf_text(file: Path, key: str) -> str | None:
    """The text under `key`; None where there is none, or where the file is no whole GGUF file.

    Raises OSError for a file that cannot be read.
    """
    with open_regular(file) as opened:
        try:
            return _find(opened, key.encode())
        except (struct.error, ValueError):
            return None


def _find(file: BufferedReader, key: bytes) -> str | None:
    if file.read(4) != b"GGUF":
        return None
    _version, _tensors, pairs = _read(file, "<IQQ")
    for _ in range(pairs):
        name = _string(file)
        (kind,) = _read(file, "<I")
        if kind == _STRING and name == key:
            return _string(file).decode()
        _skip(file, kind)
    return None


def _skip(file: BufferedReader, kind: int) -> None:
    count = 1
    if kind == _ARRAY:
        kind, count = _read(file, "<IQ")
    if kind == _STRING:
        for _ in range(count):
            (length,) = _read(file, "<Q")
            _forward(file, length)
    elif kind in _SIZES:
        _forward(file, count * _SIZES[kind])
    else:
        msg = f"no such type: {kind}"
        raise ValueError(msg)


def _string(file: BufferedReader) -> bytes:
    (length,) = _read(file, "<Q")
    if length > LONGEST:
        msg = "a text that long is none of ours"
        raise ValueError(msg)
    (text,) = struct.unpack(f"{length}s", file.read(length))
    return text


def _forward(file: BufferedReader, count: int) -> None:
    if count > 2**48:
        msg = "no file is that long"
        raise ValueError(msg)
    file.seek(count, os.SEEK_CUR)


def _read(file: BufferedReader, layout: str) -> tuple[int, ...]:
    return struct.unpack(layout, file.read(struct.calcsize(layout)))
