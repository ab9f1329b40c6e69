"""A comparison as GitHub-flavoured markdown, for the journal, pull requests and CI: pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from punie.records.compared import Compared, Matrix
from punie.records.comparison import Bucket, Comparison
from punie.records.gate import Decision, GateReport
from punie.reporting import comparison_wording as words
from punie.reporting import numbers
from punie.reporting.duel_markdown import duel_markdown
from punie.reporting.escaping import code, defang, escape, fence, table

LISTED = 100
"""Flipped prompts of one bucket that are listed; the JSON has all."""
SHOWN = 20
"""Flipped prompts whose two answers are shown, where text is wanted at all."""
CLIPPED = 2000
"""Characters shown of one answer."""

Answers = Mapping[str, tuple[str, str]]
"""By prompt: what the base and the current run answered."""


def comparison_markdown(compared: Compared, *, answers: Answers | None = None) -> str:
    """Write a comparison with its evidence; headings are of the third level.

    With `answers`, those of the first flipped prompts are shown side by side.
    """
    first, *guards = compared.comparisons
    sections = [
        _verdict(compared, first),
        _scores(first),
        _weighted(compared),
        *(_guard(each) for each in guards),
        _flips(first),
        _answers(first, answers or {}),
        duel_markdown(compared.duel),
        _speed(first),
        _gate(compared.gate) if compared.gate else "",
        _decision(compared.decision) if compared.decision else "",
        _differs(first),
        _cautions(compared),
        _traced(compared.comparisons),
    ]
    return "\n\n".join(section for section in sections if section)


def titled_markdown(compared: Compared, *, answers: Answers | None = None) -> str:
    """The same as a document of its own."""
    body = comparison_markdown(compared, answers=answers)
    return f"## {escape(words.subject(compared))}\n\n{body}\n"


def _verdict(compared: Compared, first: Comparison) -> str:
    gate = f" {escape(words.gate_line(compared.gate))}." if compared.gate else ""
    word, over = escape(words.word_of(first)).capitalize(), escape(words.counted_over(first))
    told = f"{words.difference(first.score)} points, 95 % interval over {over}.{gate}"
    lines = [f"**{word}**: {told}"]
    if compared.decision:
        lines.append(f"**{escape(words.decision_line(compared.decision))}**")
    told = [
        words.ended_early(first),
        words.detectable(first),
        words.dependence(first),
        words.coverage(first),
    ]
    if remarks := " ".join(escape(each) for each in told if each):
        lines.append(remarks)
    return "\n\n".join(lines)


def _scores(comparison: Comparison) -> str:
    base, current = words.titles(comparison)
    heads = ["", escape(base), escape(current), "Difference, points", "Flips", "Prompts", ""]
    rows = [
        [
            f"**{row.name}**" if row.kind == "overall" else _slice_name(row),
            row.base,
            row.current,
            row.difference,
            row.flips,
            row.pairs,
            escape(row.word),
        ]
        for row in words.rows(comparison)
    ]
    return table(heads, rows, right=(1, 2, 3, 4, 5))


def _slice_name(row: words.Row) -> str:
    kind = "" if row.kind == "category" else f"{row.kind} "
    return f"{kind}{escape(row.name)}"


def _weighted(compared: Compared) -> str:
    found = compared.weighted
    if found is None:
        return ""
    weights = ", ".join(f"{escape(name)} {share:.0%}" for name, share in found.weights.items())
    told = (
        f"Weighted overall ({weights}): {numbers.percent_interval(found.base)} → "
        f"{numbers.percent_interval(found.current)}, {words.difference(found.difference)} points."
    )
    if found.missing:
        told += f" Nothing measured of {', '.join(map(escape, found.missing))}."
    return told


def _guard(comparison: Comparison) -> str:
    head = f"### On {escape(words.suite_of(comparison))}"
    told = (
        f"{escape(words.word_of(comparison).capitalize())}: "
        f"{words.difference(comparison.score)} points, 95 % interval over "
        f"{escape(words.counted_over(comparison))}."
    )
    return "\n\n".join([head, told, _scores(comparison)])


def _flips(comparison: Comparison) -> str:
    if not comparison.buckets:
        return ""
    counts = [[str(bucket), numbers.count(count)] for bucket, count in words.buckets(comparison)]
    parts = ["### What flipped", table(["Bucket", "Prompts"], counts, right=(1,))]
    for bucket in (Bucket.REGRESSED, Bucket.FIXED, Bucket.STILL_FAILING):
        listed = words.flips(comparison, bucket)
        if not listed:
            continue
        lines = [
            f"- {code(flip.id)}{' (must pass)' if flip.must_pass else ''}: "
            f"{escape(words.reasons(flip))}"
            for flip in listed[:LISTED]
        ]
        if len(listed) > LISTED:
            lines.append(f"- and {numbers.count(len(listed) - LISTED)} more")
        title = f"{str(bucket).capitalize()}, {numbers.counted(len(listed), 'prompt')}"
        body = "\n".join(lines)
        # What regressed is what a reviewer must see; the rest opens on request.
        if bucket is Bucket.REGRESSED:
            parts.append(f"{title}:\n\n{body}")
        else:
            parts.append(f"<details><summary>{title}</summary>\n\n{body}\n\n</details>")
    return "\n\n".join(parts)


def _answers(comparison: Comparison, answers: Answers) -> str:
    flipped = [*words.flips(comparison, Bucket.REGRESSED), *words.flips(comparison, Bucket.FIXED)]
    shown = [flip for flip in flipped if flip.id in answers][:SHOWN]
    if not shown:
        return ""
    parts = ["### Both answers to what flipped"]
    for flip in shown:
        base, current = (defang(text[:CLIPPED]) for text in answers[flip.id])
        parts.append(f"{code(flip.id)}, {flip.bucket}: {escape(words.reasons(flip))}")
        parts += ["Base:", fence(base), "Current:", fence(current)]
    return "\n\n".join(parts)


def _speed(comparison: Comparison) -> str:
    rows = [list(row) for row in words.speed_rows(comparison)]
    if not rows:
        return ""
    parts = ["### Time and memory", table(["", "Base", "Current", ""], rows, right=(1, 2))]
    if comparison.latency and comparison.latency.why_not:
        why = comparison.latency.why_not
        parts.append(escape(f"{why[0].upper()}{why[1:]}."))
    return "\n\n".join(parts)


def _gate(report: GateReport) -> str:
    rows = [
        [
            words.VERDICT_MARKS[each.verdict],
            escape(each.name),
            escape(each.asked),
            escape(each.found),
            escape(f"{each.verdict.value}{f': {each.why}' if each.why else ''}"),
        ]
        for each in report.results
    ]
    parts = [
        f"### {escape(words.gate_line(report))}",
        table(["", "Bound", "Asked", "Found", "Verdict"], rows) if rows else "",
        _listed(report.unpassable),
        f"From {code(report.gates.source)}{_hash(report.gates.hash)}.",
    ]
    return "\n\n".join(part for part in parts if part)


def _hash(digest: str) -> str:
    return f" @{code(numbers.short_hash(digest))}" if digest else ""


def _decision(decision: Decision) -> str:
    parts = [f"### {escape(words.decision_line(decision))}"]
    if decision.evidence:
        rows = [[escape(e.rule), e.holds, escape(e.found)] for e in decision.evidence]
        parts.append(table(["Asked", "Holds", "Found"], rows))
    if decision.routes:
        rows = [
            [escape(r.role), r.serves, "yes" if r.sure else "the better guess", escape(r.why)]
            for r in decision.routes
        ]
        parts.append(table(["Role", "Served by", "Sure", "Why"], rows))
    if decision.measure_next:
        parts.append("To measure next:\n\n" + _listed(decision.measure_next))
    return "\n\n".join(parts)


def _differs(comparison: Comparison) -> str:
    rows = [list(map(escape, row)) for row in words.differing(comparison)]
    if not rows:
        return ""
    heads = ["What differs", "Base", "Current", ""]
    return f"### What differs\n\n{table(heads, rows)}"


def _cautions(compared: Compared) -> str:
    cautions = [line for each in compared.comparisons for line in each.cautions]
    lines = list(dict.fromkeys((*cautions, *compared.warnings, *compared.missing)))
    return f"### To be read with it\n\n{_listed(lines)}" if lines else ""


def _listed(lines: Iterable[str]) -> str:
    return "\n".join(f"- {escape(line)}" for line in lines)


def _traced(comparisons: Sequence[Comparison]) -> str:
    """The runs behind every number."""

    def rows() -> Iterator[list[str]]:
        for each in comparisons:
            for name, run in (("base", each.base), ("current", each.current)):
                model = run.model
                yield [
                    name,
                    code(run.id),
                    f"{code(run.suite_name)} @{code(numbers.short_hash(run.suite_hash))}",
                    f"{code(model.name)} @{code(numbers.short_hash(model.weights_hash))}",
                    f"{code(model.adapter)} @{code(numbers.short_hash(model.adapter_hash))}"
                    if model.adapter
                    else numbers.NOTHING,
                    escape(run.created_at[:16].replace("T", " ")),
                ]

    heads = ["Arm", "Run", "Suite", "Model", "Adapter", "Measured, UTC"]
    return f"### The runs\n\n{table(heads, list(rows()))}"


def matrix_markdown(matrix: Matrix) -> str:
    """Several runs, each with each."""
    places = {run: number for number, run in enumerate(matrix.runs, 1)}
    runs = [
        [str(number), escape(title), code(run)]
        for number, (run, title) in enumerate(zip(matrix.runs, matrix.titles, strict=True), 1)
    ]
    cells = [
        [
            f"{places[cell.row]} → {places[cell.column]}",
            words.difference(cell.difference),
            words.p_value(cell.adjusted) if cell.adjusted is not None else numbers.NOTHING,
            "differs"
            if cell.adjusted is not None and cell.adjusted < matrix.alpha
            else "no clear difference",
        ]
        for cell in matrix.cells
    ]
    return "\n\n".join(
        [
            table(["", "Model", "Run"], runs),
            table(["Pair", "Difference, points", "p after Holm", ""], cells, right=(1, 2)),
        ]
    )
