"""A run as a table for the terminal, from 40 columns up; words carry what colour repeats."""

from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.constrain import Constrain
from rich.table import Table
from rich.text import Text

from punie.analysis.resume_command import resume_command
from punie.analysis.served_by import served_by
from punie.records.run import EvalReport, Run
from punie.records.summary import Estimate, Slice, Summary
from punie.records.trust import Level
from punie.reporting import numbers
from punie.reporting.hanging import hanging
from punie.reporting.judged_terminal import judged_table
from punie.reporting.soundness import (
    checks_line,
    notable,
    retries,
    said,
    timeline,
)
from punie.reporting.wording import fault_words, is_remote, model_title, mostly, notes, waited
from punie.text import one_line

_WIDEST = 96
"""A line longer than this is hard to follow, however wide the window."""
_ROOMY = 66
"""Columns from which on a slice has place for its bar and its counts."""
_MANY = 12
"""Slices of one kind beyond this many are left to the report."""
_TAGS = 5
"""Tags that are shown; most suites have many small ones."""
_EVENTS = 5
"""Incidents that are shown, the latest; the report has all."""
_CELLS = 20
"""Width of a bar, in characters."""


def eval_table(report: EvalReport) -> RenderableType:
    """Everything about a run that fits a screen: score, slices, culprits, times, cost, faults.

    Raises ValueError where the run has no summary yet.
    """
    return _EvalTable(report, report.summary)


def owed(report: EvalReport) -> str:
    """How much of a run is owed, and the command that asks it; empty where nothing is.

    To be printed unwrapped, so that it can be copied.
    """
    command = resume_command(report.run, report.summary)
    if not command:
        return ""
    total = len(report.suite.prompts) * report.run.repeats
    decided = report.run.decided_after is not None  # then the rest of the suite is not owed
    left = report.summary.faults if decided else total - report.summary.answered
    several = f"{numbers.count(left)} of {numbers.counted(total, 'prompt')}"
    of = f"{several} {'is' if left == 1 else 'are'}" if left > 0 else "To ask what is"
    return f"{of} owed:\n{command}"


class _EvalTable:
    """Arranges itself by the width that it is given."""

    def __init__(self, report: EvalReport, summary: Summary) -> None:
        self._report = report
        self._summary = summary

    def __rich_console__(
        self,
        console: Console,
        options: ConsoleOptions,
    ) -> RenderResult:
        width = min(options.max_width, _WIDEST)
        for part in self._parts(roomy=width >= _ROOMY):
            yield Constrain(part, width)

    def _parts(self, *, roomy: bool) -> Iterator[RenderableType]:
        run, summary = self._report.run, self._summary
        yield _title(self._report)
        yield _headline(summary)
        for note in notes(run, summary):
            mark = ("! ", "yellow") if note.level == "warning" else ("i ", "cyan")
            words = " ".join([note.text, ", ".join(map(one_line, note.prompts))]).strip()
            yield hanging(mark[0], Text(words), mark[1])
        if summary.categories:
            yield Text()
            yield _slices(summary, roomy=roomy)
        if summary.culprits:
            yield Text()
            yield _culprits(summary.culprits, roomy=roomy)
        yield Text()
        yield _figures(run, summary)
        if run.judged:
            yield Text()
            yield judged_table(run.judged)
        if machine := list(_machine(run, summary)):
            yield Text()
            yield Text("The machine", style="dim")
            yield from machine


def _title(report: EvalReport) -> Text:
    run = report.run
    suite = f" on {one_line(run.suite_name)} {one_line(run.suite_version)}"
    return Text.assemble((one_line(model_title(run.model)), "bold"), suite)


def _headline(summary: Summary) -> Text:
    if summary.score is None:
        answered = numbers.percent_interval(summary.answered_rate)
        return Text.assemble(("no score", "bold"), f"  answered {answered}")
    return Text.assemble(
        (numbers.percent(summary.score.value), "bold cyan"),
        f" {numbers.interval(summary.score)}  ",
        (f"95 % interval, n {numbers.count(summary.score.n)}", "dim"),
    )


def _grid(title: str, *, titles: Sequence[str] = ()) -> Table:
    """A table without lines; the first column takes what the others leave."""
    grid = Table(
        box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim", show_edge=False
    )
    grid.add_column(title, overflow="ellipsis", no_wrap=True)
    for name in titles:
        grid.add_column(name, justify="right", no_wrap=True)
    return grid


def _slices(summary: Summary, *, roomy: bool) -> Table:
    """Categories, roles and tags in one table, so that their columns stand below each other."""
    titles = ["Score", "95 %"] + (["Passed", "n"] if roomy else [])
    lost = bool(summary.faults)
    # Where columns are few, the mark of a fault is the title.
    titles += ["Faults"] if roomy else ["x"] if lost else []
    grid = _grid("", titles=titles)
    if roomy:
        grid.add_column("0 to 100 %", no_wrap=True)
    # Tags are many and small; the largest say most here, the report shows all.
    tags = tuple(sorted(summary.tags, key=lambda tag: -tag.prompts)[:_TAGS])
    groups = (("Category", summary.categories), ("Role", summary.roles), ("Tag", tags))
    for name, slices in groups:
        if slices:
            grid.add_row(Text(name, style="dim"))
        for each in slices[:_MANY]:
            grid.add_row(*_slice(each, roomy=roomy, lost=lost))
        hidden = (len(summary.tags) if name == "Tag" else len(slices)) - len(slices[:_MANY])
        if hidden:
            grid.add_row(Text(f"  and {hidden} more", style="dim"))
    return grid


def _slice(each: Slice, *, roomy: bool, lost: bool) -> list[Text]:
    value = each.score.value if each.score else None
    cells = [f"  {one_line(each.name)}", numbers.percent(value), numbers.interval(each.score)]
    faults = numbers.count(each.faults) if each.faults else ""
    if not roomy:
        return [Text(cell) for cell in (*cells, *([faults] if lost else []))]
    passed = each.passed.value if each.passed else None
    scored = each.score.n if each.score else 0
    cells += [numbers.percent(passed), numbers.count(scored), faults]
    return [*(Text(cell) for cell in cells), _bar(each.score)]


def _bar(estimate: Estimate | None) -> Text:
    """The interval as a line, the mean as a point on it."""
    if estimate is None:
        return Text()
    low, mean, high = (
        round((_CELLS - 1) * min(1.0, max(0.0, share)))
        for share in (estimate.low, estimate.value, estimate.high)
    )
    return Text.assemble(
        ("·" * low, "dim"),
        "─" * (mean - low),
        ("●", "bold cyan"),
        "─" * (high - mean),
        ("·" * (_CELLS - 1 - high), "dim"),
    )


def _culprits(culprits: dict[str, int], *, roomy: bool) -> Table:
    grid = _grid("Why points were lost", titles=["Answers"])
    if roomy:
        grid.add_column("", no_wrap=True)
    ranked = sorted(culprits.items(), key=lambda item: (-item[1], item[0]))
    for name, number in ranked:
        length = max(1, round(_CELLS * number / ranked[0][1]))
        row = [Text(f"  {one_line(name)}"), Text(numbers.count(number))]
        stroke = Text("━" * length, style="cyan")
        grid.add_row(*row, *([stroke] if roomy else []))
    return grid


def _machine(run: Run, summary: Summary) -> Iterator[RenderableType]:
    """What says nothing of the model: findings, incidents, retries, faults, and the way on.

    Nothing at all after a run in which all went well.
    """
    for finding in notable(run.checks):
        mark = ("! ", "yellow") if finding.level is Level.WARNING else ("i ", "cyan")
        yield hanging(mark[0], Text(f"{one_line(finding.name, 40)}: {said(finding)}"), mark[1])
    events = timeline(run)
    for event in events[-_EVENTS:]:
        yield hanging("· ", Text(f"{event.at} {event.kind}: {event.what}"))
    if len(events) > _EVENTS:
        yield Text(f"· and {numbers.count(len(events) - _EVENTS)} before", style="dim")
    if again := retries(summary):
        yield hanging("· ", Text(again))
    ranked = sorted(summary.fault_kinds.items(), key=lambda item: (-item[1], item[0]))
    for kind, number in ranked:
        words = fault_words(kind, remote=is_remote(run))
        detail = f" Mostly: {message}" if (message := mostly(summary, kind)) else ""
        head = f"{one_line(kind)}, {numbers.counted(number, 'request')}: "
        told = Text.assemble((head, "yellow"), f"{words.meaning} {words.remedy}{detail}".strip())
        yield hanging("x ", told, "yellow")


def _figures(run: Run, summary: Summary) -> Table:
    """Times, tokens, memory and cost; what was not measured is left out."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    if (served := served_by(run.model)) != run.model.backend:
        grid.add_row("Served by", one_line(served))
    for name, spread in (("Latency", summary.latency), ("First token", summary.first_token)):
        if spread:
            high = numbers.duration(spread.p95)
            reach = f"{numbers.duration(spread.min)}–{numbers.duration(spread.max)}"
            grid.add_row(name, f"{numbers.duration(spread.median)} median, {high} p95 ({reach})")
    if summary.latency and run.concurrency > 1:
        grid.add_row("", f"with {run.concurrency} in flight, waiting for each other included")
    for name, value in (
        ("Tokens", _tokens(summary)),
        ("Memory", _peak(summary)),
        ("Cost", numbers.cost(summary.cost) if summary.cost is not None else ""),
        ("Time", _time(summary)),
        ("Checks", checks_line(run.checks)),
    ):
        if value:
            grid.add_row(name, value)
    return grid


def _tokens(summary: Summary) -> str:
    parts = [
        f"{numbers.compact(number)} {way}"
        for number, way in ((summary.tokens_in, "in"), (summary.tokens_out, "out"))
        if number is not None
    ]
    if summary.tokens_per_second is not None:
        included = ", waiting included" if waited(summary) else ""
        parts.append(numbers.rate(summary.tokens_per_second) + included)
    return ", ".join(parts)


def _peak(summary: Summary) -> str:
    size = summary.peak_memory_bytes
    return f"{numbers.byte_size(size)} peak" if size is not None else ""


def _time(summary: Summary) -> str:
    answers = numbers.counted(summary.answered, "answer")
    repeats = f", {summary.repeats} repeats" if summary.repeats > 1 else ""
    retried = f", {numbers.count(summary.retried)} retried" if summary.retried else ""
    return f"{numbers.duration(summary.wall_s)} for {answers}{repeats}{retried}"
