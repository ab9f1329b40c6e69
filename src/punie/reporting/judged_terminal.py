"""A judge's marks as a table for the terminal, from 40 columns up."""

from collections.abc import Iterator
from functools import partial

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from punie.records.judgement import JudgeSummary
from punie.reporting.fitted import Fitted
from punie.reporting.hanging import hanging
from punie.reporting.judged import ASIDE, figures, judge_title, mark_rows, remarks, stamp
from punie.text import one_line

_WIDEST = 96
_ROOMY = 60


def judged_table(summary: JudgeSummary) -> RenderableType:
    """What the judge says by dimension, with intervals, and what to know before believing it."""
    return Fitted(partial(_parts, summary), _WIDEST)


def _parts(summary: JudgeSummary, width: int) -> Iterator[RenderableType]:
    roomy = width >= _ROOMY
    yield Text.assemble(("Judge  ", "dim"), one_line(judge_title(summary)))
    if summary.score is None:
        yield Text("no marks", style="bold")
    else:
        yield _marks(summary, roomy=roomy)
    style = "green" if summary.calibrated else "yellow"
    yield hanging("i " if summary.calibrated else "! ", stamp(summary), style)
    for remark in remarks(summary):
        yield hanging("! ", remark, "yellow")
    yield Text(f"{figures(summary)}. {ASIDE}", style="dim")


def _marks(summary: JudgeSummary, *, roomy: bool) -> Table:
    grid = Table(
        box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim", show_edge=False
    )
    grid.add_column("", overflow="ellipsis", no_wrap=True)
    for name in ("Mark", "95 %", *(("of", "n") if roomy else ())):
        grid.add_column(name, justify="right", no_wrap=True)
    for row in mark_rows(summary):
        style = "bold" if row.name == "overall" else ""
        cells = [row.mark, row.interval, *((row.scale, row.n) if roomy else ())]
        grid.add_row(Text(f"  {row.name}", style=style), *(Text(cell) for cell in cells))
    return grid
