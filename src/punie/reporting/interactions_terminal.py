"""Collected interactions as tables for the terminal, from 40 columns up: pure."""

from collections.abc import Iterator, Sequence
from functools import partial

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from punie.records.interactions import InteractionGroup, Interactions, Timeline
from punie.records.summary import Spread
from punie.reporting import numbers
from punie.reporting.fitted import Fitted
from punie.reporting.timeline_chart import day, sparks
from punie.text import one_line

_WIDEST, _ROOMY = 96, 66
"""Columns beyond which a line is hard to follow, and from which on every column has place."""
_MANY = 12
"""Roles, providers or errors beyond this many are left to `--json`."""


def interactions_view(found: Interactions) -> RenderableType:
    """Everything about collected interactions that fits a screen."""
    return Fitted(partial(_parts, found), _WIDEST)


def _parts(found: Interactions, width: int) -> Iterator[RenderableType]:
    roomy = width >= _ROOMY
    yield _headline(found)
    yield _figures(found)
    if found.roles or found.providers:
        yield Text()
        yield _groups(found, roomy=roomy)
    if found.planned:
        yield Text()
        yield _planned(found)
    if found.failed:
        yield Text()
        yield _errors(found)
    if found.timeline:
        yield Text()
        yield from _over_time(found.timeline, width)
    yield Text()
    yield Text(f"Read: {_fields(found)}", style="dim")


def _headline(found: Interactions) -> Text:
    if found.success is None:
        total = numbers.counted(found.total, "interaction")
        return Text.assemble((total, "bold"), "  none tells whether it succeeded")
    return Text.assemble(
        (numbers.percent(found.success.value), "bold cyan"),
        f" {numbers.interval(found.success)} successful  ",
        (f"95 % interval, n {numbers.count(found.success.n)}", "dim"),
    )


def _figures(found: Interactions) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    counts = f"{numbers.count(found.successful)} successful, {numbers.count(found.failed)} failed"
    untold = f", {numbers.count(found.untold)} tell neither" if found.untold else ""
    grid.add_row("Outcome", counts + untold)
    if found.duration:
        grid.add_row("Duration", _duration(found.duration))
    for name, length in (("Task", found.task_length), ("Output", found.output_length)):
        if length:
            grid.add_row(name, _length(length))
    return grid


def _duration(times: Spread) -> str:
    low, median, mean, high, most = map(
        numbers.duration, (times.min, times.median, times.mean, times.p95, times.max)
    )
    return f"{mean} mean, {median} median, {high} p95 ({low}–{most})"


def _length(length: Spread) -> str:
    mean, median, low, most = (
        numbers.count(round(each)) for each in (length.mean, length.median, length.min, length.max)
    )
    return f"{mean} characters mean, {median} median ({low}–{most})"


def _grid(titles: Sequence[str]) -> Table:
    grid = Table(
        box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim", show_edge=False
    )
    grid.add_column(titles[0], overflow="ellipsis", no_wrap=True)
    for title in titles[1:]:
        grid.add_column(title, justify="right", no_wrap=True)
    return grid


def _groups(found: Interactions, *, roomy: bool) -> Table:
    """Roles and providers in one table, so that their columns stand below each other."""
    titles = ["", "n", "Share", "Success"]
    grid = _grid([*titles[:3], "95 %", "Success", "95 %", "Mean", "Median"] if roomy else titles)
    for name, groups, without in (
        ("Role", found.roles, found.without_role),
        ("Provider", found.providers, found.without_provider),
    ):
        if groups:
            grid.add_row(Text(name, style="dim"))
        for each in groups[:_MANY]:
            grid.add_row(*map(Text, _group(each, roomy=roomy)))
        if len(groups) > _MANY:
            grid.add_row(Text(f"  and {len(groups) - _MANY} more", style="dim"))
        if groups and without:
            grid.add_row(Text("  none told", style="dim"), Text(numbers.count(without)))
    return grid


def _group(each: InteractionGroup, *, roomy: bool) -> list[str]:
    name, n, share = (
        f"  {one_line(each.name)}",
        numbers.count(each.count),
        numbers.percent(each.share.value),
    )
    success = numbers.percent(each.success.value if each.success else None)
    if not roomy:
        return [name, n, share, success]
    times = each.duration
    return [
        *(name, n, share, numbers.interval(each.share), success, numbers.interval(each.success)),
        numbers.duration(times.mean if times else None),
        numbers.duration(times.median if times else None),
    ]


def _planned(found: Interactions) -> Table:
    grid = _grid(["Role", "Planned", "Actual"])
    grid.add_column("")
    for each in found.planned:
        grid.add_row(
            Text(one_line(each.role)),
            Text(numbers.percent(each.planned)),
            Text(numbers.percent_interval(each.actual)),
            Text(each.deviation.value),
        )
    return grid


def _errors(found: Interactions) -> Table:
    grid = _grid(["Why they failed", "Times"])
    for each in found.errors[:_MANY]:
        message = one_line(each.message, 100) or "(no message)"
        grid.add_row(Text(f"  {message}"), Text(numbers.count(each.count)))
    rest = found.other_errors + sum(each.count for each in found.errors[_MANY:])
    if rest:
        grid.add_row(Text("  other errors", style="dim"), Text(numbers.count(rest)))
    return grid


def _over_time(timeline: Timeline, width: int) -> Iterator[RenderableType]:
    first, last = day(timeline.periods[0].start), day(timeline.periods[-1].start)
    yield Text(f"Over time, a {timeline.period} each: {first} to {last}", style="dim")
    # A block may stand for several periods where the window has fewer columns.
    yield Text(sparks(timeline, width), style="cyan")
    if timeline.untimed:
        yield Text(f"{numbers.count(timeline.untimed)} without a time", style="dim")


def _fields(found: Interactions) -> str:
    """Which keys told what, so that a wrong guess is seen."""
    return ", ".join(
        f"{thing} from {' and '.join(one_line(key, 60) for key in list(keys)[:3])}"
        for thing, keys in found.fields.items()
    )
