"""What a difference and its bounds mean: a word for people, a verdict for a gate.

A gate has three verdicts, because few prompts often tell neither. PASS rests on the one-sided 95 %
lower bound, FAIL on the one-sided 99 % upper bound: a loss must be plain before it stops anybody,
and an unchanged model fails in less than 1 % of cases.
"""

from punie.analysis.unpaired import implied_n
from punie.records.comparison import Difference, Word
from punie.records.gate import Verdict
from punie.records.summary import Estimate

FEWEST = 8
"""Independent prompts of equal weight below which nothing is decided: eight questions about one
passage are one. Eight that all changed one way is what the sequential test asks for too; with
fewer, the intervals of paired shares do not hold what they promise."""
ROUNDING = 1e-9
"""A drop of 5 of 100 prompts is one of 5 points, whatever a mean of means rounds it to."""


def too_few(difference: Difference) -> bool:
    """Whether it rests on fewer independent prompts than tell anything."""
    independent = difference.n if difference.independent is None else difference.independent
    return independent < FEWEST - ROUNDING


def word_of(difference: Difference | None, margin: float) -> Word | None:
    """The difference in a word, where a loss up to `margin` (a share, 0.05) is none.

    None where nothing was compared.
    """
    if difference is None:
        return None
    if too_few(difference):
        return Word.UNCLEAR
    if difference.lower > 0:
        return Word.BETTER
    if difference.lower > -margin:
        return Word.NO_WORSE
    return Word.WORSE if difference.upper < 0 else Word.UNCLEAR


def holds_margin(difference: Difference | None, margin: float) -> Verdict:
    """Whether no more than `margin` (a share, 0.05) is lost.

    PASS if the one-sided 95 % lower bound is above -margin. FAIL if the one-sided 99 % upper bound
    is below 0 and the observed drop is at least the margin.
    """
    if difference is None or too_few(difference):
        return Verdict.INCONCLUSIVE
    if difference.lower > -margin:
        return Verdict.PASS
    dropped = difference.upper < 0 and -difference.value >= margin - ROUNDING
    return Verdict.FAIL if dropped else Verdict.INCONCLUSIVE


def holds_gain(difference: Difference | None, gain: float) -> Verdict:
    """Whether more than `gain` (a share) is gained.

    PASS if the one-sided 95 % lower bound is above the gain, FAIL if the one-sided 99 % upper bound
    is below it.
    """
    if difference is None or too_few(difference):
        return Verdict.INCONCLUSIVE
    if difference.lower > gain:
        return Verdict.PASS
    return Verdict.FAIL if difference.upper < gain else Verdict.INCONCLUSIVE


def holds_floor(estimate: Estimate | None, floor: float) -> Verdict:
    """Whether a score is at least `floor` (a share): PASS if the lower end of its 95 % interval is.

    FAIL if the upper end is below.
    """
    if estimate is None:
        return Verdict.INCONCLUSIVE
    if estimate.low >= floor:
        return Verdict.PASS
    return Verdict.FAIL if estimate.high < floor else Verdict.INCONCLUSIVE


def holds_win_rate(rate: Estimate, bound: float) -> Verdict:
    """Whether more than `bound` (a share) is won: PASS if the low end of the 95 % interval is so.

    FAIL if the high end is below.
    """
    if implied_n(rate) < FEWEST - ROUNDING:
        return Verdict.INCONCLUSIVE
    if rate.low > bound:
        return Verdict.PASS
    return Verdict.FAIL if rate.high < bound else Verdict.INCONCLUSIVE


def under_both(first: Verdict, second: Verdict) -> Verdict:
    """What stands whether faulted prompts are counted as lost or as gained: both must agree."""
    return first if first is second else Verdict.INCONCLUSIVE
