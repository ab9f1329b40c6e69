"""What a measured time means: bounds, advice from a grid, and the time of somebody's own data."""

import asyncio

import pytest

from punie.records.benchmark import (
    CellEnd,
    GridCell,
    Pace,
    Quartiles,
    Shape,
    TrainingBenchmark,
)
from punie.training.benchmark_grid import blocked_by, expected_seconds, grid_shapes, run_grid
from punie.training.decision import advice_without_a_cell, decide, pace_of
from punie.training.projection import project, seconds_of

BASE = Shape(batch=4, seq=256, rank=8, layers=16)


def measured(seconds: float, shape: Shape = BASE) -> TrainingBenchmark:
    return TrainingBenchmark(
        model_path="m",
        shape=shape,
        num_iters=3,
        seconds_per_iter=seconds,
        iterations=(seconds, seconds, seconds),
        total_seconds=3 * seconds,
        load_seconds=1.0,
    )


def cell(seconds: float, **changes: int) -> GridCell:
    shape = BASE.model_copy(update=changes)
    return GridCell(shape=shape, end=CellEnd.MEASURED, measured=measured(seconds, shape))


def ended(end: CellEnd, **changes: int) -> GridCell:
    return GridCell(shape=BASE.model_copy(update=changes), end=end, why="a reason")


@pytest.mark.parametrize(
    ("seconds", "pace"),
    [
        (0.01, Pace.GO_ON),
        (5.0, Pace.GO_ON),
        (5.01, Pace.USABLE),
        (30.0, Pace.USABLE),
        (30.1, Pace.SLOW),
        (60.0, Pace.SLOW),
        (60.1, Pace.CHANGE),
    ],
)
def test_the_bounds(seconds: float, pace: Pace) -> None:
    assert pace_of(seconds) is pace
    decision = decide(measured(seconds))
    assert decision.pace is pace
    assert bool(decision.advice) is (pace in (Pace.SLOW, Pace.CHANGE))


def test_a_machine_that_is_held_up_is_measured_again_first() -> None:
    assert "measure again" in decide(measured(40.0), doubtful=True).advice[0]
    assert decide(measured(1.0), doubtful=True).advice == ()


def test_a_quick_one_says_how_long_a_hundred_take() -> None:
    said = decide(measured(2.0)).sentence
    assert said == "2.00 s per iteration: go on. 100 iterations take about 3 min 20 s."


def test_advice_names_the_measured_cell_that_is_below_the_bound() -> None:
    grid = [
        cell(90.0),
        cell(70.0, seq=128),
        cell(55.0, seq=64),
        cell(58.0, layers=4),
        cell(20.0, layers=4, seq=64),
        cell(30.0, batch=1),
    ]
    advice = decide(measured(90.0), grid, parameters=3_000_000_000).advice
    assert advice == (
        "fewer layers: batch 4 · 256 tokens · 4 layers · rank 8 took 58.0 s (measured)",
        "shorter rows: batch 4 · 64 tokens · 16 layers · rank 8 took 55.0 s (measured)",
        (
            "a smaller batch, with more iterations an epoch: "
            "batch 1 · 256 tokens · 16 layers · rank 8 took 30.0 s (measured)"
        ),
        (
            "a smaller model: about 2B parameters instead of 3B would take 60 s "
            "(by proportion, not measured)"
        ),
    )


def test_where_no_one_change_is_enough_two_are_named() -> None:
    grid = [cell(300.0), cell(70.0, layers=4), cell(90.0, seq=128), cell(40.0, layers=4, seq=128)]
    (advice,) = decide(measured(300.0), grid).advice
    assert "4 layers" in advice
    assert "128 tokens" in advice
    assert "40.0 s" in advice


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ((), "punie benchmark --train --grid"),
        ((cell(300.0), cell(70.0, layers=4)), "no measured cell of the grid is below 60 s"),
        ((cell(300.0), ended(CellEnd.TOO_SLOW, layers=4)), "no measured cell"),
    ],
)
def test_without_a_fast_cell_none_is_made_up(grid: tuple[GridCell, ...], words: str) -> None:
    assert words in decide(measured(300.0), grid).advice[0]


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ((), "--grid"),
        ((ended(CellEnd.OUT_OF_MEMORY, batch=1),), "no smaller shape"),
        ((cell(3.0, batch=1), cell(1.0, batch=1, layers=4)), "batch 1 · 256 tokens · 16 layers"),
    ],
)
def test_a_shape_that_does_not_fit_gets_one_that_does(
    grid: tuple[GridCell, ...], words: str
) -> None:
    assert words in advice_without_a_cell(grid, BASE)[0]


def test_quartiles() -> None:
    assert Quartiles.of([]) is None
    one = Quartiles.of([2.0])
    assert one is not None
    assert (one.least, one.low, one.median, one.high, one.most, one.n) == (2, 2, 2, 2, 2, 1)
    five = Quartiles.of([5.0, 1.0, 4.0, 2.0, 3.0])
    assert five is not None
    assert (five.least, five.low, five.median, five.high, five.most) == (1, 2, 3, 4, 5)


def test_the_grid_begins_with_what_was_asked_for_and_then_grows() -> None:
    shapes = grid_shapes(BASE, context_length=8192)
    assert shapes[0] == BASE
    assert len(shapes) == 12
    work = [each.tokens * each.layers for each in shapes[1:]]
    assert work == sorted(work)
    assert {each.seq for each in shapes} == {128, 256, 512}
    assert {each.layers for each in shapes} == {4, 16}


def test_the_grid_stays_within_the_model() -> None:
    small = Shape(batch=1, seq=64, rank=8, layers=2)
    shapes = grid_shapes(small, context_length=64)
    assert {each.seq for each in shapes} == {32, 64}
    assert {(each.batch, each.layers) for each in shapes} == {(1, 2)}


@pytest.mark.parametrize("end", [CellEnd.OUT_OF_MEMORY, CellEnd.TOO_SLOW])
def test_a_direction_ends_where_it_was_too_much(end: CellEnd) -> None:
    cells = [ended(end, batch=1, seq=512)]
    assert blocked_by(BASE.model_copy(update={"seq": 512}), cells)
    assert blocked_by(BASE.model_copy(update={"seq": 1024, "batch": 1}), cells)
    assert blocked_by(BASE, cells) is None
    assert blocked_by(BASE.model_copy(update={"seq": 512, "layers": 4}), cells) is None


def test_what_is_expected_grows_with_the_work() -> None:
    assert expected_seconds(BASE, [], 3) is None
    twice = BASE.model_copy(update={"seq": 512})
    assert expected_seconds(twice, [cell(2.0)], 3) == pytest.approx(1.0 + 6 * 4.0)


def measure_by(seconds_per_unit: float, cells: list[GridCell], *, end_at: int) -> list[Shape]:
    """Run the grid with a measurement that knows its times, and give the shapes that it tried."""
    tried: list[Shape] = []

    async def measure(shape: Shape) -> None:
        tried.append(shape)
        work = shape.tokens * shape.layers
        if work > end_at:
            cells.append(GridCell(shape=shape, end=CellEnd.OUT_OF_MEMORY, why="full"))
            return
        found = measured(seconds_per_unit * work, shape)
        cells.append(GridCell(shape=shape, end=CellEnd.MEASURED, measured=found))

    asyncio.run(run_grid(grid_shapes(BASE)[1:], measure, cells=cells, budget_s=300.0))
    return tried


def test_the_grid_tries_nothing_beyond_what_ran_out_of_memory() -> None:
    cells = [cell(0.001)]
    tried = measure_by(1e-8, cells, end_at=4 * 128 * 4)
    assert len(cells) == 12
    left_out = [each for each in cells if each.end is CellEnd.LEFT_OUT]
    assert left_out
    assert not {str(each.shape) for each in left_out} & {str(shape) for shape in tried}
    assert all("ran out of memory" in each.why for each in left_out)


def test_the_grid_ends_with_its_time() -> None:
    cells = [cell(30.0)]
    tried = measure_by(30.0 / (4 * 256 * 16), cells, end_at=10**9)
    assert tried
    late = [each for each in cells if each.end is CellEnd.LEFT_OUT]
    assert late
    assert all("5 min 00 s that the grid may take" in each.why for each in late)


def test_a_projection_counts_the_batches_that_the_worker_makes() -> None:
    # Sorted: 10, 20 | 30, 300: widths 32 and 320.
    shape = Shape(batch=2, seq=64, rank=8, layers=16)
    found = project("d", [300, 10, 20, 30], measured(1.28, shape), epochs=2, max_length=2048)
    assert found is not None
    assert (found.rows, found.tokens, found.longest, found.iterations) == (4, 360, 300, 4)
    assert found.seconds == pytest.approx(2 * (64 + 640) * 0.01)
    assert "in proportion to the tokens of the measured shape" in found.assumption


def test_a_projection_cuts_at_the_longest_row() -> None:
    shape = Shape(batch=1, seq=64, rank=8, layers=16)
    found = project("d", [5000], measured(0.64, shape), epochs=1, max_length=2048)
    assert found is not None
    assert found.longest == 2048
    assert found.seconds == pytest.approx(20.47)
    assert project("d", [], measured(1.0), epochs=1, max_length=2048) is None


def test_a_projection_takes_the_nearest_measured_shape() -> None:
    long = measured(80.0, BASE.model_copy(update={"seq": 512}))
    known = [measured(10.0), long]
    assert seconds_of(4, 256, known) == pytest.approx(10.0)
    assert seconds_of(4, 1024, known) == pytest.approx(160.0)
    fewer = cell(1.0, layers=4)
    found = project("d", [1024] * 4, measured(10.0), [fewer], epochs=1, max_length=2048)
    assert found is not None
    assert found.seconds == pytest.approx(40.0), "a cell of other layers says nothing of it"
