"""What must hold for a model to be let through, as a person declares it in `gates.yaml`.

Every number carries its unit in its name. Points are percentage points of the score.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from punie.records.base import SCHEMA_VERSION, Record
from punie.records.comparison import MARGIN

Points = Annotated[float, Field(ge=0, le=100)]
Percent = Annotated[float, Field(ge=0, le=100)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


OWN = "own"
"""How a gate names the suite that was held out of an adapter's data."""
OTHERS = "others"
"""How a gate names every compared suite that has no entry of its own."""


class Verdict(StrEnum):
    """What a gate says."""

    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


class SliceGate(Record):
    """Bounds on one category, role or tag of a suite. Exactly one of the three names is given."""

    category: str | None = None
    role: str | None = None
    tag: str | None = None
    margin_points: Points | None = None
    minimum_gain_points: Points | None = None
    floor_percent: Percent | None = None


class SuiteGate(Record):
    """Bounds on one suite."""

    suite: str
    """A suite's name; `own`, the one that was held out of the adapter's data; or `others`, every
    compared suite that has no entry of its own."""
    margin_points: Points | None = None
    """The current run may lose no more than this."""
    minimum_gain_points: Points | None = None
    """The current run must gain more than this: the lower bound counts."""
    floor_percent: Percent | None = None
    """The lower 95 % bound of the current score must be at least this."""
    slices: tuple[SliceGate, ...] = ()


class LatencyGate(Record):
    """Bounds on times.

    Only runs timed side by side (`eval --latency`) can pass or fail `slower_percent`; the others
    need answers one at a time (concurrency 1).
    """

    average_s: Seconds | None = None
    """The mean over prompts must be below this: its upper 95 % bound counts."""
    median_s: Seconds | None = None
    slower_percent: Annotated[float, Field(gt=0, le=1000)] | None = None
    """The current run may be slower by no more than this."""


class JudgeGate(Record):
    """Bounds on a judge's word.

    They hold or fail only where the judge was held against people, and agrees with them enough.
    """

    win_rate_percent: Percent | None = None
    """The current run must win more than this beside the base, ties as half: the lower end of the
    95 % interval counts. Asked pair by pair: `punie compare --judge`."""
    score_percent: Percent | None = None
    """The judge's overall mark of the current run must be at least this: the lower end counts."""


class Criteria(Record):
    """What the decision asks beside the gate.

    `code_roles` are the roles that the base model is made for; the others are those that a general
    base might serve better.
    """

    code_roles: tuple[str, ...] = ("coder", "tester")
    role_floor_percent: Percent | None = None
    """A role is served well where the lower bound of its score is at least this; without it, where
    it is no worse than the base by `role_margin_points`."""
    role_margin_points: Points = 100 * MARGIN


NAME_LENGTH = 200
"""Characters of a gate's name, which stands in a line."""


class Gates(Record):
    """One gate file."""

    schema_version: int = SCHEMA_VERSION
    name: Annotated[str, Field(min_length=1, max_length=NAME_LENGTH)] = "default"
    targets: tuple[SuiteGate, ...] = ()
    """Suites on which the current run must gain or hold."""
    guards: tuple[SuiteGate, ...] = ()
    """Suites on which it must not lose."""
    must_pass: bool = True
    """Whether a failed must-pass prompt fails the gate."""
    latency: LatencyGate | None = None
    judge: JudgeGate | None = None
    memory_gb: Annotated[float, Field(gt=0, le=10_000)] | None = None
    """Highest memory of the server, in GB of 10^9 bytes."""
    criteria: Criteria = Criteria()
    weights: dict[str, Annotated[float, Field(ge=0, le=1000)]] = Field(
        default_factory=dict[str, Annotated[float, Field(ge=0, le=1000)]]
    )
    """Weight of each category in the weighted overall score; unnamed ones have none."""
    source: str = "built in"
    """The file, or `built in`."""
    hash: str = ""


class GateResult(Record):
    """One bound, and whether it holds."""

    name: str
    """E.g. `greenhouse: gain`, `baseline: margin`, `memory`."""
    asked: str
    """In words: `gains more than 0 points`."""
    found: str
    """In words, with the interval: `+88.9 points, at least +80.1`."""
    verdict: Verdict
    why: str = ""
    """What the verdict rests on, or what keeps it open."""
    more_prompts: int | None = None
    """How many more would settle it, where an estimate makes sense."""


class GateReport(Record):
    """A gate applied: the worst of its results counts."""

    gates: Gates
    results: tuple[GateResult, ...]
    verdict: Verdict
    unpassable: tuple[str, ...] = ()
    """Bounds that this number of prompts cannot pass whatever the answers are."""


class Action(StrEnum):
    """What to do, as declared rules over the evidence say."""

    DEPLOY = "deploy"
    HYBRID = "hybrid"
    RETRAIN = "retrain on a general base"
    LOOK = "look at data and settings"
    ABORT = "abort"
    MEASURE = "measure more"


class Evidence(Record):
    """One condition of the rules."""

    rule: str
    """What was asked, in words."""
    holds: Literal["yes", "no", "unclear"]
    found: str
    """The numbers that it rests on, with their intervals."""


class Route(Record):
    """Who serves a role, and why."""

    role: str
    serves: Literal["current", "base"]
    why: str
    sure: bool
    """Whether the interval decides, or only the better guess."""


class Decision(Record):
    """The action and everything it follows from."""

    action: Action
    because: str
    """The rule that fired, in one sentence."""
    evidence: tuple[Evidence, ...] = ()
    routes: tuple[Route, ...] = ()
    """One for each role, where the suite has roles."""
    measure_next: tuple[str, ...] = ()
    """What would settle what is unclear, with its command where there is one."""
