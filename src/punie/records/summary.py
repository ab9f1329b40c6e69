"""The numbers of a run, each with its uncertainty beside it."""

from pydantic import Field

from punie.records.base import Record


class Estimate(Record):
    """A mean score in [0, 1] and its 95 % interval. `n` is the number of prompts behind it."""

    value: float
    low: float
    high: float
    n: int


class Slice(Record):
    """One category, role or tag: mean score, share passed, and what could not be measured."""

    name: str
    score: Estimate | None
    passed: Estimate | None
    prompts: int
    answered: int
    faults: int = 0


class Spread(Record):
    """A distribution of times in seconds, or of rates."""

    mean: float
    median: float
    p95: float
    min: float
    max: float
    n: int


class Summary(Record):
    """A whole run in numbers. `score` is the mean over categories of the mean over prompts.

    None stands wherever nothing was measured: an unscored suite has no `score`, an endpoint that
    does not count tokens has no `tokens_out`, a remote one no `peak_memory_bytes`.
    """

    score: Estimate | None
    passed: Estimate | None
    answered_rate: Estimate | None
    prompts: int
    repeats: int
    answered: int
    unscored: int
    faults: int
    fault_kinds: dict[str, int] = Field(default_factory=dict)
    fault_details: dict[str, str] = Field(default_factory=dict)
    """The commonest message of each kind of fault."""
    culprits: dict[str, int] = Field(default_factory=dict)
    must_pass_failed: tuple[str, ...] = ()
    truncated: int = 0
    recovered: int = 0
    retried: int = 0
    retry_reasons: dict[str, int] = Field(default_factory=dict)
    """Why requests were sent again whose prompt was answered in the end, by kind of fault."""
    categories: tuple[Slice, ...] = ()
    roles: tuple[Slice, ...] = ()
    tags: tuple[Slice, ...] = ()
    latency: Spread | None = None
    first_token: Spread | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    tokens_per_second: float | None = None
    """Tokens written a second of wall time, over all requests in flight together."""
    wall_s: float = 0.0
    peak_memory_bytes: int | None = None
    cost: float | None = None
    """In the currency of the declared prices."""
