"""How long a training on given rows would take, from measured iterations: pure functions."""

import math
from collections.abc import Sequence
from statistics import fmean

from punie.records.benchmark import GridCell, Projection, TrainingBenchmark

PAD_TO = 32
"""A batch is padded to a multiple of so many tokens."""


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

    Batches are taken as the trainer makes them, of rows of similar length, padded to the longest.
    None where there are no rows.
    """
    if not lengths:
        return None
    shape = measured.shape
    cut = sorted(min(length, max_length) for length in lengths)
    batches = [cut[i : i + shape.batch] for i in range(0, len(cut), shape.batch)]
    fixed, per_token, how = line_through(measured, grid)
    padded = [len(batch) * (-(-batch[-1] // PAD_TO) * PAD_TO) for batch in batches]
    an_epoch = sum(fixed + per_token * tokens for tokens in padded)
    iterations = math.ceil(epochs * len(batches))
    return Projection(
        data=data,
        rows=len(cut),
        tokens=sum(cut),
        longest=cut[-1],
        epochs=epochs,
        batch=shape.batch,
        iterations=iterations,
        seconds=an_epoch * iterations / len(batches),
        assumption=f"{how}; {shape.layers} layers, rank {shape.rank}, batch {shape.batch}; "
        "without validations and checkpoints",
    )


def line_through(measured: TrainingBenchmark, grid: Sequence[GridCell]) -> tuple[float, float, str]:
    """Seconds of an iteration as a + b * tokens: (a, b, how it was found).

    The least-squares line through the grid's cells of the same layers and rank, neither a nor b
    below 0; with one size only, the time is taken as proportional to the tokens.
    """
    others = [
        cell.measured
        for cell in grid
        if cell.measured is not None
        and cell.shape != measured.shape
        and (cell.shape.layers, cell.shape.rank) == (measured.shape.layers, measured.shape.rank)
    ]
    points = [(each.shape.tokens, each.seconds_per_iter) for each in (measured, *others)]
    sizes = {tokens for tokens, _ in points}
    if len(sizes) > 1:
        mid_x, mid_y = fmean(x for x, _ in points), fmean(y for _, y in points)
        slope = sum((x - mid_x) * (y - mid_y) for x, y in points)
        slope /= sum((x - mid_x) ** 2 for x, _ in points)
        fixed = mid_y - slope * mid_x
        if slope > 0 and fixed >= 0:
            return fixed, slope, f"by a line through {len(points)} measured cells"
    per_token = measured.seconds_per_iter / measured.shape.tokens
    return 0.0, per_token, "taking the time as proportional to the tokens of a batch"
