"""Putting a benchmark together: a model, its measurements, a decision, the store."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any

from punie.backends.blas import find_openblas
from punie.backends.local import LocalModel, prepare
from punie.backends.preflight import neighbours
from punie.cli.backend_option import backend_choice
from punie.cli.benchmark_live import Doing, showing_benchmark
from punie.cli.benchmark_measuring import MAX_LENGTH, BenchmarkWish, Draft, measure_all
from punie.cli.pulling import pulling
from punie.cli.signals import signals
from punie.errors import (
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_RUNTIME,
    EXIT_UNMEASURED,
    InputError,
    PunieError,
)
from punie.journal.benchmark import write_benchmark_entry
from punie.models.catalog import DEFAULT_MODEL
from punie.records.benchmark import (
    BenchmarkResult,
    CellEnd,
    Conditions,
    Decision,
    GridCell,
    Projection,
    ServingBenchmark,
)
from punie.records.run import Provenance, RunStatus
from punie.serving.awake import awake
from punie.serving.conditions import conditions
from punie.serving.heat import throttled
from punie.settings import Loaded
from punie.store.benchmarks import BenchmarkStore
from punie.store.provenance import provenance
from punie.training.decision import advice_without_a_cell, decide
from punie.training.projection import project
from punie.training.resolve import DEFAULT_EPOCHS


@dataclass(frozen=True, slots=True)
class Benchmarked:
    """A benchmark, and its entry in the journal."""

    result: BenchmarkResult
    entry: Path | None = None
    notes: tuple[str, ...] = ()
    """Such as why there is no entry although one was asked for."""

    def as_json(self) -> dict[str, Any]:
        """The data of the command's JSON envelope."""
        entry = str(self.entry) if self.entry else None
        return {**self.result.model_dump(mode="json"), "journal": entry}


async def run_benchmark(wish: BenchmarkWish, settings: Loaded) -> Benchmarked:
    """Measure, decide, keep. Ctrl-C ends it and keeps what was measured.

    Raises InputError for what cannot be asked, ModelError or ServerError where nothing could be
    measured, StoreError where nothing could be kept.
    """
    goal = _goal(wish, settings)
    with awake(), signals(), BenchmarkStore(settings.project) as store:
        chosen = wish.model or settings.values.model
        with pulling(silent=wish.quiet) as progress:
            model = prepare(
                chosen or DEFAULT_MODEL,
                how=backend_choice(
                    settings.values, backend=wish.backend, quantization=wish.quantization
                ),
                demo=chosen is None,
                progress=progress,
            )
        found, slowed = _conditions(), throttled()
        draft, doing = Draft(), Doing()
        try:
            async with showing_benchmark(doing, quiet=wish.quiet):
                await measure_all(wish, settings, model, draft, doing)
            status = RunStatus.DONE
        except asyncio.CancelledError:
            _no_more_cancelled()
            status = RunStatus.INTERRUPTED
        if slowed is not None:
            found = found.model_copy(update={"throttled": (throttled() or slowed) - slowed})
        made = provenance(wish.argv, settings.project, model.identity.backend)
        result = benchmark_result(model, draft, found, status, made, grid=wish.grid)
        if not was_measured(result):
            _raise_for_nothing(draft, status)
        store.add(result)
    return _written(result, goal, settings.project)


def _written(result: BenchmarkResult, goal: str | None, project: Path) -> Benchmarked:
    """Write the entry that was asked for; what was measured is shown even where that fails."""
    if goal is None:
        return Benchmarked(result)
    try:
        return Benchmarked(result, write_benchmark_entry(project, result, goal=goal))
    except PunieError as error:
        return Benchmarked(result, notes=(f"no journal entry: {error.message}",))


def _goal(wish: BenchmarkWish, settings: Loaded) -> str | None:
    """The goal of the entry that was asked for. Raises InputError where there can be none."""
    if wish.journal is None:
        return None
    if settings.values.journal.entries == "never":
        raise InputError("journal is set to never here", hint="punie config shows where")
    if not wish.journal.strip():
        raise InputError("the goal of a journal entry is empty")
    return wish.journal


def _raise_for_nothing(draft: Draft, status: RunStatus) -> None:
    """Raise where nothing was measured because it was interrupted, or could not be begun."""
    if status is RunStatus.INTERRUPTED:
        raise KeyboardInterrupt
    if draft.failures:
        raise draft.failures[0]


def exit_code(benchmarked: Benchmarked) -> int:
    """As `punie --help` lists it: whether all was measured, a part, or nothing."""
    result = benchmarked.result
    if result.status is RunStatus.INTERRUPTED:
        return EXIT_INTERRUPTED
    if not was_measured(result):
        return EXIT_UNMEASURED
    return EXIT_RUNTIME if result.problems or benchmarked.notes else EXIT_OK


def was_measured(result: BenchmarkResult) -> bool:
    """Whether there is any number in it."""
    served = result.serving.cells if result.serving else ()
    trained = result.training or any(cell.measured for cell in result.grid)
    return bool(trained) or any(cell.requests > cell.faults for cell in served)


def benchmark_result(
    model: LocalModel,
    draft: Draft,
    found: Conditions,
    status: RunStatus,
    made: Provenance,
    *,
    grid: bool,
) -> BenchmarkResult:
    """The record of what was measured, with the decision that it supports."""
    base = draft.cells[0] if draft.cells else None
    measured = base.measured if base else None
    decision: Decision | None = None
    if measured is not None:
        decision = decide(
            measured,
            draft.cells,
            parameters=model.identity.parameters,
            doubtful=bool(found.warnings),
        )
        usual = found.blas if model.identity.backend == "mlx" else None  # which torch brings itself
        found = found.model_copy(update={"blas": measured.machine.get("blas", usual)})
    now = datetime.now(UTC)
    serving = None
    if draft.served:
        serving = ServingBenchmark(
            start_seconds=draft.start_seconds,
            cells=tuple(draft.served),
            peak_memory_bytes=draft.serving_peak,
        )
    return BenchmarkResult(
        id=f"{now:%Y%m%d-%H%M%S}-{token_hex(2)}",
        created_at=now.isoformat(timespec="milliseconds"),
        model=model.identity,
        conditions=found,
        provenance=made,
        status=status,
        training=measured,
        grid=tuple(draft.cells) if grid else (),
        serving=serving,
        decision=decision,
        projection=_projection(draft),
        problems=tuple(_problems(draft, base)),
    )


def _projection(draft: Draft) -> Projection | None:
    measured = draft.cells[0].measured if draft.cells else None
    if measured is None or draft.data is None:
        return None
    return project(
        draft.data.name,
        draft.data.lengths,
        measured,
        draft.cells,
        epochs=DEFAULT_EPOCHS,
        max_length=MAX_LENGTH,
    )


def _problems(draft: Draft, base: GridCell | None) -> list[str]:
    """What was asked for and could not be measured; what there was no time for is none."""
    said = [f"{cell.shape}: failed, {cell.why}" for cell in draft.cells if _failed(cell)]
    if base and base.measured is None and base.end is CellEnd.OUT_OF_MEMORY:
        said.append(f"{base.shape}: out of memory, {base.why}")
        said += advice_without_a_cell(draft.cells[1:], base.shape)
    said += [
        f"{each.prompt_tokens} tokens, {each.concurrency} at once: "
        f"{each.faults} of {each.requests} requests failed, {each.why}"
        for each in draft.served
        if each.faults
    ]
    known = {cell.why for cell in draft.cells if _failed(cell)}
    return said + [error.message for error in draft.failures if error.message not in known]


def _failed(cell: GridCell) -> bool:
    return cell.end is CellEnd.FAILED


def _conditions() -> Conditions:
    blas = find_openblas()
    found = conditions(blas=blas.name if blas else None)
    others = neighbours()
    if others is None:
        return found
    return found.model_copy(update={"warnings": (*found.warnings, others.sentence)})


def _no_more_cancelled() -> None:
    """What is left is to write down what was measured: that is not waited for."""
    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()
