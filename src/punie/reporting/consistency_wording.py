"""Consistency in plain words, the same for every report: capability or inconsistency."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from punie.analysis.consistency import FAINT_RATE, repeats_for
from punie.records.comparison import Difference
from punie.records.consistency import (
    Capability,
    Cause,
    Consistency,
    ConsistencySlice,
    CurvePoint,
    Losses,
    PromptConsistency,
)
from punie.records.summary import Estimate
from punie.records.trust import Level
from punie.reporting import numbers
from punie.reporting.soundness import said
from punie.reporting.wording import model_title
from punie.text import one_line

SAME_ANSWER = (
    "Two answers are the same where the prompt's scorers see the same: the number, the calls, the "
    "JSON value, the program; every other answer is its text without case and white space. Of "
    "equally frequent answers the one that came first is the majority."
)


class Row(NamedTuple):
    """One line of the table of slices; `kind` is `overall`, `category` or `role`."""

    kind: str
    slice: ConsistencySlice


class Line(NamedTuple):
    """A name and what is said of it."""

    name: str
    words: str


def title(found: Consistency) -> str:
    """What was asked of what, how often."""
    run = found.run
    return (
        f"{one_line(model_title(run.model), 80)} on {one_line(run.suite_name, 60)}: "
        f"{numbers.counted(run.repeats, 'answer')} each at temperature "
        f"{run.sampling.temperature:g}"
    )


def rows(found: Consistency) -> Iterator[Row]:
    """Overall, then categories where there are several, then roles."""
    yield Row("overall", found.overall)
    if len(found.categories) > 1:
        yield from (Row("category", each) for each in found.categories)
    yield from (Row("role", each) for each in found.roles)


def ends(each: ConsistencySlice) -> tuple[CurvePoint, CurvePoint] | None:
    """The first and last point of a slice's curve; None where nothing is scored."""
    return (each.curve[0], each.curve[-1]) if each.curve else None


def share(each: ConsistencySlice, word: Capability) -> str:
    """How many prompts it cannot, unstably or can answer: `5, 25.0 % [11–47]`."""
    if word not in each.shares:
        return numbers.NOTHING
    return f"{numbers.count(each.counts[word])}, {numbers.percent_interval(each.shares[word])}"


def verdict(found: Consistency) -> str:
    """The answer to "capability or inconsistency?" in a few words, overall."""
    if not found.sampled:
        return "Cannot be told: the repeats are one draw"
    losses = found.overall.losses
    if losses is None:
        return "Cannot be told: no prompt has enough scored answers"
    if losses.cause is Cause.BOTH and (told := _by_category(found)):
        return told
    return {
        Cause.NONE: "Neither: every answer is right",
        Cause.CAPABILITY: "Capability rather than inconsistency",
        Cause.INCONSISTENCY: "Inconsistency rather than capability",
        Cause.BOTH: "Capability and inconsistency are not told apart",
    }[losses.cause]


def _by_category(found: Consistency) -> str:
    """`Inconsistency in math; capability in code`; empty where no category is clear."""
    parts: list[str] = []
    for cause in (Cause.INCONSISTENCY, Cause.CAPABILITY):
        names = [
            one_line(each.name, 40)
            for each in found.categories
            if each.losses and each.losses.cause is cause
        ]
        parts += [f"{cause.value} in {', '.join(names)}"] if names else []
    told = "; ".join(parts)
    return told[:1].upper() + told[1:]


def sentence(found: Consistency, each: ConsistencySlice) -> str:
    """Capability or inconsistency in one slice, with its hedge, in one sentence or two."""
    k = numbers.count(found.k)
    if not each.prompts:
        if each.unscored:
            return "Its prompts expect nothing, so no answer is right or wrong."
        return f"No prompt has {k} scored answers."
    if each.losses is None:
        right = numbers.count(each.counts[Capability.CAN])
        return (
            f"Not told: all answers to a prompt are one draw, and {right} of "
            f"{numbers.counted(each.prompts, 'prompt')} are right."
        )
    return _cause(found, each, each.losses)


def _cause(found: Consistency, each: ConsistencySlice, losses: Losses) -> str:
    if losses.unstable is None:
        return (
            f"It can: all answers to all {numbers.counted(each.prompts, 'prompt')} are right "
            f"({numbers.percent_interval(each.shares.get(Capability.CAN))})."
        )
    unstable, never = each.counts[Capability.UNSTABLE], each.counts[Capability.CANNOT]
    of = f"of {numbers.counted(unstable + never, 'prompt')} not always right"
    share = numbers.percent_interval(losses.unstable)
    sometimes = f"{numbers.count(unstable)} ({share}) are right sometimes"
    rate = numbers.percent(found.unseen_rate)
    hedge = f" (or in less than {rate} of draws)" if never else ""
    if losses.cause is Cause.INCONSISTENCY:
        return f"Inconsistency: {of}, {sometimes}."
    if losses.cause is Cause.CAPABILITY:
        share = numbers.percent_interval(_rest(losses.unstable))
        return f"Capability: {of}, {numbers.count(never)} ({share}) never are{hedge}."
    narrow = losses.unstable.high - losses.unstable.low < 0.3
    head = "Both" if narrow else "Not told apart"
    return f"{head}: {of}, {sometimes}, {numbers.count(never)} never{hedge}."


def _rest(estimate: Estimate) -> Estimate:
    return Estimate(
        value=1 - estimate.value, low=1 - estimate.high, high=1 - estimate.low, n=estimate.n
    )


def advice(found: Consistency) -> str:
    """What follows for whoever wants better answers; empty where nothing does."""
    losses, points = found.overall.losses, ends(found.overall)
    if losses is None or points is None or losses.cause is Cause.NONE:
        return ""
    one, many = points
    gain = 100 * (many.pass_at.value - one.pass_at.value)
    better = f"{gain:.1f} points better" if gain >= 0.05 else "no better"
    best = f"The best of {numbers.count(found.k)} answers would be {better} than a single one."
    if losses.cause is Cause.INCONSISTENCY:
        return (
            f"{best} It often knows: a lower temperature, a vote, or training on its own right "
            "answers aim at that."
        )
    if losses.cause is Cause.CAPABILITY:
        return f"{best} The rest asks for other data or another model."
    more = numbers.count(repeats_for(FAINT_RATE))
    return (
        f"{best} {more} repeats would show rates of right answers down to "
        f"{numbers.percent(FAINT_RATE)}."
    )


def hedges(found: Consistency) -> str:
    """How far "cannot" and "can" hold at this number of repeats."""
    rate = found.unseen_rate
    return (
        f"With {numbers.count(found.k)} answers, a prompt that is right in up to "
        f"{numbers.percent(rate)} of draws may show none (5 % chance), and one that is right in "
        f"{numbers.percent(1 - rate)} may show nothing else: what looks like cannot or can may be "
        "unstable."
    )


def draws(found: Consistency) -> str:
    """Whether repeats are draws, where a reader must know; empty where they are."""
    return "" if found.draws.level is Level.OK and found.sampled else said(found.draws)


def steadiness(each: ConsistencySlice) -> list[Line]:
    """How alike the answers are, right or wrong; what is not known is left out."""
    known = [
        Line("Consistency rate", numbers.percent_interval(each.rate)) if each.rate else None,
        Line("Two answers agree", numbers.percent_interval(each.agreement))
        if each.agreement
        else None,
        Line("Different answers", f"{each.unique:.2f} a prompt")
        if each.unique is not None
        else None,
        Line("Entropy", f"{each.entropy_bits:.2f} bits") if each.entropy_bits is not None else None,
        Line("Variance of the score", f"{each.score_variance:.3f}")
        if each.score_variance is not None
        else None,
        Line("Majority vote", f"{numbers.percent_interval(each.majority)} right")
        if each.majority
        else None,
    ]
    return [line for line in known if line]


def greedy(found: Consistency) -> list[Line]:
    """Greedy against sampled, one line each; empty where there is no greedy run."""
    against = found.greedy
    if against is None:
        return []
    run_id = one_line(against.run.id, 80)
    lines = [
        Line("Greedy", f"{numbers.percent_interval(against.greedy)} (run {run_id})"),
        Line("Sampled", _against(against.sampled, against.sampled_difference)),
    ]
    if against.majority and against.majority_difference:
        lines.append(Line("Majority", _against(against.majority, against.majority_difference)))
    return lines


def _against(value: Estimate, difference: Difference) -> str:
    told = numbers.points_interval(difference.value, difference.low, difference.high)
    clear = "no clear difference"
    if difference.clearly_above:
        clear = "better than greedy"
    elif difference.clearly_below:
        clear = "worse than greedy"
    return f"{numbers.percent(value.value)}, {told} points: {clear}"


def least_steady(found: Consistency, most: int) -> list[PromptConsistency]:
    """The prompts whose answers vary most, those that are right sometimes before the others."""
    varied = [each for each in found.prompts if _spread(each) > 0]

    def rank(each: PromptConsistency) -> tuple[bool, float, str]:
        return each.capability is not Capability.UNSTABLE, -_spread(each), each.id

    return sorted(varied, key=rank)[:most]


def _spread(each: PromptConsistency) -> float:
    if each.entropy_bits is not None:
        return each.entropy_bits
    return each.score_variance or 0.0


def majority(each: PromptConsistency, limit: int = 60) -> str:
    """The most frequent answer, and whether it is right; empty where answers are not kept."""
    if each.majority is None:
        return ""
    word = {True: "right", False: "wrong", None: "not scored"}[each.majority_right]
    tied = ", tied" if each.majority_tied else ""
    return f"{one_line(each.majority, limit)} ({word}{tied})"


def ordered(prompts: Sequence[PromptConsistency]) -> list[PromptConsistency]:
    """Prompts by category, in each the most often right first: as the heat map has them."""
    order = {name: at for at, name in enumerate(dict.fromkeys(p.category for p in prompts))}
    return sorted(
        prompts,
        key=lambda p: (order[p.category], -(p.right / p.scored if p.scored else -1.0), p.id),
    )
