"""Two runs of one suite, prompt by prompt: the difference, how sure it is, and what flipped."""

from enum import StrEnum
from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from punie.records.base import SCHEMA_VERSION, SLIM, Record
from punie.records.result import Culprit, FaultKind
from punie.records.run import Run
from punie.records.summary import Estimate, Spread

MARGIN = 0.05
"""The loss, a share, that "no worse" allows where nobody says otherwise."""


class Word(StrEnum):
    """What a difference and its interval mean, for people."""

    BETTER = "better"
    NO_WORSE = "no worse"
    WORSE = "worse"
    UNCLEAR = "too few prompts to tell"


class Bucket(StrEnum):
    """What became of a prompt from the base to the current run."""

    REGRESSED = "regressed"
    FIXED = "fixed"
    STILL_FAILING = "still failing"
    STILL_PASSING = "unchanged"


class Difference(Record):
    """Mean of the second minus mean of the first, in [-1, 1], over `n` prompts."""

    value: float
    low: float
    high: float
    """The two-sided 95 % interval."""
    n: int
    lower: float
    """The one-sided 95 % lower bound: what a PASS rests on."""
    upper: float
    """The one-sided 99 % upper bound: what a FAIL rests on."""
    independent: float | None = None
    """How many prompts that share nothing and weigh alike it rests on; None where that is `n`."""

    @property
    def clearly_below(self) -> bool:
        """Whether the second is worse by more than chance explains."""
        return self.high < 0

    @property
    def clearly_above(self) -> bool:
        """Whether the second is better by more than chance explains."""
        return self.low > 0


@dataclass(frozen=True, slots=True, kw_only=True, config=SLIM)
class Side:
    """What one run has of one prompt, averaged over its repeats."""

    score: float | None = None
    """None where nothing was scored: a fault, or a prompt that expects nothing."""
    passed: float | None = None
    """Share of the scored answers that passed: 0 or 1 without repeats."""
    answers: int = 0
    faults: int = 0
    fault: FaultKind | None = None
    culprit: Culprit | None = None
    """Of the first answer that did not pass."""
    latency_s: float | None = None
    """The mean over the answers."""
    first_token_s: float | None = None
    tokens_out: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, config=SLIM)
class Pair:
    """One prompt that both runs asked in the same words, and what each made of it."""

    id: str
    hash: str
    base: Side
    current: Side
    category: str = "general"
    role: str | None = None
    tags: tuple[str, ...] = ()
    group: str | None = None
    must_pass: bool = False
    weight: float = 1.0


class Discordance(Record):
    """The four counts of right and wrong, and what an exact McNemar test makes of them.

    Only prompts that are right or wrong in both runs count, without repeats.
    """

    both: int
    gained: int
    """Wrong before, right now."""
    lost: int
    """Right before, wrong now."""
    neither: int
    p: float
    """Two-sided: how likely a split as uneven as gained to lost is by chance."""


class UnitFlips(Record):
    """What flipped, prompts of one group as one: what a sequential test rests on."""

    gained: int
    lost: int
    faulted: int = 0
    """Groups, and prompts of none, with an answer that a fault took."""
    all_categories: bool = True
    """Whether prompts of each category are among what was compared."""


class SliceComparison(Record):
    """One category, role or tag in both runs."""

    name: str
    base: Estimate | None
    current: Estimate | None
    difference: Difference | None
    pairs: int
    gained: int
    lost: int
    word: Word | None
    faults: int = 0
    """Prompts of it that a fault kept from being compared."""
    if_faults_lose: Difference | None = None
    if_faults_win: Difference | None = None
    at_worst: Estimate | None = None
    at_best: Estimate | None = None
    """These four as in `Comparison`."""


class Flip(Record):
    """One compared prompt that changed, or that fails still, with the reason in each run."""

    id: str
    hash: str
    bucket: Bucket
    category: str
    role: str | None = None
    must_pass: bool = False
    base_score: float
    current_score: float
    base_culprit: Culprit | None = None
    current_culprit: Culprit | None = None


class LatencyComparison(Record):
    """Times of the prompts that both runs answered.

    `ratio` is the median over prompts of current / base; `low` and `high` its 95 % interval,
    `lower` and `upper` the one-sided 95 % bounds of a gate, all by the bootstrap.
    """

    base: Spread
    current: Spread
    ratio: float
    low: float
    high: float
    lower: float
    upper: float
    n: int
    first_token_ratio: float | None = None
    tokens_per_second_ratio: float | None = None
    gates: bool = False
    """Whether a gate may rest on it: timed side by side, one request at a time."""
    why_not: str = ""
    """Why no gate may, in one sentence."""


class Timing(Record):
    """How long a run's prompts took, in seconds: what a bound on its times rests on.

    `lower` and `upper` are one-sided 95 % bounds, by the bootstrap over prompts.
    """

    mean: float
    mean_lower: float
    mean_upper: float
    median: float
    median_lower: float
    median_upper: float
    n: int
    why_not: str = ""
    """Why no gate may rest on it, in one sentence; empty where one may."""


class Differing(Record):
    """A setting in which the two runs differ beside what they are compared for."""

    what: str
    """E.g. `model`, `adapter`, `chat template`, `temperature`, `mlx-lm`, `hardware`."""
    base: str
    current: str
    matters: bool = True
    """Whether the difference of the scores may be due to it."""


class Relabelled(Record):
    """The numbers as they were with the base's labels, of prompts that were labelled anew since.

    Each is what the field of that name in `Comparison` is.
    """

    score: Difference | None
    if_faults_lose: Difference | None
    if_faults_win: Difference | None
    at_worst: Estimate | None
    at_best: Estimate | None
    categories: tuple[SliceComparison, ...]
    roles: tuple[SliceComparison, ...]
    tags: tuple[SliceComparison, ...]


class Comparison(Record):
    """Everything that two runs of one suite say together.

    `score` is the mean over categories of the mean paired difference, as the headline of a run is a
    mean over categories; its intervals are those of the same mean. `if_faults_lose` takes each
    answer that a fault took for right in the base and wrong in the current run, `if_faults_win` the
    other way round: a verdict must hold under both. None where no fault took an answer.
    `at_worst` and `at_best` are the current run's own score, over all its prompts, with the answers
    that faults took as wrong and as right: what a floor must hold under.
    """

    schema_version: int = SCHEMA_VERSION
    base: Run
    current: Run
    purpose: Literal["target", "guard"] = "guard"
    """What is asked of the current run: to gain here, or to lose no more than the margin."""
    how: Literal["paired", "intersected", "unpaired"] = "paired"
    pairs: int
    """Prompts that were asked by both in the same words."""
    scored: int
    """Of these: scored in both."""
    only_base: int = 0
    only_current: int = 0
    changed: tuple[str, ...] = ()
    """Ids that both runs have, with other words or expectations."""
    faulted: tuple[str, ...] = ()
    """Ids of pairs in which a fault took an answer."""
    base_score: Estimate | None = None
    """Over the compared prompts, so it may differ from the run's own headline."""
    current_score: Estimate | None = None
    score: Difference | None = None
    if_faults_lose: Difference | None = None
    if_faults_win: Difference | None = None
    at_worst: Estimate | None = None
    at_best: Estimate | None = None
    passed: Difference | None = None
    discordance: Discordance | None = None
    unit_flips: UnitFlips | None = None
    """None where neither run ended early."""
    smallest_detectable: float | None = None
    """The smallest true difference that this comparison would have found in 80 % of cases, at the
    discordance that it shows (share in [0, 1])."""
    word: Word | None = None
    margin: float = MARGIN
    """The loss that "no worse" allows."""
    categories: tuple[SliceComparison, ...] = ()
    roles: tuple[SliceComparison, ...] = ()
    tags: tuple[SliceComparison, ...] = ()
    buckets: dict[Bucket, int] = Field(default_factory=dict[Bucket, int])
    flips: tuple[Flip, ...] = ()
    """All that regressed or were fixed, then those that fail still."""
    relabelled: Relabelled | None = None
    """None where no prompt has other labels (category, weight, group, …) than in the base: a
    verdict must hold under both."""
    must_pass: int = 0
    """How many prompts of the current run must pass, by its labels or by those of the base."""
    must_pass_failed: tuple[str, ...] = ()
    """Of these, the ones with an answer that did not."""
    must_pass_unmeasured: tuple[str, ...] = ()
    """Of these, the ones that lack a score, be it because of a fault, and did not fail."""
    latency: LatencyComparison | None = None
    timing: Timing | None = None
    """Of the current run alone."""
    differs: tuple[Differing, ...] = ()
    cautions: tuple[str, ...] = ()
    """What a reader must know of either measurement: stamps, warnings of the self-checks, an
    unfinished run."""
    stopped_early: bool = False
    """Asked until decided: the difference is likely overstated, the direction is not."""
