"""Wins, losses and ties in words, for every report: pure."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from punie.analysis.signs import CHANCE
from punie.records.duel import Duel, DuelSlice, DuelSummary
from punie.records.judgement import JudgeFaultKind
from punie.reporting import numbers
from punie.reporting.comparison_wording import p_value
from punie.reporting.judged import not_calibrated
from punie.text import one_line


class DuelRow(NamedTuple):
    """One line of the table of wins, ready to show."""

    kind: str
    """`overall`, `category` or `role`."""
    name: str
    counts: str
    """Wins / losses / ties, of the current run."""
    win_rate: str
    """Ties as half, with its interval."""
    decisive_rate: str
    """Ties left out, with its interval."""
    ratio: str
    ties: str
    sign: str
    note: str


def duel_rows(summary: DuelSummary) -> list[DuelRow]:
    """Overall, then each category and each role; one alone would repeat what overall says."""
    rows = [_row("overall", summary.overall)]
    for kind, slices in (("category", summary.categories), ("role", summary.roles)):
        if len(slices) > 1 or any(each.name != "general" for each in slices):
            rows += [_row(kind, each) for each in slices]
    return rows


def _row(kind: str, each: DuelSlice) -> DuelRow:
    notes = [f"only {numbers.counted(each.judged, 'pair')}"] if each.too_small else []
    notes += [numbers.counted(each.faults, "fault")] if each.faults else []
    return DuelRow(
        kind,
        each.name,
        f"{each.wins}/{each.losses}/{each.ties}",
        numbers.percent_interval(each.win_rate),
        numbers.percent_interval(each.decisive_rate),
        ratio(each),
        numbers.percent(each.tie_share.value if each.tie_share else None),
        numbers.NOTHING
        if each.sign_p is None
        else p_value(each.sign_p).removeprefix("p ").removeprefix("= "),
        ", ".join(notes),
    )


def ratio(each: DuelSlice) -> str:
    """Wins for each loss: `1.5:1`; `3:0` where nothing was lost."""
    if each.win_ratio is None:
        return f"{each.wins}:0" if each.wins else numbers.NOTHING
    return f"{each.win_ratio:.3g}:1"


def duel_title(summary: DuelSummary) -> str:
    """Who judged, and how."""
    return f"{summary.judge.model}, pair by pair, each in both orders"


def verdict(summary: DuelSummary) -> str:
    """What the sign test makes of the wins and losses, in one sentence."""
    overall = summary.overall
    if overall.judged == summary.equal:
        if not overall.faults:
            return "Both runs gave the same answers, so there was nothing to judge."
        return "The judge gave no usable word on any pair of different answers."
    if overall.sign_p is None:
        return "The judge calls every pair a tie."
    told = f"sign test {p_value(overall.sign_p)}"
    over = f"{numbers.count(overall.wins)} to {numbers.count(overall.losses)}"
    if overall.sign_p >= CHANCE:
        return f"No clear winner: {over} ({told})."
    winner = "current" if overall.wins > overall.losses else "base"
    return f"The {winner} run is preferred {over} ({told})."


def stamp(summary: DuelSummary) -> str:
    """What is known of the judge against people."""
    return summary.calibrated or not_calibrated("wins")


def remarks(summary: DuelSummary) -> Iterator[str]:
    """What a reader must know before believing the wins; the gravest first."""
    if summary.family:
        yield f"{summary.family} Models favour answers like their own."
    for line in summary.warnings:
        yield f"{line[:1].upper()}{line[1:]}."
    yield from _faults(summary)
    small = [each.name for each in summary.categories if each.too_small]
    if small and not summary.overall.too_small:
        yield f"Too few pairs to say anything: {', '.join(small)}."
    if summary.unanswered:
        of = numbers.counted(summary.unanswered, "prompt")
        yield f"{of} left out: a run has no answer to it."
    if summary.altered:
        of = numbers.counted(summary.altered, "pair")
        yield f"{of} held something that could pass for a part of the chat; it was made harmless."
    if summary.clipped:
        yield f"{numbers.counted(summary.clipped, 'pair')} too long: the middle left out."


def _faults(summary: DuelSummary) -> Iterator[str]:
    """What went wrong with how many pairs, with the words of the first of each kind.

    The words are left out of a journal's entry, where the kind stays.
    """
    first: dict[JudgeFaultKind, Duel] = {}
    counts: Counter[JudgeFaultKind] = Counter()
    for each in summary.duels:
        if each.fault is not None:
            counts[each.fault] += 1
            first.setdefault(each.fault, each)
    for kind, count in counts.most_common():
        one = first[kind]
        said = f", e.g. {one_line(one.id, 80)}: {one_line(one.fault_message, 200)}"
        yield f"{numbers.counted(count, 'pair')}: {kind}{said if one.fault_message else ''}."


def steadiness(summary: DuelSummary) -> Iterator[str]:
    """What the judge's own habits look like, one figure a line."""
    if summary.consistency:
        yield f"Position consistency {numbers.percent_interval(summary.consistency)}"
    if summary.first_place:
        share = numbers.percent_interval(summary.first_place)
        yield f"First place preferred in {share} of its decisions"
    length = summary.length
    if length.tau is not None:
        longer = numbers.percent_interval(length.longer_wins)
        tau = f"{length.tau:+.2f}".replace("-", "−")
        yield f"Longer answer preferred in {longer}, Kendall's tau {tau}"


def figures(summary: DuelSummary) -> str:
    """How much was asked and what it cost, on one line."""
    pairs = summary.overall.judged + summary.overall.faults
    parts = [numbers.counted(pairs, "pair")]
    if summary.equal:
        parts.append(f"{numbers.count(summary.equal)} of equal answers, not asked")
    if summary.cached:
        parts.append(f"{numbers.counted(summary.cached, 'judgement')} known from before")
    if summary.tokens_in is not None:
        parts.append(f"{numbers.compact(summary.tokens_in)} tokens in")
    if summary.tokens_out is not None:
        parts.append(f"{numbers.compact(summary.tokens_out)} out")
    if summary.cost is not None:
        parts.append(f"cost {numbers.cost(summary.cost)}")
    return ", ".join(parts)
