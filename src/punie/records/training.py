"""A training: what is asked for, what the worker is told, and what it reports."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass

from punie.records.base import SCHEMA_VERSION, SLIM, Record


class Method(StrEnum):
    """What is trained: low-rank additions, the same with a learned magnitude, or the weights."""

    LORA = "lora"
    DORA = "dora"
    FULL = "full"


class Optimizer(StrEnum):
    """mlx's optimizers, and one of bitsandbytes.

    What a backend does not have, it refuses (`punie.training.unsupported`).
    """

    ADAM = "adam"
    ADAMW = "adamw"
    SGD = "sgd"
    ADAFACTOR = "adafactor"
    MUON = "muon"
    PAGED_ADAMW_8BIT = "paged_adamw_8bit"
    """AdamW whose moments are 8 bits wide and move to the host's memory where the GPU's is full."""


class Quantization(StrEnum):
    """How a backend packs the frozen base while an adapter is trained on it (QLoRA)."""

    NONE = "none"
    """The base is as its files are, which may be quantised themselves."""
    FOUR_BIT = "4bit"
    """4-bit NormalFloat (NF4), in blocks of 64 weights."""
    EIGHT_BIT = "8bit"
    """8-bit integers, with outliers apart (LLM.int8)."""


class Masking(StrEnum):
    """Which tokens the loss counts."""

    ASSISTANT = "assistant"
    """Every assistant turn, each with the marker that ends it."""
    LAST = "last"
    """The last assistant turn only."""
    NONE = "none"
    """Every token of the row, the prompt too."""


class Order(StrEnum):
    """How an epoch goes through the rows."""

    SHUFFLE = "shuffle"
    """By the seed, anew in each epoch, rows of similar length together."""
    FILE = "file"
    """As they stand in the file."""


class Curve(StrEnum):
    """How the learning rate goes after the warm-up."""

    CONSTANT = "constant"
    LINEAR = "linear"
    COSINE = "cosine"
    EXPONENTIAL = "exponential"
    STEP = "step"


MOST = 10**9
"""No number of a plan is larger. Beyond any use, and small enough to calculate with."""
MOST_EPOCHS = 10**6
MOST_RATE = 1000
"""Of a learning rate in a schedule, and of the factor that it is multiplied by."""
MOST_LEARNING_RATE = 1e38
"""A float32 can hold it; that the loss is soon no number is the worker's to say."""
OptionNumber = Annotated[float, Field(ge=-MOST, le=MOST)]


class Schedule(Record):
    """The learning rate over the updates of the optimizer; it begins at the plan's."""

    curve: Curve = Curve.CONSTANT
    warmup: Annotated[int, Field(ge=0, le=MOST)] = 0
    """Updates over which it rises, linearly, from `warmup_from`."""
    warmup_from: Annotated[float, Field(ge=0, le=MOST_RATE)] = 0.0
    end: Annotated[float, Field(ge=0, le=MOST_RATE)] = 0.0
    """Where `linear` and `cosine` end."""
    over: Annotated[int | None, Field(ge=1, le=MOST)] = None
    """Updates until they end; None: what the run has left after the warm-up."""
    decay: Annotated[float | None, Field(gt=0, le=MOST_RATE)] = None
    """The factor of `exponential` (each update) and of `step` (every `every` updates)."""
    every: Annotated[int | None, Field(ge=1, le=MOST)] = None


class PlanFields(Record):
    """What a plan says outright, whatever model and data it is for.

    An iteration is one batch, forward and backward; `accumulation` of them make one update.
    """

    schema_version: int = SCHEMA_VERSION
    method: Method = Method.LORA
    rank: Annotated[int, Field(ge=1, le=1024)] = 8
    alpha: Annotated[float, Field(gt=0, le=MOST)] = 32.0
    """What is learned is scaled by `alpha / rank`."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    keys: tuple[str, ...] | None = None
    """Modules inside a block, such as `self_attn.q_proj`; None: every linear one."""
    optimizer: Optimizer = Optimizer.ADAM
    optimizer_options: dict[str, OptionNumber | bool | tuple[OptionNumber, ...]] = Field(
        default_factory=dict[str, OptionNumber | bool | tuple[OptionNumber, ...]]
    )
    """Further arguments of the optimizer, such as `weight_decay`."""
    quantization: Quantization = Quantization.NONE
    double_quantization: bool = False
    """The scales of NF4's blocks are quantised too: 0.37 bits a weight less."""
    schedule: Schedule = Schedule()
    batch_size: Annotated[int, Field(ge=1, le=MOST)] = 4
    accumulation: Annotated[int, Field(ge=1, le=MOST)] = 1
    max_length: Annotated[int, Field(ge=8, le=MOST)] = 2048
    """Tokens of a row; a row whose answer would be cut away is refused."""
    masking: Masking = Masking.ASSISTANT
    gradient_checkpointing: bool = False
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    order: Order = Order.SHUFFLE
    validation_rows: Annotated[int | None, Field(ge=1, le=MOST)] = None
    """None: all of them."""
    patience: Annotated[int | None, Field(ge=1, le=MOST)] = 3
    """Validations in a row without a new best loss after which the training stops; None: never."""

    @property
    def scale(self) -> float:
        """What mlx_lm calls scale."""
        return self.alpha / self.rank


class TrainPlan(PlanFields):
    """Everything that decides how a training goes. None means: chosen from model and data."""

    layers: Annotated[int, Field(ge=1, le=MOST)] | Literal["all"] | None = None
    """The last so many blocks; None: 16, or all where there are fewer."""
    learning_rate: Annotated[float | None, Field(gt=0, le=MOST_LEARNING_RATE)] = None
    """None: 2e-4, and 1e-5 for `full`."""
    epochs: Annotated[float | None, Field(gt=0, le=MOST_EPOCHS)] = None
    """None, and no iterations: 3."""
    iterations: Annotated[int | None, Field(ge=1, le=MOST)] = None
    validate_every: Annotated[int | None, Field(ge=1, le=MOST)] = None
    """Iterations; None: up to ten times a run, less often where that would take more than a fifth
    of the time, and at its end. Each validation leaves a checkpoint."""
    checkpoint_every: Annotated[int | None, Field(ge=1, le=MOST)] = None
    """Iterations between further checkpoints, from which a killed training goes on; None: with the
    validations."""


class ResolvedPlan(PlanFields):
    """A plan with nothing left to choose: what the worker runs."""

    layers: Annotated[int, Field(ge=1, le=MOST)]
    learning_rate: Annotated[float, Field(gt=0, le=MOST_LEARNING_RATE)]
    iterations: Annotated[int, Field(ge=1, le=MOST)]
    validate_every: Annotated[int, Field(ge=1, le=MOST)]
    checkpoint_every: Annotated[int, Field(ge=1, le=MOST)]


EVENTS_FILE = "events.jsonl"
"""In a job's folder: the worker's own record of its events, which a dead reader cannot tear."""


class Phase(StrEnum):
    """How far a worker goes before it ends."""

    PROBE = "probe"
    """Load the model, and go forward and backward once on the longest batch."""
    TRAIN = "train"
    """Load, probe, and train."""


class TrainJob(Record):
    """What a training worker is told, as JSON on its command line's file.

    `rows` is the file of encoded rows (`punie.records.encoding`). It may not exist yet: the worker
    loads the model meanwhile, and begins when the file is there. `folder` is the worker's own:
    checkpoints, state, the finished weights.
    """

    schema_version: int = SCHEMA_VERSION
    plan: ResolvedPlan
    model: Path
    rows: Path
    folder: Path
    phase: Phase = Phase.TRAIN
    resume: bool = False
    memory_limit_bytes: int | None = None
    """The worker refuses to train above it; None: no limit."""
    save: bool = True
    """False for a benchmark: nothing is written."""
    processes: Annotated[int, Field(ge=1, le=1024)] = 1
    """Side by side, each on a GPU of its own where there are any; the rows of a batch are dealt out
    among them."""


@dataclass(frozen=True, slots=True, kw_only=True, config=SLIM)
class Loaded:
    """The model is there, and the layers to train are in it."""

    kind: Literal["loaded"] = "loaded"
    parameters: int
    trainable: int
    modules: int
    """Linear layers that are trained."""
    layers: int
    """Blocks of the model."""
    memory_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True, config=SLIM)
class Probed:
    """One real forward and backward on the longest batch, without an update."""

    kind: Literal["probed"] = "probed"
    rows: int
    tokens: int
    """Of the longest row of that batch, padded."""
    seconds: float
    """Of the second of two: the first compiles."""
    first_seconds: float
    peak_memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True, config=SLIM)
class Started:
    """The first iteration comes next."""

    kind: Literal["started"] = "started"
    step: int
    """Iterations that are done already: above 0 where a training goes on."""
    exact: bool
    """Whether it goes on exactly as it would have gone on by itself."""
    inexact_because: str = ""
    machine: dict[str, str]
    """What decides the bits of a result: device, BLAS, threads, compile mode, versions."""


@dataclass(frozen=True, slots=True, kw_only=True, config=SLIM)
class Step:
    """One iteration."""

    kind: Literal["step"] = "step"
    step: int
    """From 1."""
    loss: float
    """Mean over the tokens that count, in nats."""
    learning_rate: float
    tokens: int
    """That count in the loss."""
    seconds: float
    """Of this iteration alone: no validation, no checkpoint."""
    memory_bytes: int
    """The peak so far."""


@dataclass(frozen=True, slots=True, kw_only=True, config=SLIM)
class Validated:
    """The loss over the validation rows after `step` iterations."""

    kind: Literal["validated"] = "validated"
    step: int
    loss: float
    tokens: int
    seconds: float
    best: bool
    """The lowest so far; of equal ones the earliest."""


@dataclass(frozen=True, slots=True, kw_only=True, config=SLIM)
class Saved:
    """A checkpoint is on disk, whole: weights for serving, and everything to go on from."""

    kind: Literal["saved"] = "saved"
    step: int
    file: str
    """In the job's folder."""
    seconds: float


class Ending(StrEnum):
    """Why a training ended by itself."""

    DONE = "done"
    EARLY = "early"
    """The validation loss had stopped falling."""
    STOPPED = "stopped"
    """It was asked to."""
    PROBED = "probed"
    """It was told to go no further."""


@dataclass(frozen=True, slots=True, kw_only=True, config=SLIM)
class Ended:
    """The worker's last word."""

    kind: Literal["ended"] = "ended"
    step: int
    ending: Ending
    seconds: float
    """From the first iteration, with validations and checkpoints."""
    peak_memory_bytes: int


class FailureKind(StrEnum):
    """What went wrong in a worker."""

    MODEL = "model"
    DEVICE = "device"
    DATA = "data"
    NOT_FINITE = "not_finite"
    MEMORY = "memory"
    DISK = "disk"
    RESUME = "resume"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True, kw_only=True, config=SLIM)
class Failed:
    """The worker's last word where it could not go on."""

    kind: Literal["failed"] = "failed"
    what: FailureKind
    message: str
    step: int = 0
    rows: tuple[int, ...] = ()
    """Positions in the training rows, of the batch that it happened in; from 0."""
    peak_memory_bytes: int = 0


TrainEvent = Annotated[
    Loaded | Probed | Started | Step | Validated | Saved | Ended | Failed,
    Field(discriminator="kind"),
]
TRAIN_EVENT: TypeAdapter[TrainEvent] = TypeAdapter(TrainEvent)
