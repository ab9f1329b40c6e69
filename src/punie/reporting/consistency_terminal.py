"""Consistency for the terminal, from 40 columns up; words carry what colour repeats."""

from collections.abc import Iterator
from functools import partial

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from punie.records.consistency import Capability, Consistency
from punie.reporting import consistency_wording as words
from punie.reporting import numbers
from punie.reporting.fitted import Fitted
from punie.reporting.hanging import hanging
from punie.reporting.heat_map import legend, strip
from punie.text import one_line

_WIDEST = 110
_ROOMY = 96
"""Columns from which on each share shows its interval."""
_MIDDLING = 64
"""Columns from which on cannot, unstable and can are counted in the table."""
_SHARE, _INTERVAL = 8, 17
"""Columns of the widest share, without and with its interval: `> 99.9 %`, `99.7 % [98.2–100]`."""
_LISTED = 10
"""Prompts whose answers vary most that are shown; the page and the JSON have all."""
_STRIP = 16
"""Repeats of a prompt that are drawn in a line."""


def consistency_view(found: Consistency) -> RenderableType:
    """The answer to "capability or inconsistency?", and the numbers that it rests on."""
    return Fitted(partial(_parts, found), _WIDEST)


def _parts(found: Consistency, width: int) -> Iterator[RenderableType]:
    yield Text(words.title(found), style="bold")
    if told := words.draws(found):
        mark = "!" if not found.sampled else "i"
        yield hanging(f"{mark} ", Text(told), "yellow" if mark == "!" else "cyan")
    for line in found.cautions:
        yield hanging("! ", line, "yellow")
    yield Text()
    yield Text(words.verdict(found), style="bold cyan")
    if told := words.advice(found):
        yield Text(told)
    if found.overall.curve:
        yield Text()
        yield _table(found, width)
    yield Text()
    yield from _sentences(found)
    yield _grid(words.steadiness(found.overall), "How alike the answers are")
    if lines := words.greedy(found):
        yield Text()
        yield _grid(lines, "Greedy against sampled")
    if listed := words.least_steady(found, _LISTED):
        yield Text()
        yield Text("The least steady prompts", style="dim")
        yield _least_steady(found, width)
        yield Text(f"  {legend(mark for each in listed for mark in each.marks)}", style="dim")
    if found.sampled and found.overall.curve:
        yield Text()
        yield Text(words.hedges(found), style="dim")


def _table(found: Consistency, width: int) -> Table:
    """What one answer, the best of k and all k bring, and how many prompts it can answer."""
    roomy, middling = width >= _ROOMY, width >= _MIDDLING
    k = numbers.count(found.k)
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    grid.add_column("", no_wrap=True)
    heads = ["pass@1", f"pass@{k}", f"pass^{k}"]
    heads += [word.value for word in Capability] if middling else []
    for head in heads:
        grid.add_column(head, justify="right", no_wrap=True)
    # Names give way to numbers, which are no wider than this.
    taken = sum(max(len(head), _INTERVAL if roomy else _SHARE) + 2 for head in heads[:3])
    taken += sum(len(head) + 2 for head in heads[3:])
    room = max(4, width - taken - 4)
    before = ""
    for kind, each in words.rows(found):
        if kind not in ("overall", before):
            grid.add_row(Text(kind.capitalize(), style="dim"))
        before = kind
        name = "overall" if kind == "overall" else f"  {one_line(each.name, room)}"
        if (points := words.ends(each)) is None:
            grid.add_row(Text(name), numbers.NOTHING)
            continue
        one, many = points
        cells = [
            numbers.percent_interval(chance) if roomy else numbers.percent(chance.value)
            for chance in (one.pass_at, many.pass_at, many.pass_hat)
        ]
        counts = [numbers.count(each.counts[word]) for word in Capability]
        grid.add_row(Text(name), *cells, *(counts if middling else []))
    return grid


def _sentences(found: Consistency) -> Iterator[RenderableType]:
    """Capability or inconsistency, one sentence for all and one a category."""
    for kind, each in words.rows(found):
        if kind == "role":
            continue
        name = "overall" if kind == "overall" else one_line(each.name, 40)
        yield Text.assemble((name, "bold"), f"  {words.sentence(found, each)}")
    yield Text()


def _grid(lines: list[words.Line], title: str) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.title, grid.title_justify, grid.title_style = title, "left", "dim"
    grid.add_column(no_wrap=True)
    grid.add_column()
    for name, told in lines:
        grid.add_row(f"  {name}", Text(told))
    return grid


def _least_steady(found: Consistency, width: int) -> Table:
    """A line a prompt: right or wrong by repeat, how many answers, which one is the commonest."""
    roomy = width >= _ROOMY
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    grid.add_column("  answers", no_wrap=True, min_width=9)
    grid.add_column("prompt", overflow="ellipsis", no_wrap=True, min_width=12)
    if kept := found.overall.unique is not None:
        grid.add_column("differ", justify="right", no_wrap=True, min_width=6)
    if kept and roomy:
        grid.add_column("the commonest", overflow="ellipsis", no_wrap=True)
    for each in words.least_steady(found, _LISTED):
        cells = [Text(f"  {strip(each.marks, _STRIP)}"), Text(one_line(each.id, 40))]
        cells += [Text(numbers.count(each.unique))] if kept else []
        cells += [Text(words.majority(each, 40))] if kept and roomy else []
        grid.add_row(*cells)
    return grid
