"""What a person sees while they wait: on a terminal a live line, elsewhere a line now and then."""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from punie.evaluation.run import Progress

REFRESH_S = 0.2
LINE_EVERY_S = 20.0
NOTE_LENGTH = 80
SEVERAL = 4
"""Times the usual wait after which the pace so far says nothing of the time left."""
SILENT_S = 10.0
"""A shorter silence is never remarkable."""


def watched() -> bool:
    """Whether somebody looks at stderr on a terminal."""
    return sys.stderr.isatty()


@contextmanager
def waiting_for(what: str, *, quiet: bool = False) -> Generator[None]:
    """Show that something of unknown length goes on, with the seconds so far."""
    if quiet:
        yield
        return
    if not watched():
        click.echo(what, err=True)
        yield
        return
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        bars.add_task(what)
        yield


@asynccontextmanager
async def showing(progress: "Progress", *, quiet: bool = False) -> AsyncGenerator[None]:
    """Show a run's progress until the block ends."""
    if quiet:
        yield
        return
    shower = asyncio.create_task(_live(progress) if watched() else _lines(progress))
    try:
        yield
    finally:
        shower.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await shower


async def _live(progress: "Progress") -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn
    from rich.progress import Progress as Bars

    columns = (
        SpinnerColumn(),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[facts]}", markup=False),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("", total=progress.total or None, facts="")
        began = time.monotonic()
        silence = Silence(began)
        while True:
            now = time.monotonic()
            bars.update(
                task,
                total=progress.total or None,
                completed=progress.done,
                facts=facts(progress, now - began, silence.seconds(progress, now)),
            )
            await asyncio.sleep(REFRESH_S)


async def _lines(progress: "Progress") -> None:
    """A line now and then, and at once where the run begins to wait for something."""
    began = due = time.monotonic()
    due += LINE_EVERY_S
    silence = Silence(began)
    note = ""
    while True:
        await asyncio.sleep(REFRESH_S)
        now = time.monotonic()
        silent_s = silence.seconds(progress, now)
        began_to_wait, note = bool(progress.note and progress.note != note), progress.note
        if now >= due or began_to_wait:
            said = facts(progress, now - began, silent_s)
            click.echo(f"{progress.done}/{progress.total}  {said}", err=True)
            due = now + LINE_EVERY_S


class Silence:
    """How long no answer has come, by looking at the progress now and then."""

    def __init__(self, now: float) -> None:
        self._done = 0
        self._since = now

    def seconds(self, progress: "Progress", now: float) -> float:
        """Seconds since a look found another number of answers."""
        if progress.done != self._done:
            self._done, self._since = progress.done, now
        return now - self._since


def facts(progress: "Progress", elapsed_s: float, silent_s: float = 0.0) -> str:
    """Running score, faults, retries, rate and time left, in one short line.

    While the run waits, what it waits for comes first. No time left is promised while it waits,
    once nothing has come for much longer than is usual, or once the run was asked to end.
    """
    from punie.reporting.numbers import counted, duration, percent, time_left
    from punie.text import one_line

    parts = [one_line(progress.note, NOTE_LENGTH)] if progress.note else []
    ending = progress.stop is not None and progress.stop.is_set()
    if ending:
        parts.append(f"ending: {progress.in_flight} in flight")
    if progress.score is not None:
        parts.append(f"score {percent(progress.score)}")
    if progress.faults:
        parts.append(counted(progress.faults, "fault"))
    if progress.asked_again:
        parts.append(f"{progress.asked_again} asked again")
    done = progress.done - progress.done_before
    if done and elapsed_s > 0 and not _hangs(progress, done, elapsed_s, silent_s):
        # What is in flight is half done on average; without it the first answers of a batch, which
        # all come late and together, would promise hours.
        rate = (done + progress.in_flight / 2) / elapsed_s
        left = progress.total - progress.done - progress.in_flight / 2
        parts.append(f"{rate:.2g}/s" if rate < 100 else f"{rate:.0f}/s")
        if not (progress.note or ending):
            parts.append(f"{time_left(left / rate)} left")
    elif progress.in_flight and not ending:
        waited_s = silent_s if done else elapsed_s
        parts.append(f"{progress.in_flight} in flight for {duration(waited_s)}")
    return " · ".join(parts)


def _hangs(progress: "Progress", done: int, elapsed_s: float, silent_s: float) -> bool:
    """Whether nothing has come for several times as long as all in flight take together."""
    usual_s = (elapsed_s - silent_s) / done * max(1, progress.in_flight)
    return progress.in_flight > 0 and silent_s > max(SILENT_S, SEVERAL * usual_s)
