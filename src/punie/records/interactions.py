"""Interactions that somebody collected: what they say together, and the metrics file of it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from punie.records.base import SCHEMA_VERSION, Record
from punie.records.summary import Estimate, Spread

Count = Annotated[int, Field(ge=0, le=10**15)]
Milliseconds = Annotated[float, Field(ge=0, le=1e15)]


@dataclass(slots=True, kw_only=True)
class Interaction:
    """One collected interaction. None stands for whatever its line does not tell."""

    succeeded: bool | None = None
    duration_s: float | None = None
    role: str | None = None
    provider: str | None = None
    at: float | None = None
    """Seconds since 1970, UTC."""
    task_characters: int | None = None
    output_characters: int | None = None
    error: str = ""


class InteractionGroup(Record):
    """The interactions of one role or provider."""

    name: str
    count: int
    share: Estimate
    """Of all interactions that name a role, or a provider."""
    success: Estimate | None
    duration: Spread | None
    """In seconds."""


class ErrorKind(Record):
    """Errors whose messages differ only in numbers, ids and quoted names."""

    message: str
    """What they have in common, an ellipsis for the rest."""
    count: int


class Period(Record):
    """One hour, day or longer."""

    start: str
    """UTC, ISO 8601."""
    count: int
    successful: int
    failed: int
    mean_s: float | None


class Timeline(Record):
    """Interactions over time; periods in which nothing happened are left out."""

    period: str
    """`hour`, `day`, `week`, `four weeks` or `52 weeks`."""
    seconds: int
    """The length of a period."""
    periods: tuple[Period, ...]
    untimed: int = 0
    """Interactions without a time."""


class Deviation(StrEnum):
    """What an actual share is beside the planned one."""

    MORE = "more than planned"
    FEWER = "fewer than planned"
    UNCLEAR = "as planned, as far as these can tell"


class PlannedShare(Record):
    """A role's planned share beside its actual one.

    The intervals of all roles hold together at 95 % (Bonferroni): each is wider than a role's own.
    """

    role: str
    planned: float
    actual: Estimate
    deviation: Deviation


class InteractionFile(Record):
    """A file that was read, by its name alone."""

    name: str
    sha256: str
    interactions: int


class Interactions(Record):
    """Everything that collected interactions say together."""

    schema_version: int = SCHEMA_VERSION
    total: Count
    successful: Count
    failed: Count
    untold: Count = 0
    """Interactions that tell neither success nor failure."""
    success: Estimate | None
    """Of those that tell."""
    duration: Spread | None
    """In seconds."""
    roles: tuple[InteractionGroup, ...] = ()
    providers: tuple[InteractionGroup, ...] = ()
    without_role: Count = 0
    without_provider: Count = 0
    task_length: Spread | None = None
    """In characters."""
    output_length: Spread | None = None
    errors: tuple[ErrorKind, ...] = ()
    """The commonest first."""
    other_errors: Count = 0
    """Failures of kinds that are not listed."""
    timeline: Timeline | None = None
    planned: tuple[PlannedShare, ...] = ()
    fields: dict[str, dict[str, int]] = Field(default_factory=dict[str, dict[str, int]])
    """For each thing that was looked for, the keys it was found under, and in how many lines."""
    files: tuple[InteractionFile, ...] = ()


class DurationStats(Record):
    """Durations in milliseconds, as a metrics file has them."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    avg_ms: Milliseconds | None = None
    median_ms: Milliseconds | None = None
    min_ms: Milliseconds | None = None
    max_ms: Milliseconds | None = None


class BaselineMetrics(Record):
    """A `baseline_metrics.json`: punie's own, or one that a person or a script wrote.

    All of punie's own stands under the one key `punie`; keys that nobody knows are passed over.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    total_interactions: Annotated[int, Field(ge=1, le=10**15)]
    successful: Count | None = None
    failed: Count | None = None
    success_rate: Annotated[float, Field(ge=0, le=1)] | None = None
    duration_stats: DurationStats = DurationStats()
    agent_distribution: dict[str, Count] = Field(default_factory=dict[str, Count])
    provider_distribution: dict[str, Count] = Field(default_factory=dict[str, Count])
    punie: dict[str, Any] | None = None
    """`Interactions`, as JSON; None in a file that punie did not write."""


class Baseline(Record):
    """What a run can be held against when nothing but a metrics file is left of the other arm."""

    source: str
    """The file."""
    interactions: int
    success: Estimate | None
    mean_s: float | None = None
    median_s: float | None = None
    role_success: dict[str, Estimate] = Field(default_factory=dict[str, Estimate])
    """Only where punie wrote the file: the shape of a metrics file has no success by role."""
