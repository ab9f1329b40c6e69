"""Wins, losses and ties: the numbers behind a pairwise judge, and what its own biases look like.

A pair is judged twice, each answer once in the first place. A judge that changes its mind with the
order does not tell the answers apart, so a disagreement is a tie (Zheng et al. 2023, "Judging
LLM-as-a-Judge with MT-Bench and Chatbot Arena"). Pure functions.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

from punie.analysis.estimates import estimate
from punie.analysis.signs import sign_test
from punie.analysis.spending import total
from punie.records.duel import Duel, DuelOutcome, DuelSlice, DuelSummary, LengthBias
from punie.records.judgement import JudgeIdentity
from punie.records.summary import Estimate

SMALL = 20
"""Pairs below which a rate says next to nothing: at 20 its interval is still 40 points wide."""
LENGTH_BOUND = 0.3
"""Kendall's tau from which on it is worth a warning that the judge may reward length."""
UNSTEADY = 0.6
"""A judge that agrees with itself in fewer pairs than this mostly judges the order."""
_WORTH = {DuelOutcome.WIN: 1.0, DuelOutcome.TIE: 0.5, DuelOutcome.LOSS: 0.0}


def settled(current_first: DuelOutcome, base_first: DuelOutcome) -> DuelOutcome:
    """The outcome of two judgements of one pair, one for each order: disagreement is a tie."""
    return current_first if current_first is base_first else DuelOutcome.TIE


def summarize(
    duels: Sequence[Duel], *, judge: JudgeIdentity, unanswered: int = 0, unasked: int = 0
) -> DuelSummary:
    """All numbers of the duels, slices in the order in which they first appear.

    Overall and in each slice every pair counts the same, so that the rates follow from the counts.
    Pairs of one `group` count as what they are worth together: their answers are not independent.
    """
    asked = [each for each in duels if each.current_first and each.base_first]
    consistency = _share([each.current_first is each.base_first for each in asked], asked)
    first_place = _first_place(asked)
    length = length_bias(duels)
    overall = _slice("overall", duels)
    return DuelSummary(
        judge=judge,
        overall=overall,
        categories=_slices(duels, lambda each: each.category),
        roles=_slices(duels, lambda each: each.role),
        equal=sum(each.equal for each in duels),
        unanswered=unanswered,
        unasked=unasked,
        consistency=consistency,
        first_place=first_place,
        length=length,
        duels=tuple(duels),
        cached=sum(each.cached for each in duels),
        asked=sum(each.asked for each in duels),
        altered=sum(each.altered for each in duels),
        clipped=sum(each.clipped for each in duels),
        tokens_in=total(each.tokens_in for each in duels),
        tokens_out=total(each.tokens_out for each in duels),
        warnings=tuple(_warnings(overall, consistency, first_place, length)),
    )


def win_rate_if(summary: DuelSummary, worth: float) -> Estimate | None:
    """The win rate with every pair that has no outcome counted as `worth`: 0 lost, 1 won.

    These are the judge's faults, what the judging ended before, and what a run has no answer to.
    Of the last two nobody notes the group: where pairs have groups, they are one of their own.
    """
    values = [worth if each.outcome is None else _WORTH[each.outcome] for each in summary.duels]
    groups = [each.group for each in summary.duels]
    other = "pairs that were not judged" if any(groups) else None
    lacking = summary.unasked + summary.unanswered
    values += [worth] * lacking
    return estimate(values, [1.0] * len(values), [*groups, *([other] * lacking)])


def _slices(duels: Sequence[Duel], name_of: Callable[[Duel], str | None]) -> tuple[DuelSlice, ...]:
    names = dict.fromkeys(name for each in duels if (name := name_of(each)) is not None)
    return tuple(_slice(name, [d for d in duels if name_of(d) == name]) for name in names)


def _slice(name: str, duels: Sequence[Duel]) -> DuelSlice:
    judged = [(each, each.outcome) for each in duels if each.outcome is not None]
    wins, losses, ties = (
        sum(outcome is kind for _, outcome in judged)
        for kind in (DuelOutcome.WIN, DuelOutcome.LOSS, DuelOutcome.TIE)
    )
    pairs = [each for each, _ in judged]
    decided = [each for each in pairs if each.outcome is not DuelOutcome.TIE]
    return DuelSlice(
        name=name,
        wins=wins,
        losses=losses,
        ties=ties,
        faults=len(duels) - len(judged),
        win_rate=_share([_WORTH[outcome] for _, outcome in judged], pairs),
        decisive_rate=_share([each.outcome is DuelOutcome.WIN for each in decided], decided),
        win_ratio=wins / losses if losses else None,
        tie_share=_share([outcome is DuelOutcome.TIE for _, outcome in judged], pairs),
        sign_p=sign_test(wins, losses) if decided else None,
        too_small=len(judged) < SMALL,
    )


def _share(values: Sequence[float], duels: Sequence[Duel]) -> Estimate | None:
    """The mean of values in [0, 1], one a duel, with Wilson's interval; None without any."""
    return estimate(values, [1.0] * len(values), [each.group for each in duels])


def _first_place(asked: Sequence[Duel]) -> Estimate | None:
    """How often a decision fell on the first place; the two of one pair belong together."""
    values: list[float] = []
    groups: list[str] = []
    for number, each in enumerate(asked):
        for said, won_by_place in (
            (each.current_first, DuelOutcome.WIN),
            (each.base_first, DuelOutcome.LOSS),
        ):
            if said is not DuelOutcome.TIE:
                values.append(float(said is won_by_place))
                groups.append(each.group or f"pair {number}")
    return estimate(values, [1.0] * len(values), groups)


def length_bias(duels: Iterable[Duel]) -> LengthBias:
    """Whether longer answers win, over the judged pairs of different answers."""
    judged = [(each, each.outcome) for each in duels if each.outcome is not None and not each.equal]
    tau = kendall_tau(
        [each.current_length - each.base_length for each, _ in judged],
        [_WORTH[outcome] for _, outcome in judged],
    )
    decided = [
        each
        for each, outcome in judged
        if outcome is not DuelOutcome.TIE and each.current_length != each.base_length
    ]
    longer = _share(
        [
            (each.current_length > each.base_length) == (each.outcome is DuelOutcome.WIN)
            for each in decided
        ],
        decided,
    )
    warns = tau is not None and tau >= LENGTH_BOUND and longer is not None and longer.low > 0.5
    return LengthBias(tau=tau, longer_wins=longer, warns=warns)


def kendall_tau(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Kendall's tau-b of two sequences of one length: (P - Q) / √((P+Q+T₁)(P+Q+T₂)).

    P and Q are the concordant and discordant pairs, T the pairs tied in one alone. Source: Kendall
    1945, "The treatment of ties in ranking problems". None where either is the same throughout.
    Quick where `second` has few different values, as outcomes have: O(n log n + n · values).
    """
    n = len(first)
    levels = {value: place for place, value in enumerate(sorted(set(second)))}
    before = [0] * len(levels)
    surplus = 0  # P - Q
    rows = sorted(zip(first, (levels[value] for value in second), strict=True))
    ties_first = 0
    for _, group in groupby(rows, key=lambda row: row[0]):
        places = [place for _, place in group]
        ties_first += math.comb(len(places), 2)
        for place in places:
            surplus += sum(before[:place]) - sum(before[place + 1 :])
        for place in places:
            before[place] += 1
    pairs = math.comb(n, 2)
    ties_second = sum(math.comb(count, 2) for count in before)
    if pairs in (ties_first, ties_second):
        return None
    return surplus / math.sqrt((pairs - ties_first) * (pairs - ties_second))


def _warnings(
    overall: DuelSlice,
    consistency: Estimate | None,
    first_place: Estimate | None,
    length: LengthBias,
) -> Iterable[str]:
    if overall.faults:
        of = overall.faults + overall.judged
        yield f"the judge gave no usable word on {overall.faults} of {of} pairs"
    if consistency is not None and consistency.value < UNSTEADY:
        yield (
            "the judge changes its mind with the order of the answers in "
            f"{100 * (1 - consistency.value):.0f} % of the pairs, which count as ties"
        )
    if first_place is not None and (first_place.low > 0.5 or first_place.high < 0.5):
        place = "first" if first_place.value > 0.5 else "second"
        yield f"the judge prefers the answer in the {place} place, whatever it says"
    if length.warns:
        yield "the longer answer tends to win: the judge may reward length"
