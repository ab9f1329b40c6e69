"""Rows of random token ids: time hangs on their shape and on what counts, and not on the text."""

import hashlib
import json
import random
import struct
import sys
from array import array
from pathlib import Path

from punie.records.dataset import Split


def write_random_rows(path: Path, *, rows: int, seq: int, vocabulary: int, seed: int = 0) -> None:
    """Write `rows` training rows of exactly `seq` tokens, all of which count in the loss.

    The file has the form that `punie.records.encoding` describes, and appears whole, by a rename.
    """
    drawn = random.Random(seed)  # noqa: S311 - nothing secret hangs on it
    tokens = array("i", (drawn.randrange(vocabulary) for _ in range(rows * seq)))
    starts = array("q", range(0, rows * seq + 1, seq))
    if sys.byteorder == "big":
        tokens.byteswap()
        starts.byteswap()
    name = Split.TRAIN.value
    parts = {
        f"{name}.tokens": ("I32", [rows * seq], tokens.tobytes()),
        f"{name}.mask": ("U8", [rows * seq], b"\x01" * (rows * seq)),
        f"{name}.starts": ("I64", [rows + 1], starts.tobytes()),
    }
    whole = hashlib.sha256()
    header: dict[str, object] = {}
    end = 0
    # The longest values first, so that each part begins at a multiple of its values' size.
    for key in (f"{name}.starts", f"{name}.tokens", f"{name}.mask"):
        dtype, shape, data = parts[key]
        header[key] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + len(data)]}
        whole.update(data)
        end += len(data)
    header["__metadata__"] = {"hash": whole.hexdigest()}
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        for key in (f"{name}.starts", f"{name}.tokens", f"{name}.mask"):
            file.write(parts[key][2])
    temporary.replace(path)
