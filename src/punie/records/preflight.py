"""What is known of a training before its first iteration."""

from pydantic import Field

from punie.records.base import SCHEMA_VERSION, Record
from punie.records.datacheck import DataReport
from punie.records.dataset import DatasetVersion, Split
from punie.records.training import ResolvedPlan


class SplitLengths(Record):
    """Tokens of a split's rows as the model will read them."""

    rows: int
    tokens: int
    trained: int
    """That the loss counts."""
    shortest: int
    median: int
    p95: int
    longest: int
    most_trained: int
    """Of one row."""
    cut: int
    """Rows longer than the plan's `max_length`."""


class Preflight(Record):
    """Rows, memory and time, estimated and, where the worker has tried it, measured."""

    schema_version: int = SCHEMA_VERSION
    model: str
    dataset: DatasetVersion
    plan: ResolvedPlan
    backend: str = "mlx"
    gpu: bool = False
    """Whether the backend computes on a GPU with a memory of its own."""
    processes: int = 1
    lengths: dict[Split, SplitLengths]
    report: DataReport
    parser: str | None = None
    """The server's tool parser that calls were read back with; None: tools stand in the prompt."""
    notes: tuple[str, ...] = ()
    """What could not be looked at here."""
    memory_estimate_bytes: int | None = None
    """Of each process. None where the model's config does not say enough."""
    memory_free_bytes: int
    memory_measured_bytes: int | None = None
    """The peak of one forward and backward on the longest batch."""
    trainable: int | None = None
    seconds_per_iteration: float | None = None
    """Of a batch of mean length, from the one that was measured."""
    seconds_estimate: float | None = None
    gguf: str | None = None
    """Why the adapter cannot become GGUF by punie alone; empty: it can; None: nobody looked."""
    example: str = ""
    """The first training row, with what is trained between ⟦ and ⟧."""
    allowed: tuple[str, ...] = Field(default=())
    """Checks whose errors were allowed."""
