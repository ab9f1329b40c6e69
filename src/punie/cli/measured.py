"""What an eval leaves behind: its report, results file, journal entry, and what is said of them."""

import contextlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from punie.analysis.resume_command import resume_command
from punie.cli.adapter import adapter_of, note_result, trained_on
from punie.cli.judging import JudgedRun
from punie.cli.wish import Wish
from punie.cli.written import summary_file, write_report, write_results
from punie.errors import EXIT_OK, PunieError
from punie.records.run import EvalReport, Run, RunStatus
from punie.settings import Loaded
from punie.store.judgements import judged_answers
from punie.store.runs import RunStore


@dataclass(frozen=True, slots=True)
class Measured:
    """A finished eval and where its parts are."""

    report: EvalReport = field(repr=False)
    """Left out of the text form, which asyncio writes of a finished task: it is megabytes."""
    report_html: Path
    entry: Path | None
    output: Path | None
    unwritten: bool = False
    """Something of it could not be written; the warnings say what."""
    judging: int = EXIT_OK
    """The exit code of its judging."""
    warnings: tuple[str, ...] = ()
    next_steps: tuple[str, ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """The data of the command's JSON envelope."""
        return {
            "run": self.report.run.model_dump(mode="json"),
            "report": str(self.report_html),
            "journal": str(self.entry) if self.entry else None,
            "output": str(self.output) if self.output else None,
            "resume": resume_command(self.report.run, self.report.summary) or None,
        }


def finish(wish: Wish, settings: Loaded, store: RunStore, report: EvalReport) -> Measured:
    """Write what the run leaves behind: the HTML report, the results file, the journal entry.

    What cannot be written is a warning: the run is kept and its table is shown all the same.
    """
    run = report.run
    unwritten: list[str] = []
    html = store.run_folder(run.id) / "report.html"
    entry = written = None
    with _noting(unwritten, "the report"):
        write_report(store, report, html)
    if wish.output:
        with _noting(unwritten, "the results"):
            write_results(store, run, wish.output)
    if run.status is RunStatus.DONE and run.decided_after is None:
        with _noting(unwritten, "the adapter's card"):
            note_result(adapter_of(wish, settings), run, settings.project)
    if goal := _goal(wish, settings, run):
        from punie.journal.entry import write_entry
        from punie.journal.folder import entries_of

        with _noting(unwritten, "the journal entry"):
            # A run that has its entry gets no second one from being resumed.
            entry = next(iter(entries_of(settings.project, run.id)), None)
            if entry is None:
                entry = written = write_entry(
                    settings.project,
                    report,
                    store.rows(run.id),
                    goal=goal,
                    dataset=trained_on(run, settings.project),
                    text=settings.values.journal.text,
                    judged=judged_answers(settings.project, run),
                )
    return Measured(
        report=report,
        report_html=html,
        entry=entry,
        output=wish.output,
        unwritten=bool(unwritten),
        warnings=(*unwritten, *_warnings(wish, report)),
        next_steps=tuple(_next_steps(wish, report, html, written, settings)),
    )


def with_judge(measured: Measured, judged: JudgedRun | None) -> Measured:
    """The eval with what its judge has to tell, and how the judging ended."""
    if judged is None:
        return measured
    warnings = (*measured.warnings, *judged.notes)
    return replace(measured, warnings=warnings, judging=judged.exit_code)


def _goal(wish: Wish, settings: Loaded, run: Run) -> str | None:
    """The goal of the journal entry that is due now, None where none is.

    A run that was cut short is journaled once it is complete.
    """
    if run.status is not RunStatus.DONE:
        return None
    always = settings.values.journal.entries == "always"
    return wish.journal or (f"Measure {run.model.name} on {run.suite_name}." if always else None)


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
    if run.repeats > 1 and run.sampling.temperature == 0:
        yield "repeats at temperature 0 draw the same answer again; give --temperature to vary them"
    if run.status is RunStatus.FAILED:
        yield "the run ended early: nobody answered any more"
    if wish.journal and run.status is not RunStatus.DONE:
        yield "the journal entry is written once the run is complete"


def _next_steps(
    wish: Wish, report: EvalReport, html: Path, entry: Path | None, settings: Loaded
) -> Iterator[str]:
    run = report.run
    yield f"report   {_short(html)}"
    if wish.output:
        yield f"results  {wish.output}, {summary_file(wish.output).name}"
    if entry:
        yield f"journal  {_short(entry)}"
        yield "  punie journal render   brings the journal's table up to date"
    if run.status is RunStatus.INTERRUPTED:
        return  # the command that goes on stands above
    if run.repeats > 1:
        yield f"  punie consistency {run.id}   what it cannot do, and what only sometimes"
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
