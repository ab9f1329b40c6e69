"""What a person sees while a model is downloaded and converted."""

import sys
from collections.abc import Generator
from contextlib import contextmanager

import click

from punie.models.converter import Progress, quiet
from punie.sizes import byte_size

WORDS = {
    "download": "downloading",
    "convert": "converting",
    "wait": "waiting for another punie",
}
NOTES = {"peft": "the adapter is in PEFT's form; it is used in mlx_lm's, converted in the cache"}
"""What is told and takes no time."""


@contextmanager
def pulling(*, silent: bool = False) -> Generator[Progress]:
    """Give the callback that shows progress: bars with time left on a terminal, else a few lines.

    Nothing appears unless something is pulled.
    """
    if silent:
        yield quiet
    elif sys.stderr.isatty():
        with _bars() as progress:
            yield progress
    else:
        yield _lines()


@contextmanager
def _bars() -> Generator[Progress]:
    from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    from punie.cli.output import err

    console = err()
    columns = [TextColumn("{task.description}"), TextColumn("{task.percentage:>3.0f}%")]
    # Words, share and time left fit into 40 columns; a bar only adds to them.
    extra = [BarColumn(bar_width=20)] if console.width >= 60 else []
    tasks: dict[str, TaskID] = {}
    with Bars(*columns, *extra, TimeRemainingColumn(compact=True), console=console) as bars:

        def progress(what: str, done: int, total: int) -> None:
            if what in NOTES:
                console.print(NOTES[what])
                return
            if what not in tasks:
                tasks[what] = bars.add_task(WORDS.get(what, what), total=total or None)
            bars.update(tasks[what], completed=done, total=total or None)

        yield progress


def _lines() -> Progress:
    said: set[tuple[str, int]] = set()

    def progress(what: str, done: int, total: int) -> None:
        quarter = 4 * done // total if total else 0
        if (what, quarter) in said:
            return
        said.add((what, quarter))
        size = f" of {byte_size(total)}" if what == "download" else ""
        share = f" {25 * quarter} %{size}" if total else ""
        click.echo(f"{NOTES.get(what) or WORDS.get(what, what)}{share}", err=True)

    return progress
