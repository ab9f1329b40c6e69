"""Ctrl-C and TERM, from a command's first moment to its last: asked once, it ends in good order.

While prompts or requests are in flight the first signal lets them end. At any other time, and for
the second signal, the task is cancelled: what is open is closed, a server is given its grace. A
further one cancels the grace too.
"""

import asyncio
import signal
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

import click

from punie.cli.live import watched

NUMBERS = (signal.SIGINT, signal.SIGTERM)
PATIENCE = 3
"""After so many signals even code that does not wait for anything is interrupted."""
ENDING = "ending after the prompts in flight; Ctrl-C again to end now (all is kept)"


class Signals:
    """What the person has asked for so far."""

    def __init__(self, task: "asyncio.Task[object]") -> None:
        self._task = task
        self._loop = asyncio.get_running_loop()
        self._stop: asyncio.Event | None = None
        self._said = ""
        self._cancels = 0

    def hear(self, _number: int, _frame: FrameType | None) -> None:
        """Handle a signal; runs between two instructions of whatever the main thread does."""
        stop = self._stop
        if stop is not None and not stop.is_set():
            self._stop = None
            self._loop.call_soon_threadsafe(_end_softly, stop, self._said)
            return
        self._cancels += 1
        if self._cancels >= PATIENCE:
            raise KeyboardInterrupt
        self._loop.call_soon_threadsafe(self._task.cancel)

    @contextmanager
    def draining(self, said: str = ENDING) -> Generator[asyncio.Event]:
        """Give the event that the first signal sets, instead of cancelling; `said` is then said."""
        self._said = said
        self._stop = asyncio.Event()
        try:
            yield self._stop
        finally:
            self._stop = None


def _end_softly(stop: asyncio.Event, said: str) -> None:
    stop.set()
    if said:
        if watched():
            click.echo(err=True)  # the progress line is there
        click.echo(said, err=True)


@contextmanager
def signals() -> Generator[Signals]:
    """Handle both signals while the block runs."""
    task = asyncio.current_task()
    assert task is not None
    heard = Signals(task)
    before = {number: signal.signal(number, heard.hear) for number in NUMBERS}
    try:
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
