"""Two runs before a judge: which answer to the same prompt is better, asked in both orders."""

from enum import StrEnum

from pydantic import Field
from pydantic.dataclasses import dataclass

from punie.records.base import SCHEMA_VERSION, SLIM, Record
from punie.records.judgement import JudgeFaultKind, JudgeIdentity
from punie.records.summary import Estimate


class DuelOutcome(StrEnum):
    """What became of the current run's answer beside the base's."""

    WIN = "win"
    LOSS = "loss"
    TIE = "tie"


@dataclass(frozen=True, slots=True, kw_only=True, config=SLIM)
class Duel:
    """One prompt that both runs answered, and what the judge said of the two answers."""

    id: str
    hash: str
    """Of the prompt."""
    category: str = "general"
    role: str | None = None
    group: str | None = None
    outcome: DuelOutcome | None = None
    """None where the judge could not be understood, or was not reached: `fault` says why."""
    current_first: DuelOutcome | None = None
    """What the judge said while the current run's answer stood in the first place."""
    base_first: DuelOutcome | None = None
    """What it said while the base's answer stood there."""
    reasons: tuple[str, ...] = ()
    """The judge's own words, in this order."""
    cached: int = 0
    """How many of its judgements were known from before."""
    asked: int = 0
    """Requests that the others took."""
    tokens_in: int | None = None
    tokens_out: int | None = None
    """Over these requests; None where the server did not count."""
    altered: bool = False
    """Something in an answer that could pass for a part of the chat or hide was made harmless."""
    clipped: bool = False
    """The judge saw the beginning and the end of an answer that was too long for it."""
    equal: bool = False
    """Both answers are the same: a tie without asking."""
    fault: JudgeFaultKind | None = None
    fault_message: str = ""
    base_length: int = Field(default=0, ge=0)
    """Characters of the answer, its calls included."""
    current_length: int = Field(default=0, ge=0)


class DuelSlice(Record):
    """Wins, losses and ties of the current run, in one category, one role or overall."""

    name: str
    wins: int
    losses: int
    ties: int
    faults: int = 0
    """Pairs that the judge gave no usable word on; in none of the other numbers."""
    win_rate: Estimate | None = None
    """(wins + ties / 2) / all; with its 95 % interval."""
    decisive_rate: Estimate | None = None
    """wins / (wins + losses): ties left out."""
    win_ratio: float | None = None
    """wins / losses; None where nothing was lost."""
    tie_share: Estimate | None = None
    sign_p: float | None = None
    """Two-sided sign test of wins against losses; None without either."""
    too_small: bool = False
    """So few pairs that the rates say next to nothing."""

    @property
    def judged(self) -> int:
        """Pairs with an outcome."""
        return self.wins + self.losses + self.ties


class LengthBias(Record):
    """Whether the longer answer wins."""

    tau: float | None
    """Kendall's tau-b between loss, tie, win and the difference of the lengths, over all judged
    pairs of different answers; None where either is the same throughout."""
    longer_wins: Estimate | None
    """Share of the decided pairs of unequal length in which the longer answer won."""
    warns: bool = False
    """Whether tau is at least the bound, and the longer wins by more than chance explains."""


class DuelSummary(Record):
    """Everything that a pairwise judge says of two runs."""

    schema_version: int = SCHEMA_VERSION
    judge: JudgeIdentity
    overall: DuelSlice
    categories: tuple[DuelSlice, ...] = ()
    roles: tuple[DuelSlice, ...] = ()
    equal: int = 0
    """Of the ties: pairs of one and the same answer, which were not asked."""
    unanswered: int = 0
    """Prompts of both runs that one of them has no answer to."""
    unasked: int = 0
    """Pairs that the judging ended before."""
    consistency: Estimate | None = None
    """Share of the asked pairs on which the judge said the same in both orders."""
    first_place: Estimate | None = None
    """Share of the single decisions that fell on the answer in the first place: 50 % is fair."""
    length: LengthBias = LengthBias(tau=None, longer_wins=None)
    duels: tuple[Duel, ...] = ()
    warnings: tuple[str, ...] = ()
    """What a reader must know of the judge before believing it."""
    cached: int = 0
    """Single judgements that were known from before."""
    asked: int = 0
    """Requests that the others took."""
    altered: int = 0
    clipped: int = 0
    tokens_in: int | None = None
    tokens_out: int | None = None
    """Of these requests; None where the server did not count."""
    cost: float | None = None
    """The same, in the currency of the declared prices."""
    family: str = ""
    """Why judge and judged are probably kin, in one sentence; empty where they seem not to be."""
    calibrated: str = ""
    """What is known of this judge against people, in one sentence; empty: it is not calibrated."""
