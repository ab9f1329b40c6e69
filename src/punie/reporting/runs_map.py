"""Every prompt in each of several runs: as a map, and as the lines on which the runs disagree."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from punie.analysis.pairing import Arm
from punie.records.comparison import Side
from punie.records.consistency import Mark
from punie.reporting.heat_map import SYMBOLS, Cell, HeatRow

MOST_LINES = 200
"""Prompts on which runs disagree that a page lists before it counts the others."""
_NOT_ASKED = Cell(unasked=1)


class Split(NamedTuple):
    """A prompt that some of the runs answered rightly and others did not."""

    name: str
    group: str
    marks: tuple[str, ...]
    """A symbol and its word for each run, in their order."""


def map_rows(arms: Sequence[Arm]) -> list[HeatRow]:
    """A row for each prompt that any of the runs asked in the same words, a cell for each run."""
    places: dict[tuple[str, str], list[Cell]] = {}
    groups: dict[tuple[str, str], str] = {}
    for at, arm in enumerate(arms):
        for asked in arm:
            key = (asked.id, asked.hash)
            groups.setdefault(key, asked.category)
            places.setdefault(key, [_NOT_ASKED] * len(arms))[at] = _cell(asked.side)
    return [HeatRow(key[0], groups[key], tuple(cells)) for key, cells in places.items()]


def _cell(side: Side) -> Cell:
    if side.passed is None:
        return Cell(faults=side.faults, unscored=side.answers)
    right = round(side.passed * side.answers)
    return Cell(right=right, wrong=side.answers - right, faults=side.faults)


def splits(rows: Sequence[HeatRow]) -> Iterator[Split]:
    """The prompts on which the runs disagree, in the order of the rows."""
    for row in rows:
        shares = {cell.share for cell in row.cells} - {None}
        if len(shares) > 1:
            yield Split(row.name, row.group, tuple(map(_mark, row.cells)))


def _mark(cell: Cell) -> str:
    share = cell.share
    if share is None:
        mark = Mark.FAULT if cell.faults else Mark.UNSCORED if cell.unscored else Mark.UNASKED
        return f"{SYMBOLS[mark]} {mark}"
    if 0 < share < 1:
        return f"{cell.right} of {cell.right + cell.wrong} right"
    mark = Mark.RIGHT if share else Mark.WRONG
    return f"{SYMBOLS[mark]} {mark}"
