"""A comparison as one self-contained HTML file, written piece by piece.

The template walks the flipped prompts once, in the order of worth, so a page of many thousand needs
no more memory than one block of transcripts.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from markupsafe import Markup

from punie.records.compared import Compared, Matrix, WeightedScore
from punie.records.comparison import Bucket, Comparison, Difference, SliceComparison, Word
from punie.records.duel import DuelSummary
from punie.records.run import Run
from punie.records.trust import Finding
from punie.reporting import comparison_wording as words_of
from punie.reporting import numbers, svg
from punie.reporting.answers import expected_line, got_line, status
from punie.reporting.arms_chart import arms_cell
from punie.reporting.comparison_notes import notes_of
from punie.reporting.flipped import FlippedRow, telling
from punie.reporting.flips_chart import MEANINGS, flips_bar
from punie.reporting.forest_chart import Scale, forest_axis, forest_cell, scale_of
from punie.reporting.latency_chart import latency_chart
from punie.reporting.page import drawing, own, template
from punie.reporting.provenance import date, provenance
from punie.reporting.soundness import Soundness, checks_line, findings, soundness
from punie.reporting.transcripts import NOT_KEPT, Transcript, Transcripts, transcript
from punie.reporting.verdict_style import VERDICT_CSS
from punie.reporting.win_chart import win_cell
from punie.reporting.wording import culprit_words
from punie.text import one_line

_CLASSES = {
    Word.BETTER: "better",
    Word.NO_WORSE: "hold",
    Word.WORSE: "worse",
    Word.UNCLEAR: "unclear",
}
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
    duel: DuelSummary | None = None,
) -> Iterator[str]:
    """Write what two runs say together as pieces of one HTML document.

    `flips` are those of the first comparison, as `flipped_rows` gives them, and are read once.
    Without `words` prompts and answers are not known, as in most run.json of a journal. `matrix` is
    given where more than two runs were compared, `duel` where a judge was asked. The document loads
    nothing, and its content security policy allows only its own style and script.
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
        kind=_CLASSES.get(first.word, "unclear") if first.word else "unclear",
        big=numbers.points(first.score.value if first.score else None),
        bounds=_bounds(first.score),
        forest=_forest(compared),
        sentences=_sentences(first),
        stats=_stats(compared),
        notes=notes_of(compared),
        gate=compared.gate,
        verdict_marks=words_of.VERDICT_MARKS,
        decision=compared.decision,
        standings=_standings(first),
        weighted=_weighted(compared.weighted),
        flips_bar=drawing(flips_bar(first.buckets)),
        buckets=_buckets(first),
        rows=_rows(flips, transcripts, (base, current), words=words),
        transcripts=transcripts,
        speed=list(words_of.speed_rows(first)),
        latency=drawing(latency_chart(first.latency, title="Latency")) if first.latency else "",
        differing=words_of.differing(first),
        sound=[
            _sound(name, run) for name, run in (("Base", first.base), ("Current", first.current))
        ],
        matrix=_matrix(matrix),
        duel=duel,
        duels=_duels(duel),
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


def _bounds(found: Difference | None) -> str:
    return f"[{numbers.points(found.low)} to {numbers.points(found.high)}]" if found else ""


def _sentences(first: Comparison) -> list[str]:
    over = words_of.counted_over(first)
    told = f"In points, with a 95 % interval over {over}." if first.score else ""
    early = "Stopped once decided: the direction stands, the size is likely overstated."
    return [
        sentence
        for sentence in (
            told,
            early if first.stopped_early else "",
            words_of.detectable(first),
            words_of.coverage(first),
        )
        if sentence
    ]


class ForestRow(NamedTuple):
    """One line of the forest plot, which is its own table."""

    name: str
    cell: Markup | str
    difference: str
    word: str
    kind: str
    flips: str
    pairs: str


class Forest(NamedTuple):
    """The plot, its groups in order, and the scale that all its lines share."""

    headline: Markup | str
    axis: Markup
    groups: list[tuple[str, list[ForestRow]]]


def _forest(compared: Compared) -> Forest:
    first, *others = compared.comparisons
    tags = sorted(first.tags, key=lambda each: -each.pairs)
    slices = [("Category", first.categories), ("Role", first.roles), ("Tag", tags)]
    found = [first.score, *(each.score for each in others)]
    found += [each.difference for _, group in slices for each in group]
    scale = scale_of(found, first.margin)
    groups = [("Overall", [_whole(first, "overall", scale, first.margin)])]
    groups += [
        (name, [_part(each, scale, first.margin) for each in group])
        for name, group in slices
        if group
    ]
    if others:
        rows = [_whole(each, words_of.suite_of(each), scale, first.margin) for each in others]
        groups.append(("Other suites", rows))
    headline = ""
    if first.score:
        own_scale = scale_of([first.score], first.margin)
        headline = drawing(
            forest_cell(first.score, own_scale, margin=first.margin, label="Difference")
            + forest_axis(own_scale, margin=first.margin)
        )
    return Forest(headline, drawing(forest_axis(scale, margin=first.margin)), groups)


def _whole(each: Comparison, name: str, scale: Scale, margin: float) -> ForestRow:
    split = each.discordance
    return ForestRow(
        name,
        _cell(each.score, scale, margin, name),
        words_of.difference(each.score),
        words_of.word_of(each),
        _CLASSES[each.word] if each.word else "",
        f"+{split.gained} −{split.lost}" if split else numbers.NOTHING,
        numbers.count(each.scored),
    )


def _part(each: SliceComparison, scale: Scale, margin: float) -> ForestRow:
    return ForestRow(
        one_line(each.name, 60),
        _cell(each.difference, scale, margin, each.name),
        words_of.difference(each.difference),
        each.word.value if each.word else "nothing to compare",
        _CLASSES[each.word] if each.word else "",
        f"+{each.gained} −{each.lost}",
        numbers.count(each.pairs),
    )


def _cell(found: Difference | None, scale: Scale, margin: float, label: str) -> Markup | str:
    if found is None:
        return ""
    return drawing(forest_cell(found, scale, margin=margin, label=one_line(label, 60)))


class Standing(NamedTuple):
    """One slice in both runs, with its pair of bars."""

    name: str
    cell: Markup
    base: str
    current: str
    faults: int


def _standings(first: Comparison) -> list[tuple[str, list[Standing]]]:
    overall = Standing(
        "overall",
        drawing(arms_cell(first.base_score, first.current_score, label="overall")),
        numbers.percent_interval(first.base_score),
        numbers.percent_interval(first.current_score),
        len(first.faulted),
    )
    named = [("Category", first.categories), ("Role", first.roles)]
    return [
        ("Overall", [overall]),
        *((name, [_standing(each) for each in slices]) for name, slices in named if slices),
    ]


def _standing(each: SliceComparison) -> Standing:
    name = one_line(each.name, 60)
    return Standing(
        name,
        drawing(arms_cell(each.base, each.current, label=name)),
        numbers.percent_interval(each.base),
        numbers.percent_interval(each.current),
        each.faults,
    )


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
        base, current = (got_line(each) if words else NOT_KEPT for each in both)
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
    asked: Transcript = {}
    for name, title, outcomes in (
        ("Base", titles[0], row.base),
        ("Current", titles[1], row.current),
    ):
        at, outcome = telling(outcomes)
        shown = transcript(row.prompt, outcome, words=words)
        asked = {key: shown.pop(key) for key in ("messages", "tools", "expected", "traits")}
        passed = sum(status(each) == "pass" for each in outcomes)
        which = f", answer {at + 1} of {len(outcomes)}, {passed} passed" if outcomes[1:] else ""
        arms.append({"title": f"{name}: {title}{which}", "status": status(outcome), **shown})
    return {**asked, "arms": arms}


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


class MatrixLine(NamedTuple):
    """Two of several runs."""

    row: str
    column: str
    difference: str
    p: str
    adjusted: str
    clear: bool


def _matrix(matrix: Matrix | None) -> list[MatrixLine]:
    if matrix is None:
        return []
    titles = dict(zip(matrix.runs, map(one_line, matrix.titles), strict=True))
    return [
        MatrixLine(
            titles[cell.row],
            titles[cell.column],
            words_of.difference(cell.difference),
            words_of.p_value(cell.p) if cell.p is not None else numbers.NOTHING,
            words_of.p_value(cell.adjusted) if cell.adjusted is not None else numbers.NOTHING,
            cell.adjusted is not None and cell.adjusted < matrix.alpha,
        )
        for cell in matrix.cells
    ]


class DuelLine(NamedTuple):
    """Wins, losses and ties of one slice, with their bar."""

    name: str
    cell: Markup
    wins: int
    ties: int
    losses: int
    rate: str
    p: str


def _duels(duel: DuelSummary | None) -> list[DuelLine]:
    if duel is None:
        return []
    return [
        DuelLine(
            one_line(each.name, 60),
            drawing(win_cell(each)),
            each.wins,
            each.ties,
            each.losses,
            numbers.percent_interval(each.win_rate),
            words_of.p_value(each.sign_p) if each.sign_p is not None else numbers.NOTHING,
        )
        for each in (duel.overall, *duel.categories, *duel.roles)
    ]
