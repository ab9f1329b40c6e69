"""How long a training on given rows would take, from measured iterations: pure functions."""

import math
from collections.abc import Sequence

from punie.records.benchmark import GridCell, Projection, TrainingBenchmark
from punie.records.encoding import width_for
from punie.reporting.numbers import counted


def project(
    data: str,
    lengths: Sequence[int],
    measured: TrainingBenchmark,
    grid: Sequence[GridCell] = (),
    *,
    epochs: float,
    max_length: int,
) -> Projection | None:
    """The time of `epochs` over rows of these lengths, in batches of the measured size.

    Batches are taken as the worker makes them, of rows of similar length, padded to the longest.
    Each takes as long as the measured shape that is nearest to it, in proportion to the tokens.
    None where there are no rows.
    """
    if not lengths:
        return None
    shape = measured.shape
    known = comparable(measured, grid)
    cut = sorted(min(length, max_length) for length in lengths)
    batches = [cut[i : i + shape.batch] for i in range(0, len(cut), shape.batch)]
    an_epoch = sum(
        seconds_of(len(batch), width_for(batch[-1], max_length) - 1, known) for batch in batches
    )
    iterations = math.ceil(epochs * len(batches))
    by = "the measured shape" if len(known) == 1 else f"the nearest of {len(known)} measured shapes"
    return Projection(
        data=data,
        rows=len(cut),
        tokens=sum(cut),
        longest=cut[-1],
        epochs=epochs,
        batch=shape.batch,
        iterations=iterations,
        seconds=an_epoch * iterations / len(batches),
        assumption=f"each in proportion to the tokens of {by}; batch {shape.batch}, "
        f"{counted(shape.layers, 'layer')}, rank {shape.rank}; "
        "without validations and checkpoints",
    )


def comparable(
    measured: TrainingBenchmark, grid: Sequence[GridCell]
) -> tuple[TrainingBenchmark, ...]:
    """What was measured of the same layers and rank, the wanted shape first."""
    others = [
        cell.measured
        for cell in grid
        if cell.measured is not None
        and cell.shape != measured.shape
        and (cell.shape.layers, cell.shape.rank) == (measured.shape.layers, measured.shape.rank)
    ]
    return (measured, *others)


def seconds_of(rows: int, width: int, known: Sequence[TrainingBenchmark]) -> float:
    """Seconds of one iteration on `rows` rows of `width` tokens, by the nearest known shape.

    Near is in ratios: half and twice as long are equally far away.
    """

    def distance(each: TrainingBenchmark) -> float:
        longer = abs(math.log(each.shape.seq / width))
        return longer + abs(math.log(each.shape.batch / rows))

    nearest = min(known, key=distance)
    return nearest.seconds_per_iter * rows * width / nearest.shape.tokens
