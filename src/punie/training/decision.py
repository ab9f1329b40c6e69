"""What measured seconds per iteration mean, and what would make them fewer: pure functions."""

from collections.abc import Sequence

from punie.records.benchmark import (
    CellEnd,
    Decision,
    GridCell,
    Pace,
    Shape,
    TrainingBenchmark,
)
from punie.reporting.numbers import compact, duration

BOUNDS = ((5.0, Pace.GO_ON), (30.0, Pace.USABLE), (60.0, Pace.SLOW))
"""Seconds per iteration up to which each holds; above the last: change something."""
TOO_SLOW_S = BOUNDS[-1][0]
GRID_COMMAND = "punie benchmark --train --grid"
AGAIN = "first measure again on a machine that is not held up, see below"
WORDS = {
    Pace.GO_ON: "go on",
    Pace.USABLE: "usable",
    Pace.SLOW: "slow: start it when you leave",
    Pace.CHANGE: "too slow: change something",
}
DIRECTIONS = {
    "layers": "fewer layers",
    "seq": "shorter rows",
    "batch": "a smaller batch, with more iterations an epoch",
}


def pace_of(seconds_per_iter: float) -> Pace:
    """The pace that the bounds give."""
    return next((pace for bound, pace in BOUNDS if seconds_per_iter <= bound), Pace.CHANGE)


def decide(
    measured: TrainingBenchmark,
    grid: Sequence[GridCell] = (),
    *,
    parameters: int | None = None,
    doubtful: bool = False,
) -> Decision:
    """Judge the measured shape; where it is slow, name measured cells of `grid` that are not.

    `parameters` are the model's, for the advice to take a smaller one. `doubtful`: something about
    the machine made the times longer.
    """
    seconds = measured.seconds_per_iter
    pace = pace_of(seconds)
    sentence = f"{duration(seconds)} per iteration: {WORDS[pace]}. 100 iterations take about "
    sentence += f"{duration(100 * seconds)}."
    advice: tuple[str, ...] = ()
    if pace in (Pace.SLOW, Pace.CHANGE):
        bound = TOO_SLOW_S if pace is Pace.CHANGE else BOUNDS[1][0]
        again = [AGAIN] if doubtful else []
        advice = (*again, *_advice(measured, grid, bound, parameters))
    return Decision(pace=pace, seconds_per_iter=seconds, sentence=sentence, advice=advice)


def advice_without_a_cell(grid: Sequence[GridCell], wanted: Shape) -> tuple[str, ...]:
    """What to do where the wanted shape itself could not be measured, such as for its memory."""
    fitting = [c.measured for c in grid if c.measured is not None and c.shape != wanted]
    if not fitting:
        tried = "no smaller shape could be measured either" if grid else f"try: {GRID_COMMAND}"
        return (tried, "take a smaller or a quantised (4-bit) model")
    largest = max(fitting, key=lambda each: each.shape.tokens * each.shape.layers)
    return (f"measured and possible: {_cell(largest)}",)


def _advice(
    measured: TrainingBenchmark, grid: Sequence[GridCell], bound: float, parameters: int | None
) -> list[str]:
    below = [
        cell.measured
        for cell in grid
        if cell.end is CellEnd.MEASURED
        and cell.measured is not None
        and cell.measured.seconds_per_iter <= bound
    ]
    said: list[str] = []
    for name, words in DIRECTIONS.items():
        ways = [each for each in below if _differs_only_in(each.shape, measured.shape, name)]
        if ways:
            best = max(ways, key=lambda each: getattr(each.shape, name))
            said.append(f"{words}: {_cell(best)}")
    if not said and below:
        best = max(below, key=lambda each: each.shape.tokens * each.shape.layers)
        said.append(f"shorter rows and fewer layers together: {_cell(best)}")
    if not below:
        tried = [cell for cell in grid if cell.shape != measured.shape]
        said.append(
            f"no measured cell of the grid is below {bound:.0f} s"
            if tried
            else f"measure shorter rows and fewer layers: {GRID_COMMAND}"
        )
    if parameters:
        fitting = parameters * bound / measured.seconds_per_iter
        said.append(
            f"a smaller model: about {compact(fitting)} parameters instead of "
            f"{compact(parameters)} would take {bound:.0f} s (by proportion, not measured)"
        )
    return said


def _differs_only_in(shape: Shape, other: Shape, name: str) -> bool:
    changed = {n for n in Shape.model_fields if getattr(shape, n) != getattr(other, n)}
    return changed == {name}


def _cell(measured: TrainingBenchmark) -> str:
    return f"{measured.shape} took {duration(measured.seconds_per_iter)} (measured)"
