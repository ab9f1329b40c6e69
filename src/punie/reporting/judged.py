"""A judge's marks over a run in words, for every report: pure."""

from typing import NamedTuple

from punie.analysis.duel import LENGTH_BOUND
from punie.records.duel import DuelSummary
from punie.records.judgement import JudgeSummary
from punie.records.summary import Estimate
from punie.reporting import numbers

ASIDE = "Beside the score, in none of its numbers."


class MarkRow(NamedTuple):
    """One line of a judge's table, ready to show."""

    name: str
    mark: str
    interval: str
    scale: str
    score: Estimate
    n: str


def mark_rows(summary: JudgeSummary) -> list[MarkRow]:
    """A line for each dimension, then one for all of them."""
    rows = [
        MarkRow(
            each.name,
            f"{each.mark:.2f}",
            f"[{each.mark_low:.1f}–{each.mark_high:.1f}]",
            f"{each.lowest}–{each.highest}",
            each.score,
            numbers.count(each.score.n),
        )
        for each in summary.dimensions
    ]
    if summary.score is not None:
        rows.append(
            MarkRow(
                "overall",
                numbers.percent(summary.score.value),
                numbers.interval(summary.score),
                "0–100 %",
                summary.score,
                numbers.count(summary.score.n),
            )
        )
    return rows


def judge_title(summary: JudgeSummary) -> str:
    """Who judged, by which rubric."""
    return f"{summary.judge.model} by the rubric {summary.rubric.name}"


def not_calibrated(what: str) -> str:
    """What a judge's `marks` or `wins` are worth where nobody held it against people."""
    return f"Not calibrated: nobody has compared this judge with people. Its {what} gate nothing."


def stamp(summary: JudgeSummary) -> str:
    """What is known of the judge against people."""
    return summary.calibrated or not_calibrated("marks")


def remarks(summary: JudgeSummary) -> list[str]:
    """What a reader must know before believing the marks; the gravest first."""
    said = [summary.family] if summary.family else []
    if summary.family:
        said[0] += " Models favour answers like their own."
    if summary.faults:
        kinds = ", ".join(f"{kind} {number}" for kind, number in ranked(summary.fault_kinds))
        of = numbers.counted(summary.faults, "answer")
        said.append(f"{of} could not be judged, in no mark: {kinds}.")
    if left := summary.answers - summary.judged - summary.faults:
        said.append(f"{numbers.counted(left, 'answer')} of {summary.answers} not judged yet.")
    if summary.repaired:
        said.append(f"{numbers.counted(summary.repaired, 'judgement')} had to be repaired.")
    if summary.altered:
        what = "held something that hides or that could pass for a part of the chat"
        said.append(
            f"{numbers.counted(summary.altered, 'answer')} {what}; it was made harmless first."
        )
    if summary.clipped:
        said.append(f"{numbers.counted(summary.clipped, 'answer')} too long: the middle left out.")
    tau = summary.length_correlation
    if tau is not None and tau >= LENGTH_BOUND:
        said.append(f"Longer answers have better marks (Kendall's tau {tau:.2f}).")
    return said


def ranked(kinds: dict[str, int]) -> list[tuple[str, int]]:
    """The most frequent first, whatever order a file has them in."""
    return sorted(kinds.items(), key=lambda item: (-item[1], item[0]))


def figures(summary: JudgeSummary) -> str:
    """How much was asked and what it cost, on one line."""
    parts = [f"{numbers.count(summary.judged)} of {numbers.counted(summary.answers, 'answer')}"]
    if summary.cached:
        parts.append(f"{numbers.count(summary.cached)} known from before")
    if summary.asked_again:
        parts.append(f"{numbers.count(summary.asked_again)} asked twice")
    if summary.tokens_in is not None:
        parts.append(f"{numbers.compact(summary.tokens_in)} tokens in")
    if summary.tokens_out is not None:
        parts.append(f"{numbers.compact(summary.tokens_out)} out")
    if summary.cost is not None:
        parts.append(f"cost {numbers.cost(summary.cost)}")
    return ", ".join(parts)


def identity_line(summary: JudgeSummary | DuelSummary) -> str:
    """What pins the judge: its weights, and the words and rubric that it was asked with."""
    judge = summary.judge
    pins = [
        ("weights", judge.weights_hash),
        ("wording", judge.prompt_hash),
        ("rubric", judge.rubric_hash),
    ]
    known = [f"{name} {numbers.short_hash(value)}" for name, value in pins if value]
    return ", ".join([judge.backend, *known, "temperature 0"])
