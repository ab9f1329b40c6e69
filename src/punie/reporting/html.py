"""A run as one self-contained HTML file, written piece by piece.

The template walks the rows once, in document order, so a report of many thousand prompts needs no
more memory than one block of transcripts and a few numbers a prompt.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from markupsafe import Markup

from punie.analysis.resume_command import resume_command
from punie.records.judgement import JudgeSummary
from punie.records.result import EvalResult, Outcome
from punie.records.run import EvalReport, Run
from punie.records.suite import EvalPrompt
from punie.records.summary import Slice, Summary
from punie.reporting import numbers, svg
from punie.reporting.answers import Status, expected_line, got_line, status
from punie.reporting.judged import (
    ASIDE,
    MarkRow,
    figures,
    identity_line,
    judge_title,
    mark_rows,
    remarks,
    stamp,
)
from punie.reporting.page import drawing, own, template
from punie.reporting.provenance import date, provenance
from punie.reporting.soundness import (
    checks_line,
    findings,
    retries,
    soundness,
    timeline,
)
from punie.reporting.timings import Timings
from punie.reporting.transcripts import NOT_KEPT, Transcripts, transcript
from punie.reporting.wording import (
    culprit_words,
    fault_words,
    is_remote,
    meaning,
    model_title,
    mostly,
    notes,
    waited,
)
from punie.text import one_line, visible


class Row(NamedTuple):
    """One line of the table of prompts, every field ready to show."""

    id: str
    repeat: str
    again: str
    """Why earlier requests for this prompt failed; empty where the first was answered."""
    category: str
    traits: str
    must_pass: bool
    status: Status
    culprit: str
    culprit_words: str
    score: str
    latency: str
    expected: str
    got: str
    place: str


def render_html(
    report: EvalReport, rows: Iterable[tuple[EvalPrompt, Outcome]], *, words: bool = True
) -> Iterator[str]:
    """Write a run's report as pieces of one HTML document.

    `rows` gives each outcome with its prompt, in the order of the table, and is read once. Without
    `words` prompts, expectations and answers are not known, as in most run.json of a journal. The
    document loads nothing, and its content security policy allows only its own style and script.
    """
    transcripts, timings = Transcripts(), Timings()
    run, summary = report.run, report.summary
    stream = template("report.html.j2").stream(
        own=own(("report.css",), ("rows.js", "report.js"), svg.CHART_CSS),
        run=run,
        suite=report.suite,
        summary=summary,
        title=visible(model_title(run.model)),
        meaning=meaning(summary),
        notes=notes(run, summary),
        stats=_stats(summary),
        gauge=drawing(svg.gauge(summary.score, label="Score")) if summary.score else "",
        dimensions=_dimensions(summary),
        culprits=_culprits(summary),
        judged=_judged(run.judged),
        faults=_faults(run, summary),
        soundness=soundness(run, summary),
        checks_line=checks_line(run.checks),
        findings=findings(run.checks),
        timeline=timeline(run),
        retries=retries(summary),
        resume=resume_command(run, summary),
        rows=_rows(rows, transcripts, timings, words=words),
        transcripts=transcripts,
        timings=timings,
        draw=drawing,
        provenance=provenance(run),
        created=date(run.created_at),
    )
    stream.enable_buffering(64)
    return iter(stream)


def _rows(
    rows: Iterable[tuple[EvalPrompt, Outcome]],
    transcripts: Transcripts,
    timings: Timings,
    *,
    words: bool,
) -> Iterator[Row]:
    """The answers as they come, then what could not be measured: a fault is no wrong answer."""
    unmeasured: list[Row] = []
    for prompt, outcome in rows:
        culprit, score, latency = "", "", ""
        if isinstance(outcome, EvalResult):
            timings.add(outcome)
            culprit = str(outcome.culprit or "")
            score = numbers.score(outcome.score)
            latency = numbers.duration(outcome.completion.latency_s)
        else:
            culprit = str(outcome.kind)
        row = Row(
            id=one_line(prompt.id, 80),
            again=", ".join(dict.fromkeys(kind.value for kind in outcome.failures)),
            repeat=f"repeat {outcome.repeat + 1}" if outcome.repeat else "",
            category=one_line(prompt.category, 60),
            traits=one_line(" ".join(filter(None, [prompt.role, *prompt.tags]))),
            must_pass=prompt.must_pass,
            status=status(outcome),
            culprit=culprit,
            culprit_words=culprit_words(culprit) or fault_words(culprit).meaning,
            score=score or numbers.NOTHING,
            latency=latency or numbers.NOTHING,
            expected=expected_line(prompt.expect) if words else NOT_KEPT,
            got=got_line(outcome) if words else NOT_KEPT,
            place=transcripts.add(transcript(prompt, outcome, words=words)),
        )
        if row.status == "fault":
            unmeasured.append(row)
        else:
            yield row
    yield from unmeasured


class Stat(NamedTuple):
    """A number of the header, with a remark under it."""

    name: str
    value: str
    remark: str = ""


def _stats(summary: Summary) -> list[Stat]:
    """The header's numbers; what was not measured is left out."""
    stats: list[Stat] = []
    if summary.passed:
        share = numbers.percent(summary.passed.value)
        stats.append(Stat("Passed", share, numbers.interval(summary.passed)))
    answered = f"{numbers.count(summary.answered)} answered"
    repeats = f", {summary.repeats} repeats each" if summary.repeats > 1 else ""
    stats.append(Stat("Prompts", numbers.count(summary.prompts), answered + repeats))
    if summary.latency:
        p95 = f"95 % within {numbers.duration(summary.latency.p95)}"
        stats.append(Stat("Latency, median", numbers.duration(summary.latency.median), p95))
    if summary.first_token:
        p95 = f"95 % within {numbers.duration(summary.first_token.p95)}"
        value = numbers.duration(summary.first_token.median)
        stats.append(Stat("First token, median", value, p95))
    if summary.tokens_out is not None:
        remark = f"{numbers.compact(summary.tokens_in)} in" if summary.tokens_in else ""
        stats.append(Stat("Tokens written", numbers.compact(summary.tokens_out), remark))
    if summary.tokens_per_second is not None:
        value = numbers.rate(summary.tokens_per_second)
        over = "waiting included" if waited(summary) else "over all requests in flight"
        stats.append(Stat("Throughput", value, over))
    if summary.peak_memory_bytes is not None:
        value = numbers.byte_size(summary.peak_memory_bytes)
        stats.append(Stat("Peak memory", value, "of the server"))
    if summary.cost is not None:
        stats.append(Stat("Cost", numbers.cost(summary.cost), "in the declared currency"))
    retried = f"{numbers.count(summary.retried)} retried" if summary.retried else ""
    stats.append(Stat("Time", numbers.duration(summary.wall_s), retried))
    return stats


class SliceRow(NamedTuple):
    """A category, role or tag with its bar."""

    slice: Slice
    bar: Markup


def _dimensions(summary: Summary) -> list[tuple[str, list[SliceRow]]]:
    named = [
        ("Category", summary.categories),
        ("Role", summary.roles),
        ("Tag", sorted(summary.tags, key=lambda each: -each.prompts)),
    ]
    return [(name, [_slice_row(each) for each in slices]) for name, slices in named if slices]


def _slice_row(each: Slice) -> SliceRow:
    return SliceRow(each, drawing(svg.bar(each.score, label=each.name) if each.score else ""))


def _culprits(summary: Summary) -> list[tuple[str, str, int, Markup]]:
    ranked = sorted(summary.culprits.items(), key=lambda item: (-item[1], item[0]))
    most = ranked[0][1] if ranked else 0
    return [
        (name, culprit_words(name), number, drawing(svg.share_bar(number, most, label=name)))
        for name, number in ranked
    ]


class JudgedSection(NamedTuple):
    """What a judge says, ready to show; each row with its bar."""

    title: str
    rows: list[tuple[MarkRow, Markup]]
    stamp: str
    calibrated: bool
    remarks: list[str]
    figures: str
    aside: str


def _judged(summary: JudgeSummary | None) -> JudgedSection | None:
    if summary is None:
        return None
    return JudgedSection(
        title=visible(judge_title(summary)),
        rows=[(row, drawing(svg.bar(row.score, label=row.name))) for row in mark_rows(summary)],
        stamp=visible(stamp(summary)),
        calibrated=bool(summary.calibrated),
        remarks=[visible(each) for each in remarks(summary)],
        figures=visible(f"{figures(summary)}. Judge: {identity_line(summary)}."),
        aside=ASIDE,
    )


def _faults(run: Run, summary: Summary) -> list[tuple[str, str, str, int]]:
    ranked = sorted(summary.fault_kinds.items(), key=lambda item: (-item[1], item[0]))
    found: list[tuple[str, str, str, int]] = []
    for kind, number in ranked:
        words = fault_words(kind, remote=is_remote(run))
        detail = f" Mostly: {message}" if (message := mostly(summary, kind)) else ""
        found.append((kind, words.meaning + detail, words.remedy, number))
    return found
