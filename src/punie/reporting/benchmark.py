"""A benchmark as a table for the terminal, from 40 columns up, and as markdown: pure."""

from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.constrain import Constrain
from rich.table import Table
from rich.text import Text

from punie.records.benchmark import BenchmarkResult, Pace
from punie.reporting import benchmark_wording as wording
from punie.reporting import numbers
from punie.reporting.escaping import escape, table
from punie.reporting.hanging import hanging

WIDEST = 96
ROOMY = 60
"""Columns from which on every column of a table has place for its head."""
STYLES = {Pace.GO_ON: "green", Pace.USABLE: "green", Pace.SLOW: "yellow", Pace.CHANGE: "red"}


class BenchmarkTable:
    """Everything about a benchmark that fits a screen; it arranges itself by the width."""

    def __init__(self, result: BenchmarkResult) -> None:
        self._result = result

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Write the parts that were measured, in the order in which one reads them."""
        width = min(options.max_width, WIDEST)
        for part in self._parts(roomy=width >= ROOMY):
            yield Constrain(part, width)

    def _parts(self, *, roomy: bool) -> Iterator[RenderableType]:
        result = self._result
        yield Text(wording.title(result), style="bold")
        yield from self._decision()
        if result.training:
            yield _heading("Training")
            yield _facts(wording.training_lines(result.training))
        if result.grid:
            yield _heading("Grid")
            rows = [wording.grid_row(cell) for cell in result.grid]
            yield _table(wording.GRID_HEADS, rows, merged=0 if roomy else 3)
            yield from (hanging("· ", note) for note in wording.grid_notes(result.grid))
        if result.projection:
            yield _heading("Your data")
            yield Text(wording.projection_line(result.projection))
        if result.serving:
            yield from self._serving(roomy=roomy)
        yield _heading("The machine")
        machine = result.training.machine if result.training else {}
        yield _facts(list(wording.condition_lines(result.conditions, machine)))
        yield from (hanging("! ", words, "yellow") for words in result.conditions.warnings)
        yield from (hanging("x ", words, "red") for words in result.problems)

    def _decision(self) -> Iterator[RenderableType]:
        decision = self._result.decision
        if decision is None:
            return
        yield Text(decision.sentence, style=STYLES[decision.pace])
        yield from (hanging("→ ", words) for words in decision.advice)

    def _serving(self, *, roomy: bool) -> Iterator[RenderableType]:
        serving = self._result.serving
        assert serving is not None
        yield _heading("Serving")
        rows = wording.serving_rows(serving.cells)
        yield _table(wording.SERVING_HEADS, rows, merged=0 if roomy else 2)
        yield Text(wording.SERVING_LEGEND, style="dim")
        spreads = [wording.serving_spreads(cell) for cell in serving.cells]
        yield from (hanging("· ", Text(words, "dim"), "dim") for words in spreads if words)
        yield from (hanging("· ", note) for note in wording.serving_notes(serving.cells))
        started = f"ready after {numbers.duration(serving.start_seconds)}"
        if serving.peak_memory_bytes:
            started += f", {numbers.byte_size(serving.peak_memory_bytes)} peak"
        yield Text(started)


def benchmark_markdown(result: BenchmarkResult) -> str:
    """Write a benchmark as GitHub-flavoured markdown, for the journal and for pull requests.

    Headings are of the third level.
    """
    sections = [f"**{escape(wording.title(result))}**"]
    if decision := result.decision:
        sections.append(escape(decision.sentence))
        if decision.advice:
            sections.append("\n".join(f"- {escape(each)}" for each in decision.advice))
    if result.training:
        sections += ["### Training", _pairs(wording.training_lines(result.training))]
    if result.grid:
        rows = [wording.grid_row(cell) for cell in result.grid]
        sections += ["### Grid", _markdown(wording.GRID_HEADS, rows)]
        sections += _bullets(wording.grid_notes(result.grid))
    if result.projection:
        sections += ["### Projected", escape(wording.projection_line(result.projection))]
    if serving := result.serving:
        rows = wording.serving_rows(serving.cells)
        sections += ["### Serving", _markdown(wording.SERVING_HEADS, rows), wording.SERVING_LEGEND]
        spreads = [wording.serving_spreads(cell) for cell in serving.cells]
        sections += _bullets([each for each in spreads if each])
        sections += _bullets(wording.serving_notes(serving.cells))
    machine = result.training.machine if result.training else {}
    told = list(wording.condition_lines(result.conditions, machine))
    sections += ["### The machine", _pairs([("Hardware", result.provenance.hardware), *told])]
    sections += _bullets([*result.conditions.warnings, *result.problems])
    return "\n\n".join(sections)


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    escaped = [[escape(cell) for cell in row] for row in rows]
    return table(heads, escaped, right=range(len(heads)))


def _pairs(lines: Sequence[tuple[str, str]]) -> str:
    return "\n".join(
        f"- {name}: {escape(value)}" if name else f"  - {escape(value)}"
        for name, value in lines
        if value
    )


def _bullets(lines: Sequence[str]) -> list[str]:
    return ["\n".join(f"- {escape(line)}" for line in lines)] if lines else []


def _heading(words: str) -> RenderableType:
    return Text(f"\n{words}", style="bold cyan")


def _facts(lines: Sequence[tuple[str, str]]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in lines:
        grid.add_row(name, Text(value))
    return grid


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, merged: int) -> Table:
    """The rows below their heads; where columns are few, the first `merged` become one."""
    gap = 1 if merged else 2
    grid = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False, header_style="dim")
    for head in _merge(heads, merged, " · "):
        grid.add_column(head, justify="right", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(cell) for cell in _merge(row, merged, " · ")))
    return grid


def _merge(cells: Sequence[str], number: int, between: str) -> list[str]:
    return [between.join(cells[:number]), *cells[number:]] if number else list(cells)
