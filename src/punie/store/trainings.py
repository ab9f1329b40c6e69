"""The trainings of a project."""

from punie.records.training_run import TrainingRun
from punie.store.heads import HeadStore


class TrainingStore(HeadStore[TrainingRun]):
    """Trainings by id, newest first, or by the name of their adapter."""

    table = "trainings"
    noun = "training"
    made_by = "punie train"
    kind = TrainingRun

    def columns(self, head: TrainingRun) -> dict[str, str]:
        """What trainings are found and listed by."""
        return {
            "id": head.id,
            "created_at": head.created_at,
            "status": head.status.value,
            "name": head.name,
            "base": head.base.name,
            "data_hash": head.data.hash,
        }
