"""An adapter's `punie.json`: what it was made from, and how it did."""

from typing import Annotated, Literal

from pydantic import Field

from punie.records.base import SCHEMA_VERSION, Record
from punie.records.datacheck import DataFinding
from punie.records.dataset import DatasetVersion
from punie.records.run import Provenance
from punie.records.training import Ending, ResolvedPlan

Count = Annotated[int, Field(ge=0, lt=2**63)]
Amount = Annotated[float, Field(ge=0, lt=2**63)]
"""Bounded: in a stranger's `punie.json` a number of 400 digits could break whatever shows it."""


class BaseModelVersion(Record):
    """The model that an adapter belongs on. Hashes are those of `punie.records.model`."""

    name: str
    """As the person wrote it."""
    weights_hash: str
    model_hash: str
    template_hash: str | None = None
    parameters: Count
    dtype: str


class LossPoint(Record):
    """A point of the loss curve: the mean over the iterations since the point before."""

    step: Count
    train: float | None = None
    valid: float | None = None


class Training(Record):
    """How a training went."""

    started_at: str
    """UTC, ISO 8601."""
    steps: Count
    epochs: Amount
    tokens: Count
    """That counted in the loss."""
    seconds: Amount
    """All of its parts, with validations and checkpoints."""
    seconds_per_iteration: Amount
    """The median."""
    tokens_per_second: Amount
    peak_memory_bytes: Count
    trainable: Count
    ending: Ending
    parts: Count = 1
    """Above 1 where it was interrupted and went on."""
    exact: bool = True
    """Whether it ended as it would have ended in one part."""
    machine: dict[str, str] = Field(default_factory=dict)
    losses: tuple[LossPoint, ...] = ()


class Chosen(Record):
    """The checkpoint that was kept, and by what."""

    step: Count
    by: str
    """`validation loss`, `last` where nothing was validated, or a suite's name."""
    value: float | None = None
    """The loss, or the suite's score."""
    suite_hash: str | None = None
    """Of the suite that chose; None where the loss did."""
    prompts: tuple[str, ...] = ()
    """Hashes of the prompts of the suite that chose. A suite that holds any of them, under whatever
    name and sampling, is stamped "selected on test"."""
    candidates: dict[Count, float] = Field(default_factory=dict[Count, float])
    """What each checkpoint got, by step."""


class SuiteTies(Record):
    """What a training had to do with suites. It stays with every model that is made of it."""

    chosen: Chosen
    leaked_suites: dict[str, Count] = Field(default_factory=dict[str, Count])
    leaked_prompts: tuple[str, ...] = ()


class AdapterResult(Record):
    """A run that measured this adapter, in short; the run itself has the rest."""

    run: str
    created_at: str
    suite: str
    suite_hash: str
    score: float | None
    low: float | None = None
    high: float | None = None
    prompts: Count
    faults: Count = 0
    stamps: tuple[str, ...] = ()
    """Such as `selected on test`, `leaked`."""
    served_by: str = "mlx"
    """The backend and how it packed the model, in words."""


class AdapterManifest(Record):
    """`adapters/<name>/punie.json`, the last file that is written of an adapter."""

    schema_version: int = SCHEMA_VERSION
    name: str
    created_at: str
    base: BaseModelVersion
    data: DatasetVersion
    data_path: str
    """Relative to the project where it lies inside."""
    suite: str | None = None
    """The adapter's own suite: what is held out of its data."""
    plan: ResolvedPlan
    backend: str = "mlx"
    """What trained it, by the name of a `TrainingBackend`."""
    weights_hash: str
    """Of `adapters.safetensors`."""
    adapter_hash: str
    """Of weights and settings, as runs record it."""
    chosen: Chosen
    training: Training
    findings: tuple[DataFinding, ...] = ()
    """What the preflight found; of these the errors, such as leakage, it was told to accept."""
    leaked_suites: dict[str, Count] = Field(default_factory=dict[str, Count])
    """Suites (by hash) into which the data leaks, with the number of prompts concerned."""
    leaked_prompts: tuple[str, ...] = ()
    """Hashes of these prompts, of all suites together: `EvalPrompt.hash`, not the ids that
    `DataReport.leaked` gives. A suite that holds any of them is stamped "leaked"."""
    provenance: Provenance = Provenance()
    results: tuple[AdapterResult, ...] = ()

    @property
    def ties(self) -> SuiteTies:
        """What a result of this adapter must be stamped for."""
        return SuiteTies(
            chosen=self.chosen,
            leaked_suites=self.leaked_suites,
            leaked_prompts=self.leaked_prompts,
        )


class Packing(Record):
    """How weights are quantised: mlx's affine packing."""

    bits: Count = 4
    group_size: Count = 64


class Agreement(Record):
    """How far two forms of a model agree on a text: what each expects after every token of it."""

    positions: Count
    same_next_token: Count
    """Positions at which both expect the same token most."""
    largest_difference: float
    """Of the probability of any token at any position."""
    backend: str = "mlx"
    """On which both were asked."""


class FusedManifest(Record):
    """`punie.json` of a model that an adapter was fused into: what it was made from."""

    schema_version: int = SCHEMA_VERSION
    kind: Literal["fused"] = "fused"
    name: str
    created_at: str
    adapter: str
    adapter_hash: str
    base: BaseModelVersion
    dtype: str
    """`float32`, `bfloat16` or e.g. `4-bit, group 32`."""
    weights_hash: str
    agreement: Agreement
    """With base and adapter served apart."""
    made_from: AdapterManifest | None = None
    """The adapter's own manifest; None where another program made it."""
    ties: tuple[SuiteTies, ...] = ()
    """Of the adapter, and of whatever its base was made from."""
