"""`punie journal new` of what is no run: a training by its adapter, or a benchmark."""

from pathlib import Path

from punie.cli.adapter import adapter_folder
from punie.errors import InputError
from punie.models.manifest import MANIFEST, read_manifest


def training_entry(project: Path, adapter: str, *, goal: str, supersedes: str | None) -> Path:
    """Journal the training that made an adapter. Raises InputError for another program's."""
    from punie.journal.training import write_training_entry

    folder = adapter_folder(adapter, project)
    manifest = read_manifest(folder)
    if manifest is None:
        raise InputError(
            f"{adapter} has no {MANIFEST}: punie made no such adapter",
            hint="punie adapters list names those that it made",
        )
    return write_training_entry(project, manifest, goal=goal, supersedes=supersedes)


def benchmark_entry(project: Path, reference: str, *, goal: str, supersedes: str | None) -> Path:
    """Journal a benchmark of the store."""
    from punie.journal.benchmark import write_benchmark_entry
    from punie.store.benchmarks import BenchmarkStore

    with BenchmarkStore(project) as store:
        result = store.find(reference)
    return write_benchmark_entry(project, result, goal=goal, supersedes=supersedes)
