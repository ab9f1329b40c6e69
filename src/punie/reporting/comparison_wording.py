"""A comparison in plain words: what terminal, markdown and page say alike."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from punie.analysis.direction import direction
from punie.analysis.rule import FEWEST, too_few
from punie.analysis.served_by import served_by, served_otherwise
from punie.records.compared import Compared
from punie.records.comparison import (
    Bucket,
    Comparison,
    Difference,
    Flip,
    LatencyComparison,
    SliceComparison,
    Word,
)
from punie.records.gate import Decision, Evidence, GateReport, Verdict
from punie.records.run import Run
from punie.reporting import numbers
from punie.reporting.wording import model_title
from punie.text import one_line

VERDICT_MARKS: dict[Verdict, str] = {
    Verdict.PASS: "✓",
    Verdict.FAIL: "✗",
    Verdict.INCONCLUSIVE: "?",
}
_SMALLEST_P = 0.0001


class Row(NamedTuple):
    """One line of the table of scores, ready to show."""

    kind: Literal["overall", "category", "role", "tag"]
    name: str
    base: str
    current: str
    difference: str
    flips: str
    pairs: str
    word: str


def titles(comparison: Comparison) -> tuple[str, str]:
    """What tells the two runs apart: their models, else what served them, else their ids."""
    base, current = (one_line(model_title(run.model)) for run in _runs(comparison))
    if base == current and served_otherwise(comparison.base.model, comparison.current.model):
        served = (one_line(served_by(run.model)) for run in _runs(comparison))
        base, current = (f"{base} on {how}" for how in served)
    if base == current:
        return f"{base} ({comparison.base.id})", f"{current} ({comparison.current.id})"
    return base, current


def _runs(comparison: Comparison) -> tuple[Run, Run]:
    return comparison.base, comparison.current


def suite_of(comparison: Comparison) -> str:
    """The suite with its version."""
    run = comparison.current
    return f"{one_line(run.suite_name)} {one_line(run.suite_version)}"


def word_of(comparison: Comparison) -> str:
    """The verdict in words: `better`, `no worse by more than 5 points`, `worse`."""
    if comparison.word is None:
        return "nothing to compare"
    if comparison.word is Word.NO_WORSE:
        return f"no worse by more than {points(comparison.margin)}"
    return comparison.word.value


def points(share: float) -> str:
    """A share as points, with its noun: `5 points`, `1 point`."""
    written = f"{100 * share:.1f}".removesuffix(".0")
    return f"{written} {'point' if written == '1' else 'points'}"


def difference(found: Difference | None) -> str:
    """`+88.9 [+79.3 to +93.1]`, in points."""
    if found is None:
        return numbers.NOTHING
    return numbers.points_interval(found.value, found.low, found.high)


def counted_over(comparison: Comparison) -> str:
    """What the difference rests on: `90 prompts, 80 gained, 0 lost, McNemar p < 0.0001`."""
    parts = [prompts_of(comparison)]
    strata = sum(each.difference is not None for each in comparison.categories)
    if strata > 1:
        parts[0] += f", mean over {strata} categories"
    if (split := comparison.discordance) is not None:
        parts.append(f"{numbers.count(split.gained)} gained, {numbers.count(split.lost)} lost")
        parts.append(f"exact McNemar {p_value(split.p)}")
    return "; ".join(parts)


def prompts_of(comparison: Comparison) -> str:
    """How many prompts are behind the difference: `90 prompts`, or both samples' numbers."""
    base, current = comparison.base_score, comparison.current_score
    if comparison.how == "unpaired":
        both = [each.n if each else 0 for each in (base, current)]
        return f"{numbers.count(both[0])} and {numbers.count(both[1])} prompts, not the same ones"
    return numbers.counted(comparison.scored, "prompt")


def p_value(p: float) -> str:
    """`p = 0.031`, `p < 0.0001`."""
    return f"p < {_SMALLEST_P}" if p < _SMALLEST_P else f"p = {p:.2g}"


def ended_early(comparison: Comparison) -> str:
    """What a run that ended when a test had decided says of these two; empty for any other."""
    if not comparison.stopped_early:
        return ""
    if direction(comparison) is None:
        return "Stopped early, and of these two runs not even the direction is decided."
    return "Stopped once decided: the direction stands, the size is likely overstated."


def detectable(comparison: Comparison) -> str:
    """How small a difference this comparison could have found, in one sentence."""
    smallest = comparison.smallest_detectable
    if smallest is None:
        return ""
    told = f"A true difference of {points(smallest)} or more would be found four times out of five"
    if comparison.how == "unpaired":
        return f"{told}."
    return f"{told} with {prompts_of(comparison)} that flip as often as these."


def dependence(comparison: Comparison) -> str:
    """Why a clear interval may stand beside "too few": one sentence, empty where none does."""
    slices = (*comparison.categories, *comparison.roles, *comparison.tags)
    found = [comparison.score, *(each.difference for each in slices)]
    if not any(each and each.n >= FEWEST and too_few(each) for each in found):
        return ""
    return (
        "Prompts that share a passage or template count as one: where fewer than "
        f"{FEWEST} are independent, it is too few to tell whatever the interval says."
    )


def coverage(comparison: Comparison) -> str:
    """Which prompts were left out, in one sentence; empty where none was."""
    parts: list[str] = []
    if comparison.changed:
        parts.append(f"{numbers.counted(len(comparison.changed), 'prompt')} changed between them")
    if comparison.only_base:
        parts.append(f"{numbers.count(comparison.only_base)} only the base was asked")
    if comparison.only_current:
        parts.append(f"{numbers.count(comparison.only_current)} only the current one was asked")
    if comparison.faulted:
        parts.append(
            f"{numbers.count(len(comparison.faulted))} lost to faults: the verdict counts them"
            " both ways"
        )
    if not parts:
        return ""
    return f"Not compared: {'; '.join(parts)}."


def rows(comparison: Comparison, *, tags: int | None = None) -> list[Row]:
    """The table of scores: overall, then categories, roles and (the largest) tags."""
    split = comparison.discordance
    overall = Row(
        "overall",
        "overall",
        numbers.percent_interval(comparison.base_score),
        numbers.percent_interval(comparison.current_score),
        difference(comparison.score),
        _flips(split.gained, split.lost) if split else "",
        numbers.count(comparison.scored) if comparison.how != "unpaired" else "",
        comparison.word.value if comparison.word else "",
    )
    largest = sorted(comparison.tags, key=lambda each: -each.pairs)[:tags]
    slices = [
        *(_slice("category", each) for each in comparison.categories),
        *(_slice("role", each) for each in comparison.roles),
        *(_slice("tag", each) for each in largest),
    ]
    return [overall, *slices]


def _slice(kind: Literal["category", "role", "tag"], each: SliceComparison) -> Row:
    return Row(
        kind,
        one_line(each.name),
        numbers.percent_interval(each.base),
        numbers.percent_interval(each.current),
        difference(each.difference),
        _flips(each.gained, each.lost),
        numbers.count(each.pairs),
        each.word.value if each.word else "",
    )


def _flips(gained: int, lost: int) -> str:
    return f"+{gained} −{lost}"


def buckets(comparison: Comparison) -> list[tuple[Bucket, int]]:
    """The four buckets in order of worth, with their counts."""
    return [(bucket, comparison.buckets.get(bucket, 0)) for bucket in Bucket]


def flips(comparison: Comparison, bucket: Bucket) -> list[Flip]:
    """The prompts of one bucket; of those that pass still none is kept."""
    return [flip for flip in comparison.flips if flip.bucket is bucket]


def reasons(flip: Flip) -> str:
    """What each run made of a flipped prompt: `wrong value → right`."""
    before = flip.base_culprit or _plain(flip.base_score)
    after = flip.current_culprit or _plain(flip.current_score)
    return f"{before} → {after}"


def _plain(score: float) -> str:
    return {0.0: "wrong", 1.0: "right"}.get(score, f"score {numbers.score(score)}")


def latency(found: LatencyComparison) -> str:
    """`1.02 times as long [0.98 to 1.07]`, or what keeps it from counting."""
    ratio = f"{found.ratio:.2f} times as long [{found.low:.2f} to {found.high:.2f}]"
    medians = " → ".join(numbers.duration(each.median) for each in (found.base, found.current))
    return f"median {medians}, {ratio}"


def speed_rows(comparison: Comparison) -> Iterator[tuple[str, str, str, str]]:
    """Name, base, current and a remark for time, memory, tokens and cost; unknown ones left out."""
    found = comparison.latency
    if found:
        remark = f"{found.ratio:.2f} times [{found.low:.2f} to {found.high:.2f}]"
        if not found.gates:
            remark += ", not for a gate"
        yield (
            "Latency, median",
            numbers.duration(found.base.median),
            numbers.duration(found.current.median),
            remark,
        )
        yield (
            "Latency, mean",
            numbers.duration(found.base.mean),
            numbers.duration(found.current.mean),
            "",
        )
        if found.first_token_ratio is not None:
            yield "First token", "", "", f"{found.first_token_ratio:.2f} times"
        if found.tokens_per_second_ratio is not None:
            yield "Tokens a second", "", "", f"{found.tokens_per_second_ratio:.2f} times"
    both = [run.summary for run in _runs(comparison)]
    measures = (
        ("Peak memory", [numbers.byte_size(s.peak_memory_bytes if s else None) for s in both]),
        ("Tokens written", [numbers.compact(s.tokens_out if s else None) for s in both]),
        ("Cost", [numbers.cost(s.cost if s else None) for s in both]),
    )
    for name, (base, current) in measures:
        if {base, current} - {numbers.NOTHING, "0"}:
            yield name, base, current, ""


def gate_line(report: GateReport) -> str:
    """`Gate go-no-go: pass, all 5 bounds hold`."""
    results = report.results
    counts = {
        verdict: sum(each.verdict is verdict for each in results)
        for verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)
    }
    name = one_line(report.gates.name)
    if report.verdict is Verdict.PASS:
        held = "its bound holds" if len(results) == 1 else f"all {len(results)} bounds hold"
        return f"Gate {name}: pass, {held}"
    words = {Verdict.FAIL: "failed", Verdict.INCONCLUSIVE: "undecided", Verdict.PASS: "held"}
    told = ", ".join(f"{number} {words[each]}" for each, number in counts.items() if number)
    return f"Gate {name}: {report.verdict.value} ({told})"


def decision_line(decision: Decision) -> str:
    """The action, and the rule that led to it."""
    return f"Decision: {decision.action.value}. {decision.because}"


def telling_evidence(decision: Decision) -> list[Evidence]:
    """The conditions of the rule that fired; where none did, those that are unclear."""
    fired = [each for each in decision.evidence if each.rule.startswith(f"{decision.action}: ")]
    return fired or [each for each in decision.evidence if each.holds == "unclear"]


def subject(compared: Compared) -> str:
    """`smollm2-135m + greenhouse against smollm2-135m on greenhouse 1`."""
    base, current = titles(compared.comparisons[0])
    return f"{current} against {base} on {suite_of(compared.comparisons[0])}"


def differing(comparison: Comparison) -> Sequence[tuple[str, str, str, str]]:
    """What, in the base, in the current run, and whether scores may be due to it."""
    return [
        (
            one_line(each.what),
            one_line(each.base, 80) or numbers.NOTHING,
            one_line(each.current, 80) or numbers.NOTHING,
            "may move scores" if each.matters else "",
        )
        for each in comparison.differs
    ]
