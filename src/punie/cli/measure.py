"""Putting an eval together: what was asked for, a served model, a store, a report, an entry."""

import asyncio
import contextlib
import signal
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from punie.cli.live import showing, watched
from punie.cli.served import served
from punie.cli.wish import Wish, chosen_suite
from punie.cli.written import summary_file, write_report, write_results
from punie.errors import InputError, PunieError, StoreError
from punie.evaluation.run import (
    DEFAULT_CONCURRENCY,
    Progress,
    new_run,
    new_run_id,
    run_evaluation,
)
from punie.records.run import EvalReport, Run, RunStatus
from punie.records.suite import EvalSuite
from punie.serving.endpoint import Endpoint
from punie.settings import Loaded
from punie.store.export import format_of
from punie.store.provenance import provenance
from punie.store.runs import RunStore
from punie.store.writer import OutcomeWriter


@dataclass(frozen=True, slots=True)
class Measured:
    """A finished eval and where its parts are."""

    report: EvalReport
    report_html: Path
    entry: Path | None
    output: Path | None
    unwritten: bool = False
    """Something of it could not be written; the warnings say what."""
    warnings: tuple[str, ...] = ()
    next_steps: tuple[str, ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """The data of the command's JSON envelope."""
        return {
            "run": self.report.run.model_dump(mode="json"),
            "report": str(self.report_html),
            "journal": str(self.entry) if self.entry else None,
            "output": str(self.output) if self.output else None,
        }


async def measure(wish: Wish, settings: Loaded) -> Measured:
    """Serve the model, ask the suite, keep and show what came back.

    Raises InputError for what cannot be asked, ModelError, ServerError or EndpointError where
    nothing can be measured, StoreError where nothing could be kept.
    """
    if wish.output:
        format_of(wish.output.name)
        if wish.output.is_dir():
            raise InputError(f"{wish.output} is a folder", hint="give a file in it")
    if wish.journal is not None:
        if settings.values.journal.entries == "never":
            raise InputError("journal is set to never here", hint="punie config shows where")
        if not wish.journal.strip():
            raise InputError("the goal of a journal entry is empty")
    suite = chosen_suite(wish, settings)
    with RunStore(settings.project) as store:
        run_id = new_run_id()
        folder = store.run_folder(run_id)
        async with served(wish, settings, folder / "server.log") as endpoint:
            run = _head(wish, settings, suite, endpoint, run_id)
            store.create(run, suite)
            report = await _ask_all(wish, suite, endpoint, run, store)
        return _finish(wish, settings, store, report)


def _head(wish: Wish, settings: Loaded, suite: EvalSuite, endpoint: Endpoint, run_id: str) -> Run:
    run = new_run(
        suite,
        endpoint,
        run_id=run_id,
        concurrency=wish.concurrency or settings.values.concurrency or DEFAULT_CONCURRENCY,
        repeats=wish.repeats,
        tools=wish.tools or settings.values.tools,
    )
    filters = {"category": wish.category, "role": wish.role, "tag": wish.tag}
    selection = {name: value for name, value in filters.items() if value is not None}
    if wish.sample:
        selection |= {"sample": str(wish.sample), "seed": str(wish.seed or 0)}
    return run.model_copy(
        update={
            "selection": selection,
            "provenance": provenance(wish.argv, settings.project),
        }
    )


async def _ask_all(
    wish: Wish, suite: EvalSuite, endpoint: Endpoint, run: Run, store: RunStore
) -> EvalReport:
    """Run the evaluation with progress and Ctrl-C; whatever happens, the run's head says so."""
    progress = Progress(total=len(suite.prompts) * run.repeats)
    ended = RunStatus.FAILED
    report = None
    try:
        async with OutcomeWriter(store, run.id) as writer, showing(progress, quiet=wish.quiet):
            with _stop_on_signal() as stop:
                report = await run_evaluation(
                    suite, endpoint, run=run, record=writer.write, progress=progress, stop=stop
                )
        store.update(report.run)
    except asyncio.CancelledError:
        ended = RunStatus.INTERRUPTED
        raise
    else:
        return report
    finally:
        if report is None:
            # What went wrong is on its way up already; a full disk must not hide it.
            with contextlib.suppress(StoreError):
                store.update(run.model_copy(update={"status": ended}))


@contextlib.contextmanager
def _stop_on_signal() -> Generator[asyncio.Event]:
    """The first Ctrl-C (or TERM) ends the run after what is in flight, the second at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    def interrupted() -> None:
        if stop.is_set():
            if task:
                task.cancel()
            return
        stop.set()
        if watched():
            click.echo(err=True)  # the progress line is there
        click.echo(
            "ending after the prompts in flight; Ctrl-C again to end now (all is kept)", err=True
        )

    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, interrupted)
    try:
        yield stop
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _finish(wish: Wish, settings: Loaded, store: RunStore, report: EvalReport) -> Measured:
    """Write what the run leaves behind: the HTML report, the results file, the journal entry.

    What cannot be written is a warning: the run is kept and its table is shown all the same.
    """
    run = report.run
    unwritten: list[str] = []
    html = store.run_folder(run.id) / "report.html"
    entry = None
    with _noting(unwritten, "the report"):
        write_report(store, report, html)
    if wish.output:
        with _noting(unwritten, "the results"):
            write_results(store, run, wish.output)
    wanted = settings.values.journal.entries
    if wish.journal or (wanted == "always" and run.status is RunStatus.DONE):
        from punie.journal.entry import write_entry

        with _noting(unwritten, "the journal entry"):
            entry = write_entry(
                settings.project,
                report,
                store.rows(run.id),
                goal=wish.journal or f"Measure {run.model.name} on {run.suite_name}.",
                text=settings.values.journal.text,
            )
    return Measured(
        report=report,
        report_html=html,
        entry=entry,
        output=wish.output,
        unwritten=bool(unwritten),
        warnings=(*unwritten, *_warnings(wish, report)),
        next_steps=tuple(_next_steps(wish, report, html, entry, settings)),
    )


@contextlib.contextmanager
def _noting(unwritten: list[str], what: str) -> Generator[None]:
    try:
        yield
    except PunieError as error:
        unwritten.append(f"{what} could not be written: {error.message}")
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        unwritten.append(f"{what} could not be written: {place}{error.strerror or error}")


def _warnings(wish: Wish, report: EvalReport) -> Iterator[str]:
    run = report.run
    if wish.repeats > 1 and run.sampling.temperature == 0:
        yield "repeats at temperature 0 draw the same answer again; give --temperature to vary them"
    if run.status is RunStatus.FAILED:
        yield "the run ended early: nobody answered any more"


def _next_steps(
    wish: Wish, report: EvalReport, html: Path, entry: Path | None, settings: Loaded
) -> Iterator[str]:
    run = report.run
    yield f"report   {_short(html)}"
    if wish.output:
        yield f"results  {wish.output}, {summary_file(wish.output).name}"
    if entry:
        yield f"journal  {_short(entry)}"
    if run.model.builtin_demo and not settings.configured:
        yield "This was the demo model, not yours. Next:"
        yield "  punie report last --open"
        again = f"punie eval {wish.suite or 'baseline'} --model PATH_OR_HUB_ID"
        yield f"  {again}"
        yield f'  {again} --journal "first baseline"'
    elif report.summary.faults:
        yield f"  punie runs show {run.id}   what could not be measured, and why"


def _short(path: Path) -> str:
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)
