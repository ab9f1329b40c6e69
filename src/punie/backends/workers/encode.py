"""Rows as the token ids that a server sees: `python -m punie.backends.workers.encode JOB.json`.

Each row is rendered with the template that will serve it, and each token is marked as one that the
loss counts or not. The job is an `EncodeJob`; tokens go to its file, what was found to
`encoding.json` beside it, and progress to the events descriptor. See `punie.records.encoding`.
"""

# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
# safetensors is only partly typed.

import contextlib
import hashlib
import json
import os
import resource
import sys
import time
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import Any, NoReturn

from punie.backends.workers.before_mlx import leave_torch_out
from punie.backends.workers.chat_text import HostileError, Tokenizer, UnusableError
from punie.backends.workers.read_back import CallReader
from punie.backends.workers.row_tokens import EncodedRow, RowEncoder
from punie.records.dataset import ROW, Row, Split
from punie.records.encoding import (
    EncodedSplit,
    EncodeJob,
    Encoding,
    RowProblem,
)

EVENTS_FD = "PUNIE_EVENTS_FD"
ROWS_AT_ONCE = 256
PROGRESS_S = 0.2
MEMORY_BYTES = 1 << 30
"""Beyond what the libraries take, and beyond sixteen times the rows' own size."""
EXAMPLE_LIMIT = 4000
"""Characters of the example."""


def report(**event: Any) -> None:
    """Write one event for punie, as one line."""
    descriptor = os.environ.get(EVENTS_FD)
    if descriptor:
        os.write(int(descriptor), (json.dumps(event) + "\n").encode())


@dataclass(slots=True)
class Tokens:
    """The rows of a split, one after the other, as they go to the file."""

    ids: "array[int]" = field(default_factory=lambda: array("i"))
    mask: bytearray = field(default_factory=bytearray)
    starts: "array[int]" = field(default_factory=lambda: array("q", [0]))
    lengths: list[int] = field(default_factory=list[int])
    trained: list[int] = field(default_factory=list[int])

    def add(self, row: EncodedRow) -> None:
        """Append a row."""
        self.ids.extend(row.ids)
        self.mask.extend(row.mask)
        self.starts.append(len(self.ids))
        self.lengths.append(row.length)
        self.trained.append(sum(row.mask))


class Encoder:
    """Goes through a job's splits, and reports how far it is."""

    def __init__(self, job: EncodeJob, tokenizer: Tokenizer) -> None:
        self._job = job
        self._tokenizer = tokenizer
        self._reader = CallReader(tokenizer.served)
        self._rows = RowEncoder(tokenizer, self._reader, job.masking, job.max_length)
        self._problems: list[RowProblem] = []
        self._example = ""
        self._done = 0
        self._told = 0.0

    def run(self) -> None:
        """Encode every row, then write both files."""
        splits = {split: self._split(split, path) for split, path in self._job.rows.items()}
        digest = _digest(splits)
        encoding = Encoding(
            splits={
                split: EncodedSplit(lengths=tuple(each.lengths), trained=tuple(each.trained))
                for split, each in splits.items()
            },
            problems=tuple(self._problems),
            parser=self._reader.name,
            notes=(self._tokenizer.note,) if self._tokenizer.note else (),
            hash=digest,
            example=self._example,
        )
        found = self._job.output.with_name("encoding.json")
        temporary = found.with_suffix(".part")
        temporary.write_text(encoding.model_dump_json(), encoding="utf-8")
        temporary.replace(found)
        _write(self._job.output, splits, digest)
        report(event="encoded", rows=self._done)

    def _split(self, split: Split, path: Path) -> Tokens:
        tokens = Tokens()
        first = 0
        with path.open("rb") as file:
            rows = (ROW.validate_json(line) for line in file)
            while chunk := list(islice(rows, ROWS_AT_ONCE)):
                for at, encoded in enumerate(self._chunk(chunk), first):
                    self._note(split, at, encoded)
                    tokens.add(encoded)
                first += len(chunk)
        return tokens

    def _chunk(self, rows: Sequence[Row]) -> list[EncodedRow]:
        try:
            return self._rows.encode(rows, self._progress)
        except HostileError as error:
            row = self._rows.current
            place = f"{row.file}:{row.line}" if row and row.line else "a row"
            fail("template", f"{self._job.model}: its chat template {error}, at {place}")

    def _note(self, split: Split, at: int, encoded: EncodedRow) -> None:
        self._problems += [
            RowProblem(kind=kind, split=split, row=at, detail=detail)
            for kind, detail in encoded.problems
        ]
        for turn, text in encoded.unread:
            report(event="unread", split=split, row=at, turn=turn, text=text)
        if split is Split.TRAIN and at == 0:
            self._example = self._shown(encoded)

    def _progress(self) -> None:
        self._done += 1
        now = time.monotonic()
        if now - self._told >= PROGRESS_S:
            self._told = now
            report(event="progress", done=self._done)

    def _shown(self, row: EncodedRow) -> str:
        """A row as text, what is trained between brackets."""
        parts: list[str] = []
        for trained, tokens in groupby(
            zip(row.ids, row.mask, strict=True), key=lambda each: each[1]
        ):
            text = self._tokenizer.text([token for token, _ in tokens])
            parts.append(f"⟦{text}⟧" if trained else text)
        return "".join(parts)[:EXAMPLE_LIMIT]


def fail(what: str, message: str) -> NoReturn:
    """Say why it cannot go on, and end."""
    report(event="failed", what=what, message=message)
    sys.exit(1)


def _digest(splits: Mapping[Split, Tokens]) -> str:
    """SHA-256 over everything in the file, little-endian as it stands there."""
    whole = hashlib.sha256()
    for split in sorted(splits):
        tokens = splits[split]
        whole.update(f"{split}:{len(tokens.lengths)}\n".encode())
        for part in (tokens.ids, tokens.mask, tokens.starts):
            whole.update(part)
    return whole.hexdigest()


def _write(path: Path, splits: Mapping[Split, Tokens], digest: str) -> None:
    """Write the file of tokens, whole or not at all."""
    import numpy as np  # noqa: PLC0415 - only where there is something to write
    from safetensors.numpy import save_file  # noqa: PLC0415 - see above

    tensors = {
        f"{split}.{name}": np.frombuffer(part, dtype) if len(part) else np.zeros(0, dtype)
        for split, each in splits.items()
        for name, part, dtype in (
            ("tokens", each.ids, np.int32),
            ("mask", each.mask, np.uint8),
            ("starts", each.starts, np.int64),
        )
    }
    temporary = path.with_name(f"{path.name}.part")
    save_file(tensors, temporary, metadata={"hash": digest})
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def _limit_memory(job: EncodeJob) -> None:
    """Leave this process so much more than it has now. Some systems refuse; punie watches too."""
    size = sum(path.stat().st_size for path in job.rows.values())
    with contextlib.suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        most = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY_BYTES + 16 * size
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(path: Path) -> None:
    """Read the job, encode, write."""
    leave_torch_out()
    job = EncodeJob.model_validate_json(path.read_bytes())
    try:
        tokenizer = Tokenizer(job.model)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with somebody's model
        fail(
            "model",
            f"{job.model}: its tokenizer cannot be loaded: {' '.join(str(error).split())}"[:500],
        )
    _limit_memory(job)
    report(event="ready")
    try:
        Encoder(job, tokenizer).run()
    except UnusableError as error:
        fail("model", f"{job.model}: {error}")
    except MemoryError:
        fail("memory", "the rows need more memory than there is")
    except OSError as error:
        fail("disk", f"{job.output}: {error.strerror or error}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
