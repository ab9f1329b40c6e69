"""A small measured grid of batch, row length and layers, ended where it would take too long."""

import time
from collections.abc import Awaitable, Callable, Sequence

from punie.records.benchmark import CellEnd, GridCell, Shape
from punie.reporting.numbers import duration

FEW_LAYERS = 4
SHORTEST = 32
GRID_ITERATIONS = 3
GRID_BUDGET_S = 300.0
USUAL_OVERHEAD_S = 5.0
"""Starting a worker and loading the model, until a cell has shown how long it takes."""
BLOCKING = (CellEnd.OUT_OF_MEMORY, CellEnd.TOO_SLOW)


def grid_shapes(base: Shape, *, context_length: int | None = None) -> list[Shape]:
    """The shapes around `base`, itself first, then from the smallest to the largest.

    Batches 1 and that of `base`; rows half as long, as long, and twice as long as far as the model
    reads them; few layers and those of `base`.
    """
    longest = context_length or 2 * base.seq
    batches = {1, base.batch}
    lengths = {max(min(SHORTEST, base.seq), base.seq // 2), base.seq, min(2 * base.seq, longest)}
    layers = {min(FEW_LAYERS, base.layers), base.layers}
    shapes = [
        Shape(batch=batch, seq=seq, rank=base.rank, layers=number)
        for batch in batches
        for seq in lengths
        for number in layers
    ]
    rest = sorted(
        (each for each in shapes if each != base), key=lambda each: (_work(each), str(each))
    )
    return [base, *rest]


async def run_grid(
    shapes: Sequence[Shape],
    measure: Callable[[Shape], Awaitable[None]],
    *,
    cells: list[GridCell],
    budget_s: float = GRID_BUDGET_S,
    iterations: int = GRID_ITERATIONS,
) -> None:
    """Measure the shapes in order; afterwards `cells` has one more for each shape.

    `measure` appends the cell of its shape to `cells`, which may hold others already. A shape that
    is nowhere smaller than one that was out of memory or too slow is left out, and so is one that
    by proportion would end after `budget_s`.
    """
    began = time.monotonic()
    took: list[float] = []
    for shape in shapes:
        why = blocked_by(shape, cells)
        if why is None:
            expected = expected_seconds(shape, cells, iterations)
            spent = time.monotonic() - began
            if took and expected is not None and spent + expected > budget_s:
                why = f"it would take longer than the {duration(budget_s)} that the grid may take"
        if why is not None:
            cells.append(GridCell(shape=shape, end=CellEnd.LEFT_OUT, why=why))
            continue
        start = time.monotonic()
        await measure(shape)
        took.append(time.monotonic() - start)


def blocked_by(shape: Shape, cells: Sequence[GridCell]) -> str | None:
    """Why `shape` need not be tried: a cell that is nowhere larger was too large already."""
    for cell in cells:
        if cell.end in BLOCKING and _nowhere_larger(cell.shape, shape):
            was = "ran out of memory" if cell.end is CellEnd.OUT_OF_MEMORY else "was too slow"
            return f"{cell.shape} {was}"
    return None


def expected_seconds(shape: Shape, cells: Sequence[GridCell], iterations: int) -> float | None:
    """How long measuring `shape` would take, in proportion to the nearest measured cell.

    Counts loading, the worker's two passes before the first iteration, and one to warm up. None
    where nothing has been measured.
    """
    measured = [cell.measured for cell in cells if cell.measured is not None]
    if not measured:
        return None
    work = _work(shape)
    nearest = min(measured, key=lambda each: abs(_work(each.shape) - work))
    an_iteration = nearest.seconds_per_iter * work / _work(nearest.shape)
    overhead = nearest.load_seconds or USUAL_OVERHEAD_S
    return overhead + (nearest.compile_seconds or 0.0) + (iterations + 3) * an_iteration


def _work(shape: Shape) -> int:
    """What the time of an iteration roughly grows with."""
    return shape.tokens * shape.layers


def _nowhere_larger(small: Shape, large: Shape) -> bool:
    return small.batch <= large.batch and small.seq <= large.seq and small.layers <= large.layers
