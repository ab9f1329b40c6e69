"""One run, each prompt asked several times: what stays the same, and what the model can do at all.

"Right" is an answer that passed; k counts answers to one prompt.
"""

from enum import StrEnum

from pydantic import Field
from pydantic.dataclasses import dataclass

from punie.records.base import SCHEMA_VERSION, SLIM, Record
from punie.records.comparison import Difference
from punie.records.run import Run
from punie.records.summary import Estimate
from punie.records.trust import Finding


class Capability(StrEnum):
    """What a prompt's answers say of the model."""

    CANNOT = "cannot"
    """None of them is right."""
    UNSTABLE = "unstable"
    """Some are."""
    CAN = "can"
    """All are."""


class Mark(StrEnum):
    """What became of one asking of a prompt."""

    RIGHT = "right"
    WRONG = "wrong"
    UNSCORED = "not scored"
    FAULT = "not measured"
    UNASKED = "not asked"


class Cause(StrEnum):
    """Why prompts are not always answered rightly; see `analysis.consistency.losses_of`."""

    NONE = "nothing lost"
    CAPABILITY = "capability"
    """Most of them are never right, or so rarely that it does not count."""
    INCONSISTENCY = "inconsistency"
    """Most of them are right sometimes."""
    BOTH = "not told apart"
    """Too few prompts or answers, or about as many of either kind."""


@dataclass(frozen=True, slots=True, kw_only=True, config=SLIM)
class PromptConsistency:
    """All answers to one prompt. Shares are in [0, 1]; None where nothing can be said."""

    id: str
    hash: str
    category: str = "general"
    role: str | None = None
    group: str | None = None
    weight: float = 1.0
    marks: tuple[Mark, ...]
    """One a repeat, in order."""
    answers: int
    """That came; those that were scored are `right` and the wrong ones."""
    scored: int
    right: int
    unique: int | None = None
    """Different answers; see `scoring.normal` for when two are the same one."""
    rate: float | None = None
    """Share of the most frequent answer: the consistency rate."""
    entropy_bits: float | None = None
    """Shannon entropy of the answers: 0 where all are one, log2 of their number where none recurs.
    """
    pair_agreement: float | None = None
    """Share of the pairs of answers that are the same."""
    score_mean: float | None = None
    score_variance: float | None = None
    """Of the sample: the divisor is one less than the number of scored answers."""
    pass_at: tuple[float | None, ...] = ()
    """Chance that at least one of k answers is right, for the k of `Consistency.steps`."""
    pass_hat: tuple[float | None, ...] = ()
    """Chance that all of k are."""
    capability: Capability | None = None
    majority: str | None = None
    """The most frequent answer, in its normal form, cut to a line."""
    majority_right: bool | None = None
    majority_tied: bool = False


class CurvePoint(Record):
    """Means over prompts at one k."""

    k: int
    pass_at: Estimate
    pass_hat: Estimate


class Losses(Record):
    """Where the wrong answers are: on prompts that are never right, or on such as are sometimes."""

    cause: Cause
    unstable: Estimate | None = None
    """Share of unstable prompts among those that are not always right; Wilson."""
    to_inconsistency: float | None = None
    """Share of the wrong answers that were given to prompts which are right sometimes."""


class ConsistencySlice(Record):
    """A category, a role, or all of them. The estimates are over the prompts with k answers."""

    name: str
    prompts: int
    """With at least k scored answers."""
    too_few: int = 0
    """Prompts with fewer, which are in no estimate."""
    unscored: int = 0
    """Prompts that expect nothing: they have a consistency and no capability."""
    rate: Estimate | None = None
    agreement: Estimate | None = None
    entropy_bits: float | None = None
    """Mean over prompts."""
    unique: float | None = None
    """Mean over prompts."""
    score_variance: float | None = None
    """Mean over prompts."""
    majority: Estimate | None = None
    """Share of prompts whose majority answer is right."""
    curve: tuple[CurvePoint, ...] = ()
    """From 1 to k."""
    counts: dict[Capability, int] = Field(default_factory=dict[Capability, int])
    shares: dict[Capability, Estimate] = Field(default_factory=dict[Capability, Estimate])
    """Share of prompts that it cannot, unstably, or can answer; Wilson."""
    losses: Losses | None = None
    """None where the answers are no separate draws, so that nothing tells the two causes apart."""


class GreedyComparison(Record):
    """The same prompts answered at temperature 0: differences are sampled minus greedy."""

    run: Run
    prompts: int
    greedy: Estimate
    sampled: Estimate
    majority: Estimate | None
    sampled_difference: Difference
    """Share right of the sampled answers, minus that of the greedy one."""
    majority_difference: Difference | None
    """Share right by the majority vote, minus that of the greedy answer."""


class Consistency(Record):
    """What a run with repeats says."""

    schema_version: int = SCHEMA_VERSION
    run: Run
    k: int
    """Answers to a prompt that every estimate rests on at least."""
    steps: tuple[int, ...]
    """The k's of every curve, the last one `k`."""
    draws: Finding
    """Whether repeats are separate draws."""
    sampled: bool
    """False where sampling has no effect: all repeats of a prompt are one and the same draw."""
    unseen_rate: float
    """The highest rate of right answers at which k answers hold none, with 5 % probability."""
    overall: ConsistencySlice
    categories: tuple[ConsistencySlice, ...]
    roles: tuple[ConsistencySlice, ...] = ()
    prompts: tuple[PromptConsistency, ...]
    greedy: GreedyComparison | None = None
    cautions: tuple[str, ...] = ()
