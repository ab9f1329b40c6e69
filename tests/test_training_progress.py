"""A training's progress: what its events add up to."""

import pytest

from punie.records.training import (
    Ended,
    Ending,
    Loaded,
    ResolvedPlan,
    Saved,
    Started,
    Step,
    TrainEvent,
    Validated,
)
from punie.training.progress import CURVE_POINTS, Progress

PLAN = ResolvedPlan(
    layers=2, learning_rate=1e-4, iterations=10, validate_every=2, checkpoint_every=2, batch_size=4
)


def step(number: int, loss: float = 1.0, seconds: float = 0.5) -> Step:
    return Step(
        step=number, loss=loss, learning_rate=1e-4, tokens=20, seconds=seconds, memory_bytes=number
    )


def validated(number: int, loss: float) -> Validated:
    return Validated(step=number, loss=loss, tokens=9, seconds=1.0, best=False)


def saved(number: int) -> Saved:
    return Saved(step=number, file=f"checkpoints/{number:07d}.safetensors", seconds=0.25)


def started(number: int = 0, *, exact: bool = True) -> Started:
    return Started(step=number, exact=exact, machine={"device": "cpu"})


def after(*events: TrainEvent, iterations: int = 10) -> Progress:
    progress = Progress(iterations)
    for event in events:
        progress.note(event)
    return progress


def test_the_earliest_of_equal_checkpoints_is_kept() -> None:
    progress = after(
        *(started(), step(2), validated(2, 0.5), saved(2)),
        *(step(4), validated(4, 0.4), saved(4), step(6), validated(6, 0.4), saved(6)),
    )
    chosen = progress.chosen()
    assert (chosen.step, chosen.by, chosen.value) == (4, "validation loss", 0.4)
    assert chosen.candidates == {2: 0.5, 4: 0.4, 6: 0.4}


def test_a_validation_without_its_checkpoint_cannot_be_kept() -> None:
    progress = after(started(), validated(2, 0.5), saved(2), validated(4, 0.1))
    assert progress.chosen().step == 2


def test_without_validation_the_last_checkpoint_is_kept() -> None:
    chosen = after(started(), step(1), saved(1), step(2), saved(2)).chosen()
    assert (chosen.step, chosen.by, chosen.value) == (2, "last", None)


def test_what_a_killed_part_did_after_its_checkpoint_counts_once() -> None:
    progress = after(
        *(started(), step(1, 9.0), step(2, 9.0), validated(2, 5.0), saved(2), step(3, 7.0)),
        *(started(2), step(3, 3.0), step(4, 3.0), validated(4, 4.0), saved(4)),
        Ended(step=4, ending=Ending.DONE, seconds=2.0, peak_memory_bytes=99),
    )
    assert [each.loss for each in progress.steps] == [9.0, 9.0, 3.0, 3.0]
    training = progress.training(PLAN, started_at="2026-01-01T00:00:00+00:00", train_rows=9)
    assert (training.steps, training.parts, training.exact) == (4, 2, True)
    assert training.tokens == 80
    assert training.seconds == pytest.approx(4 * 0.5 + 2 * 1.0 + 2 * 0.25)
    assert training.epochs == round(4 / 3, 3)  # nine rows in batches of four are three
    assert training.peak_memory_bytes == 99


def test_what_a_worker_says_again_when_it_goes_on_counts_once() -> None:
    again = Saved(step=2, file="checkpoints/0000002.safetensors", seconds=0.0)
    progress = after(
        *(started(), step(2), validated(2, 5.0), saved(2)),
        *(started(2), validated(2, 5.0), again, step(3), saved(3)),
    )
    training = progress.training(PLAN, started_at="2026-01-01T00:00:00+00:00", train_rows=9)
    assert training.seconds == pytest.approx(2 * 0.5 + 1.0 + 2 * 0.25)
    assert len(progress.validations) == 1


def test_one_part_that_is_not_exact_makes_the_whole_so() -> None:
    progress = after(started(), step(1), saved(1), started(1, exact=False), step(2), started(2))
    assert not progress.exact


def test_the_curve_is_short_and_leaves_no_iteration_out() -> None:
    losses = [1 / (1 + i) for i in range(1, 1001)]
    progress = after(
        started(),
        *(step(i, loss) for i, loss in enumerate(losses, 1)),
        validated(500, 0.25),
        iterations=1000,
    )
    points = progress.losses()
    train = [point.train for point in points if point.train is not None]
    assert len(train) == CURVE_POINTS
    assert sum(train) / len(train) == pytest.approx(sum(losses) / len(losses))
    assert [point.valid for point in points if point.valid is not None] == [0.25]


def test_the_first_iteration_compiles_and_does_not_count_for_the_pace() -> None:
    progress = after(started(), step(1, seconds=30.0), step(2, seconds=1.0), step(3, seconds=3.0))
    assert progress.seconds_per_iteration == 2.0
    assert progress.seconds_left == pytest.approx(7 * 2.0)


def test_time_left_counts_the_validations_to_come() -> None:
    progress = after(
        started(), step(1), step(2), validated(2, 1.0), step(3), step(4), validated(4, 1.0)
    )
    assert progress.seconds_left == pytest.approx(6 * 0.5 + 3 * 1.0)


def test_what_goes_on_after_an_iteration_may_be_a_validation() -> None:
    progress = Progress(5, validates=True, validate_every=2)
    said: list[bool] = []
    for event in (started(), step(1), step(2), validated(2, 1.0), step(3), step(4), step(5)):
        progress.note(event)
        said.append(progress.validating)
    assert said == [False, False, True, False, False, True, True]
    assert not after(started(), step(1)).validating


def test_a_part_that_begins_again_loads_again() -> None:
    loaded = Loaded(parameters=9, trainable=3, modules=2, layers=2, memory_bytes=1, seconds=1.0)
    progress = after(loaded, started(), step(1))
    progress.begin_part()
    assert progress.loaded is None
    assert progress.started is None
    assert progress.step == 1
