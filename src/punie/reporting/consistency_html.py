"""Consistency as one self-contained HTML file: pure."""

from collections.abc import Iterator
from typing import NamedTuple

from punie.records.consistency import Capability, Consistency, PromptConsistency
from punie.reporting import consistency_wording as words
from punie.reporting import numbers, svg
from punie.reporting.consistency_charts import CURVE, HEAT, charts_of
from punie.reporting.heat_map import legend, strip
from punie.reporting.page import drawing, own, template
from punie.reporting.provenance import date, provenance
from punie.text import one_line

_STRIP = 64


class _Slice(NamedTuple):
    kind: str
    name: str
    n: str
    cells: tuple[str, ...]
    sentence: str


class _Prompt(NamedTuple):
    """One line of the table, every field ready to show."""

    id: str
    category: str
    strip: str
    right: str
    different: str
    entropy: str
    majority: str


def consistency_html(found: Consistency) -> Iterator[str]:
    """Write the report as pieces of one HTML document, which loads nothing."""
    overall, charts = found.overall, charts_of(found, standalone=False)
    stream = template("consistency.html.j2").stream(
        own=own(("report.css", "consistency.css"), (), svg.CHART_CSS),
        run=found.run,
        found=found,
        title=words.title(found),
        verdict=words.verdict(found),
        advice=words.advice(found),
        hedges=words.hedges(found) if found.sampled and overall.curve else "",
        remarks=_remarks(found),
        steadiness=words.steadiness(overall),
        capabilities=[word.value for word in Capability],
        rows=[_slice(found, row) for row in words.rows(found)],
        heat=drawing(charts[HEAT].svg),
        curve=drawing(charts[CURVE].svg) if CURVE in charts else "",
        greedy=words.greedy(found),
        legend=legend(mark for each in found.prompts for mark in each.marks),
        prompts=map(_prompt, words.ordered(found.prompts)),
        kept=overall.unique is not None,
        same_answer=words.SAME_ANSWER,
        provenance=provenance(found.run),
        created=date(found.run.created_at),
    )
    stream.enable_buffering(64)
    return iter(stream)


def _remarks(found: Consistency) -> list[tuple[str, str]]:
    told = words.draws(found)
    level = "info" if found.sampled else "warning"
    first = [(level, told)] if told else []
    return [*first, *(("warning", line) for line in found.cautions)]


def _slice(found: Consistency, row: words.Row) -> _Slice:
    kind, each = row
    points = words.ends(each)
    chances = (points[0].pass_at, points[1].pass_at, points[1].pass_hat) if points else ()
    cells = [numbers.percent_interval(each.rate)]
    cells += map(numbers.percent_interval, chances) if chances else [numbers.NOTHING] * 3
    cells += [words.share(each, word) for word in Capability]
    return _Slice(
        kind, each.name, numbers.count(each.prompts), tuple(cells), words.sentence(found, each)
    )


def _prompt(each: PromptConsistency) -> _Prompt:
    entropy = numbers.NOTHING if each.entropy_bits is None else f"{each.entropy_bits:.2f}"
    return _Prompt(
        id=one_line(each.id, 80),
        category=one_line(each.category, 60),
        strip=strip(each.marks, _STRIP),
        right=f"{numbers.count(each.right)} of {numbers.count(each.scored)}",
        different=numbers.count(each.unique),
        entropy=entropy,
        majority=words.majority(each),
    )
