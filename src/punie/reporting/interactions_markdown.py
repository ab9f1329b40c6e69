"""Collected interactions as GitHub-flavoured markdown: pure."""

from collections.abc import Sequence

from punie.records.interactions import InteractionGroup, Interactions
from punie.records.summary import Spread
from punie.reporting import numbers
from punie.reporting.escaping import code, escape, table
from punie.reporting.svg import slice_chart
from punie.reporting.timeline_chart import day, sparks, timeline_chart
from punie.text import one_line

_SPARKS = 60
"""Blocks of the line over time."""


def interactions_markdown(
    found: Interactions, *, charts: Sequence[tuple[str, str]] = (), warnings: Sequence[str] = ()
) -> str:
    """Write what collected interactions say; `charts` are titles and files beside the document."""
    sections = [
        "# Collected interactions",
        _headline(found),
        "\n".join(f"- Warning: {escape(each)}" for each in warnings),
        _spreads(found),
        _groups("Role", found.roles, found.without_role),
        _groups("Provider", found.providers, found.without_provider),
        _planned(found),
        _errors(found),
        _over_time(found),
        *(f"![{escape(title)}]({file})" for title, file in charts),
        _sources(found),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def interaction_charts(found: Interactions) -> dict[str, tuple[str, str]]:
    """Standalone SVG files by the end of their name, each with its title."""
    charts: dict[str, tuple[str, str]] = {}
    for name, groups in (("role", found.roles), ("provider", found.providers)):
        if groups:
            title = f"Share by {name}"
            rows = [(each.name, each.share) for each in groups[:30]]
            charts[f"{name}s"] = (title, slice_chart(rows, title=title, standalone=True))
        if any(each.success for each in groups):
            title = f"Success by {name}"
            rows = [(each.name, each.success) for each in groups[:30]]
            charts[f"success-by-{name}"] = (title, slice_chart(rows, title=title, standalone=True))
    if found.timeline:
        title = f"Interactions per {found.timeline.period}"
        drawn = timeline_chart(found.timeline, title=title, standalone=True)
        charts["timeline"] = (title, drawn)
    return charts


def _headline(found: Interactions) -> str:
    total = numbers.counted(found.total, "interaction")
    if found.success is None:
        return f"**{total}**, none of which tells whether it succeeded."
    told = f"{numbers.count(found.successful)} successful, {numbers.count(found.failed)} failed"
    untold = f", {numbers.count(found.untold)} tell neither" if found.untold else ""
    return (
        f"**{numbers.percent(found.success.value)} successful**, 95 % interval "
        f"{numbers.interval(found.success)}, of {total}: {told}{untold}."
    )


def _spreads(found: Interactions) -> str:
    rows = [_spread("Duration", found.duration, times=True)] if found.duration else []
    for name, length in (
        ("Task, characters", found.task_length),
        ("Output, characters", found.output_length),
    ):
        rows += [_spread(name, length, times=False)] if length else []
    heads = ["Measure", "Mean", "Median", "p95", "Min", "Max"]
    return table(heads, rows, right=range(1, 6)) if rows else ""


def _spread(name: str, found: Spread, *, times: bool) -> list[str]:
    values = (found.mean, found.median, found.p95, found.min, found.max)
    written = [numbers.duration(each) if times else numbers.count(round(each)) for each in values]
    return [name, *written]


def _groups(title: str, groups: Sequence[InteractionGroup], without: int) -> str:
    if not groups:
        return ""
    rows = [
        [
            escape(each.name),
            numbers.count(each.count),
            numbers.percent_interval(each.share),
            numbers.percent_interval(each.success),
            numbers.duration(each.duration.mean if each.duration else None),
            numbers.duration(each.duration.median if each.duration else None),
        ]
        for each in groups
    ]
    if without:
        rows.append(["none told", numbers.count(without), *[numbers.NOTHING] * 4])
    return table([title, "n", "Share", "Success", "Mean", "Median"], rows, right=range(1, 6))


def _planned(found: Interactions) -> str:
    if not found.planned:
        return ""
    rows = [
        [
            escape(each.role),
            numbers.percent(each.planned),
            numbers.percent_interval(each.actual),
            each.deviation.value,
        ]
        for each in found.planned
    ]
    body = table(["Role", "Planned", "Actual", ""], rows, right=(1, 2))
    return f"## Planned and actual roles\n\nThe intervals hold together at 95 %.\n\n{body}"


def _errors(found: Interactions) -> str:
    if not found.failed:
        return ""
    rows = [
        [code(each.message) if each.message else "no message", numbers.count(each.count)]
        for each in found.errors
    ]
    if found.other_errors:
        rows.append(["other errors", numbers.count(found.other_errors)])
    return f"## Why they failed\n\n{table(['Error', 'Times'], rows, right=(1,))}"


def _over_time(found: Interactions) -> str:
    timeline = found.timeline
    if timeline is None:
        return ""
    first, last = day(timeline.periods[0].start), day(timeline.periods[-1].start)
    line = sparks(timeline, _SPARKS)
    untimed = f" {numbers.count(timeline.untimed)} have no time." if timeline.untimed else ""
    return f"## Over time\n\n`{line}`\n\nNumbers per {timeline.period}, {first} to {last}.{untimed}"


def _sources(found: Interactions) -> str:
    lines = [
        f"- {code(each.name)}: {numbers.counted(each.interactions, 'interaction')}, SHA-256 "
        f"{code(each.sha256)}"
        for each in found.files
    ]
    lines += [
        f"- {thing} read from {', '.join(code(one_line(key, 60)) for key in keys)}"
        for thing, keys in found.fields.items()
    ]
    return "\n".join(["## Where it comes from", "", *lines])
