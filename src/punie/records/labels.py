"""What a person said of answers, and how far a judge says the same."""

from enum import StrEnum
from typing import NamedTuple, Self

from pydantic import model_validator

from punie.records.base import SCHEMA_VERSION, Record
from punie.records.duel import DuelOutcome
from punie.records.judgement import JudgeIdentity, Mark


class LabelKind(StrEnum):
    """What a person was asked."""

    MARKS = "marks"
    RIGHT = "right"
    DUEL = "duel"


class LabelKey(NamedTuple):
    """Which answer a label belongs to; with `against`, which two answers to the same prompt."""

    run: str
    against: str | None
    prompt_id: str
    prompt_hash: str
    repeat: int


class Label(Record):
    """One person's word on one answer or one pair. Exactly one of the last three is given.

    It holds no text: the answers stay where the runs are.
    """

    schema_version: int = SCHEMA_VERSION
    run: str
    against: str | None = None
    prompt_id: str
    prompt_hash: str
    repeat: int = 0
    at: str
    """UTC, ISO 8601."""
    seed: int = 0
    """Of the order in which answers were shown, and of which of two stood left."""
    answer_hash: str
    """SHA-256 of the answer as a judge is shown it."""
    against_hash: str | None = None
    rubric_hash: str | None = None
    """Of the rubric that the marks follow."""
    marks: dict[str, Mark] | None = None
    """By dimension of the rubric."""
    right: bool | None = None
    outcome: DuelOutcome | None = None
    """What became of `run` beside `against`, whichever of them stood left."""

    @property
    def kind(self) -> LabelKind:
        """What the person was asked."""
        if self.marks is not None:
            return LabelKind.MARKS
        return LabelKind.RIGHT if self.right is not None else LabelKind.DUEL

    @property
    def key(self) -> LabelKey:
        """The answer or pair alone."""
        return LabelKey(self.run, self.against, self.prompt_id, self.prompt_hash, self.repeat)

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if sum(said is not None for said in (self.marks, self.right, self.outcome)) != 1:
            msg = "needs exactly one of marks, right and outcome"
            raise ValueError(msg)
        if (self.outcome is not None) != (self.against is not None):
            msg = "outcome and against go together"
            raise ValueError(msg)
        return self


class Agreement(Record):
    """A person and a judge on the same answers, in one respect."""

    name: str
    """A dimension of the rubric, `overall`, `right or wrong`, or `which is better`."""
    quadratic: bool
    """Whether a disagreement weighs by the square of its distance, as on a scale, or is one."""
    kappa: float | None
    """Cohen's; None where both always say the same one thing, so that chance explains all."""
    low: float | None = None
    high: float | None = None
    """The 95 % interval, by the bootstrap over answers."""
    agreed: float
    """Share of the answers on which both say exactly the same."""
    n: int
    levels: tuple[str, ...]
    table: tuple[tuple[int, ...], ...]
    """Counts by level: a row for what the person said, a column for what the judge said."""


class Calibration(Record):
    """How far one judge agrees with people, and whether a gate may rest on it."""

    schema_version: int = SCHEMA_VERSION
    judge: JudgeIdentity
    kind: LabelKind
    made_at: str
    """UTC, ISO 8601."""
    labels_file: str = ""
    """Where the labels lie, as seen from the folder of the labels."""
    labels_hash: str
    """SHA-256 of the labels that were used."""
    labels: int
    compared: int
    """Labels whose answer the judge said something of use of."""
    faults: int = 0
    agreements: tuple[Agreement, ...]
    """What counts first: over the whole rubric, or the only one."""
    usable: bool
    """Whether a gate may rest on this judge."""
    why_not: str = ""
    stale: str = ""
    """Why it counts no more, found out whenever it is read: then no gate may rest on it either."""
    seed: int = 0
    """Of the bootstrap."""
