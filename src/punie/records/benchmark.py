"""A benchmark: how fast this machine trains and serves a model, and under which conditions."""

from collections.abc import Sequence
from enum import StrEnum
from statistics import median, quantiles

from pydantic import Field

from punie.records.base import SCHEMA_VERSION, Record
from punie.records.run import ModelIdentity, Provenance, RunStatus
from punie.records.training import Optimizer, Quantization

GIGABYTE = 1e9


class Quartiles(Record):
    """How repeated measurements of one thing spread; `n` of them."""

    least: float
    low: float
    """A quarter of the measurements lie below; the least where there are fewer than three."""
    median: float
    high: float
    """A quarter lie above; the most where there are fewer than three."""
    most: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Quartiles | None":
        """The spread of `values`; None where there are none."""
        if not values:
            return None
        low, high = min(values), max(values)
        if len(values) > 2:
            low, _, high = quantiles(values, n=4, method="inclusive")
        return cls(
            least=min(values),
            low=low,
            median=median(values),
            high=high,
            most=max(values),
            n=len(values),
        )


class Shape(Record):
    """What decides how long an iteration takes."""

    batch: int
    """Rows of an iteration."""
    seq: int
    """Tokens of each row."""
    rank: int
    layers: int
    """The last so many blocks are trained."""

    @property
    def tokens(self) -> int:
        """Tokens of an iteration."""
        return self.batch * self.seq

    def __str__(self) -> str:
        return f"batch {self.batch} · {self.seq} tokens · {self.layers} layers · rank {self.rank}"


class TrainingBenchmark(Record):
    """Measured iterations of one shape, of the same worker that trains."""

    schema_version: int = SCHEMA_VERSION
    model_path: str
    """The model, as the person wrote it."""
    shape: Shape
    num_iters: int
    """That were timed; the warm-up is not among them."""
    seconds_per_iter: float
    """The median."""
    iterations: tuple[float, ...]
    """Seconds of each timed iteration, in order."""
    warmup: tuple[float, ...] = ()
    """Seconds of the iterations before them."""
    compile_seconds: float | None = None
    """How much longer the very first forward and backward took than the second."""
    load_seconds: float | None = None
    total_seconds: float
    """From the start of the worker to its end, loading and warm-up included."""
    peak_memory_bytes: int | None = None
    trainable: int | None = None
    """Weights that were trained."""
    machine: dict[str, str] = Field(default_factory=dict)
    """Device, BLAS, threads, compile mode, versions, as the worker tells."""
    quantization: Quantization = Quantization.NONE
    """How the backend packed the base."""
    optimizer: Optimizer = Optimizer.ADAM
    gradient_checkpointing: bool = False

    @property
    def peak_memory_gb(self) -> float | None:
        """Peak memory in GB of 10^9 bytes."""
        return None if self.peak_memory_bytes is None else self.peak_memory_bytes / GIGABYTE

    @property
    def spread(self) -> Quartiles:
        """Of the timed iterations."""
        found = Quartiles.of(self.iterations)
        assert found is not None
        return found

    @property
    def tokens_per_second(self) -> float:
        """Tokens that go forward and backward in a second."""
        return self.shape.tokens / self.seconds_per_iter


class CellEnd(StrEnum):
    """How the measurement of one shape ended."""

    MEASURED = "measured"
    OUT_OF_MEMORY = "out of memory"
    TOO_SLOW = "too slow"
    LEFT_OUT = "left out"
    """Never begun; `why` says for which reason."""
    INTERRUPTED = "interrupted"
    FAILED = "failed"


class GridCell(Record):
    """One shape of the grid. `measured` may be there although it was ended early."""

    shape: Shape
    end: CellEnd
    measured: TrainingBenchmark | None = None
    seconds_at_least: float | None = None
    """Where nothing was measured: how long one forward and backward took."""
    why: str = ""


class ServingCell(Record):
    """Requests of one prompt length at one concurrency. Token counts are the server's own."""

    prompt_tokens: int
    """That were asked for; the rates count those that were read."""
    concurrency: int
    end: CellEnd
    why: str = ""
    requests: int = 0
    faults: int = 0
    tokens_in: int = 0
    """Read by the model: those from the prompt cache are not among them."""
    tokens_cached: int = 0
    tokens_out: int = 0
    prompt_rate: Quartiles | None = None
    """Prompt tokens a second, of all requests of a wave together, until its last first token."""
    generation_rate: Quartiles | None = None
    """Tokens a second of one answer, after its first token."""
    throughput: Quartiles | None = None
    """Tokens a second that all answers of a wave together got, over the wave's whole time."""
    first_token_s: Quartiles | None = None


class ServingBenchmark(Record):
    """How fast the model is served through punie."""

    start_seconds: float
    """From the start of the server to its first token."""
    cells: tuple[ServingCell, ...]
    peak_memory_bytes: int | None = None


class Power(StrEnum):
    """What the machine draws from."""

    MAINS = "mains"
    BATTERY = "battery"
    UNKNOWN = "not told"


class Heat(StrEnum):
    """Whether the machine slows down because it is hot."""

    NORMAL = "normal"
    HOT = "hot"
    UNKNOWN = "not told"


class Conditions(Record):
    """The machine just before the benchmark; None where the system does not tell."""

    power: Power = Power.UNKNOWN
    battery_percent: int | None = None
    low_power_mode: bool | None = None
    heat: Heat = Heat.UNKNOWN
    celsius: float | None = None
    """Of the hottest sensor."""
    throttled: int | None = None
    """Times that the processor slowed down for its heat while the benchmark ran."""
    free_memory_bytes: int | None = None
    load_average: float | None = None
    """Processes that wanted to run, over the last minute."""
    busy: float | None = None
    """Share of all cores that other programs took, in [0, 1]."""
    cores: int = 1
    blas: str | None = None
    warnings: tuple[str, ...] = ()


class Pace(StrEnum):
    """What the seconds of an iteration mean for whoever waits for a training."""

    GO_ON = "go on"
    USABLE = "usable"
    SLOW = "slow"
    CHANGE = "change something"


class Decision(Record):
    """What the measured seconds per iteration say."""

    pace: Pace
    seconds_per_iter: float
    sentence: str
    advice: tuple[str, ...] = ()
    """What gets it below the next bound; each names what it rests on."""


class Projection(Record):
    """How long the user's own data would take."""

    data: str
    rows: int
    tokens: int
    """Of all rows, without padding."""
    longest: int
    epochs: float
    batch: int
    iterations: int
    seconds: float
    assumption: str


class BenchmarkResult(Record):
    """Everything that one `punie benchmark` measured."""

    schema_version: int = SCHEMA_VERSION
    id: str
    created_at: str
    """UTC, ISO 8601."""
    model: ModelIdentity
    conditions: Conditions
    provenance: Provenance = Provenance()
    status: RunStatus = RunStatus.RUNNING
    training: TrainingBenchmark | None = None
    grid: tuple[GridCell, ...] = ()
    """The cell of `training` stands first where the grid was asked for."""
    serving: ServingBenchmark | None = None
    decision: Decision | None = None
    projection: Projection | None = None
    problems: tuple[str, ...] = ()
    """What could not be measured, and why."""
