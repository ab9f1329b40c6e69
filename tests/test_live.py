import asyncio

import pytest

from punie.cli.live import Silence, facts, showing
from punie.evaluation.run import Progress


def test_the_line_says_score_faults_retries_and_time_left():
    progress = Progress(total=40, done=10, in_flight=4, faults=1, asked_again=3, score=0.5)
    assert facts(progress, 6.0) == "score 50.0 % · 1 fault · 3 asked again · 2/s · 15 s left"


def test_a_run_that_waits_says_why_and_promises_nothing():
    progress = Progress(total=40, done=10, note="the server is being restarted", score=0.5)
    said = facts(progress, 6.0)
    assert said == "the server is being restarted · score 50.0 % · 1.7/s"


def test_a_request_that_hangs_makes_no_time_left():
    progress = Progress(total=40, done=39, in_flight=1, score=0.5)
    assert facts(progress, 40.0, 5.0).endswith("s left")
    assert facts(progress, 219.0, 180.0) == "score 50.0 % · 1 in flight for 3 min 00 s"


def test_slow_batches_do_not_hang():
    progress = Progress(total=40, done=16, in_flight=8)
    assert facts(progress, 90.0, 30.0).endswith("left")


def test_silence_begins_anew_with_each_answer():
    progress = Progress(total=4)
    silence = Silence(10.0)
    assert silence.seconds(progress, 14.0) == 4.0
    progress.done = 1
    assert silence.seconds(progress, 15.0) == 0.0
    assert silence.seconds(progress, 18.0) == 3.0


def test_a_run_that_was_asked_to_end_promises_nothing():
    progress = Progress(total=40, done=10, in_flight=3, score=0.5, stop=asyncio.Event())
    assert progress.stop
    assert facts(progress, 6.0).endswith("left")
    progress.stop.set()
    assert facts(progress, 6.0) == "ending: 3 in flight · score 50.0 % · 1.9/s"


def test_a_note_can_do_nothing_to_the_terminal():
    said = facts(Progress(total=1, note="[red]\x1b[31m\r\n" + "x" * 1000), 1.0)
    assert said.startswith("[red]␛[31m x")
    assert len(said) <= 80


async def test_a_wait_is_said_at_once_where_nobody_watches(capfd: pytest.CaptureFixture[str]):
    progress = Progress(total=4)
    async with showing(progress):
        progress.note = "the endpoint asked for a pause"
        said = ""
        async with asyncio.timeout(10):
            while not said:
                await asyncio.sleep(0.01)
                said = capfd.readouterr().err
    assert said.startswith("0/4  the endpoint asked for a pause")
