"""`punie data check`: what is wrong with training data, before a model is chosen."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from punie.cli.output import emit_json, out, safe
from punie.errors import EXIT_GATE

if TYPE_CHECKING:
    from rich.text import Text

    from punie.records.datacheck import DataFinding

SHOWN = 5
"""Places of a finding that are printed; `--json` has more."""
STYLES = {"error": "bold red", "warning": "bold yellow", "note": "bold"}


@click.command("check")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def check_command(name: str, as_json: bool) -> None:  # noqa: FBT001 - click
    """Look for duplicates, leakage and imbalance. NAME is a name in data/, a folder or a file.

    Prompts are looked for in the other splits and in every suite of the project. What depends on a
    model (lengths, masks, its template) is looked at by punie train --dry-run. Exits 3 on errors.
    """
    from punie.cli.training_setup import project_suites
    from punie.datasets.checks import check_dataset
    from punie.datasets.reading import read_dataset
    from punie.settings import find_project

    project = find_project(Path.cwd())
    dataset = read_dataset(name, project)
    suites, broken = project_suites(project)
    report = check_dataset(dataset.rows, suites=suites)
    warnings = [*dataset.changes, *dataset.notes, *broken]
    if as_json:
        emit_json("data check", report.model_dump(mode="json"), warnings)
    else:
        console = out()
        for finding in report.findings:
            for line in _lines(finding):
                console.print(line)
        for warning in warnings:
            click.echo(safe(warning).plain, err=True)
        click.echo(_sum(report.findings), err=True)
    if report.errors:
        click.get_current_context().exit(EXIT_GATE)


def _lines(finding: "DataFinding") -> "Iterator[Text]":
    from rich.text import Text

    said = safe(f": {finding.check}: {finding.what}")
    yield Text.assemble((finding.severity.value, STYLES[finding.severity.value]), said)
    shown = finding.places[:SHOWN]
    for place in shown:
        yield safe(f"  {place}")
    if shown and finding.count > len(shown):
        yield Text(f"  and {finding.count - len(shown):,} more")
    if finding.hint:
        yield safe(f"  {finding.hint}")


def _sum(findings: "tuple[DataFinding, ...]") -> str:
    from collections import Counter

    counts = Counter(finding.severity.value for finding in findings)
    if not counts:
        return "nothing found"
    return ", ".join(f"{n} {name}{'s' if n > 1 else ''}" for name, n in counts.items())
