"""A judge's marks as a table for the terminal, from 40 columns up."""

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.constrain import Constrain
from rich.table import Table
from rich.text import Text

from punie.records.judgement import JudgeSummary
from punie.reporting.hanging import hanging
from punie.reporting.judged import ASIDE, figures, judge_title, mark_rows, remarks, stamp
from punie.text import one_line

_WIDEST = 96
_ROOMY = 60


def judged_table(summary: JudgeSummary) -> RenderableType:
    """What the judge says by dimension, with intervals, and what to know before believing it."""
    return _JudgedTable(summary)


class _JudgedTable:
    """Arranges itself by the width that it is given."""

    def __init__(self, summary: JudgeSummary) -> None:
        self._summary = summary

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(options.max_width, _WIDEST)
        for part in self._parts(roomy=width >= _ROOMY):
            yield Constrain(part, width)

    def _parts(self, *, roomy: bool) -> Iterator[RenderableType]:
        summary = self._summary
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
