import asyncio

import pytest

from punie.cli.live import facts, showing
from punie.evaluation.run import Progress


def test_the_line_says_score_faults_retries_and_time_left():
    progress = Progress(total=40, done=10, in_flight=4, faults=1, asked_again=3, score=0.5)
    assert facts(progress, 6.0) == "score 50.0 % · 1 fault · 3 asked again · 1.7/s · 15 s left"


def test_a_run_that_waits_says_why_and_promises_nothing():
    progress = Progress(total=40, done=10, note="the server is being restarted", score=0.5)
    said = facts(progress, 6.0)
    assert said == "the server is being restarted · score 50.0 % · 1.7/s"


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
