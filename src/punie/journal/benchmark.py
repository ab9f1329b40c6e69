"""Entries of benchmarks: all that one `punie benchmark` measured, without a machine's names."""

import platform
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from pydantic import JsonValue

from punie.journal.charts import Chart
from punie.journal.entry import GOAL_LENGTH
from punie.journal.folder import BENCHMARK
from punie.journal.note import Doubt, NoteKind, NoteRecord, write_note
from punie.journal.recompute import same
from punie.records.benchmark import BenchmarkResult, TrainingBenchmark
from punie.reporting.benchmark import benchmark_markdown
from punie.reporting.escaping import code
from punie.reporting.privacy import Privacy
from punie.text import one_line


class BenchmarkRecord(NoteRecord):
    """The content of `benchmark.json`."""

    result: BenchmarkResult


class BenchmarkKind(NoteKind[BenchmarkRecord]):
    """What is written of a benchmark."""

    file = BENCHMARK
    noun = "benchmark"
    record = BenchmarkRecord

    def front(self, record: BenchmarkRecord) -> dict[str, JsonValue]:
        """Seconds have three decimals."""
        result = record.result
        measured, decision = result.training, result.decision
        return {
            "base_model": one_line(result.model.name, GOAL_LENGTH),
            "benchmark": result.id,
            "shape": str(measured.shape) if measured else None,
            "seconds_per_iteration": round(measured.seconds_per_iter, 3) if measured else None,
            "verdict": decision.pace.value if decision else None,
        }

    def results(self, record: BenchmarkRecord) -> str:
        """The benchmark in words and tables."""
        return benchmark_markdown(record.result)

    def charts(self, record: BenchmarkRecord) -> dict[str, Chart]:  # noqa: ARG002 - of the kind
        """None: a grid reads best as a table."""
        return {}

    def doubts(self, record: BenchmarkRecord) -> Iterator[Doubt]:
        """Medians, counts and the decision that do not follow from what was measured."""
        result = record.result
        named = [("training", result.training)]
        named += [(f"grid[{at}].measured", cell.measured) for at, cell in enumerate(result.grid)]
        for name, measured in named:
            if measured is not None:
                yield from (Doubt("result", f"{name}.{what}") for what in _measured(measured))
        for at, cell in enumerate(result.grid):
            if cell.measured is not None and cell.measured.shape != cell.shape:
                yield Doubt("result", f"grid[{at}] is of another shape than what was measured")
        if (decision := result.decision) and (measured := result.training):
            stated = decision.seconds_per_iter
            if not same(stated, measured.seconds_per_iter):
                what = f"decision is of {stated} s, {measured.seconds_per_iter} s were measured"
                yield Doubt("result", what)

    def done(self, record: BenchmarkRecord) -> str:
        """What was measured on which model."""
        result = record.result
        measured = [
            *(["training"] if result.training else []),
            *(["a grid of shapes"] if result.grid else []),
            *(["serving"] if result.serving else []),
        ]
        lines = [f"- Benchmarked {code(result.model.name)}: {', '.join(measured) or 'nothing'}."]
        if record.entry.supersedes:
            lines.append(f"- Replaces the entry {code(record.entry.supersedes)}.")
        return "\n".join(lines)

    def command(self, record: BenchmarkRecord) -> str:
        """As it was typed."""
        return record.result.provenance.command


BENCHMARK_KIND = BenchmarkKind()


def write_benchmark_entry(
    project: Path,
    result: BenchmarkResult,
    *,
    goal: str,
    supersedes: str | None = None,
    now: datetime | None = None,
) -> Path:
    """Write a benchmark into the journal as a new entry and return the entry's folder.

    Raises InputError for an empty goal or an unknown entry to replace, JournalError where the
    benchmark contradicts itself, and StoreError where the journal cannot be written.
    """
    kept = private_benchmark(result, project)

    def make(common: Mapping[str, Any]) -> BenchmarkRecord:
        return BenchmarkRecord(**common, result=kept)

    return write_note(BENCHMARK_KIND, project, make, goal=goal, supersedes=supersedes, now=now)


def private_benchmark(result: BenchmarkResult, project: Path) -> BenchmarkResult:
    """The benchmark as it may enter git: no home folder, no name or address of a machine."""
    return Privacy(root=project, home=Path.home(), host=platform.node()).benchmark(result)


def _measured(measured: TrainingBenchmark) -> Iterator[str]:
    times = measured.iterations
    if len(times) != measured.num_iters:
        yield f"num_iters is {measured.num_iters}, {len(times)} iterations were timed"
    if times and not same(measured.seconds_per_iter, median(times)):
        yield f"seconds_per_iter is {measured.seconds_per_iter}, its median is {median(times)}"
