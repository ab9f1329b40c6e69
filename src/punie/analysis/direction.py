"""What a run that ended when a test had decided tells: the direction, and no size."""

from collections import Counter
from collections.abc import Sequence

from punie.analysis.pairing import Asked, Paired
from punie.analysis.rule import word_of
from punie.analysis.sequential import decided
from punie.records.comparison import Comparison, Difference, Pair, UnitFlips, Word
from punie.records.run import Run

_STRICTER = 2.5758 / 2.3263
"""How much farther the one-sided 99.5 % bound lies than that of 99 %, of a normal distribution."""


def unit_flips(paired: Paired) -> UnitFlips:
    """Count flips as the sequential test does: what shares a group is one, by what most of it did.

    Prompts without weight are none.
    """
    net: Counter[str] = Counter()
    faulted: set[str] = set()
    for each in paired.pairs:
        if not each.weight:
            continue
        unit = f"prompt {each.id}" if each.group is None else f"group {each.group}"
        if each.base.faults or each.current.faults:
            faulted.add(unit)
        if _both(each):
            net[unit] += int(each.current.passed == 1) - int(each.base.passed == 1)
    asked = {each.category for each in paired.pairs if each.weight and _both(each)}
    return UnitFlips(
        gained=sum(change > 0 for change in net.values()),
        lost=sum(change < 0 for change in net.values()),
        faulted=len(faulted),
        all_categories=(_scored(paired.base) | _scored(paired.current)) <= asked,
    )


def _both(pair: Pair) -> bool:
    return pair.base.passed is not None and pair.current.passed is not None


def _scored(arm: Sequence[Asked]) -> set[str]:
    return {each.category for each in arm if each.weight and each.side.score is not None}


def direction(comparison: Comparison) -> Word | None:
    """Whether such a run is better or worse; None where that is not decided."""
    return told(comparison.score, comparison.unit_flips)


def told(score: Difference | None, flips: UnitFlips | None) -> Word | None:
    """The same, of a difference and its flips.

    The run may have ended against another one than this: so the test is asked again, which it
    allows at any time, with what faulted on the other side. It speaks of the mean over categories,
    so of each there must be prompts.
    """
    if score is None or flips is None or not flips.all_categories:
        return None
    up = flips.gained, flips.lost + flips.faulted
    down = flips.gained + flips.faulted, flips.lost
    if score.value > 0 and up[0] > up[1] and decided(*up):
        return Word.BETTER
    if score.value < 0 and down[0] < down[1] and decided(*down):
        return Word.WORSE
    return None


def was_looked_at(run: Run) -> bool:
    """Whether a run would have ended early, had the test decided, and asked all instead."""
    return "order" in run.selection and run.decided_after is None


def word_for(
    run: Run, score: Difference | None, flips: UnitFlips | None, margin: float
) -> Word | None:
    """The word on a difference, by the rules of a run that a test ended or could have ended.

    `flips` is None where no run ended early.
    """
    if score is not None and flips is not None:
        return told(score, flips) or Word.UNCLEAR
    return word_of(after_looks(score) if score and was_looked_at(run) else score, margin)


def after_looks(difference: Difference) -> Difference:
    """The difference with the bounds of a second try, for a run that a test could have ended.

    Test and bounds each may err in half of the cases that are allowed: 2.5 % and 0.5 %.
    """
    reach = (difference.upper - difference.value) * _STRICTER
    upper = min(1.0, difference.value + reach)
    return difference.model_copy(update={"lower": difference.low, "upper": upper})
