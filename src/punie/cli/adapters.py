"""`punie adapters`: what was trained here, and what can be made of it."""

import sys
from typing import TYPE_CHECKING, Any

import click

from punie.cli.adapters_converted import convert_command
from punie.cli.adapters_made import export_command, fuse_command, project_here
from punie.cli.output import emit_json, err, out, safe
from punie.cli.parity import parity_command
from punie.errors import InputError

if TYPE_CHECKING:
    from punie.adapters.registry import Entry

JSON = click.option("--json", "as_json", is_flag=True, help="As JSON.")
NAME = click.argument("name", metavar="NAME")


@click.group()
def adapters() -> None:
    """List, show, fuse, export, convert, compare and delete adapters.

    A NAME is that of a folder in the project's adapters/; ./NAME, or any other path, is a folder
    elsewhere.
    """


adapters.add_command(fuse_command)
adapters.add_command(export_command)
adapters.add_command(convert_command)
adapters.add_command(parity_command)


@adapters.command("list")
@JSON
def list_command(as_json: bool) -> None:  # noqa: FBT001 - click passes by name
    """The project's adapters, and the trainings that have not ended."""
    from punie.adapters.registry import list_adapters
    from punie.cli.adapter_table import table_of

    entries = list_adapters(project_here())
    if as_json:
        emit_json("adapters list", [as_data(entry) for entry in entries])
        return
    if not entries:
        click.echo("no adapters yet: punie train", err=True)
        return
    console = out()
    console.print(table_of(entries, console.width), soft_wrap=False)
    _print_remarks(entries)


@adapters.command("show")
@NAME
@JSON
def show_command(name: str, as_json: bool) -> None:  # noqa: FBT001 - click passes by name
    """Everything that is on record of an adapter: base, data, plan, training, results."""
    from punie.adapters.registry import find_adapter

    entry = find_adapter(project_here(), name)
    if as_json:
        manifest = entry.manifest
        full = manifest.model_dump(mode="json") if manifest else None
        emit_json("adapters show", as_data(entry) | {"manifest": full, "settings": entry.settings})
        return
    _print_entry(entry)


@adapters.command("delete")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--yes", is_flag=True, help="Do not ask.")
@JSON
def delete_command(names: tuple[str, ...], yes: bool, as_json: bool) -> None:  # noqa: FBT001 - click
    """Delete adapters, or abandoned trainings, from adapters/. Runs and entries stay."""
    from punie.adapters.delete import deletable, delete
    from punie.models.manifest import ADAPTERS

    folders = deletable(project_here(), names)
    listed = ", ".join(f"{ADAPTERS}/{folder.name}" for folder in folders)
    if not yes:
        if not sys.stdin.isatty():
            raise InputError("deleting needs --yes where nobody can be asked")
        click.confirm(f"delete {listed}?", abort=True, err=True)
    for folder in folders:
        delete(folder)
    if as_json:
        emit_json("adapters delete", {"deleted": [str(folder) for folder in folders]})
    else:
        click.echo(f"deleted {listed}", err=True)


def as_data(entry: "Entry") -> dict[str, Any]:
    """One adapter in the JSON of `list`."""
    manifest = entry.manifest
    data: dict[str, Any] = {
        "name": entry.name,
        "path": str(entry.path),
        "state": entry.state.value,
        "base": entry.base or None,
        "size_bytes": entry.size_bytes,
        "steps": manifest.chosen.step if manifest else entry.step,
        "problem": entry.problem or None,
    }
    if manifest is not None:
        data |= {
            "created_at": manifest.created_at,
            "data": manifest.data.name,
            "data_hash": manifest.data.hash,
            "chosen": manifest.chosen.model_dump(mode="json"),
            "results": [each.model_dump(mode="json") for each in manifest.results],
        }
    return data


def _print_remarks(entries: "list[Entry]") -> None:
    from punie.adapters.registry import State
    from punie.models.adapter import WEIGHTS_AWAY

    for entry in entries:
        if entry.state is State.UNFINISHED:
            go_on = f"to go on: punie train --resume {entry.name}"
            left = f"{entry.path.name} holds no training to go on with: punie adapters delete"
            said = go_on if entry.resumable else f"{left} {entry.path.name}"
            err().print(safe(said), soft_wrap=True)
        elif entry.state is State.AWAY:
            err().print(safe(f"{entry.name}: {entry.problem}; {WEIGHTS_AWAY}"), soft_wrap=True)
        elif entry.problem:
            err().print(safe(f"{entry.name}: {entry.problem}"), soft_wrap=True)


def _print_entry(entry: "Entry") -> None:
    from rich.table import Table

    from punie.cli.adapter_table import facts

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in facts(entry):
        table.add_row(label, safe(value))
    out().print(table, soft_wrap=False)
