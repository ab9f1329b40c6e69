"""What a judge is asked, what it said of an answer, and what its marks come to over a run.

A judge's marks stand beside the scores of a run, never inside them.
"""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from punie.records.base import SCHEMA_VERSION, Record, digest
from punie.records.summary import Estimate

Mark = Annotated[int, Field(ge=0, le=100)]
Text = Annotated[str, Field(min_length=1, max_length=4000)]


class Dimension(Record):
    """One question of a rubric. `levels` says what marks mean, the lowest and highest at least."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    question: Text
    levels: dict[Mark, Text]
    weight: Annotated[float, Field(gt=0, le=1000)] = 1.0

    @property
    def lowest(self) -> int:
        """The worst mark."""
        return min(self.levels)

    @property
    def highest(self) -> int:
        """The best mark."""
        return max(self.levels)

    def share(self, mark: float) -> float:
        """A mark as a score: 0 for the lowest, 1 for the highest."""
        return (mark - self.lowest) / (self.highest - self.lowest)

    def mark(self, share: float) -> float:
        """A score in [0, 1] as a mark, the other way round."""
        return self.lowest + share * (self.highest - self.lowest)

    @model_validator(mode="after")
    def _has_a_scale(self) -> Self:
        if len(self.levels) < 2:
            msg = "needs the lowest and the highest mark at least"
            raise ValueError(msg)
        return self


class Rubric(Record):
    """What a judge marks an answer by. `hash` covers everything that it is told of it."""

    schema_version: int = SCHEMA_VERSION
    name: Annotated[str, Field(min_length=1, max_length=80)] = "default"
    about: Annotated[str, Field(max_length=4000)] = ""
    """What the judge should know of the task; may be empty."""
    dimensions: Annotated[tuple[Dimension, ...], Field(min_length=1, max_length=12)]
    max_tokens: Annotated[int, Field(ge=64, le=16_384)] = 1024
    """Longest judgement. A judge that thinks aloud needs more."""
    source: str = "built in"
    """The file, or `built in`."""

    @property
    def hash(self) -> str:
        """SHA-256 of the rubric, whatever its file is called."""
        return digest(self.model_dump(mode="json", exclude={"source", "schema_version"}))

    def score(self, marks: dict[str, int]) -> float:
        """The weighted mean of the marks as shares, in [0, 1]. Each dimension has its mark."""
        total = sum(each.weight for each in self.dimensions)
        return sum(d.weight * d.share(marks[d.name]) for d in self.dimensions) / total


class JudgeIdentity(Record):
    """Who judges, pinned: whoever changes one part of it is another judge.

    Temperature is always 0. A hosted model may change behind its name; nobody can pin that.
    """

    model: str
    backend: str
    url: str | None = None
    weights_hash: str | None = None
    model_hash: str | None = None
    adapter_hash: str | None = None
    served: str | None = None
    """How, in words, where the backend has a choice: server, packing, type, device."""
    prompt_hash: str
    """Of the words around question and answer."""
    rubric_hash: str
    """Of the rubric, or of what else the judge decides by."""

    @property
    def key(self) -> str:
        """SHA-256 of all of it: what a cached reply and a calibration belong to."""
        # A backend without a choice leaves the keys of before as they were.
        unsaid = {"served"} if self.served is None else set[str]()
        return digest(self.model_dump(mode="json", exclude=unsaid))


class Reply(Record):
    """What a judge wrote to one question, word for word, and what it took to get it."""

    text: str
    asked: int = 1
    """Times that it was asked until it could be read."""
    tokens_in: int | None = None
    """Over all of these times."""
    tokens_out: int | None = None


class JudgeFaultKind(StrEnum):
    """Why a judge's answer is none. Never a score."""

    UNANSWERED = "judge did not answer"
    PROSE = "prose instead of a judgement"
    CUT = "judgement cut off"
    UNSEALED = "judgement without its code"
    SEVERAL = "more than one judgement"
    MISSING = "missing marks"
    RANGE = "marks out of range"
    FORM = "judgement of another form"


class JudgedAnswer(Record):
    """Which answer was judged."""

    prompt_id: str
    prompt_hash: str
    repeat: int = 0
    answer_hash: str
    """SHA-256 of the answer's text and calls, before anything in it was made harmless."""
    answer_chars: int = 0
    altered: bool = False
    """Something in the answer that could pass for a part of the chat or hide was made harmless."""
    clipped: bool = False
    """The judge saw the beginning and the end of an answer that was too long for it."""


class Judgement(JudgedAnswer):
    """Marks for one answer."""

    marks: dict[str, int]
    reason: str = ""
    repaired: bool = False
    """The judge's JSON was broken or stood in prose, and was mended."""
    cached: bool = False
    """The same judge was asked the same before; nothing was asked now."""
    asked: int = 1
    tokens_in: int | None = None
    tokens_out: int | None = None


class JudgeFault(JudgedAnswer):
    """An answer that the judge gave no usable marks for."""

    kind: JudgeFaultKind
    message: str = ""
    asked: int = 1
    tokens_in: int | None = None
    tokens_out: int | None = None


Judged = Judgement | JudgeFault


class DimensionScore(Record):
    """One dimension over a run. `score` is in [0, 1]; `mark` is the same on the rubric's scale."""

    name: str
    score: Estimate
    mark: float
    mark_low: float
    mark_high: float
    """The 95 % interval as marks."""
    lowest: int
    highest: int
    weight: float


class JudgeSummary(Record):
    """A judge's marks over a run. Means are over categories, as those of a run are."""

    schema_version: int = SCHEMA_VERSION
    judge: JudgeIdentity
    rubric: Rubric
    answers: int
    """That the run has to be judged."""
    judged: int
    faults: int = 0
    fault_kinds: dict[str, int] = Field(default_factory=dict[str, int])
    repaired: int = 0
    asked_again: int = 0
    cached: int = 0
    altered: int = 0
    clipped: int = 0
    score: Estimate | None = None
    """The weighted mean of the dimensions, in [0, 1]; None where nothing was judged."""
    at_worst: Estimate | None = None
    """The same with the lowest marks for whatever has none: what the judge, or the run, faulted on
    and what was not asked yet. None where nothing lacks marks."""
    at_best: Estimate | None = None
    """The same with the highest marks for it."""
    dimensions: tuple[DimensionScore, ...] = ()
    length_correlation: float | None = None
    """Kendall's tau-b between the length of an answer and its marks; None where either is the same
    throughout. Long answers may be better ones: it is a reason to look, no proof of a bias."""
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost: float | None = None
    """Of what was asked, cached replies left out, in the currency of the declared prices."""
    family: str = ""
    """Why judge and judged are probably kin, in one sentence; empty where they seem not to be."""
    calibrated: str = ""
    """What is known of this judge against people, in one sentence; empty: it is not calibrated."""
