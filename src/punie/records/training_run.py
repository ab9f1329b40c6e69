"""A training as the store keeps it, from its first iteration to whatever became of it."""

from enum import StrEnum

from punie.records.adapter import BaseModelVersion, Chosen, Training
from punie.records.base import SCHEMA_VERSION, Record
from punie.records.dataset import DatasetVersion
from punie.records.run import Provenance
from punie.records.training import ResolvedPlan


class TrainingStatus(StrEnum):
    """How far a training came."""

    RUNNING = "running"
    """Also of one that was killed and has not gone on since."""
    DONE = "done"
    """It became an adapter, also where it stopped early by itself."""
    STOPPED = "stopped"
    """By a person; it can go on."""
    FAILED = "failed"


class TrainingRun(Record):
    """One training: what it was made of, and how it went."""

    schema_version: int = SCHEMA_VERSION
    id: str
    created_at: str
    """UTC, ISO 8601."""
    name: str
    """Of the adapter."""
    status: TrainingStatus = TrainingStatus.RUNNING
    base: BaseModelVersion
    data: DatasetVersion
    plan: ResolvedPlan
    backend: str = "mlx"
    """What trains, by the name of a `TrainingBackend`."""
    training: Training | None = None
    """Of one that has ended, or was stopped."""
    chosen: Chosen | None = None
    failure: str = ""
    """Why it failed, in a sentence."""
    provenance: Provenance = Provenance()
