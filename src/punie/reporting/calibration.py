"""How far a judge says what people say, for the terminal, from 40 columns up."""

from collections.abc import Iterator
from functools import partial

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from punie.records.labels import Agreement, Calibration
from punie.reporting import numbers
from punie.reporting.fitted import Fitted
from punie.text import one_line

_WIDEST = 96
_ROOMY = 60


def calibration_view(found: Calibration) -> RenderableType:
    """Kappa with its interval in each respect, the table behind it, and what follows."""
    return Fitted(partial(_parts, found), _WIDEST)


def _parts(found: Calibration, width: int) -> Iterator[RenderableType]:
    roomy = width >= _ROOMY
    yield Text.assemble(("Judge  ", "dim"), one_line(found.judge.model))
    labels = numbers.counted(found.labels, "label")
    faults = f", {numbers.counted(found.faults, 'fault')}" if found.faults else ""
    yield Text(f"{labels}, {numbers.count(found.compared)} compared{faults}", style="dim")
    if found.agreements:
        yield Text()
        yield _kappas(found.agreements, roomy=roomy)
        yield Text()
        yield Text(f"{found.agreements[0].name}: person down, judge across", style="dim")
        yield _confusion(found.agreements[0])
    yield Text()
    if found.usable:
        yield Text("A gate may rest on this judge.", style="bold green")
    else:
        yield Text(f"No gate may rest on this judge: {found.why_not}.", style="bold yellow")


def kappa(each: Agreement) -> str:
    """`0.62 [0.48 to 0.74]`; a dash where chance explains everything."""
    if each.kappa is None or each.low is None or each.high is None:
        return numbers.NOTHING
    low, high, value = (f"{n:.2f}".replace("-", "−") for n in (each.low, each.high, each.kappa))
    return f"{value} [{low} to {high}]"


def _kappas(agreements: tuple[Agreement, ...], *, roomy: bool) -> Table:
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    grid.add_column("", overflow="ellipsis", no_wrap=True)
    for title in ("κ, 95 %", *(("the same", "n", "disagreement") if roomy else ())):
        grid.add_column(title, justify="right", no_wrap=True)
    for number, each in enumerate(agreements):
        weighs = "by its square" if each.quadratic else "all alike"
        cells = [numbers.percent(each.agreed), numbers.count(each.n), weighs] if roomy else []
        row = [each.name, kappa(each), *cells]
        grid.add_row(*(Text(cell, style="" if number else "bold") for cell in row))
    return grid


def _confusion(each: Agreement) -> Table:
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    grid.add_column("", style="dim", no_wrap=True)
    for level in each.levels:
        grid.add_column(level, justify="right", no_wrap=True)
    for at, (level, row) in enumerate(zip(each.levels, each.table, strict=True)):
        cells = (
            Text(numbers.count(number), style="bold" if column == at else "")
            for column, number in enumerate(row)
        )
        grid.add_row(level, *cells)
    return grid
