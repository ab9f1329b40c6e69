"""The benchmarks of a project."""

from punie.records.benchmark import BenchmarkResult
from punie.store.heads import HeadStore


class BenchmarkStore(HeadStore[BenchmarkResult]):
    """Benchmarks by id, newest first, or by the name of their model."""

    table = "benchmarks"
    noun = "benchmark"
    made_by = "punie benchmark"
    kind = BenchmarkResult

    def columns(self, head: BenchmarkResult) -> dict[str, str]:
        """What benchmarks are found and listed by."""
        return {
            "id": head.id,
            "created_at": head.created_at,
            "status": head.status.value,
            "name": head.model.name,
        }
