"""Rows from the file of tokens, in the order of an epoch, and as padded batches."""

import hashlib
import json
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from punie.backends.workers.train_failure import Failure
from punie.records.dataset import Split
from punie.records.encoding import width_for
from punie.records.training import FailureKind, Order

LOOK_S = 0.02
NEIGHBOURS = 32
"""Batches that are sorted by length together: enough that their rows are about equally long, and
few enough that an epoch is still well mixed."""
DTYPES = {"I32": np.int32, "U8": np.uint8, "I64": np.int64}


class Rows:
    """The rows of one split, read from the disk as they are needed."""

    def __init__(
        self, tokens: NDArray[np.int32], mask: NDArray[np.uint8], starts: NDArray[np.int64]
    ) -> None:
        self._tokens, self._mask, self._starts = tokens, mask, starts
        self.lengths: NDArray[np.int64] = np.diff(starts)

    def __len__(self) -> int:
        return len(self.lengths)

    def row(self, position: int) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        """Token ids and mask of one row."""
        span = slice(int(self._starts[position]), int(self._starts[position + 1]))
        return self._tokens[span], self._mask[span]


@dataclass(frozen=True, slots=True)
class TokenFile:
    """The file that `punie.records.encoding` describes."""

    hash: str
    """SHA-256 of the whole file."""
    splits: dict[Split, Rows]


def read_tokens(path: Path) -> TokenFile:
    """Open a file of tokens. Raises OSError, ValueError, KeyError.

    Its hash is taken of the file as it is: what its metadata say may be of other rows by now.
    Safetensors: eight bytes that give the header's length, a header of JSON with each tensor's
    place, the tensors.
    """
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header: dict[str, Any] = json.loads(file.read(size))
        file.seek(0)
        found = hashlib.file_digest(file, "sha256").hexdigest()

    def tensor(name: str) -> NDArray[Any]:
        entry = header[name]
        begin, end = entry["data_offsets"]
        dtype = DTYPES[entry["dtype"]]
        if begin == end:
            return np.zeros(0, dtype)
        mapped = np.memmap(path, dtype, "r", offset=8 + size + begin, shape=tuple(entry["shape"]))
        return np.asarray(mapped)  # a plain view, whose slices cost less

    splits = {
        split: Rows(
            tensor(f"{split.value}.tokens"),
            tensor(f"{split.value}.mask"),
            np.array(tensor(f"{split.value}.starts")),
        )
        for split in Split
        if f"{split.value}.starts" in header
    }
    return TokenFile(found, splits)


def wait_for_tokens(path: Path, stopped: Callable[[], bool]) -> TokenFile | None:
    """The file of tokens once it is there; None if we were told to stop before. Raises Failure."""
    while not path.exists():
        if stopped():
            return None
        if not path.parent.exists():
            raise Failure(FailureKind.DATA, f"{path.parent} was removed while it was waited for")
        time.sleep(LOOK_S)
    try:
        file = read_tokens(path)
    except (OSError, ValueError, KeyError) as problem:
        raise Failure(FailureKind.DATA, f"{path} is no file of tokens: {problem}") from problem
    if Split.TRAIN not in file.splits or not len(file.splits[Split.TRAIN]):
        raise Failure(FailureKind.DATA, f"{path} has no rows to train on")
    return file


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows side by side."""

    rows: tuple[int, ...]
    tokens: NDArray[np.int32]
    """(rows, width)"""
    counts: NDArray[np.bool_]
    """(rows, width - 1): whether predicting `tokens[i, t + 1]` counts; padding never does."""


def make_batch(rows: Rows, positions: Sequence[int], max_length: int) -> Batch:
    """Put rows side by side, cut at `max_length` and padded with zeros.

    The width is one more than a multiple of 32, because the model is given all but the last token,
    and never more than `max_length`.
    """
    taken = [tuple(part[:max_length] for part in rows.row(each)) for each in positions]
    width = width_for(max(len(tokens) for tokens, _ in taken), max_length)
    tokens = np.zeros((len(taken), width), np.int32)
    mask = np.zeros((len(taken), width), np.bool_)
    for line, (row_tokens, row_mask) in enumerate(taken):
        tokens[line, : len(row_tokens)] = row_tokens
        mask[line, : len(row_mask)] = row_mask
    return Batch(tuple(positions), tokens, mask[:, 1:])


def share(batch: Batch, rank: int, world: int) -> Batch:
    """What one of `world` processes does of a batch: every so-manieth row, and never no row.

    All shares are as wide as the batch. A process for which nothing is left is given a row of which
    nothing counts, because it must take part in every sum.
    """
    if world == 1:
        return batch
    if rank >= len(batch.rows):
        return Batch(batch.rows[:1], batch.tokens[:1], np.zeros_like(batch.counts[:1]))
    return Batch(batch.rows[rank::world], batch.tokens[rank::world], batch.counts[rank::world])


@dataclass(frozen=True, slots=True)
class Epochs:
    """Which rows each iteration trains: every row of an epoch exactly once.

    Everything follows from the iteration's number, so a training that goes on needs no position.
    """

    lengths: Sequence[int] | NDArray[np.int64]
    batch_size: int
    order: Order
    seed: int

    @property
    def batches(self) -> int:
        """Of one epoch; the last may be smaller."""
        return math.ceil(len(self.lengths) / self.batch_size)

    def after(self, iterations: int) -> Iterator[tuple[int, ...]]:
        """The rows of each iteration without end, where so many are done already."""
        epoch, skipped = divmod(iterations, self.batches)
        while True:
            yield from self.epoch(epoch)[skipped:]
            epoch, skipped = epoch + 1, 0

    def epoch(self, number: int) -> list[tuple[int, ...]]:
        """The batches of one epoch, from 0.

        Shuffled, rows of similar length share a batch: stretches of 32 batches are sorted by
        length classes, cut into batches, and the batches are shuffled again. The rows that fill no
        whole batch are not sorted, or they would always be the longest.
        """
        rows = list(range(len(self.lengths)))
        if self.order is Order.FILE:
            return _cut(rows, self.batch_size)
        # Only `random()` promises the same numbers in every version of Python.
        draw = random.Random((self.seed << 32) | number)  # noqa: S311 - an order, not a secret
        rows.sort(key=[draw.random() for _ in rows].__getitem__)
        whole = len(rows) - len(rows) % self.batch_size
        stretches = _cut(rows[:whole], self.batch_size * NEIGHBOURS)
        batches = [
            batch
            for stretch in stretches
            for batch in _cut(self._by_class(stretch), self.batch_size)
        ]
        if whole < len(rows):
            batches.append(tuple(rows[whole:]))
        keys = [draw.random() for _ in batches]
        return [batches[each] for each in sorted(range(len(batches)), key=keys.__getitem__)]

    def largest(self, iterations: int, max_length: int) -> tuple[int, ...]:
        """The rows of the batch, among so many, that needs the most memory: the most tokens."""

        def tokens(rows: tuple[int, ...]) -> tuple[int, int]:
            width = width_for(max(map(self._length, rows)), max_length)
            return len(rows) * width, width

        return max(islice(self.after(0), iterations), key=tokens)

    def _by_class(self, rows: Sequence[int]) -> list[int]:
        """Rows by classes of length, each up to a third above its shortest; in it, as shuffled.

        Sorted by the length itself, rows of one kind, such as refusals that are a little shorter
        than other answers, would fill whole batches, and each of those pulls the weights its way.
        """
        classes: dict[int, int] = {}
        shortest = 0
        for length in sorted({self._length(row) for row in rows}):
            if 3 * length > 4 * shortest:
                shortest = length
            classes[length] = shortest
        return sorted(rows, key=lambda row: classes[self._length(row)])

    def _length(self, row: int) -> int:
        return int(self.lengths[row])


def _cut(rows: Sequence[int], size: int) -> list[tuple[int, ...]]:
    return [tuple(rows[start : start + size]) for start in range(0, len(rows), size)]


def validation_batches(
    lengths: NDArray[np.int64], batch_size: int, rows: int | None, seed: int
) -> list[tuple[int, ...]]:
    """The same rows for every validation: all, or so many drawn by the seed; short ones first."""
    positions = list(range(len(lengths)))
    if rows is not None and rows < len(positions):
        draw = random.Random(seed)  # noqa: S311 - a sample, not a secret
        keys = [draw.random() for _ in positions]
        positions = sorted(positions, key=keys.__getitem__)[:rows]
    return _cut(sorted(positions, key=lambda row: (int(lengths[row]), row)), batch_size)
