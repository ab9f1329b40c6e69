"""`punie report`: a run, or two runs beside each other, as one HTML file."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import click

from punie.cli.output import emit_json
from punie.cli.pictures import picture_options, write_pictures
from punie.errors import InputError
from punie.records.result import Outcome
from punie.records.suite import EvalPrompt
from punie.records.summary import Summary

Row = tuple[EvalPrompt, Outcome]


@click.command("report")
@click.argument("run", default="last")
@click.argument("current", required=False)
@click.option("--open", "open_it", is_flag=True, help="Open it in the browser.")
@click.option("--output", type=click.Path(path_type=Path), help="Where to write it.")
@picture_options
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def report_command(
    *,
    run: str,
    current: str | None,
    open_it: bool,
    output: Path | None,
    svg: Path | None,
    png: Path | None,
    as_json: bool,
) -> None:
    """Write a run's HTML report: one file, offline, for screen and paper.

    RUN is an id, a unique beginning of one, `last`, `last~1`, an adapter's name, or a journal
    entry's run.json, which needs --output. With CURRENT it is the page of both: what RUN answered
    before and CURRENT answers now, under the default gate. The page of `punie compare`, with its
    gate and judge, is another one.
    """
    folders = _Folders(svg, png)
    try:
        if current is not None:
            written = _of_two(run, current, output, folders)
        elif run.endswith(".json"):
            written = _from_record(Path(run), output, folders)
        else:
            written = _stored(run, output, folders)
    except OSError as error:
        raise InputError(f"{error.filename or run}: {error.strerror or error}") from error
    if as_json:
        pictures = [str(path) for path in written.pictures]
        data = {"run": written.run, "report": str(written.page), "charts": pictures}
        emit_json("report", data | ({"base": written.base} if written.base else {}))
    else:
        click.echo("\n".join(map(str, (written.page, *written.pictures))))
    if open_it:
        click.launch(written.page.resolve().as_uri())


class _Folders(NamedTuple):
    """Where charts were asked for."""

    svg: Path | None
    png: Path | None

    def write(self, summary: Summary, rows: Callable[[], Iterable[Row]]) -> list[Path]:
        """Write a run's charts; the rows are read only where a chart was asked for."""
        from punie.journal.charts import charts_from
        from punie.records.result import EvalResult

        if self.svg is None and self.png is None:
            return []
        times = [each.completion.latency_s for _, each in rows() if isinstance(each, EvalResult)]
        return write_pictures(charts_from(summary, times), svg=self.svg, png=self.png)


class _Written(NamedTuple):
    """A run's id and its files."""

    run: str
    page: Path
    pictures: list[Path]
    base: str | None = None
    """The run that it was compared with."""


def _stored(run: str, output: Path | None, folders: _Folders) -> _Written:
    """Write the report of a run of the database."""
    from punie.cli.written import write_report
    from punie.settings import find_project
    from punie.store.runs import RunStore

    with RunStore(find_project(Path.cwd())) as store:
        head = store.find(run)
        report = store.report(head)
        page = write_report(store, report, output or store.run_folder(head.id) / "report.html")
        return _Written(head.id, page, folders.write(report.summary, lambda: store.rows(head.id)))


def _from_record(record_file: Path, output: Path | None, folders: _Folders) -> _Written:
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
    page = write_page(report, rows_of(record), output, words=record.entry.text)
    pictures = folders.write(report.summary, lambda: rows_of(record))
    return _Written(record.run.id, page, pictures)


def _of_two(base: str, current: str, output: Path | None, folders: _Folders) -> _Written:
    """Write the page of a comparison under the default gate."""
    from punie.cli.compare_output import page_of
    from punie.cli.comparing import contenders, match
    from punie.cli.written import write_whole
    from punie.reporting.comparison_charts import charts_of_comparison
    from punie.settings import load_settings

    settings = load_settings(Path.cwd())
    with contenders(settings) as known:
        both = [known.find(each) for each in (base, current)]
        if output is None and not both[1].stored:
            raise InputError("a page of a run.json needs --output", hint="--output page.html")
        found = match(both[0], both[1], None, project=settings.project, store=known.known)
        page = output or known.store.run_folder(both[1].run.id) / f"report-{both[0].run.id}.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        write_whole(page, page_of(found))
    pictures = write_pictures(
        charts_of_comparison(found.compared), svg=folders.svg, png=folders.png
    )
    return _Written(both[1].run.id, page, pictures, both[0].run.id)
