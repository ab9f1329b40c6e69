"""`punie serve`: a model with its adapter for daily use, behind OpenAI's interface."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from punie.cli.adapter_option import as_path
from punie.cli.backend_option import BACKEND, QUANTIZATION
from punie.cli.output import emit_json, out, safe
from punie.errors import EXIT_OK

if TYPE_CHECKING:
    from punie.serving.registry import Entry

STOP_ANY = 0
"""What `--stop` without a port means: the one that runs."""
MAX_TOKENS = 4096


@click.command("serve")
@click.argument("model", required=False, metavar="[MODEL]")
@click.option(
    "--adapter",
    metavar="NAME|FOLDER",
    type=click.Path(),
    callback=as_path,
    help="An adapter for it.",
)
@BACKEND
@QUANTIZATION
@click.option(
    "--port",
    metavar="P",
    type=click.IntRange(1, 65535),
    help="This port and no other [default: 8642, or the next free one].",
)
@click.option(
    "--max-tokens",
    metavar="N",
    type=click.IntRange(1),
    default=MAX_TOKENS,
    show_default=True,
    help="Longest answer where a request names no max_tokens.",
)
@click.option("--status", is_flag=True, help="List what is being served on this machine.")
@click.option(
    "--stop",
    metavar="[PORT]",
    type=click.IntRange(0, 65535),
    is_flag=False,
    flag_value=STOP_ANY,
    help="End the punie serve that runs (on PORT).",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object once it answers.")
def serve_command(
    *,
    model: str | None,
    adapter: Path | None,
    backend: str | None,
    quantization: str | None,
    port: int | None,
    max_tokens: int,
    status: bool,
    stop: int | None,
    as_json: bool,
) -> int:
    """Serve a model, with its adapter, to editors and other programs of this machine.

    MODEL is a built-in name, an MLX folder, a GGUF file, or a hub id; without it, the project's.
    Whatever model a client names, it gets this one and its adapter. Ctrl-C ends it.
    """
    if (status or stop is not None) and (model or adapter or port or (status and stop is not None)):
        raise click.UsageError("--status and --stop go with no other option but --json")
    if status:
        _show_running(as_json=as_json)
        return EXIT_OK
    if stop is not None:
        _stop(stop, as_json=as_json)
        return EXIT_OK
    from punie.cli.served_openly import ServeWish, serve_openly
    from punie.settings import load_settings

    wish = ServeWish(
        model,
        adapter,
        port,
        max_tokens,
        backend=backend,
        quantization=quantization,
        as_json=as_json,
    )
    serve_openly(wish, load_settings(Path.cwd()))
    return EXIT_OK


def _served() -> "list[Entry]":
    from punie.serving.registry import Kind, running

    return [entry for entry in running() if entry.kind is Kind.SERVE]


def _as_json(entry: "Entry") -> dict[str, Any]:
    shown = entry.model_dump(
        mode="json", include={"pid", "port", "model", "adapter", "project", "since"}
    )
    return {"url": f"http://127.0.0.1:{entry.port}/v1", **shown}


def _show_running(*, as_json: bool) -> None:
    served = _served()
    if as_json:
        emit_json("serve", [_as_json(entry) for entry in served])
        return
    if not served:
        click.echo("nothing is being served", err=True)
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("address", "model", "pid", "since"):
        table.add_column(name, overflow="fold", no_wrap=name == "address")
    for entry in served:
        named = f"{entry.model} + {entry.adapter}" if entry.adapter else entry.model
        address = f"http://127.0.0.1:{entry.port}/v1"
        table.add_row(address, safe(named), str(entry.pid), entry.since_here)
    out().print(table, soft_wrap=False)


def _stop(port: int, *, as_json: bool) -> None:
    from punie.errors import InputError, ServerError
    from punie.serving.registry import end

    served = [entry for entry in _served() if port in (STOP_ANY, entry.port)]
    if port != STOP_ANY and not served:
        raise InputError(f"no punie serve runs on port {port}", hint="punie serve --status")
    if len(served) > 1:
        ports = ", ".join(str(entry.port) for entry in served)
        raise InputError(
            "more than one is running", hint=f"punie serve --stop PORT; ports: {ports}"
        )
    for entry in served:
        if not end(entry):
            raise ServerError(f"pid {entry.pid} did not end", hint=f"kill -9 {entry.pid}")
    if as_json:
        emit_json("serve", {"stopped": [_as_json(entry) for entry in served]})
    elif not served:
        click.echo("nothing is being served", err=True)
    else:
        click.echo(f"stopped {served[0].model} on port {served[0].port}", err=True)
