"""What commands print: data on stdout, everything else on stderr, one JSON envelope."""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from punie.errors import InputError, PunieError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

ENVELOPE_VERSION = 1
NARROWEST = 40
"""Columns that are filled however few a terminal has: in fewer, nothing of a table is left."""


def out() -> "Console":
    """Build a console on stdout; plain where that is no terminal or NO_COLOR is set."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    console.width = max(console.width, NARROWEST)
    return console


def err() -> "Console":
    """Build a console on stderr for progress and notes."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def emit_json(command: str, data: Any, warnings: Sequence[str] = ()) -> None:
    """Print the envelope of a command's result as JSON on stdout."""
    envelope = {
        "schema_version": ENVELOPE_VERSION,
        "command": command,
        "data": data,
        "warnings": list(warnings),
    }
    _print_json(envelope)


def format_of_stdout(wanted: str | None, *, as_json: bool) -> str:
    """`text`, or what `--format` or `--json` asks for. Raises InputError where they disagree."""
    if as_json and wanted not in {None, "json"}:
        raise InputError(f"--json and --format {wanted} contradict each other", hint="drop one")
    return "json" if as_json else wanted or "text"


def emit_error(command: str, error: PunieError, *, as_json: bool) -> None:
    """Print an error for people on stderr, or as an envelope on stdout.

    Where nothing can be written to stdout, stderr is told all the same.
    """
    if as_json:
        body = {"code": error.code, "message": error.message, "hint": error.hint}
        envelope = {"schema_version": ENVELOPE_VERSION, "command": command, "error": body}
        try:
            _print_json(envelope)
        except OSError:
            pass
        else:
            return
    click.echo(f"{click.style('error', fg='red', bold=True)}: {_shown(error.message)}", err=True)
    if error.hint:
        click.echo(f"{click.style('hint', fg='cyan')}: {_shown(error.hint)}", err=True)


def _print_json(envelope: dict[str, Any]) -> None:
    from punie.text import inert_json

    text = inert_json(json.dumps(envelope, ensure_ascii=False, indent=2))
    click.echo(text.encode("utf-8", "replace"))  # JSON is UTF-8, whatever a terminal speaks


def _shown(message: str) -> str:
    """A message that can do nothing to a terminal, whoever wrote parts of it."""
    from punie.text import visible

    return "\n".join(visible(line) for line in message.split("\n"))


def safe(text: str) -> "Text":
    """Text from a file or a server for a table: its control characters are shown, not obeyed."""
    from rich.text import Text

    from punie.text import visible

    return Text(visible(text))
