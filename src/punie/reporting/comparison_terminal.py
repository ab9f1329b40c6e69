"""A comparison for the terminal, from 40 columns up; words carry what colour repeats."""

from collections.abc import Iterator
from functools import partial

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from punie.records.compared import Compared, Matrix, WeightedScore
from punie.records.comparison import Bucket, Comparison, Word
from punie.records.gate import Decision, GateReport, Verdict
from punie.reporting import comparison_wording as words
from punie.reporting import numbers
from punie.reporting.duel_terminal import duel_view
from punie.reporting.fitted import Fitted
from punie.reporting.hanging import hanging
from punie.text import one_line

_WIDEST = 100
"""A line longer than this is hard to follow, however wide the window."""
_ROOMY = 92
"""Columns from which on a row has place for both intervals, its flips and its word."""
_MIDDLING = 56
"""Columns from which on a row shows both scores beside their difference."""
_SHORT = {Word.UNCLEAR.value: "too few"}
"""Words that are too long for a column."""
_LISTED = 8
"""Flipped prompts of a bucket that are named; the page and the JSON have all."""
_TAGS = 5
_COLOURS = {
    Word.BETTER: "green",
    Word.NO_WORSE: "cyan",
    Word.WORSE: "red",
    Word.UNCLEAR: "yellow",
}
_VERDICT_COLOURS = {
    Verdict.PASS: "green",
    Verdict.FAIL: "red",
    Verdict.INCONCLUSIVE: "yellow",
}


def comparison_view(compared: Compared) -> RenderableType:
    """Everything that a decision needs: differences, flips, speed, gate, decision, cautions."""
    return Fitted(partial(_parts, compared), _WIDEST)


def _parts(compared: Compared, width: int) -> Iterator[RenderableType]:
    first, *guards = compared.comparisons
    yield Text(words.subject(compared), style="bold")
    yield from _verdict(first)
    yield Text()
    yield _scores(first, width)
    if compared.weighted:
        yield _weighted(compared.weighted)
    if first.buckets:
        yield Text()
        yield from _flips(first)
    if speed := list(words.speed_rows(first)):
        yield Text()
        yield _speed(speed)
    if compared.duel:
        yield Text()
        yield duel_view(compared.duel)
    for guard in guards:
        yield Text()
        yield Text(f"On {words.suite_of(guard)}", style="bold")
        yield from _verdict(guard)
        yield _scores(guard, width)
    yield from _differs(first)
    yield from _remarks(compared)
    if compared.gate:
        yield Text()
        yield from _gate(compared.gate)
    if compared.decision:
        yield Text()
        yield from _decision(compared.decision)


def _verdict(comparison: Comparison) -> Iterator[RenderableType]:
    style = f"bold {_COLOURS[comparison.word]}" if comparison.word else "bold"
    told = words.difference(comparison.score)
    yield Text.assemble((words.word_of(comparison), style), f"  {told} points")
    yield Text(f"95 % interval over {words.counted_over(comparison)}", style="dim")
    if ended := words.ended_early(comparison):
        yield _remark("i", ended)
    sentences = (words.detectable, words.dependence, words.coverage)
    for sentence in (each(comparison) for each in sentences):
        if sentence:
            yield Text(sentence, style="dim")


def _scores(comparison: Comparison, width: int) -> Table:
    """Rows of overall, categories, roles and the largest tags; columns by the width."""
    roomy, middling = width >= _ROOMY, width >= _MIDDLING
    rows = words.rows(comparison, tags=_TAGS)
    widest = max(len(row.difference) for row in rows)
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    name = None if middling else max(8, width - widest - 4)
    grid.add_column("", overflow="ellipsis", no_wrap=True, max_width=name)
    for title in ("Base", "Current") if middling else ():
        grid.add_column(title, justify="right", no_wrap=True)
    # Names give way where columns are few, the differences never.
    grid.add_column("Difference", justify="right", no_wrap=True, min_width=widest)
    if roomy:
        grid.add_column("Flips", justify="right", no_wrap=True)
        grid.add_column("", no_wrap=True)
    before = ""
    for row in rows:
        if row.kind not in ("overall", before):
            grid.add_row(Text(row.kind.capitalize(), style="dim"))
        before = row.kind
        scores = [row.base, row.current]
        if not roomy:
            scores = [score.split(" [")[0] for score in scores] if middling else []
        told = [row.flips, _SHORT.get(row.word, row.word)] if roomy else []
        name = row.name if row.kind == "overall" else f"  {row.name}"
        grid.add_row(*(Text(cell) for cell in (name, *scores, row.difference, *told)))
    return grid


def _weighted(weighted: WeightedScore) -> Text:
    told = f"weighted  {numbers.percent_interval(weighted.base)}"
    told += f" → {numbers.percent_interval(weighted.current)}"
    told += f"  {words.difference(weighted.difference)}"
    if weighted.missing:
        told += f"  (nothing measured of {', '.join(map(one_line, weighted.missing))})"
    return Text(told)


def _flips(comparison: Comparison) -> Iterator[RenderableType]:
    counts = "   ".join(f"{bucket} {count}" for bucket, count in words.buckets(comparison))
    yield Text(counts, style="bold")
    for bucket, colour in ((Bucket.REGRESSED, "red"), (Bucket.FIXED, "green")):
        listed = words.flips(comparison, bucket)
        for flip in listed[:_LISTED]:
            mark = "−" if bucket is Bucket.REGRESSED else "+"
            must = " (must pass)" if flip.must_pass else ""
            line = f"{one_line(flip.id, 60)}{must}  {words.reasons(flip)}"
            yield hanging(f"{mark} ", line, colour)
        if len(listed) > _LISTED:
            yield Text(f"  and {len(listed) - _LISTED} more {bucket}", style="dim")


def _speed(rows: list[tuple[str, str, str, str]]) -> Table:
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column()
    for row in rows:
        grid.add_row(*row)
    return grid


def _differs(comparison: Comparison) -> Iterator[RenderableType]:
    rows = words.differing(comparison)
    if not rows:
        return
    yield Text()
    yield Text("What differs", style="dim")
    for what, base, current, note in rows:
        yield hanging("· ", f"{what}: {base} → {current}{f' ({note})' if note else ''}")


def _remarks(compared: Compared) -> Iterator[RenderableType]:
    cautions = [line for each in compared.comparisons for line in each.cautions]
    remarks = list(dict.fromkeys((*cautions, *compared.warnings)))
    if remarks or compared.missing:
        yield Text()
    for line in remarks:
        yield _remark("!", line)
    for line in compared.missing:
        yield _remark("?", line)


def _gate(report: GateReport) -> Iterator[RenderableType]:
    yield Text(words.gate_line(report), style=f"bold {_VERDICT_COLOURS[report.verdict]}")
    for line in report.unpassable:
        yield _remark("!", line)
    for result in report.results:
        mark = f"{words.VERDICT_MARKS[result.verdict]} "
        told = f"{one_line(result.name, 80)}: {result.asked}. {result.found}"
        if result.verdict is not Verdict.PASS and result.why:
            told += f" ({result.why})"
        yield hanging(mark, told, _VERDICT_COLOURS[result.verdict])


def _decision(decision: Decision) -> Iterator[RenderableType]:
    yield Text.assemble((f"Decision: {decision.action.value}", "bold"), f". {decision.because}")
    marks = {"yes": "✓", "no": "✗", "unclear": "?"}
    for each in words.telling_evidence(decision):
        yield hanging(f"{marks[each.holds]} ", f"{each.rule}: {each.found}")
    for route in decision.routes:
        sure = "" if route.sure else " (the better guess)"
        yield hanging("→ ", f"{one_line(route.role)}: {route.serves} serves it{sure}. {route.why}")
    for line in decision.measure_next:
        yield hanging("next ", line, "cyan")


def _remark(mark: str, line: str) -> Table:
    return hanging(f"{mark} ", line, "cyan" if mark == "i" else "yellow")


def matrix_view(matrix: Matrix) -> RenderableType:
    """Several runs, each with each: what the column has more than the row."""
    return Fitted(partial(_matrix_parts, matrix), _WIDEST)


def _matrix_parts(matrix: Matrix, _width: int) -> Iterator[RenderableType]:
    for number, title in enumerate(matrix.titles, 1):
        yield hanging(f"{number}  ", one_line(title), "bold")
    yield Text()
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for title in ("", "Difference, points", "Holm", ""):
        grid.add_column(title, no_wrap=True)
    places = {run: number for number, run in enumerate(matrix.runs, 1)}
    for cell in matrix.cells:
        clear = cell.adjusted is not None and cell.adjusted < matrix.alpha
        grid.add_row(
            f"{places[cell.row]} → {places[cell.column]}",
            words.difference(cell.difference),
            words.p_value(cell.adjusted) if cell.adjusted is not None else numbers.NOTHING,
            Text("differs" if clear else "no clear difference", "bold" if clear else "dim"),
        )
    yield grid
