"""Prompts against repeats, or against runs, as a map of small cells: pure.

A cell says by its shape what its colour repeats: how high it is filled is the share that was right,
a cross is wrong, a triangle could not be measured, an empty frame was not asked. Where there are
more prompts than rows, neighbours are drawn as one row, and likewise columns.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from punie.records.consistency import Mark, PromptConsistency
from punie.reporting.numbers import count, counted, percent
from punie.reporting.svg import svg_element, text_element
from punie.text import one_line

SYMBOLS = {
    Mark.RIGHT: "✓",
    Mark.WRONG: "✗",
    Mark.UNSCORED: "○",
    Mark.FAULT: "△",
    Mark.UNASKED: "·",
}
"""One character for each mark, for the terminal and for tables."""
MOST_ROWS, MOST_COLUMNS = 200, 48
_LEFT, _TOP, _RIGHT = 178.0, 92.0, 676.0
_CELL, _STEP, _GAP = 13.0, 15.0, 10.0
_LEGEND = (
    (Mark.RIGHT, "right"),
    (Mark.WRONG, "wrong"),
    (Mark.FAULT, "not measured"),
    (Mark.UNASKED, "not asked"),
)


class Cell(NamedTuple):
    """How many answers of each kind a cell stands for."""

    right: int = 0
    wrong: int = 0
    faults: int = 0
    unscored: int = 0
    unasked: int = 0

    @classmethod
    def of(cls, mark: Mark) -> "Cell":
        """A cell of one answer."""
        return cls(
            right=mark is Mark.RIGHT,
            wrong=mark is Mark.WRONG,
            faults=mark is Mark.FAULT,
            unscored=mark is Mark.UNSCORED,
            unasked=mark is Mark.UNASKED,
        )

    @property
    def share(self) -> float | None:
        """Share right of what was right or wrong; None where nothing was."""
        scored = self.right + self.wrong
        return self.right / scored if scored else None


class HeatRow(NamedTuple):
    """A prompt, the group that it stands in, and a cell for each column."""

    name: str
    group: str
    cells: tuple[Cell, ...]

    @property
    def share(self) -> float:
        """Share right over all cells; less than none where nothing was scored."""
        total = _together(self.cells).share
        return -1.0 if total is None else total


def rows_of(prompts: Iterable[PromptConsistency]) -> list[HeatRow]:
    """A row for each prompt of a run with repeats, a cell for each repeat."""
    return [HeatRow(p.id, p.category, tuple(map(Cell.of, p.marks))) for p in prompts]


def strip(marks: Iterable[Mark], width: int) -> str:
    """Marks as one character each, with an ellipsis past `width` characters."""
    shown = "".join(SYMBOLS[mark] for mark in marks)
    return shown if len(shown) <= width else f"{shown[: width - 1]}…"


def legend(marks: Iterable[Mark]) -> str:
    """What the symbols of these marks stand for."""
    seen = frozenset(marks)
    return "  ".join(f"{SYMBOLS[mark]} {mark}" for mark in Mark if mark in seen)


def heat_map(rows: Sequence[HeatRow], *, columns: str, title: str, standalone: bool = False) -> str:
    """Draw at least one row, grouped, in each group the most often right at the top.

    `columns` says what a column is: `repeat`. All rows have the same number of cells, at least 1.
    """
    groups = _grouped(rows)
    merged = -(-len(rows) // MOST_ROWS)
    drawn = [(name, list(_merged_rows(members, merged))) for name, members in groups]
    many = len(rows[0].cells)
    beside = -(-many // MOST_COLUMNS)
    step = min(_STEP * 1.6, (_RIGHT - _LEFT) / -(-many // beside))
    size = min(_CELL, step - 1.5)
    parts = [text_element("20", 30, one_line(title, 70), kind="head"), *_key()]
    parts += _column_heads(many, beside, step, columns)
    y, paths = _TOP, _Paths()
    for name, members in drawn:
        y += 14
        said = f"{name} ({percent(_together_of(members).share)})"
        parts.append(text_element("20", y, one_line(said, 40), kind="strong"))
        y += 8
        for row in members:
            parts.append(text_element(f"{_LEFT - 8:g}", y + size - 3, row.name, anchor="end"))
            for at in range(0, many, beside):
                cell = _together(row.cells[at : at + beside])
                paths.add(cell, _LEFT + at // beside * step, y, size)
            y += _STEP
        y += _GAP
    y = _notes(parts, y, merged, beside, columns)
    return svg_element(
        "".join([*paths.drawn(), *parts]),
        title=f"{title}: {_said(rows)}",
        width=700,
        height=y + 12,
        standalone=standalone,
    )


class _Paths:
    """The outlines of all cells, one path a kind: a map of many thousand cells stays small."""

    def __init__(self) -> None:
        self._tracks: list[str] = []
        self._fills: list[str] = []
        self._lines: list[str] = []
        self._frames: list[str] = []
        self._faults: list[str] = []

    def add(self, cell: Cell, x: float, y: float, size: float) -> None:
        """Draw what a cell stands for."""
        share = cell.share
        if share is None:
            self._without_score(cell, x, y, size)
            return
        self._tracks.append(_box(x, y, size, size))
        if share:
            high = size * share
            self._fills.append(_box(x, y + size - high, size, high))
        else:
            self._lines.append(_cross(x + size / 2, y + size / 2, size * 0.28))
        if cell.faults:
            self._faults.append(_triangle(x + size - size / 4, y + size / 4, size / 4))

    def _without_score(self, cell: Cell, x: float, y: float, size: float) -> None:
        if cell.faults:
            self._tracks.append(_box(x, y, size, size))
            self._faults.append(_triangle(x + size / 2, y + size / 2, size * 0.36))
        elif cell.unscored:
            self._tracks.append(_box(x, y, size, size))
        else:
            self._frames.append(_box(x + 0.5, y + 0.5, size - 1, size - 1))

    def drawn(self) -> list[str]:
        """The paths, those below first."""
        kinds = (
            ('class="track"', self._tracks),
            ('class="fill"', self._fills),
            ('class="whisker" fill="none"', self._lines),
            ('class="axis" fill="none"', self._frames),
            ('class="point"', self._faults),
        )
        return [f'<path {look} d="{"".join(d)}"/>' for look, d in kinds if d]


def _box(x: float, y: float, wide: float, high: float) -> str:
    return f"M{x:.1f} {y:.1f}h{wide:.1f}v{high:.1f}h{-wide:.1f}z"


def _cross(x: float, y: float, reach: float) -> str:
    rising = f"M{x - reach:.1f} {y + reach:.1f}L{x + reach:.1f} {y - reach:.1f}"
    return f"M{x - reach:.1f} {y - reach:.1f}L{x + reach:.1f} {y + reach:.1f}{rising}"


def _triangle(x: float, y: float, reach: float) -> str:
    return f"M{x:.1f} {y - reach:.1f}l{reach:.1f} {2 * reach:.1f}h{-2 * reach:.1f}z"


def _grouped(rows: Sequence[HeatRow]) -> list[tuple[str, list[HeatRow]]]:
    """Groups in the order of their first row; in each the best rows first, then by name."""
    order = {name: at for at, name in enumerate(dict.fromkeys(row.group for row in rows))}
    ranked = sorted(rows, key=lambda row: (order[row.group], -row.share, row.name))
    return [(name, list(members)) for name, members in groupby(ranked, lambda row: row.group)]


def _merged_rows(members: Sequence[HeatRow], merged: int) -> Iterable[HeatRow]:
    """So many neighbours as one row; a row of one prompt keeps its name."""
    for at in range(0, len(members), merged):
        part = members[at : at + merged]
        cells = tuple(map(_together, zip(*(row.cells for row in part), strict=True)))
        name = one_line(part[0].name, 24) if len(part) == 1 else counted(len(part), "prompt")
        yield HeatRow(name, part[0].group, cells)


def _together(cells: Iterable[Cell]) -> Cell:
    return Cell(*map(sum, zip(*cells, strict=True)))


def _together_of(rows: Iterable[HeatRow]) -> Cell:
    return _together(cell for row in rows for cell in row.cells)


def _key() -> list[str]:
    paths, words, x = _Paths(), list[str](), 20.0
    for mark, name in _LEGEND:
        paths.add(Cell.of(mark), x, 46, _CELL)
        words.append(text_element(f"{x + 19:g}", 57, name))
        x += 40 + 6.2 * len(name)
    return [*paths.drawn(), *words]


def _column_heads(many: int, beside: int, step: float, columns: str) -> list[str]:
    """The first and the last column's number, and what a column is."""
    last = _LEFT + (-(-many // beside) - 1) * step
    heads = [text_element(f"{_LEFT - 8:g}", _TOP - 4, columns, anchor="end")]
    heads.append(text_element(f"{_LEFT + 4:g}", _TOP - 4, "1", anchor="middle"))
    if many > 1:
        heads.append(text_element(f"{last + 4:.1f}", _TOP - 4, count(many), anchor="middle"))
    return heads


def _notes(parts: list[str], y: float, merged: int, beside: int, columns: str) -> float:
    """Say how many prompts and columns a cell stands for, where that is not one."""
    stands = [f"{counted(merged, 'prompt')} like each other"] if merged > 1 else []
    stands += [counted(beside, columns)] if beside > 1 else []
    if not stands:
        return y
    said = f"A cell stands for up to {' and '.join(stands)}, filled as high as the share right."
    parts.append(text_element("20", y + 8, said))
    return y + 18


def _said(rows: Sequence[HeatRow]) -> str:
    parts = [
        f"{name} {percent(_together_of(members).share)} of {counted(len(members), 'prompt')}"
        for name, members in _grouped(rows)
    ]
    return f"share right by category: {'; '.join(parts)}"
