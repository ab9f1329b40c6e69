"""One list of rows into train, valid and test: by a seed, in equal shares of every category.

The order of a stratum's rows comes from a hash of the seed and the row itself, so that it is the
same on every machine and in every Python, wherever in the file a row stands.
"""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from punie.datasets.alike import MOST_ROWS, AlikeRows
from punie.errors import InputError
from punie.records.base import digest
from punie.records.dataset import Row, Split
from punie.records.suite import Message

Shares = tuple[float, ...]
SHARES: Shares = (0.8, 0.1, 0.1)
"""Of train, valid and test. Of two shares the second is valid, and nothing is held out."""
_ROUNDS = 8
"""Rows that were found to be alike move together, which moves others; it comes to rest soon."""
_ORDER = (Split.TRAIN, Split.VALID, Split.TEST)


@dataclass(frozen=True, slots=True)
class SplitRows:
    """The rows of each part in the order of their file, and what did not come out as asked."""

    parts: Mapping[Split, tuple[Row, ...]]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Unit:
    """Rows that stay together: of one group, or with the same prompt. Positions in the list."""

    rows: tuple[int, ...]
    order: str


def split_rows(rows: Sequence[Row], seed: int, shares: Shares = SHARES) -> SplitRows:
    """Split rows by `shares` (which add up to 1) of train, valid and test.

    Rows of one group, or with the same prompt or nearly, are never parted. Each category (each
    role, where rows have no category) is split by the same shares as far as whole units allow.
    Where there are units enough, no part that has a share stays empty. Raises InputError for other
    shares.
    """
    _check(shares)
    wanted = dict(zip(_ORDER, shares, strict=False))
    bonds = _Bonds(rows)
    notes: list[str] = []
    parts = _parts(rows, bonds, wanted, seed)
    if len(rows) > MOST_ROWS:
        notes.append(f"of more than {MOST_ROWS:,} rows only equal prompts are kept together")
    else:
        alike = AlikeRows(rows)
        bonds.join(alike.pairs(range(len(rows)), range(len(rows))))
        for _ in range(_ROUNDS):
            parts = _parts(rows, bonds, wanted, seed)
            if not bonds.join(_leaks(alike, parts)):
                break
    notes.extend(_fill_empty(parts, wanted))
    return SplitRows(
        {
            split: tuple(rows[i] for i in _positions(units))
            for split, units in parts.items()
            if units
        },
        tuple(notes),
    )


def _parts(
    rows: Sequence[Row], bonds: "_Bonds", wanted: Mapping[Split, float], seed: int
) -> dict[Split, list[_Unit]]:
    parts: dict[Split, list[_Unit]] = {split: [] for split in wanted}
    counts: Counter[Split] = Counter()
    for unit in _in_strata(rows, bonds.units(seed)):
        seen = counts.total() + len(unit.rows)
        # Whichever part is furthest behind its share of the rows so far; of equals the first.
        behind = max(wanted, key=lambda split: wanted[split] * seen - counts[split])
        parts[behind].append(unit)
        counts[behind] += len(unit.rows)
    return parts


def _leaks(alike: AlikeRows, parts: Mapping[Split, list[_Unit]]) -> Iterator[tuple[int, int]]:
    """Pairs of rows in different parts, of which the one holds the other's prompt after all.

    How often a wording must occur to count for nothing depends on the rows that are looked through,
    so that parts can have such pairs that all rows together do not.
    """
    train, valid, test = (_positions(parts.get(split, ())) for split in _ORDER)
    yield from alike.pairs(train, [*valid, *test])
    yield from alike.pairs(valid, test)


def _positions(units: Iterable[_Unit]) -> list[int]:
    return sorted(i for unit in units for i in unit.rows)


def parse_shares(text: str) -> Shares:
    """Read `80/10/10`, `80/20` or `0.8/0.1/0.1`. Raises InputError."""
    try:
        numbers = [float(part) for part in text.split("/")]
    except ValueError:
        numbers = []
    total = sum(numbers)
    if not numbers or not (abs(total - 100) < 1e-6 or abs(total - 1) < 1e-6):
        raise InputError(
            f"shares {text!r}: should be percentages that add up to 100",
            hint="as 80/10/10 for train, valid and test, or 80/20 for train and valid",
        )
    shares = tuple(number / total for number in numbers)
    _check(shares)
    return shares


def prompt_key(row: Row) -> str:
    """What two rows with the same question share: case, width of letters and spacing aside.

    The system turn does not count, and neither do the tools.
    """
    if row.text is not None:
        return digest(["text", _folded(row.text)])
    asked = row.messages
    while asked and asked[-1].role == "assistant":
        asked = asked[:-1]
    turns = [_turn_key(turn) for turn in asked if turn.role != "system"]
    return digest(["prompt", *(part for turn in turns for part in turn)])


def _check(shares: Shares) -> None:
    hint = "as 80/10/10 for train, valid and test, or 80/20 for train and valid"
    if len(shares) not in {2, 3} or min(shares) < 0 or not abs(sum(shares) - 1) < 1e-6:
        raise InputError("shares are of train, valid and test, and add up to 1", hint=hint)
    if shares[0] <= 0:
        raise InputError("the share of train is 0: there is nothing to train on", hint=hint)


class _Bonds:
    """Which rows stay together: of one group, of one prompt, and whatever is joined."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._leader = list(range(len(rows)))
        self._prompts = [prompt_key(row) for row in rows]
        first: dict[str, int] = {}
        for i, row in enumerate(rows):
            keys = [self._prompts[i], *([f"group {row.group}"] if row.group else [])]
            self.join((first.setdefault(key, i), i) for key in keys)

    def join(self, pairs: Iterable[tuple[int, int]]) -> int:
        """Let the rows at these positions stay together; how many pairs did not yet."""
        joined = 0
        for pair in pairs:
            one, other = sorted(map(self._find, pair))
            self._leader[other] = one
            joined += one != other
        return joined

    def units(self, seed: int) -> Iterator[_Unit]:
        """All rows, in the units that stay together."""
        members: dict[int, list[int]] = {}
        for i in range(len(self._leader)):
            members.setdefault(self._find(i), []).append(i)
        for unit in members.values():
            smallest = min(self._prompts[i] for i in unit)
            order = hashlib.sha256(f"{seed} {smallest}".encode()).hexdigest()
            yield _Unit(tuple(unit), order)

    def _find(self, i: int) -> int:
        while self._leader[i] != i:
            self._leader[i] = self._leader[self._leader[i]]
            i = self._leader[i]
        return i


def _in_strata(rows: Sequence[Row], units: Iterable[_Unit]) -> Iterator[_Unit]:
    """Give the units stratum by stratum, in each by their hash."""
    strata: dict[str, list[_Unit]] = {}
    for unit in units:
        first = rows[unit.rows[0]]
        strata.setdefault(first.category or first.role or "", []).append(unit)
    for _, each in sorted(strata.items()):
        yield from sorted(each, key=lambda unit: unit.order)


def _fill_empty(parts: dict[Split, list[_Unit]], wanted: Mapping[Split, float]) -> Iterator[str]:
    """Give an empty part one unit of train's, the smallest; say so where train has none to give."""
    for split, share in wanted.items():
        if parts[split] or not share:
            continue
        if len(parts[Split.TRAIN]) < 2:
            total = sum(len(unit.rows) for units in parts.values() for unit in units)
            yield (
                f"no row is left for {split.value}: rows of one group or with one prompt, "
                f"nearly, stay together, and the {total:,} here make too few such units"
            )
            continue
        smallest = min(parts[Split.TRAIN], key=lambda unit: (len(unit.rows), unit.order))
        parts[Split.TRAIN].remove(smallest)
        parts[split].append(smallest)


def _turn_key(turn: Message) -> tuple[str, ...]:
    calls = tuple(f"{call.function.name} {call.function.arguments}" for call in turn.tool_calls)
    return (turn.role, _folded(turn.content or ""), *calls)


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
