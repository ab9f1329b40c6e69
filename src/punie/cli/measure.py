"""Putting an eval together: what was asked for, a served model, a store, a report, an entry."""

import asyncio
import contextlib
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace

import click

from punie.analysis.parts import joined
from punie.analysis.resume_command import command_of
from punie.cli.adapter import adapter_of, with_adapter
from punie.cli.checked import checked
from punie.cli.judge_served import JudgeWish, optional_judge
from punie.cli.judging import judged_after
from punie.cli.live import showing
from punie.cli.measured import Measured, finish, with_judge
from punie.cli.resume import (
    as_it_was,
    going_on,
    left_unwritten,
    refuse_a_part,
    refuse_an_unasked_address,
    refuse_another_model,
    refuse_changed_prompts,
    refuse_other_questions,
    sources_of,
)
from punie.cli.served import served
from punie.cli.signals import Signals, signals
from punie.cli.wish import Wish, chosen_by, chosen_concurrency, chosen_suite
from punie.errors import InputError, PunieError, StoreError
from punie.evaluation.run import (
    Progress,
    new_run,
    new_run_id,
    run_evaluation,
)
from punie.evaluation.until_decided import UntilDecided
from punie.records.run import EvalReport, Run, RunStatus
from punie.records.suite import EvalPrompt, EvalSuite
from punie.serving.awake import awake
from punie.serving.endpoint import Endpoint
from punie.settings import Loaded
from punie.store.export import format_of
from punie.store.provenance import provenance
from punie.store.runs import RunStore
from punie.store.writer import OutcomeWriter


async def measure(wish: Wish, settings: Loaded, decide: UntilDecided | None = None) -> Measured:
    """Serve the model, ask the suite, keep and show what came back; or go on with a run.

    With `decide` the run ends once that says so. Raises InputError for what cannot be asked,
    ModelError, ServerError or EndpointError where nothing can be measured, StoreError where nothing
    could be kept.
    """
    with awake(), signals() as heard:
        return await _measure(wish, settings, heard, decide)


async def _measure(
    wish: Wish, settings: Loaded, heard: Signals, decide: UntilDecided | None
) -> Measured:
    if wish.output:
        format_of(wish.output.name)
        if wish.output.is_dir():
            raise InputError(f"{wish.output} is a folder", hint="give a file in it")
    refuse_journal(wish, settings)
    judge = optional_judge(wish.judge, wish.judge_model, wish.rubric, settings, quiet=wish.quiet)
    if wish.resume:
        with RunStore(settings.project) as store:
            store.require_room()
            found = store.find(wish.resume)
            with store.lock(found.id):
                store.settle(found.id)
                run = store.find(found.id)
                return await _resume(
                    wish, settings, store, run, judge=judge, heard=heard, decide=decide
                )
    wish, settings = with_adapter(wish, settings)
    suite = chosen_suite(wish, settings)
    with RunStore(settings.project) as store:
        store.require_room()
        run_id = new_run_id()
        log = store.run_folder(run_id) / "server.log"
        with store.lock(run_id):
            async with served(wish, settings, log, suite) as service:
                endpoint = service.endpoint
                run = head_of(wish, settings, suite, endpoint, run_id)
                run = await checked(wish, settings, suite, service, run)
                store.create(run, suite)
                report = await _ask_all(
                    wish, suite, endpoint, run, store, heard=heard, decide=decide
                )
            report, judged = await judged_after(judge, settings, store, report, heard)
            return with_judge(finish(wish, settings, store, report), judged)


def refuse_journal(wish: Wish, settings: Loaded) -> None:
    """Raise InputError for a journal entry that could not be written."""
    if wish.journal is None:
        return
    if settings.values.journal.entries == "never":
        raise InputError("journal is set to never here", hint="punie config shows where")
    if not wish.journal.strip():
        raise InputError("the goal of a journal entry is empty")


async def _resume(
    wish: Wish,
    settings: Loaded,
    store: RunStore,
    run: Run,
    *,
    judge: JudgeWish | None,
    heard: Signals,
    decide: UntilDecided | None,
) -> Measured:
    """Ask what `run` owes, of the same model in the same way. Its lock is held."""
    refuse_a_part(run, decided=decide is not None)
    resumed, configured = as_it_was(wish, settings, run)
    refuse_other_questions(wish, run, settings.project)
    suite = store.suite(run)
    refuse_changed_prompts(run, suite, store.path)
    owed = store.owed(run, suite)
    if not owed:
        was_complete = run.status is RunStatus.DONE
        if not was_complete:  # ended from outside after its last answer
            summary = run.summary or store.numbers(run)
            run = run.model_copy(update={"status": RunStatus.DONE, "summary": summary})
            store.update(run)
        report, judged = await judged_after(judge, settings, store, store.report(run), heard)
        measured = with_judge(finish(resumed, settings, store, report), judged)
        said = (f"run {run.id} is complete: every prompt has its answer",) if was_complete else ()
        notes = (*said, *measured.warnings, *_left_unwritten(wish, settings, run))
        return replace(measured, warnings=notes)
    refuse_an_unasked_address(wish, settings, run)
    log = store.run_folder(run.id) / "server.log"
    async with served(resumed, configured, log, suite) as service:
        endpoint = service.endpoint
        refuse_another_model(run, endpoint)
        backend = run.model.backend
        versions = provenance(wish.argv, settings.project, backend).versions
        kept = len(suite.prompts) * run.repeats - len(owed)
        before = run.checks
        run = going_on(wish, run, len(owed), versions, prices=endpoint.prices)
        run = await checked(wish, settings, suite, service, run)
        if kept and run.checks is not None:  # what is said is said of the answers before as well
            run = run.model_copy(update={"checks": joined(before, run.checks)})
        store.update(run)
        report = await _ask_all(
            wish, suite, endpoint, run, store, heard=heard, owed=owed, decide=decide
        )
    report, judged = await judged_after(judge, settings, store, report, heard)
    measured = with_judge(finish(resumed, settings, store, report), judged)
    notes = (*_left_unwritten(wish, settings, run), *_outdated(settings, run))
    return replace(measured, warnings=(*measured.warnings, *notes))


def _left_unwritten(wish: Wish, settings: Loaded, run: Run) -> Iterator[str]:
    """Say where results would have gone that only the command line may send there."""
    if output := left_unwritten(wish, settings, run):
        yield (
            f"the results were not written to {output}, outside of the project; to write them:"
            f" punie runs export {run.id} --output {shlex.quote(str(output))}"
        )


def _outdated(settings: Loaded, run: Run) -> Iterator[str]:
    """Say of an entry from before that the run has changed under it; entries are never edited."""
    from punie.journal.folder import RUN, entries_of
    from punie.journal.record import decode

    for entry in entries_of(settings.project, run.id):
        record = decode((entry / RUN).read_bytes())
        if len(record.run.incidents) < len(run.incidents):
            yield (
                f"the journal entry {entry.name} stands for the run as it was; to replace it:"
                f" punie journal new GOAL --run {run.id} --supersedes {entry.name}"
            )


def head_of(wish: Wish, settings: Loaded, suite: EvalSuite, endpoint: Endpoint, run_id: str) -> Run:
    """The head of a run that is about to begin, with where its parts come from."""
    run = new_run(
        suite,
        endpoint,
        run_id=run_id,
        concurrency=chosen_concurrency(wish, settings),
        repeats=wish.repeats or 1,
        tools=wish.tools or settings.values.tools,
    )
    adapter = adapter_of(wish, settings)
    return run.model_copy(
        update={
            "selection": chosen_by(wish),
            "provenance": provenance(wish.argv, settings.project, endpoint.identity.backend),
            "sources": sources_of(wish, suite, endpoint, str(adapter) if adapter else None),
        }
    )


async def _ask_all(
    wish: Wish,
    suite: EvalSuite,
    endpoint: Endpoint,
    run: Run,
    store: RunStore,
    *,
    heard: Signals,
    owed: Sequence[tuple[EvalPrompt, int]] | None = None,
    decide: UntilDecided | None = None,
) -> EvalReport:
    """Run the evaluation with progress and Ctrl-C; whatever happens, the run's head says so.

    With `owed`, what is left of a run is asked.
    """
    progress = Progress(total=len(suite.prompts) * run.repeats)
    ended = RunStatus.FAILED
    report = None
    try:
        async with OutcomeWriter(store, run.id) as writer, showing(progress, quiet=wish.quiet):
            with heard.draining() as stop:
                progress.stop = stop
                report = await run_evaluation(
                    suite,
                    endpoint,
                    run=run,
                    record=writer.write,
                    record_head=writer.update,
                    progress=progress,
                    stop=stop,
                    owed=owed,
                    before=store.rows(run.id) if owed else (),
                    decide=decide,
                )
        if decide is not None and decide.after is not None:
            part = {"decided_after": decide.after, "decided_of": len(suite.prompts)}
            report = report.model_copy(update={"run": report.run.model_copy(update=part)})
        store.update(report.run)
    except asyncio.CancelledError:
        ended = RunStatus.INTERRUPTED
        click.echo(f"to go on: {command_of(run)}", err=True)
        raise
    except PunieError as error:
        error.hint = "; then go on with: ".join(filter(None, (error.hint, command_of(run))))
        raise
    else:
        return report
    finally:
        if report is None:
            # What went wrong is on its way up already; a full disk must not hide it.
            with contextlib.suppress(StoreError):
                head = store.find(run.id)  # with what befell the machine meanwhile
                numbers = {"status": ended, "summary": store.numbers(head)}
                store.update(head.model_copy(update=numbers))
