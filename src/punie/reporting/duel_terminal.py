"""Wins, losses and ties before a judge as a table for the terminal, from 40 columns up."""

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.constrain import Constrain
from rich.table import Table
from rich.text import Text

from punie.records.duel import DuelSummary
from punie.reporting.duel import (
    duel_rows,
    duel_title,
    figures,
    remarks,
    stamp,
    steadiness,
    verdict,
)
from punie.reporting.hanging import hanging
from punie.text import one_line

_WIDEST = 100
_ROOMY = 100
"""Columns from which on a row has place for the rate without ties, the ratio and the sign test."""
_MIDDLING = 56
"""Columns from which on a row has place for what is to be noted of it."""


def duel_view(summary: DuelSummary) -> RenderableType:
    """What the judge prefers, by category and role, and what to know before believing it."""
    return _DuelView(summary)


class _DuelView:
    """Arranges itself by the width that it is given."""

    def __init__(self, summary: DuelSummary) -> None:
        self._summary = summary

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(options.max_width, _WIDEST)
        for part in self._parts(width):
            yield Constrain(part, width)

    def _parts(self, width: int) -> Iterator[RenderableType]:
        summary = self._summary
        yield Text.assemble(("Judge  ", "dim"), one_line(duel_title(summary)))
        yield Text(verdict(summary), style="bold")
        yield _table(summary, width)
        for line in steadiness(summary):
            yield Text(line, style="dim")
        known = "i " if summary.calibrated else "! "
        yield hanging(known, stamp(summary), "cyan" if summary.calibrated else "yellow")
        for line in remarks(summary):
            yield hanging("! ", line, "yellow")
        yield Text(figures(summary), style="dim")


def _table(summary: DuelSummary, width: int) -> Table:
    roomy, middling = width >= _ROOMY, width >= _MIDDLING
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    grid.add_column("", overflow="ellipsis", no_wrap=True, min_width=7)
    titles = ["W/L/T", "Win rate"]
    titles += ["Without ties", "Ratio", "Ties", "Sign p"] if roomy else []
    for title in titles:
        grid.add_column(title, justify="right", no_wrap=True)
    if middling:
        grid.add_column("", overflow="ellipsis", no_wrap=True)
    for row in duel_rows(summary):
        name = row.name if row.kind == "overall" else f"  {one_line(row.name)}"
        cells = [name, row.counts, row.win_rate]
        cells += [row.decisive_rate, row.ratio, row.ties, row.sign] if roomy else []
        cells += [row.note] if middling else []
        style = "bold" if row.kind == "overall" else ""
        grid.add_row(*(Text(cell, style=style) for cell in cells))
    return grid
