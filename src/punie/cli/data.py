"""`punie data`: what can be trained on."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from punie.cli.main import LazyGroup
from punie.cli.output import emit_json, out, safe

if TYPE_CHECKING:
    from rich.table import Table

    from punie.datasets.catalog import Listed
    from punie.records.dataset import DatasetVersion

NARROW, WIDE = 60, 96
"""Columns below which the list keeps only what one cannot do without, and from which it has all."""
SHOWN_ORIGIN = 24
"""Characters of where a dataset comes from; `show` has all of it."""
JSON = click.option("--json", "as_json", is_flag=True, help="As JSON.")


class DataGroup(LazyGroup):
    """The commands of `punie data`."""

    commands_at: ClassVar[dict[str, tuple[str, str]]] = {
        "list": ("punie.cli.data:list_command", "The project's datasets."),
        "show": ("punie.cli.data_show:show_command", "A dataset in numbers, and its first row."),
        "check": ("punie.cli.data_check:check_command", "Look for duplicates, leaks, imbalance."),
        "split": ("punie.cli.data:split_command", "Split one file by a seed into a dataset."),
        "generate": ("punie.cli.generate:generate", "Make a dataset by rules, from a seed."),
        "interactions": (
            "punie.cli.interactions:interactions_command",
            "What collected interactions say.",
        ),
        "pin": ("punie.cli.data:pin_command", "Take the rows as they are now for the dataset."),
    }


@click.group(cls=DataGroup)
def data() -> None:
    """List, show, check, split and pin training data.

    A dataset is a folder data/NAME/ with train.jsonl, valid.jsonl and test.jsonl, or any such
    folder or file by its path. Rows are chats (messages and tools), prompt and completion, or text.
    """


@click.command("list")
@JSON
def list_command(as_json: bool) -> None:  # noqa: FBT001 - click
    """The datasets in data/: their rows, version, and where they come from."""
    from punie.datasets.catalog import list_datasets
    from punie.settings import find_project

    project = find_project(Path.cwd())
    listed = list_datasets(project)
    if as_json:
        emit_json("data list", [_listed_data(each, project) for each in listed], _warnings(listed))
        return
    if not listed:
        click.echo("no datasets in data/: punie data split FILE makes one", err=True)
        return
    console = out()
    console.print(_list_table(listed, console.width))
    for warning in _warnings(listed):
        click.echo(safe(warning).plain, err=True)


@click.command("split")
@click.argument("file")
@click.option("--name", help="The dataset's name; unset: the file's.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@click.option(
    "--shares",
    default="80/10/10",
    show_default=True,
    help="Per cent of train/valid/test; 80/20 holds nothing out.",
)
@JSON
def split_command(
    file: str,
    name: str | None,
    seed: int,
    shares: str,
    as_json: bool,  # noqa: FBT001 - click
) -> None:
    """Split one FILE by a seed into data/NAME/, and its test rows into a suite.

    Each category has the same share in each part. Rows of one group, or with the same prompt, are
    never parted.
    """
    from punie.datasets.reading import read_dataset
    from punie.datasets.split import parse_shares
    from punie.datasets.writing import name_for, split_into_project
    from punie.settings import find_project

    project = find_project(Path.cwd())
    wanted = parse_shares(shares)
    dataset = read_dataset(file, project)
    written = split_into_project(
        dataset, project, name=name or name_for(Path(file)), seed=seed, shares=wanted
    )
    notes = [*dataset.notes, *written.notes]
    if as_json:
        emit_json("data split", written.version.model_dump(mode="json"), notes)
        return
    for note in notes:
        click.echo(safe(note).plain, err=True)
    counts = ", ".join(f"{part.rows:,} {split}" for split, part in written.version.splits.items())
    click.echo(f"{_shown(written.folder, project)}: {counts}")
    if written.suite is not None:
        click.echo(f"{_shown(written.suite, project)}: punie eval {written.version.name}")


@click.command("pin")
@click.argument("name")
@JSON
def pin_command(name: str, as_json: bool) -> None:  # noqa: FBT001 - click
    """Take the rows that NAME has now for the dataset: write its manifest anew."""
    from punie.datasets.catalog import pin
    from punie.datasets.reading import read_dataset
    from punie.settings import find_project

    dataset = read_dataset(name, find_project(Path.cwd()))
    version = pin(dataset)
    if as_json:
        emit_json("data pin", version.model_dump(mode="json"), dataset.changes)
        return
    for change in dataset.changes:
        click.echo(change, err=True)
    click.echo(f"{safe(dataset.name).plain}: pinned at {version.hash[:12]}")


def _warnings(listed: "list[Listed]") -> list[str]:
    changed = [
        f"{each.name}: {', '.join(each.changes)}; punie data pin {each.name} accepts it"
        for each in listed
        if each.changes
    ]
    broken = [
        f"{each.name} has problems: punie data show {each.name}" for each in listed if each.error
    ]
    return changed + broken


def _listed_data(listed: "Listed", project: Path) -> dict[str, Any]:
    data: dict[str, Any] = {"name": listed.name, "path": _shown(listed.path, project)}
    if listed.error is not None or listed.version is None:
        return {**data, "ok": False, "error": listed.error.message if listed.error else ""}
    version = listed.version.model_dump(mode="json")
    return {
        **data,
        "ok": True,
        "pinned": listed.pinned,
        "changes": list(listed.changes),
        "forms": [form.value for form in listed.forms],
        "version": version,
    }


def _list_table(listed: "list[Listed]", width: int) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    columns = ["name", "train", "valid", "test", "rows are", "version", "suite", "from"]
    shown = 4 if width < NARROW else 6 if width < WIDE else len(columns)
    for name in columns[:shown]:
        right = name in {"train", "valid", "test"}
        table.add_column(name, overflow="fold", justify="right" if right else "left")
    for each in listed:
        table.add_row(*map(safe, _cells(each)[:shown]))
    return table


def _cells(listed: "Listed") -> list[str]:
    from punie.text import one_line

    version = listed.version
    forms = ", ".join(form.value for form in listed.forms) or "problems"
    return [
        listed.name,
        *(_rows(version, split) for split in ("train", "valid", "test")),
        forms,
        _state(listed),
        Path(version.suite).stem if version and version.suite else "–",
        one_line(version.origin, SHOWN_ORIGIN) or "–" if version else "–",
    ]


def _rows(version: "DatasetVersion | None", split: str) -> str:
    if version is None:
        return "–"
    return next((f"{part.rows:,}" for name, part in version.splits.items() if name == split), "–")


def _state(listed: "Listed") -> str:
    if listed.version is None:
        return "–"
    state = "changed" if listed.changes else "" if listed.pinned else "not pinned"
    return f"{listed.version.hash[:8]} {state}".rstrip()


def _shown(path: Path, project: Path) -> str:
    return str(path.relative_to(project)) if path.is_relative_to(project) else str(path)
