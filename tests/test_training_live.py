"""What is shown while a model is trained: the line's facts, whatever a training's state."""

import asyncio
import math

import pytest

from punie.cli import training_live
from punie.cli.training_live import LOADING, PROBING, facts, showing_training, waiting_for
from punie.records.training import (
    Ended,
    Ending,
    Loaded,
    Probed,
    Saved,
    Started,
    Step,
    TrainEvent,
    Validated,
)
from punie.training.progress import Progress

LOADED = Loaded(parameters=9, trainable=3, modules=2, layers=2, memory_bytes=1, seconds=1.0)
PROBED = Probed(rows=4, tokens=64, seconds=0.5, first_seconds=9.0, peak_memory_bytes=2_000_000_000)
STARTED = Started(step=0, exact=True, machine={})


def step(number: int, loss: float, seconds: float = 2.0) -> Step:
    return Step(
        step=number,
        loss=loss,
        learning_rate=1e-4,
        tokens=20,
        seconds=seconds,
        memory_bytes=3_000_000_000,
    )


def validated(number: int, loss: float) -> Validated:
    return Validated(step=number, loss=loss, tokens=9, seconds=1.0, best=True)


def after(*events: TrainEvent) -> Progress:
    progress = Progress(10, validates=True, validate_every=4)
    for event in events:
        progress.note(event)
    return progress


def test_before_the_first_iteration_the_line_says_what_it_waits_for() -> None:
    assert facts(after()) == waiting_for(after()) == LOADING
    assert facts(after(LOADED)) == PROBING
    assert facts(after(LOADED, PROBED)) == PROBING
    begun = after(LOADED, STARTED)
    assert waiting_for(begun) == ""
    assert facts(begun) == "the first iteration compiles"


def test_the_line_has_loss_pace_memory_and_the_time_left() -> None:
    progress = after(LOADED, PROBED, STARTED, step(1, 4.0, 60.0), step(2, 3.0), step(3, 2.0))
    line = facts(progress)
    assert line.startswith("loss 3.000 ")
    curve = line.removeprefix("loss 3.000 ").split("  ")[0]
    assert len(curve) == 3
    assert curve[0] > curve[1] > curve[2]
    assert "2.00 s/it" in line
    assert "  3 GB  " in line
    assert line.endswith("  15 s left")  # seven more of two seconds, rounded; the first compiled
    assert "best" not in line


def test_the_loss_is_that_of_the_last_ten_iterations() -> None:
    steps = [step(number, 100.0 if number <= 5 else 1.0) for number in range(1, 16)]
    assert facts(after(LOADED, STARTED, *steps)).startswith("loss 1.000 ")


def test_a_validation_is_said_while_it_goes_on_and_then_the_best_one() -> None:
    four = [step(number, 2.0) for number in range(1, 5)]
    going = facts(after(LOADED, STARTED, *four))
    assert going.startswith("validating  loss 2.000")
    assert "left" not in going
    done = facts(after(LOADED, STARTED, *four, validated(4, 1.25)))
    assert "validating" not in done
    assert "best 1.250 at 4" in done
    assert "left" in done


def test_of_two_validations_the_lower_one_is_the_best() -> None:
    progress = after(
        *(LOADED, STARTED, *(step(number, 2.0) for number in range(1, 5)), validated(4, 1.25)),
        *(*(step(number, 2.0) for number in range(5, 9)), validated(8, 1.5)),
    )
    assert "best 1.250 at 4" in facts(progress)


def test_a_stop_is_said_first_and_no_time_is_left() -> None:
    line = facts(after(LOADED, STARTED, step(1, 2.0), step(2, 2.0)), stopping=True)
    assert line.startswith("stopping after this iteration  loss 2.000")
    assert "left" not in line
    assert facts(after(LOADED), stopping=True) == PROBING


def test_a_loss_that_is_not_a_number_can_be_shown() -> None:
    assert "nan" in facts(after(LOADED, STARTED, step(1, 1.0), step(2, math.nan)))


def test_a_training_that_goes_on_waits_for_its_model_again() -> None:
    progress = after(LOADED, STARTED, step(1, 2.0), Saved(step=1, file="1", seconds=0.1))
    progress.begin_part()
    assert facts(progress) == LOADING


async def shown(
    events: list[TrainEvent], monkeypatch: pytest.MonkeyPatch, *, quiet: bool = False
) -> None:
    """Tell a training's events one by one, each when the printer has looked at the one before."""
    monkeypatch.setattr(training_live, "REFRESH_S", 0)
    progress = after()
    async with showing_training(progress, asyncio.Event(), quiet=quiet):
        for event in (None, *events):
            if event is not None:
                progress.note(event)
            for _ in range(3):  # turns of the loop, and so looks of the printer
                await asyncio.sleep(0)


EVENTS: list[TrainEvent] = [
    LOADED,
    STARTED,
    *(step(number, 2.0) for number in range(1, 5)),
    validated(4, 1.25),
    Ended(step=4, ending=Ending.EARLY, seconds=9.0, peak_memory_bytes=1),
]


async def test_where_nobody_watches_there_is_a_line_for_each_phase_and_validation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await shown(EVENTS, monkeypatch)
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert lines[:2] == [LOADING, PROBING]
    (validation,) = lines[2:]
    assert validation.startswith("4/10  ")
    assert "best 1.250 at 4" in validation


async def test_quiet_is_quiet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await shown(EVENTS, monkeypatch, quiet=True)
    assert capsys.readouterr() == ("", "")
