"""What a person sees while a benchmark runs: what is being measured, and how long it may take."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import click

from punie.cli.live import LINE_EVERY_S, REFRESH_S, watched
from punie.records.training import Loaded, Probed, Step, TrainEvent
from punie.reporting.numbers import duration, time_left
from punie.training.benchmark_recorder import ENOUGH, WARMUP


@dataclass(slots=True)
class Doing:
    """What is going on now; whoever does it writes it here."""

    stage: str = ""
    detail: str = ""
    then: str = ""
    """What comes after the stage, and how long that takes at most."""
    ends_at: float | None = None
    """On the monotonic clock, about; None where nobody knows."""
    steps: list[float] = field(default_factory=list[float])

    def begin(self, stage: str, *, most_s: float | None = None, then: str = "") -> None:
        """Begin with something that takes about so many seconds."""
        self.stage, self.detail, self.then, self.steps = stage, "", then, []
        self.ends_at = None if most_s is None else time.monotonic() + most_s

    def note(self, detail: str) -> None:
        """Say what of it is being done."""
        self.detail = detail

    def event(self, event: TrainEvent, iterations: int) -> None:
        """Take in an event of the worker that is being timed."""
        match event:
            case Loaded():
                self.detail = "first pass, which compiles"
            case Probed():
                self.detail = f"a pass takes {duration(event.seconds)}"
            case Step():
                self.steps.append(event.seconds)
                done = event.step - WARMUP
                name = f"iteration {done} of {iterations}" if done > 0 else "warming up"
                self.detail = f"{name}, {duration(event.seconds)}"
            case _:
                pass

    def pace(self, iterations: int, *, until: float | None) -> None:
        """Judge the time left by the iterations so far, and by the budget's end where it has one.

        A budget does not end before there are enough iterations.
        """
        if not self.steps:
            return
        now, pace = time.monotonic(), sum(self.steps) / len(self.steps)
        done = len(self.steps) - WARMUP
        self.ends_at = now + (iterations - done) * pace
        if until is not None:
            self.ends_at = min(self.ends_at, max(until, now + (ENOUGH - done) * pace))

    @property
    def said(self) -> str:
        """All of it in one line."""
        parts = [self.stage, self.detail]
        if self.ends_at is not None:
            left = self.ends_at - time.monotonic()
            parts.append(f"about {time_left(left)} left" if left > 0 else "nearly done")
        return " · ".join(part for part in (*parts, self.then) if part)


@asynccontextmanager
async def showing_benchmark(doing: Doing, *, quiet: bool = False) -> AsyncGenerator[None]:
    """Show what is being done on stderr until the block ends."""
    if quiet:
        yield
        return
    shower = asyncio.create_task(_live(doing) if watched() else _lines(doing))
    try:
        yield
    finally:
        shower.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await shower


async def _live(doing: Doing) -> None:
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status("") as status:
        while True:
            status.update(Text(doing.said))
            await asyncio.sleep(REFRESH_S)


async def _lines(doing: Doing) -> None:
    """A line where something else begins, and now and then."""
    stage, due = "", 0.0
    while True:
        now = time.monotonic()
        if doing.stage and (doing.stage != stage or now >= due):
            stage, due = doing.stage, now + LINE_EVERY_S
            click.echo(doing.said, err=True)
        await asyncio.sleep(REFRESH_S)
