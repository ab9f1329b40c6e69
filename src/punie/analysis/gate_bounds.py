"""Gain, margin and floor of a suite and its slices, each under both readings of what faulted."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from punie.analysis.comparable import asked_otherwise, only_part
from punie.analysis.direction import after_looks, direction, was_looked_at
from punie.analysis.gate_wording import (
    found_difference,
    found_estimate,
    part_of,
    slice_of,
)
from punie.analysis.measure_next import MOST, wanted
from punie.analysis.power import more_prompts
from punie.analysis.rule import holds_floor, holds_gain, holds_margin, under_both
from punie.analysis.statistics import wilson
from punie.analysis.unpaired import implied_n
from punie.errors import InputError
from punie.records.comparison import Comparison, Difference, Relabelled, SliceComparison, Word
from punie.records.gate import GateResult, SliceGate, SuiteGate, Verdict
from punie.records.summary import Estimate
from punie.shares import points
from punie.sizes import counted
from punie.text import one_line

Rule = Callable[[Difference | None, float], Verdict]
_LABELLED = tuple(Relabelled.model_fields)
_ONLY = {"margin_points": None, "minimum_gain_points": None, "floor_percent": None}
"""What makes an entry one of its slices alone."""
NOT_SCORED = "no prompt of it was scored in both runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """What was measured of a suite, or of a slice of it."""

    name: str
    whole: bool
    """Whether it is the suite."""
    comparison: Comparison
    score: Difference | None
    if_faults_lose: Difference | None
    if_faults_win: Difference | None
    at_worst: Estimate | None
    at_best: Estimate | None
    gained: int
    lost: int


def suite_results(bounds: SuiteGate, comparison: Comparison, source: str) -> Iterator[GateResult]:
    """Yield each bound of a gate's entry, held against the comparison of its suite.

    Raises InputError, naming what there is, where a slice is not there; `source` is the gate's.
    """
    found = _of_suite(bounds, comparison, source)
    if comparison.relabelled is None:
        yield from found
        return
    as_before = _as_labelled_before(bounds, comparison)
    for now, before in zip(found, as_before, strict=True):
        yield now if now.verdict is before.verdict else _undone(now, before)


def _of_suite(bounds: SuiteGate, comparison: Comparison, source: str) -> Iterator[GateResult]:
    yield from _results(bounds, _whole(comparison))
    for each in bounds.slices:
        yield from _results(each, _sliced(each, comparison, source))


def _as_labelled_before(bounds: SuiteGate, comparison: Comparison) -> Iterator[GateResult]:
    """Yield the same bounds, held against what the labels of the base make of the answers."""
    labels = comparison.relabelled
    assert labels is not None
    before = comparison.model_copy(update={name: getattr(labels, name) for name in _LABELLED})
    yield from _results(bounds, _whole(before))
    for each in bounds.slices:
        kind, name = slice_of(each)
        if any(part.name == name for part in _slices(before)[kind]):
            yield from _results(each, _sliced(each, before, ""))
        else:
            yield from unmeasured_results(bounds.model_copy(update=_ONLY | {"slices": (each,)}), "")


def _undone(now: GateResult, before: GateResult) -> GateResult:
    why = f"prompts were labelled anew since the base: with its labels {before.found}"
    update = {"verdict": Verdict.INCONCLUSIVE, "why": why, "more_prompts": None}
    return now.model_copy(update=update)


def unmeasured_results(bounds: SuiteGate, why: str) -> Iterator[GateResult]:
    """Yield each bound of an entry whose suite was not measured: all are undecided."""
    for each in (bounds, *bounds.slices):
        for kind, asked in _asked(each):
            yield GateResult(
                name=f"{part_of(bounds.suite, each)}: {kind}",
                asked=asked,
                found="not measured",
                verdict=Verdict.INCONCLUSIVE,
                why=why,
            )


def _asked(bounds: SuiteGate | SliceGate) -> Iterator[tuple[str, str]]:
    if bounds.minimum_gain_points is not None:
        yield "gain", f"gains more than {bounds.minimum_gain_points:g} points"
    if bounds.margin_points is not None:
        yield "margin", f"loses no more than {bounds.margin_points:g} points"
    if bounds.floor_percent is not None:
        yield "floor", f"scores at least {bounds.floor_percent:g} %"


def _results(bounds: SuiteGate | SliceGate, part: _Part) -> Iterator[GateResult]:
    for kind, asked in _asked(bounds):
        name = f"{part.name}: {kind}"
        if kind == "gain":
            yield _difference(
                name, asked, part, holds_gain, (bounds.minimum_gain_points or 0) / 100
            )
        elif kind == "margin":
            yield _difference(name, asked, part, holds_margin, (bounds.margin_points or 0) / 100)
        else:
            yield _floor(name, asked, part, (bounds.floor_percent or 0) / 100)


def _difference(name: str, asked: str, part: _Part, rule: Rule, bound: float) -> GateResult:
    score = part.score
    if score is None:
        return _open(name, asked, "nothing", NOT_SCORED)
    end = bound if rule is holds_gain else -bound
    unfit = asked_otherwise(part.comparison) or (only_part(part.comparison) if part.whole else "")
    if unfit:
        found = found_difference(score, Verdict.INCONCLUSIVE, end)
        return _open(name, asked, found, unfit)
    if part.comparison.stopped_early:
        gain = bound if rule is holds_gain else None
        return _when_decided(name, asked, part, gain=gain, margin=bound)
    lose, win = part.if_faults_lose, part.if_faults_win
    if was_looked_at(part.comparison.current):
        score, lose, win = (each and after_looks(each) for each in (score, lose, win))
        assert score is not None
    verdict, why = rule(score, bound), ""
    if lose is not None and win is not None:
        both = under_both(rule(lose, bound), rule(win, bound))
        why = (
            f"with what faulted counted as lost {points(lose.value)} points, "
            f"as gained {points(win.value)}"
        )
        if both is not verdict and both is Verdict.INCONCLUSIVE:
            why += f": ask it again, since without it this would {verdict.value}"
            return _open(name, asked, found_difference(score, both, end), why)
        verdict = both
    more = None
    if verdict is Verdict.INCONCLUSIVE:
        more = _more(score, rule, bound)
        why = ". ".join(filter(None, [why, _why_open(score, rule, bound)]))
    return GateResult(
        name=name,
        asked=asked,
        found=found_difference(score, verdict, end),
        verdict=verdict,
        why=why,
        more_prompts=more,
    )


def _when_decided(
    name: str, asked: str, part: _Part, *, gain: float | None, margin: float
) -> GateResult:
    """What a run that ended when the direction was decided tells: the direction, and no size.

    The test looked after each prompt, so intervals for a number of prompts fixed before are too
    narrow. Better than before is a gain above 0 and no loss; worse is no gain, and a loss where the
    observed drop is at least the margin. `gain` is None where a margin is asked.
    """
    score, flips = part.score, part.comparison.unit_flips
    assert score is not None
    found = f"{points(score.value)} points, {part.gained} gained and {part.lost} lost"
    told = direction(part.comparison) if part.whole else None
    why = "the run ended when the sequential test had decided"
    if told is Word.BETTER and not gain:
        return GateResult(name=name, asked=asked, found=found, verdict=Verdict.PASS, why=why)
    if told is Word.WORSE and (gain is not None or -score.value >= margin):
        return GateResult(name=name, asked=asked, found=found, verdict=Verdict.FAIL, why=why)
    if flips is not None and not flips.all_categories:
        return _open(name, asked, found, "not every category was asked: ask the whole suite")
    why = "a run ended when a test had decided, which does not tell this: ask the whole suite"
    return _open(name, asked, found, why)


def _why_open(score: Difference, rule: Rule, bound: float) -> str:
    if rule is holds_margin and score.upper < 0:
        return f"it is worse, but by less than {100 * bound:g} points where it was measured"
    return f"{counted(score.n, 'prompt')} tell too little"


def _more(score: Difference, rule: Rule, bound: float) -> int | None:
    """About how many more prompts would settle it, did the difference stay; None beyond `MOST`."""
    if rule is holds_gain:
        more = more_prompts(score, bound)
    else:
        total = wanted(score, bound)
        more = total - score.n if total is not None else None
    return more if more and more <= MOST else None


def _floor(name: str, asked: str, part: _Part, floor: float) -> GateResult:
    worst, best = part.at_worst, part.at_best
    if worst is None or best is None:
        return _open(name, asked, "nothing", "no prompt of it was scored")
    if part.comparison.current.decided_after is not None:
        why = "the run ended when a test had decided, so its score is not that of the suite"
        return _open(name, asked, found_estimate(worst), why)
    if part.whole and (unfit := only_part(part.comparison)):
        return _open(name, asked, found_estimate(worst), unfit)
    verdict = under_both(holds_floor(worst, floor), holds_floor(best, floor))
    found, why, more = found_estimate(worst), "", None
    if worst != best:
        why = f"with what faulted as wrong {found_estimate(worst)}; as right {found_estimate(best)}"
        found = found_estimate(worst if verdict is Verdict.PASS else best)
    if verdict is Verdict.INCONCLUSIVE:
        more = more_for_floor(worst, floor)
        why = why or f"{counted(worst.n, 'prompt')} tell too little"
    return GateResult(
        name=name, asked=asked, found=found, verdict=verdict, why=why, more_prompts=more
    )


def more_for_floor(estimate: Estimate, floor: float) -> int | None:
    """How many more prompts bring one end of the interval past the floor, did the mean stay."""
    if estimate.value == floor:
        return None
    size = implied_n(estimate)

    def settles(prompts: int) -> bool:
        low, high = wilson(estimate.value, size * prompts / estimate.n)
        return low >= floor or high < floor

    enough = next((n for n in _doubling(estimate.n) if settles(n)), None)
    if enough is None:
        return None
    low, high = estimate.n, enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if settles(middle) else (middle, high)
    return high - estimate.n if high <= MOST else None


def _doubling(start: int) -> Iterator[int]:
    while start <= 2 * MOST:
        start *= 2
        yield start


def _open(name: str, asked: str, found: str, why: str) -> GateResult:
    return GateResult(name=name, asked=asked, found=found, verdict=Verdict.INCONCLUSIVE, why=why)


def _whole(comparison: Comparison) -> _Part:
    discordance = comparison.discordance
    return _Part(
        name=comparison.current.suite_name,
        whole=True,
        comparison=comparison,
        score=comparison.score,
        if_faults_lose=comparison.if_faults_lose,
        if_faults_win=comparison.if_faults_win,
        at_worst=comparison.at_worst,
        at_best=comparison.at_best,
        gained=discordance.gained if discordance else 0,
        lost=discordance.lost if discordance else 0,
    )


def _sliced(bounds: SliceGate, comparison: Comparison, source: str) -> _Part:
    kind, name = slice_of(bounds)
    there: dict[str, SliceComparison] = {each.name: each for each in _slices(comparison)[kind]}
    if name not in there:
        suite = one_line(comparison.current.suite_name, 60)
        has = ", ".join(one_line(each, 40) for each in there) or "none"
        plural = {"category": "categories"}.get(kind, f"{kind}s")
        raise InputError(
            f"{source}: the gate names the {kind} {one_line(name, 60)}, which {suite} has not",
            hint=f"{plural} of {suite}: {has}",
        )
    found = there[name]
    return _Part(
        name=part_of(comparison.current.suite_name, bounds),
        whole=False,
        comparison=comparison,
        score=found.difference,
        if_faults_lose=found.if_faults_lose,
        if_faults_win=found.if_faults_win,
        at_worst=found.at_worst,
        at_best=found.at_best,
        gained=found.gained,
        lost=found.lost,
    )


def _slices(comparison: Comparison) -> dict[str, tuple[SliceComparison, ...]]:
    return {
        "category": comparison.categories,
        "role": comparison.roles,
        "tag": comparison.tags,
    }
