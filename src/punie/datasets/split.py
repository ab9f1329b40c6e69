"""One list of rows into train, valid and test: by a seed, in equal shares of every category.

The order of a stratum's rows comes from a hash of the seed and the row itself, so that it is the
same on every machine and in every Python, wherever in the file a row stands.
"""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from punie.errors import InputError
from punie.records.base import digest
from punie.records.dataset import Row, Split
from punie.records.suite import Message

Shares = tuple[float, ...]
SHARES: Shares = (0.8, 0.1, 0.1)
"""Of train, valid and test. Of two shares the second is valid, and nothing is held out."""
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

    Rows of one group, or with the same prompt, are never parted. Each category (each role, where
    rows have no category) is split by the same shares as far as whole units allow. Where there are
    units enough, no part that has a share stays empty. Raises InputError for other shares.
    """
    _check(shares)
    wanted = dict(zip(_ORDER, shares, strict=False))
    parts: dict[Split, list[_Unit]] = {split: [] for split in wanted}
    counts: Counter[Split] = Counter()
    for unit in _in_strata(rows, seed):
        seen = counts.total() + len(unit.rows)
        # Whichever part is furthest behind its share of the rows so far; of equals the first.
        behind = max(wanted, key=lambda split: wanted[split] * seen - counts[split])
        parts[behind].append(unit)
        counts[behind] += len(unit.rows)
    notes = tuple(_fill_empty(parts, wanted))
    return SplitRows(
        {
            split: tuple(rows[i] for i in sorted(i for unit in units for i in unit.rows))
            for split, units in parts.items()
            if units
        },
        notes,
    )


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


def _in_strata(rows: Sequence[Row], seed: int) -> Iterator[_Unit]:
    """Give the units stratum by stratum, in each by their hash."""
    strata: dict[str, list[_Unit]] = {}
    for unit in _units(rows, seed):
        first = rows[unit.rows[0]]
        strata.setdefault(first.category or first.role or "", []).append(unit)
    for _, units in sorted(strata.items()):
        yield from sorted(units, key=lambda unit: unit.order)


def _units(rows: Sequence[Row], seed: int) -> Iterator[_Unit]:
    """Join rows that share a group or a prompt, directly or through others."""
    leader = list(range(len(rows)))

    def find(i: int) -> int:
        while leader[i] != i:
            leader[i] = leader[leader[i]]
            i = leader[i]
        return i

    first: dict[str, int] = {}
    prompts = [prompt_key(row) for row in rows]
    for i, row in enumerate(rows):
        for key in (prompts[i], *([f"group {row.group}"] if row.group else [])):
            one, other = sorted((find(first.setdefault(key, i)), find(i)))
            leader[other] = one
    members: dict[int, list[int]] = {}
    for i in range(len(rows)):
        members.setdefault(find(i), []).append(i)
    for unit in members.values():
        smallest = min(prompts[i] for i in unit)
        order = hashlib.sha256(f"{seed} {smallest}".encode()).hexdigest()
        yield _Unit(tuple(unit), order)


def _fill_empty(parts: dict[Split, list[_Unit]], wanted: Mapping[Split, float]) -> Iterator[str]:
    """Give an empty part one unit of train's, the smallest; say so where train has none to give."""
    for split, share in wanted.items():
        if parts[split] or not share:
            continue
        if len(parts[Split.TRAIN]) < 2:
            total = sum(len(unit.rows) for units in parts.values() for unit in units)
            yield (
                f"no row is left for {split.value}: rows of one group or with one prompt stay "
                f"together, and the {total:,} here make too few such units"
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
