"""`punie data generate`: training data made by rules, from a seed."""

from pathlib import Path

import click

from punie.cli.output import emit_json


@click.group()
def generate() -> None:
    """Make a dataset by rules, the same from the same seed."""


@generate.command("tool-calls")
@click.option("--name", default="greenhouse", show_default=True, help="The dataset's name.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=1, show_default=True)
@click.option("--train", type=click.IntRange(1), default=320, show_default=True, help="Rows.")
@click.option("--valid", type=click.IntRange(0), default=40, show_default=True, help="Rows.")
@click.option("--test", type=click.IntRange(0), default=90, show_default=True, help="Rows.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def tool_calls_command(
    *, name: str, seed: int, train: int, valid: int, test: int, as_json: bool
) -> None:
    """Requests to a greenhouse: one tool call each, or none.

    Writes data/NAME/, and its test rows as the suite NAME. No phrasing, name or number of the test
    rows occurs in the others.
    """
    from punie.datasets.generators.project import write_tool_calls
    from punie.settings import find_project

    project = find_project(Path.cwd())
    written = write_tool_calls(project, name, seed=seed, train=train, valid=valid, test=test)
    if as_json:
        emit_json("data generate tool-calls", written.version.model_dump(mode="json"))
        return
    counts = ", ".join(f"{part.rows:,} {split}" for split, part in written.version.splits.items())
    click.echo(f"{written.folder.relative_to(project)}: {counts}")
    if written.suite is not None:
        click.echo(f"{written.suite.relative_to(project)}: punie eval {name}")
