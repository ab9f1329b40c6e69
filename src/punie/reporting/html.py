"""A run as one self-contained HTML file, written piece by piece.

The template walks the rows once, in document order, so a report of many thousand prompts needs no
more memory than one block of transcripts and a few numbers a prompt.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from punie.records.result import EvalResult, Outcome
from punie.records.run import EvalReport, Run
from punie.records.suite import EvalPrompt
from punie.records.summary import Slice, Summary
from punie.reporting import numbers, svg
from punie.reporting.answers import Status, expected_line, got_line, status
from punie.reporting.soundness import (
    checks_line,
    findings,
    follows,
    resume_command,
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
    own_code,
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
    stream = _template().stream(
        own=_own(),
        run=run,
        suite=report.suite,
        summary=summary,
        title=visible(model_title(run.model)),
        meaning=meaning(summary),
        notes=notes(run, summary),
        stats=_stats(summary),
        gauge=_drawing(svg.gauge(summary.score, label="Score")) if summary.score else "",
        dimensions=_dimensions(summary),
        culprits=_culprits(summary),
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
        draw=_drawing,
        provenance=_provenance(run),
        created=_date(run.created_at),
    )
    stream.enable_buffering(64)
    return iter(stream)


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("punie.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        **numbers.FORMATS,
        "visible": visible,
        "one_line": one_line,
        "follows": follows,
    }
    return environment.get_template("report.html.j2")


class _Own(NamedTuple):
    """The page's own style and script, and the policy that allows exactly these two."""

    style: Markup
    script: Markup
    policy: str


@cache
def _own() -> _Own:
    folder = files("punie.reporting") / "templates"
    style = (folder / "report.css").read_text("utf-8") + svg.CHART_CSS
    script = (folder / "report.js").read_text("utf-8")
    policy = (
        f"default-src 'none'; style-src '{_source_hash(style)}'; "
        f"script-src '{_source_hash(script)}'; base-uri 'none'; form-action 'none'"
    )
    return _Own(Markup(style), Markup(script), policy)  # noqa: S704 - files of this package


def _source_hash(source: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}"


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
    return SliceRow(each, _drawing(svg.bar(each.score, label=each.name) if each.score else ""))


def _drawing(written: str) -> Markup:
    return Markup(written)  # noqa: S704 - svg escapes every label


def _culprits(summary: Summary) -> list[tuple[str, str, int, Markup]]:
    ranked = sorted(summary.culprits.items(), key=lambda item: (-item[1], item[0]))
    most = ranked[0][1] if ranked else 0
    return [
        (name, culprit_words(name), number, _drawing(svg.share_bar(number, most, label=name)))
        for name, number in ranked
    ]


def _faults(run: Run, summary: Summary) -> list[tuple[str, str, str, int]]:
    ranked = sorted(summary.fault_kinds.items(), key=lambda item: (-item[1], item[0]))
    found: list[tuple[str, str, str, int]] = []
    for kind, number in ranked:
        words = fault_words(kind, remote=is_remote(run))
        detail = f" Mostly: {message}" if (message := mostly(summary, kind)) else ""
        found.append((kind, words.meaning + detail, words.remedy, number))
    return found


def _provenance(run: Run) -> list[tuple[str, str]]:
    """Name and value of everything that traces the run; what is unknown is left out."""
    model, source = run.model, run.provenance
    sampling = run.sampling.model_dump(exclude_none=True, exclude_defaults=False)
    commit = source.git_commit or ""
    known = [
        ("Run", run.id),
        ("Started", _date(run.created_at)),
        ("Command", source.command),
        ("Suite", f"{run.suite_name}, version {run.suite_version}"),
        ("Suite source", run.suite_source),
        ("Suite hash", run.suite_hash),
        ("Model", model.name),
        ("Backend", f"{model.backend} at {model.url}" if model.url else model.backend),
        ("Parameters", numbers.compact(model.parameters) if model.parameters else ""),
        ("Number format", model.dtype or ""),
        ("Weights hash", model.weights_hash or ""),
        ("Template hash", model.template_hash or ""),
        ("Code of its own", own_code(model)),
        ("Adapter", model.adapter or ""),
        ("Adapter hash", model.adapter_hash or ""),
        ("Sampling", ", ".join(f"{k} {v}" for k, v in sampling.items() if v != ())),
        ("Concurrency", str(run.concurrency)),
        ("Repeats", str(run.repeats)),
        ("Tools", run.tools_mode),
        ("Selection", ", ".join(f"{k} {v}" for k, v in run.selection.items())),
        ("Hardware", source.hardware),
        ("Platform", source.platform),
        ("Versions", ", ".join(f"{k} {v}" for k, v in source.versions.items())),
        (
            "Git",
            f"{commit}{', with uncommitted changes' if source.git_dirty else ''}" if commit else "",
        ),
    ]
    return [(name, visible(value)) for name, value in known if value]


def _date(written: str) -> str:
    """Write an ISO time as people do, in UTC; anything else as it is."""
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        return one_line(written, 40)
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC)
    return f"{moment.day} {moment:%b %Y, %H:%M} UTC"
