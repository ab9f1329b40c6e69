"""`punie journal`: entries, the cumulative table, and the check of both."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from punie.cli.output import emit_json
from punie.errors import EXIT_GATE, EXIT_OK

if TYPE_CHECKING:
    from collections.abc import Iterable

    from punie.journal.check import JournalCheck, StoredRun
    from punie.journal.note_check import StoredBenchmark
    from punie.records.judgement import Judged
    from punie.records.result import Outcome
    from punie.records.run import EvalReport
    from punie.records.suite import EvalPrompt
    from punie.store.runs import RunStore


@click.group()
def journal() -> None:
    """Write, render and check the journal."""


@journal.command("new")
@click.argument("goal")
@click.option(
    "--run",
    "run_name",
    help="Which run, or an entry's run.json; the newest run by default.",
)
@click.option("--adapter", metavar="NAME", help="Instead: the training that made this adapter.")
@click.option("--benchmark", metavar="B", help="Instead: a benchmark, such as last.")
@click.option(
    "--dataset",
    type=click.Path(path_type=Path, exists=True),
    help="What the adapter was trained on [default: what its punie.json says].",
)
@click.option("--supersedes", metavar="ENTRY", help="The earlier entry that this one replaces.")
@click.option(
    "--text/--no-text", default=None, help="Keep prompts and answers; as configured by default."
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def new(  # noqa: PLR0917 - click passes by name
    goal: str,
    run_name: str | None,
    adapter: str | None,
    benchmark: str | None,
    dataset: Path | None,
    supersedes: str | None,
    text: bool | None,  # noqa: FBT001 - click passes by name
    as_json: bool,  # noqa: FBT001 - click passes by name
) -> None:
    """Write a run, a training or a benchmark into the journal as a new entry.

    GOAL says in a few words what was tried. The numbers are filled in; the sections that only you
    can write ask for it in a comment.
    """
    from contextlib import ExitStack

    from punie.cli.adapter import trained_on
    from punie.errors import InputError
    from punie.journal.dataset import read_dataset
    from punie.journal.entry import write_entry
    from punie.settings import load_settings
    from punie.store.judgements import judged_answers
    from punie.store.runs import RunStore

    settings = load_settings(Path.cwd())
    if adapter or benchmark:
        _only_one(run=run_name, adapter=adapter, benchmark=benchmark, dataset=dataset, text=text)
        _note(settings.project, adapter, benchmark, goal, supersedes, as_json=as_json)
        return
    run_name = run_name or "last"
    with ExitStack() as stack:
        if run_name.endswith(".json"):
            report, rows, judged, kept = _recorded(Path(run_name))
            wanted = kept if text is None else text
            if wanted and not kept:
                raise InputError(f"{run_name} keeps no prompts and answers", hint="--no-text")
        else:
            store = stack.enter_context(RunStore(settings.project))
            head = store.find(run_name)
            if head.summary is None:
                raise InputError(f"run {head.id} is {head.status.value}: it has no numbers yet")
            report, rows = store.report(head), store.rows(head.id)
            judged = judged_answers(settings.project, head)
            wanted = settings.values.journal.text if text is None else text
        entry = write_entry(
            settings.project,
            report,
            rows,
            goal=goal,
            dataset=read_dataset(dataset) if dataset else trained_on(report.run, settings.project),
            supersedes=supersedes,
            text=wanted,
            judged=judged,
        )
    if as_json:
        emit_json("journal new", {"run": report.run.id, "entry": str(entry)})
    else:
        click.echo(str(entry / "entry.md"))


def _only_one(**flags: object) -> None:
    """Raise InputError where another flag would say nothing beside --adapter or --benchmark."""
    from punie.errors import InputError

    given = [f"--{name}" for name, value in flags.items() if value is not None]
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)} do not go together", hint="give one of them")


def _note(
    project: Path,
    adapter: str | None,
    benchmark: str | None,
    goal: str,
    supersedes: str | None,
    *,
    as_json: bool,
) -> None:
    from punie.cli.journal_notes import benchmark_entry, training_entry

    if adapter:
        entry = training_entry(project, adapter, goal=goal, supersedes=supersedes)
        what = {"adapter": adapter}
    else:
        reference = benchmark or "last"
        entry = benchmark_entry(project, reference, goal=goal, supersedes=supersedes)
        what = {"benchmark": reference}
    if as_json:
        emit_json("journal new", {**what, "entry": str(entry)})
    else:
        click.echo(str(entry / "entry.md"))


def _recorded(
    record_file: Path,
) -> "tuple[EvalReport, Iterable[tuple[EvalPrompt, Outcome]], dict[tuple[str, int], Judged], bool]":
    """A run out of an entry's run.json, what its judge said, and whether its words are kept."""
    from punie.errors import InputError
    from punie.journal.reading import read_record
    from punie.journal.replay import judged_of, report_of, rows_of

    try:
        record = read_record(record_file)
    except OSError as error:
        raise InputError(f"{record_file}: {error.strerror or error}") from error
    if record.run.summary is None:
        raise InputError(f"{record_file}: the run has no numbers")
    judged = {(row.id, row.repeat): said for row in record.rows if (said := judged_of(row))}
    return report_of(record), rows_of(record), judged, record.entry.text


@journal.command("render")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def render(
    as_json: bool,  # noqa: FBT001 - click passes by name
) -> None:
    """Rebuild journal/README.md, the cumulative table, from the entries."""
    from punie.journal.table import render_journal
    from punie.settings import find_project

    path = render_journal(find_project(Path.cwd()))
    if as_json:
        emit_json("journal render", {"table": str(path)})
    else:
        click.echo(str(path))


@journal.command("check")
@click.argument("entries", nargs=-1, metavar="[ENTRY]...")
@click.option("--strict", is_flag=True, help="A table that is not up to date is a finding too.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def check(
    entries: tuple[str, ...],
    strict: bool,  # noqa: FBT001 - click passes by name
    as_json: bool,  # noqa: FBT001 - click passes by name
) -> int:
    """Recompute every number of the journal from the runs' records.

    ENTRY is a folder, its name or a unique beginning of it; without one, all are checked, and the
    table with them. What the database and the adapters still have is compared. Exit code 3 on
    findings.
    """
    from contextlib import ExitStack

    from punie.journal.check import check_journal
    from punie.settings import find_project
    from punie.store.benchmarks import BenchmarkStore
    from punie.store.database import DATABASE, STATE_FOLDER
    from punie.store.runs import RunStore

    root = find_project(Path.cwd())
    with ExitStack() as stack:
        stored: StoredRun | None = None
        benchmarks: StoredBenchmark | None = None
        if (root / STATE_FOLDER / DATABASE).exists():
            stored = _stored_in(stack.enter_context(RunStore(root)))
            heads = stack.enter_context(BenchmarkStore(root)).heads()
            benchmarks = {each.id: each for each in heads}.get
        found = check_journal(root, entries, strict=strict, stored=stored, benchmarks=benchmarks)
    if as_json:
        data = {
            "entries": list(found.entries),
            "findings": [
                {"file": each.file, "line": each.line, "what": each.what} for each in found.findings
            ],
        }
        emit_json("journal check", data, [str(each) for each in found.warnings])
    else:
        _print_check(found)
    return EXIT_GATE if found.findings else EXIT_OK


def _stored_in(store: "RunStore") -> "StoredRun":
    known = {run.id: run for run in store.heads()}
    return lambda run_id: (known[run_id], store.rows(run_id)) if run_id in known else None


def _print_check(found: "JournalCheck") -> None:
    from punie.reporting.numbers import counted
    from punie.text import visible

    for finding in found.findings:
        click.echo(visible(str(finding)))
    for warning in found.warnings:
        click.echo(f"warning: {visible(str(warning))}", err=True)
    checked = counted(len(found.entries), "entry", "entries")
    click.echo(f"{checked} checked: {counted(len(found.findings), 'finding')}", err=True)
