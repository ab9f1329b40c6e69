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

    RUN is an id, a unique beginning of one, `last`, `last~1`, or an adapter's name.
    """
    from punie.cli.written import write_report
    from punie.settings import find_project
    from punie.store.runs import RunStore

    with RunStore(find_project(Path.cwd())) as store:
        head = store.find(run)
        path = output or store.run_folder(head.id) / "report.html"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_report(store, store.report(head), path)
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from error
    if as_json:
        emit_json("report", {"run": head.id, "report": str(path)})
    else:
        click.echo(str(path))
    if open_it:
        click.launch(path.resolve().as_uri())
