"""A comparison as one self-contained HTML file, written piece by piece.

The template walks the flipped prompts once, in the order of worth, so a page of many thousand needs
no more memory than one block of transcripts.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from punie.records.compared import Compared, Matrix, WeightedScore
from punie.records.comparison import Bucket, Comparison, Difference
from punie.records.run import Run
from punie.records.trust import Finding
from punie.reporting import comparison_wording as words_of
from punie.reporting import numbers, svg
from punie.reporting.answers import expected_line, got_line, status
from punie.reporting.comparison_notes import notes_of
from punie.reporting.comparison_tables import (
    CLASSES,
    duel_of,
    forest_of,
    matrix_of,
    standings_of,
)
from punie.reporting.flipped import FlippedRow, telling
from punie.reporting.flips_chart import MEANINGS, flips_bar
from punie.reporting.heat_map import HeatRow, heat_map
from punie.reporting.latency_chart import latency_chart
from punie.reporting.page import drawing, own, template
from punie.reporting.provenance import date, provenance
from punie.reporting.runs_map import MOST_LINES, splits
from punie.reporting.soundness import Soundness, checks_line, findings, soundness
from punie.reporting.transcripts import NOT_KEPT, Transcript, Transcripts, answered, asked
from punie.reporting.verdict_style import VERDICT_CSS
from punie.reporting.wording import culprit_words
from punie.text import one_line

BUCKET_NAMES = {
    Bucket.REGRESSED: "regressed",
    Bucket.FIXED: "fixed",
    Bucket.STILL_FAILING: "still-failing",
    Bucket.STILL_PASSING: "unchanged",
}


def render_comparison(
    compared: Compared,
    flips: Iterable[FlippedRow],
    *,
    words: bool = True,
    matrix: Matrix | None = None,
    prompts: Sequence[HeatRow] = (),
) -> Iterator[str]:
    """Write what two runs say together as pieces of one HTML document.

    `flips` are those of the first comparison, as `flipped_rows` gives them, and are read once.
    Without `words` prompts and answers are not known, as in most run.json of a journal. `matrix`
    and `prompts` (a row a prompt, a cell a run) are given where more than two runs were compared.
    The document loads nothing, and its content
    security policy allows only its own style and script.
    """
    first = compared.comparisons[0]
    transcripts = Transcripts()
    base, current = words_of.titles(first)
    stream = template("comparison.html.j2").stream(
        own=own(
            ("report.css", "comparison.css"),
            ("rows.js", "comparison.js"),
            svg.CHART_CSS + VERDICT_CSS,
        ),
        run=first.current,
        compared=compared,
        first=first,
        base=base,
        current=current,
        suite=words_of.suite_of(first),
        word=words_of.word_of(first),
        kind=CLASSES.get(first.word, "unclear") if first.word else "unclear",
        big=numbers.points(first.score.value if first.score else None),
        bounds=_bounds(first.score),
        forest=forest_of(compared),
        sentences=_sentences(first),
        stats=_stats(compared),
        notes=notes_of(compared),
        gate=compared.gate,
        verdict_marks=words_of.VERDICT_MARKS,
        decision=compared.decision,
        standings=standings_of(first),
        weighted=_weighted(compared.weighted),
        flips_bar=drawing(flips_bar(first.buckets)),
        buckets=_buckets(first),
        rows=_rows(flips, transcripts, (base, current), words=words),
        transcripts=transcripts,
        speed=list(words_of.speed_rows(first)),
        timed=_timed(first),
        latency=drawing(latency_chart(first.latency, title="Latency")) if first.latency else "",
        differing=words_of.differing(first),
        sound=[
            _sound(name, run) for name, run in (("Base", first.base), ("Current", first.current))
        ],
        matrix=matrix_of(matrix),
        titles=matrix.titles if matrix else (),
        prompts_map=drawing(heat_map(prompts, columns="run", title="Prompts")) if prompts else "",
        splits=list(islice(splits(prompts), MOST_LINES)),
        more_splits=max(0, sum(1 for _ in splits(prompts)) - MOST_LINES),
        duel=duel_of(compared.duel),
        provenance=_provenance(first.base, first.current),
        created=date(first.current.created_at),
    )
    stream.enable_buffering(64)
    return iter(stream)


class Stat(NamedTuple):
    """A number of the header, with a remark under it."""

    name: str
    value: str
    remark: str = ""


def _stats(compared: Compared) -> list[Stat]:
    first = compared.comparisons[0]
    stats: list[Stat] = []
    if compared.gate:
        stats.append(
            Stat("Gate", compared.gate.verdict.value, one_line(compared.gate.gates.name, 40))
        )
    if compared.decision:
        stats.append(Stat("Decision", compared.decision.action.value))
    for name, estimate in (("Base", first.base_score), ("Current", first.current_score)):
        if estimate:
            share = numbers.percent(estimate.value)
            stats.append(Stat(name, share, numbers.interval(estimate)))
    stats.append(Stat("Prompts compared", numbers.count(first.scored)))
    if first.discordance:
        told = f"+{first.discordance.gained} −{first.discordance.lost}"
        stats.append(Stat("Gained and lost", told, words_of.p_value(first.discordance.p)))
    if first.latency:
        interval = f"[{first.latency.low:.2f} to {first.latency.high:.2f}]"
        stats.append(Stat("Latency", f"{first.latency.ratio:.2f} times", interval))
    return stats


def _timed(first: Comparison) -> str:
    """What the times may be used for."""
    if first.latency and not first.latency.gates:
        return f"For no gate: {one_line(first.latency.why_not, 300).rstrip('.')}."
    return "Wall-clock times of single answers, as the client saw them."


def _bounds(found: Difference | None) -> str:
    return f"[{numbers.points(found.low)} to {numbers.points(found.high)}]" if found else ""


def _sentences(first: Comparison) -> list[str]:
    over = words_of.counted_over(first)
    told = f"In points, with a 95 % interval over {over}." if first.score else ""
    return [
        sentence
        for sentence in (
            told,
            words_of.ended_early(first),
            words_of.detectable(first),
            words_of.dependence(first),
            words_of.coverage(first),
        )
        if sentence
    ]


def _weighted(weighted: WeightedScore | None) -> str:
    """The weighted overall score in one sentence; empty where none was declared."""
    if weighted is None:
        return ""
    shares = ", ".join(
        f"{one_line(name, 40)} {numbers.percent(share)}" for name, share in weighted.weights.items()
    )
    told = (
        f"Weighted ({shares}): {numbers.percent_interval(weighted.base)} → "
        f"{numbers.percent_interval(weighted.current)}, "
        f"{words_of.difference(weighted.difference)} points."
    )
    if weighted.missing:
        told += f" Nothing was measured of {', '.join(map(one_line, weighted.missing))}."
    return told


class BucketLine(NamedTuple):
    """One entry of the legend of flips; all but the unchanged are listed below it."""

    key: str
    name: str
    number: int
    meaning: str
    listed: bool


def _buckets(first: Comparison) -> list[BucketLine]:
    return [
        BucketLine(
            BUCKET_NAMES[bucket],
            bucket.value,
            number,
            MEANINGS[bucket],
            bucket is not Bucket.STILL_PASSING,
        )
        for bucket, number in words_of.buckets(first)
    ]


class Row(NamedTuple):
    """One line of the table of flips, every field ready to show."""

    bucket: str
    name: str
    id: str
    category: str
    traits: str
    must_pass: bool
    expected: str
    base: str
    current: str
    reasons: str
    meaning: str
    base_score: str
    current_score: str
    place: str


def _rows(
    flips: Iterable[FlippedRow],
    transcripts: Transcripts,
    titles: tuple[str, str],
    *,
    words: bool,
) -> Iterator[Row]:
    for row in flips:
        flip, prompt = row.flip, row.prompt
        both = [telling(outcomes)[1] for outcomes in (row.base, row.current)]
        base, current = (got_line(each) if words else "" for each in both)
        culprit = flip.current_culprit or flip.base_culprit
        yield Row(
            bucket=BUCKET_NAMES[flip.bucket],
            name=flip.bucket.value,
            id=one_line(flip.id, 80),
            category=one_line(flip.category, 60),
            traits=one_line(" ".join(filter(None, [flip.role, *prompt.tags]))),
            must_pass=flip.must_pass,
            expected=expected_line(prompt.expect) if words else NOT_KEPT,
            base=base,
            current=current,
            reasons=words_of.reasons(flip),
            meaning=culprit_words(culprit) if culprit else "",
            base_score=numbers.score(flip.base_score),
            current_score=numbers.score(flip.current_score),
            place=transcripts.add(_transcript(row, titles, words=words)),
        )


def _transcript(row: FlippedRow, titles: tuple[str, str], *, words: bool) -> Transcript:
    """What both were asked, once, and the answer of each that says most."""
    arms: list[Transcript] = []
    for name, title, outcomes in (
        ("Base", titles[0], row.base),
        ("Current", titles[1], row.current),
    ):
        at, outcome = telling(outcomes)
        passed = sum(status(each) == "pass" for each in outcomes)
        which = f", answer {at + 1} of {len(outcomes)}, {passed} passed" if outcomes[1:] else ""
        head = {"title": f"{name}: {title}{which}", "status": status(outcome)}
        arms.append(head | answered(outcome, words=words))
    return asked(row.prompt, words=words) | {"arms": arms}


class Sound(NamedTuple):
    """Whether one run's measurement holds."""

    name: str
    title: str
    judged: Soundness | None
    line: str
    findings: list[Finding]


def _sound(name: str, run: Run) -> Sound:
    judged = soundness(run, run.summary) if run.summary else None
    return Sound(name, run.id, judged, checks_line(run.checks), list(findings(run.checks)))


def _provenance(base: Run, current: Run) -> list[tuple[str, str, str, bool]]:
    """Name, base, current, and whether both are the same."""
    before, after = dict(provenance(base)), dict(provenance(current))
    names = dict.fromkeys([*before, *after])
    return [
        (name, before.get(name, ""), after.get(name, ""), before.get(name) == after.get(name))
        for name in names
    ]
