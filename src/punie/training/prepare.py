"""Everything between the rows of a dataset and the tokens that a worker may begin with."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from punie.backends.encoding import encode
from punie.datasets.checks import check_dataset
from punie.datasets.for_template import rows_for_template
from punie.errors import StoreError
from punie.records.dataset import ROW, DatasetVersion, Row, Split
from punie.records.encoding import EncodeJob
from punie.records.model import ModelInfo
from punie.records.preflight import Preflight
from punie.records.suite import EvalSuite
from punie.records.training import ResolvedPlan
from punie.training.preflight import (
    LEAKAGE,
    all_lengths,
    memory_estimate,
    packable,
    refuse_defects,
    refuse_what_cannot_fit,
    refuse_without_room,
)
from punie.training.processes import part_for_each
from punie.training.work import WorkFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What is going to be trained, on what, how: everything that was chosen."""

    model: ModelInfo
    version: DatasetVersion
    rows: Mapping[Split, Sequence[Row]]
    plan: ResolvedPlan
    processes: int = 1
    backend: str = "mlx"
    gpu: bool = False
    """Whether the backend computes on a GPU with a memory of its own."""
    suites: Sequence[EvalSuite] = ()
    """Every suite of the project, for leakage."""
    allow_leakage: bool = False


async def prepare(
    setup: Setup,
    work: WorkFolder,
    *,
    free_bytes: int | None,
    on_progress: Callable[[int], None] | None = None,
) -> tuple[Preflight, Path]:
    """Encode and check the rows; what to expect, and the file of tokens (not in its place yet).

    `free_bytes` is what each process may take; None where another machine will train, and what
    this one has does not count.
    Raises DataCheckError for defects that nobody allowed, ModelError for a template that cannot
    render, TrainingError where memory cannot suffice.
    """
    if free_bytes is not None:
        refuse_without_room(setup.model.model.path, setup.plan, work.path)
    output = work.path / "encoded.safetensors"
    job = EncodeJob(
        model=setup.model.model.path,
        rows=await asyncio.to_thread(_write_rows, setup, work),
        max_length=setup.plan.max_length,
        masking=setup.plan.masking,
        output=output,
    )
    encoding = await encode(job, on_progress=on_progress)
    report = await asyncio.to_thread(
        check_dataset,
        setup.rows,
        suites=setup.suites,
        encoding=encoding,
        plan=setup.plan,
        tools_as_text=not setup.model.abilities.tools,
    )
    refuse_defects(report.errors, allow_leakage=setup.allow_leakage)
    lengths = all_lengths(encoding, setup.plan.max_length)
    train = lengths[Split.TRAIN]

    def estimated(plan: ResolvedPlan) -> int | None:
        return memory_estimate(
            job.model,
            part_for_each(plan, setup.processes),
            longest=train.longest,
            most_trained=train.most_trained,
            backend=setup.backend,
            gpu=setup.gpu,
        )

    estimate = estimated(setup.plan)
    if free_bytes is not None:
        packed = packable(job.model, setup.plan, setup.backend)
        refuse_what_cannot_fit(estimate, free_bytes, packed=packed and estimated(packed))
    preflight = Preflight(
        model=setup.model.model.name,
        dataset=setup.version,
        plan=setup.plan,
        backend=setup.backend,
        gpu=setup.gpu,
        processes=setup.processes,
        lengths=lengths,
        report=report,
        parser=encoding.parser,
        notes=encoding.notes,
        memory_estimate_bytes=estimate,
        memory_free_bytes=free_bytes or 0,
        example=encoding.example,
        allowed=(LEAKAGE,) if report.errors else (),
    )
    return preflight, output


def _write_rows(setup: Setup, work: WorkFolder) -> dict[Split, Path]:
    """The rows as the worker reads them, one file for each split that is trained or validated."""
    paths: dict[Split, Path] = {}
    renders = setup.model.abilities.tools
    for split in (Split.TRAIN, Split.VALID):
        if not setup.rows.get(split):
            continue
        path = work.rows_file(split)
        try:
            with path.open("wb") as file:
                for row in rows_for_template(setup.rows[split], renders_tools=renders):
                    file.write(ROW.dump_json(row, exclude_defaults=True) + b"\n")
        except OSError as error:
            raise StoreError(
                f"{path}: {error.strerror or error}", hint="free some disk space"
            ) from error
        paths[split] = path
    return paths
