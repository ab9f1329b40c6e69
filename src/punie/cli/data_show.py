"""`punie data show`: one dataset in numbers, and its first row as a person would read it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from punie.cli.output import emit_json, out, safe

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from punie.datasets.describe import Lengths, SplitNumbers
    from punie.datasets.reading import Dataset
    from punie.records.dataset import Row, Split
    from punie.records.suite import HistoryCall, Message

SHOWN = 600
"""Characters of a turn that are printed."""


@click.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def show_command(name: str, as_json: bool) -> None:  # noqa: FBT001 - click
    """A dataset in numbers, and its first row. NAME is a name in data/, a folder or a file."""
    from punie.datasets.describe import describe
    from punie.datasets.reading import read_dataset
    from punie.settings import find_project

    dataset = read_dataset(name, find_project(Path.cwd()))
    numbers = describe(dataset)
    if as_json:
        emit_json("data show", _data(dataset, numbers), _warnings(dataset))
        return
    console = out()
    for line in _about(dataset):
        console.print(line)
    console.print(_table(numbers))
    for label, shares in (("category", "categories"), ("role", "roles")):
        for line in _shares(label, {split: getattr(n, shares) for split, n in numbers.items()}):
            console.print(line)
    first = next(row for rows in dataset.rows.values() for row in rows)
    console.print()
    for line in _as_read(first):
        console.print(line)
    for warning in _warnings(dataset):
        click.echo(safe(warning).plain, err=True)


def _data(dataset: "Dataset", numbers: "Mapping[Split, SplitNumbers]") -> dict[str, Any]:
    from punie.datasets.row_form import row_data

    first = next(row for rows in dataset.rows.values() for row in rows)
    return {
        "name": dataset.name,
        "folder": str(dataset.folder) if dataset.folder else None,
        "pinned": dataset.pinned,
        "changes": list(dataset.changes),
        "version": dataset.version.model_dump(mode="json"),
        "splits": {split.value: asdict(each) for split, each in numbers.items()},
        "first": row_data(first),
    }


def _warnings(dataset: "Dataset") -> list[str]:
    changes = [
        f"{change} than the manifest says; punie data pin {dataset.name} accepts it"
        for change in dataset.changes
    ]
    return [*changes, *dataset.notes]


def _about(dataset: "Dataset") -> "Iterator[Text]":
    version = dataset.version
    state = "" if dataset.pinned else ", not pinned"
    yield safe(f"{dataset.name}: version {version.hash[:12]}{state}")
    for label, value in (
        ("about", version.description),
        ("from", version.origin),
        ("seed", "" if version.seed is None else str(version.seed)),
        ("made", version.created_at),
        ("licence", version.licence),
        ("suite", version.suite or ""),
        *(("note", note) for note in version.notes),
    ):
        if value:
            yield safe(f"{label}: {value}")


def _table(numbers: "Mapping[Split, SplitNumbers]") -> "Table":
    """Splits side by side; a line of zeros is left out."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("", *numbers):
        table.add_column(name, justify="right" if name else "left")
    lines = [
        ("rows", [each.rows for each in numbers.values()]),
        *((f"{form} rows", counts) for form, counts in _by_key(numbers, "forms").items()),
        *((f"{role} turns", counts) for role, counts in _by_key(numbers, "turns").items()),
        ("groups", [each.groups if each.groups < each.rows else 0 for each in numbers.values()]),
        ("tools", [each.tools for each in numbers.values()]),
        ("rows with tools", [each.with_tools for each in numbers.values()]),
        ("rows that call", [each.calling for each in numbers.values()]),
    ]
    for name, counts in lines:
        if any(counts):
            table.add_row(name, *(f"{count:,}" for count in counts))
    table.add_row("characters, median (longest)")
    table.add_row("  prompt", *(_spread(each.prompt) for each in numbers.values()))
    table.add_row("  answer", *(_spread(each.answer) for each in numbers.values()))
    return table


def _by_key(numbers: "Mapping[Split, SplitNumbers]", name: str) -> dict[str, list[int]]:
    """Count every key of a field in every split."""
    keys = dict.fromkeys(key for each in numbers.values() for key in getattr(each, name))
    return {key: [getattr(each, name).get(key, 0) for each in numbers.values()] for key in keys}


def _spread(lengths: "Lengths") -> str:
    return f"{lengths.median:,} ({lengths.longest:,})"


def _shares(label: str, by_split: "Mapping[Split, dict[str, int]]") -> "Iterator[Text]":
    """Write the share of each label over all splits, the most frequent first."""
    from collections import Counter

    total: Counter[str] = Counter()
    for counts in by_split.values():
        total.update(counts)
    if set(total) <= {""}:
        return
    rows = total.total()
    frequent = sorted(total.items(), key=lambda each: (-each[1], each[0]))[:12]
    named = [f"{name or 'none'} {count / rows:.0%}" for name, count in frequent]
    more = f", and {len(total) - 12} more" if len(total) > 12 else ""
    yield safe(f"{label}: {', '.join(named)}{more}")


def _as_read(row: "Row") -> "Iterator[Text]":
    """Write a row as a person would read it: who says what."""
    yield safe(f"{row.file}:{row.line}")
    if row.tools:
        yield safe(f"tools: {', '.join(tool.name for tool in row.tools)}")
    if row.text is not None:
        yield safe(_cut(row.text))
    for turn in row.messages:
        yield safe(f"{turn.role}: {_cut(_said(turn))}")


def _said(turn: "Message") -> str:
    return "\n".join(filter(None, (turn.content, *map(_called, turn.tool_calls))))


def _called(call: "HistoryCall") -> str:
    """Write a call as a program has it: find_item(item="pallet", hall=3)."""
    arguments = json.loads(call.function.arguments)
    named = (f"{name}={json.dumps(each, ensure_ascii=False)}" for name, each in arguments.items())
    return f"{call.function.name}({', '.join(named)})"


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}… ({len(text):,} characters)"
