"""What a person sees while a model is trained.

On a terminal a live line, elsewhere a line now and then and one for each validation.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from statistics import fmean

import click

from punie.cli.live import LINE_EVERY_S, REFRESH_S, watched
from punie.records.preflight import Preflight
from punie.training.preflight import shown_lengths
from punie.training.progress import Progress

SPARKS = 16
LOADING = "loading the model, reading the rows"
PROBING = "trying the longest batch"


def say_what_comes(
    name: str, preflight: Preflight, notes: Sequence[str], *, quiet: bool = False
) -> None:
    """Say on stderr what was chosen, and what was found in the data, before the training begins."""
    if quiet:
        return
    from punie.cli.output import err, safe
    from punie.reporting.training import findings_table, plan_line, where_line

    console = err()
    where = where_line(preflight)
    line = f"training {name}{f' on {where}' if where else ''}: {plan_line(preflight.plan)}"
    console.print(safe(line), soft_wrap=True)
    console.print(safe(shown_lengths(preflight.lengths)), soft_wrap=True)
    for note in (*notes, *preflight.notes):
        console.print(safe(note), soft_wrap=True)
    if preflight.report.findings:
        console.print(findings_table(preflight.report.findings))


@asynccontextmanager
async def showing_training(
    progress: Progress, stop: asyncio.Event, *, quiet: bool = False
) -> AsyncGenerator[None]:
    """Show a training's progress until the block ends; once `stop` is set, that it is stopping."""
    if quiet:
        yield
        return
    shower = asyncio.create_task(_live(progress, stop) if watched() else _lines(progress, stop))
    try:
        yield
    finally:
        shower.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await shower


async def _live(progress: Progress, stop: asyncio.Event) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn
    from rich.progress import Progress as Bars

    columns = (
        SpinnerColumn(),
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TextColumn("{task.fields[facts]}", markup=False),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("", total=progress.iterations, facts="")
        while True:
            bars.update(
                task, completed=progress.step, facts=facts(progress, stopping=stop.is_set())
            )
            await asyncio.sleep(REFRESH_S)


async def _lines(progress: Progress, stop: asyncio.Event) -> None:
    since = time.monotonic()
    due = since + LINE_EVERY_S
    validations, phase = len(progress.validations), ""
    while True:
        await asyncio.sleep(REFRESH_S)
        now = time.monotonic()
        began, phase = waiting_for(progress) != phase, waiting_for(progress)
        since = now if began else since
        if now < due and len(progress.validations) == validations and not (began and phase):
            continue
        due, validations = now + LINE_EVERY_S, len(progress.validations)
        place = f"{progress.step}/{progress.iterations}  " if progress.started else ""
        waited = f", {now - since:.0f} s so far" if phase and not began else ""
        click.echo(f"{place}{facts(progress, stopping=stop.is_set())}{waited}", err=True)


def waiting_for(progress: Progress) -> str:
    """What goes on before the first iteration; empty once it has begun."""
    if progress.started is not None:
        return ""
    return LOADING if progress.loaded is None else PROBING


def facts(progress: Progress, *, stopping: bool = False) -> str:
    """Loss and its way, best validation, pace, memory and time left, in one short line."""
    from punie.reporting.loss import sparkline
    from punie.reporting.numbers import duration, time_left
    from punie.sizes import byte_size

    if waiting := waiting_for(progress):
        return waiting
    parts = ["stopping after this iteration"] if stopping else []
    if progress.steps:
        recent = [each.loss for each in progress.steps[-10:]]
        curve = [point.train for point in progress.losses() if point.train is not None]
        parts.append(f"loss {fmean(recent):.3f} {sparkline(curve, SPARKS)}")
    if best := progress.best:
        parts.append(f"best {best.loss:.3f} at {best.step}")
    if (pace := progress.seconds_per_iteration) is not None:
        parts.append(f"{duration(pace)}/it")
    if progress.peak_memory_bytes:
        parts.append(byte_size(progress.peak_memory_bytes))
    if progress.validating:
        parts.insert(0, "validating")
    elif (left := progress.seconds_left) is not None and not stopping:
        parts.append(f"{time_left(left)} left")
    return "  ".join(parts) or "the first iteration compiles"
