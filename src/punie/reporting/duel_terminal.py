"""Wins, losses and ties before a judge as a table for the terminal, from 40 columns up."""

from collections.abc import Iterator
from functools import partial

from rich.console import RenderableType
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
from punie.reporting.fitted import Fitted
from punie.reporting.hanging import hanging
from punie.text import one_line

_WIDEST = 100
_ROOMY = 100
"""Columns from which on a row has place for the rate without ties, the ratio and the sign test."""
_MIDDLING = 56
"""Columns from which on a row has place for what is to be noted of it."""


def duel_view(summary: DuelSummary) -> RenderableType:
    """What the judge prefers, by category and role, and what to know before believing it."""
    return Fitted(partial(_parts, summary), _WIDEST)


def _parts(summary: DuelSummary, width: int) -> Iterator[RenderableType]:
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
