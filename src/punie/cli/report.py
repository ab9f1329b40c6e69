"""`punie report`: a run as one HTML file."""

from pathlib import Path

import click

from punie.cli.output import emit_json
from punie.errors import InputError


@click.command("report")
@click.argument("run", default="last")
@click.option("--open", "open_it", is_flag=True, help="Open it in the browser.")
@click.option("--output", type=click.Path(path_type=Path), help="Where to write it.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def report_command(
    run: str,
    open_it: bool,  # noqa: FBT001 - click passes by name
    output: Path | None,
    as_json: bool,  # noqa: FBT001 - click passes by name
) -> None:
    """Write a run's HTML report: one file, offline, for screen and paper.

    RUN is an id, a unique beginning of one, `last`, `last~1`, an adapter's name, or a journal
    entry's run.json, which needs --output.
    """
    try:
        run_id, path = (
            _from_record(Path(run), output) if run.endswith(".json") else _stored(run, output)
        )
    except OSError as error:
        raise InputError(f"{error.filename or run}: {error.strerror or error}") from error
    if as_json:
        emit_json("report", {"run": run_id, "report": str(path)})
    else:
        click.echo(str(path))
    if open_it:
        click.launch(path.resolve().as_uri())


def _stored(run: str, output: Path | None) -> tuple[str, Path]:
    """Write the report of a run of the database; gives its id and the page's path."""
    from punie.cli.written import write_report
    from punie.settings import find_project
    from punie.store.runs import RunStore

    with RunStore(find_project(Path.cwd())) as store:
        head = store.find(run)
        path = output or store.run_folder(head.id) / "report.html"
        return head.id, write_report(store, store.report(head), path)


def _from_record(record_file: Path, output: Path | None) -> tuple[str, Path]:
    """Write the report of an entry's run.json, which lies in git: never beside it unasked."""
    from punie.cli.written import write_page
    from punie.journal.reading import read_record
    from punie.journal.replay import report_of, rows_of

    if output is None:
        raise InputError("a report from a run.json needs --output", hint="--output report.html")
    record = read_record(record_file)
    report = report_of(record)
    if report.run.summary is None:
        raise InputError(f"{record_file}: the run has no numbers")
    return record.run.id, write_page(report, rows_of(record), output, words=record.entry.text)
