"""The measurements of a benchmark one after the other; what is measured is kept as it comes."""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from punie.backends.base import TrainingBackend
from punie.backends.choose import training_backend
from punie.backends.local import LocalModel, serve
from punie.backends.room import free_where
from punie.cli.benchmark_live import Doing
from punie.errors import ModelError, PunieError, ServerError, TrainingError
from punie.records.benchmark import GridCell, ServingCell, Shape
from punie.records.training import Quantization, TrainEvent
from punie.serving.client import ChatClient
from punie.serving.turn import turn_to_start
from punie.settings import Loaded
from punie.training.benchmark import ITERATIONS, Target, measure_shape
from punie.training.benchmark_data import DataLengths, data_lengths
from punie.training.benchmark_grid import (
    GRID_BUDGET_S,
    GRID_ITERATIONS,
    expected_seconds,
    grid_shapes,
    run_grid,
)
from punie.training.benchmark_recorder import Recorder
from punie.training.benchmark_serving import loads, measure_serving, memory_fits
from punie.training.decision import TOO_SLOW_S

SHORT_S = 45.0
"""For each of the two parts, where nobody asked for more."""
LONG_S = 300.0
"""For serving, where it alone was asked for."""
MAX_LENGTH = 2048
"""Tokens of a row, as a training cuts them where nobody says otherwise."""
MEMORY_CAP = 0.95
"""Of the free memory, above which the server is not let grow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkWish:
    """What the command line asked for; None means: as usual."""

    model: str | None = None
    backend: str | None = None
    quantization: str | None = None
    iters: int | None = None
    batch: int | None = None
    seq: int | None = None
    rank: int | None = None
    layers: int | None = None
    grid: bool = False
    train: bool = True
    serve: bool = True
    data: str | None = None
    journal: str | None = None
    quiet: bool = False
    argv: tuple[str, ...] = ()


@dataclass(slots=True)
class Draft:
    """What has been measured up to now; Ctrl-C leaves it as it is."""

    cells: list[GridCell] = field(default_factory=list[GridCell])
    """Of training; the first is the shape that was asked for."""
    served: list[ServingCell] = field(default_factory=list[ServingCell])
    start_seconds: float = 0.0
    serving_peak: int | None = None
    data: DataLengths | None = None
    failures: list[PunieError] = field(default_factory=list[PunieError])


async def measure_all(
    wish: BenchmarkWish, settings: Loaded, model: LocalModel, draft: Draft, doing: Doing
) -> None:
    """Measure what was asked for into `draft`; a part that fails does not take the other with it.

    Raises InputError for a shape that cannot be, and what is wrong with data that was asked for.
    """
    if wish.train:
        target = replace(
            await asyncio.to_thread(Target.of, model.identity.name),
            quantization=Quantization(wish.quantization) if wish.quantization else None,
            device=model.how.device,
        )
        shape = target.shape(batch=wish.batch, seq=wish.seq, rank=wish.rank, layers=wish.layers)
        await _count_tokens(wish, settings, target, draft, doing)
        backend = training_backend(model.how.backend, model.how.device)
        with _noting(draft):
            await _train(wish, target, shape, draft, doing, backend=backend)
            if wish.grid:
                await _grid(target, shape, draft, doing, backend=backend)
    if wish.serve:
        with _noting(draft):
            await _serve(model, draft, doing, budget_s=SHORT_S if wish.train else LONG_S)


async def _count_tokens(
    wish: BenchmarkWish, settings: Loaded, target: Target, draft: Draft, doing: Doing
) -> None:
    """Count the tokens of the data whose time is to be told.

    Data that was asked for must be readable; where the project's is not, that is noted.
    """
    source = wish.data or settings.values.data
    if source is None:
        return
    doing.begin(f"counting the tokens of {source}")
    try:
        draft.data = await data_lengths(
            source, settings.project, target.name, max_length=MAX_LENGTH
        )
    except PunieError as error:
        if wish.data:
            raise
        draft.failures.append(error)


@contextlib.contextmanager
def _noting(draft: Draft) -> Generator[None]:
    try:
        yield
    except (ModelError, ServerError, TrainingError) as error:
        draft.failures.append(error)


async def _train(
    wish: BenchmarkWish,
    target: Target,
    shape: Shape,
    draft: Draft,
    doing: Doing,
    *,
    backend: TrainingBackend,
) -> None:
    """Measure the shape that was asked for: all its iterations, or as many as there is time for."""
    most = (["the grid, 5 min"] if wish.grid else []) + (["serving, 1 min"] if wish.serve else [])
    then = f"then {' and '.join(most)} at most" if most else ""
    doing.begin(f"training {shape}", then=then)
    iterations = wish.iters or ITERATIONS
    budget_s = None if wish.iters else SHORT_S
    until = None if budget_s is None else time.monotonic() + budget_s

    def watch(event: TrainEvent) -> None:
        doing.event(event, iterations)
        doing.pace(iterations, until=until)

    recorder = Recorder(target.name, shape, budget_s=budget_s)
    await _cell(target, recorder, draft, iterations, watch, backend=backend)


async def _grid(
    target: Target, base: Shape, draft: Draft, doing: Doing, *, backend: TrainingBackend
) -> None:
    """Measure the shapes around `base`, whose cell is there already."""
    others = grid_shapes(base, context_length=target.context_length)[1:]
    ends_at = time.monotonic() + GRID_BUDGET_S

    async def measure(shape: Shape) -> None:
        at = others.index(shape)
        left = [expected_seconds(each, draft.cells, GRID_ITERATIONS) for each in others[at:]]
        most_s = min(ends_at - time.monotonic(), sum(each or 0.0 for each in left))
        doing.begin(f"cell {at + 2} of {len(others) + 1}: {shape}", most_s=most_s)
        recorder = Recorder(target.name, shape, too_slow_s=TOO_SLOW_S)
        watch = partial(doing.event, iterations=GRID_ITERATIONS)
        await _cell(target, recorder, draft, GRID_ITERATIONS, watch, backend=backend)

    await run_grid(others, measure, cells=draft.cells)


async def _cell(
    target: Target,
    recorder: Recorder,
    draft: Draft,
    iterations: int,
    watch: Callable[[TrainEvent], None],
    *,
    backend: TrainingBackend,
) -> None:
    """Measure one shape into the draft, however that ends."""
    try:
        await measure_shape(target, recorder, iterations=iterations, backend=backend, watch=watch)
    finally:
        draft.cells.append(recorder.cell())


async def _serve(model: LocalModel, draft: Draft, doing: Doing, *, budget_s: float) -> None:
    """Serve the model as always, and send it requests."""
    wanted = loads(context_length=model.context_length)
    with tempfile.TemporaryDirectory(prefix="punie-") as folder:
        async with contextlib.AsyncExitStack() as stack:
            doing.begin(f"starting a server with {model.identity.name}")
            async with turn_to_start():
                free = free_where(model.how.backend or "mlx", model.how.device)
                fits = memory_fits(model.path, free, model.how)
                if why := fits(wanted[0]):
                    raise ModelError(
                        f"the model does not fit into memory: even alone {why}",
                        hint="take a smaller or a quantised (4-bit) model, or close programs",
                    )
                serving = serve(
                    model,
                    Path(folder) / "server.log",
                    concurrency=max(load.concurrency for load in wanted),
                    memory_cap_bytes=int(MEMORY_CAP * free),
                )
                began = time.monotonic()
                endpoint = await stack.enter_async_context(serving)
                draft.start_seconds = time.monotonic() - began
            client = await stack.enter_async_context(ChatClient(endpoint))
            doing.begin("asking the served model", most_s=budget_s)
            try:
                await measure_serving(
                    client,
                    wanted,
                    cells=draft.served,
                    fits=fits,
                    budget_s=budget_s,
                    watch=lambda load: doing.note(str(load)),
                )
            finally:
                draft.serving_peak = endpoint.peak_memory()
