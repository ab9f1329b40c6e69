"""`punie models`: which models are here, bringing one here, and what one can do."""

from typing import TYPE_CHECKING

import click

from punie.cli.output import emit_json, out, safe
from punie.models.catalog import DEFAULT_MODEL

if TYPE_CHECKING:
    from punie.records.model import ListedModel, ModelInfo

NAME = click.argument("name", default=DEFAULT_MODEL)
JSON = click.option("--json", "as_json", is_flag=True, help="As JSON.")


@click.group()
def models() -> None:
    """List, pull and show models.

    A model is a built-in name, an MLX folder, a GGUF file, or a hub id such as org/name.
    """


@models.command("list")
@JSON
def list_command(as_json: bool) -> None:  # noqa: FBT001 - click passes by name
    """List the built-in models and those of the Hugging Face and LM Studio caches."""
    from punie.models.describe import list_models

    listed = list_models()
    if as_json:
        emit_json("models list", [model.model_dump(mode="json") for model in listed])
        return
    _print_list(listed)


@models.command("pull")
@NAME
@JSON
def pull_command(name: str, as_json: bool) -> None:  # noqa: FBT001 - click passes by name
    """Bring a model here: download it, and convert it where needed."""
    from punie.cli.pulling import pulling
    from punie.models.resolve import resolve

    with pulling(silent=as_json) as progress:
        model = resolve(name, progress=progress)
    if as_json:
        emit_json("models pull", model.model_dump(mode="json"))
        return
    click.echo(model.path)


@models.command("show")
@NAME
@JSON
def show_command(name: str, as_json: bool) -> None:  # noqa: FBT001 - click passes by name
    """Show a model's size, context, template abilities and hashes. Nothing is downloaded."""
    from punie.cli.pulling import pulling
    from punie.models.describe import describe
    from punie.models.resolve import resolve

    with pulling(silent=as_json) as progress:
        model = resolve(name, download=False, progress=progress)
    info = describe(model)
    if as_json:
        native = info.abilities.native_tools
        emit_json("models show", info.model_dump(mode="json") | {"native_tools": native})
        return
    _print_info(info)


def _print_list(listed: "list[ListedModel]") -> None:
    from rich.table import Table
    from rich.text import Text

    from punie.reporting.numbers import byte_size

    console = out()
    wide = console.width >= 60
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("model", overflow="fold")
    if wide:
        table.add_column("from")
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("here" if wide else "", no_wrap=True)
    for model in listed:
        here = "yes" if model.path else "to pull"
        source = [Text(model.source.value)] if wide else []
        table.add_row(safe(model.name), *source, byte_size(model.size_bytes), here)
    console.print(table, soft_wrap=False)


def _print_info(info: "ModelInfo") -> None:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in _facts(info):
        table.add_row(label, safe(value))
    out().print(table, soft_wrap=False)


def _facts(info: "ModelInfo") -> list[tuple[str, str]]:
    from punie.reporting.numbers import byte_size, compact, count, short_hash

    model, able, hashes = info.model, info.abilities, info.fingerprint
    revision = f" at {model.revision[:12]}" if model.revision else ""
    tools = "rendered by the template" if able.tools else "not in the template"
    if able.tools and not able.parser:
        tools += ", calls stay text"
    thinking = "yes" if able.thinking else "no"
    if able.thinking_switch:
        thinking += ", can be switched"
    return [
        ("model", model.name),
        ("from", f"{model.source.value}{f', {model.origin}' if model.origin else ''}{revision}"),
        ("folder", str(model.path)),
        ("architecture", f"{info.architecture}, {count(info.layers)} layers"),
        ("parameters", f"{compact(info.parameters)} ({count(info.parameters)})"),
        ("weights", info.dtype),
        ("context", f"{count(info.context_length)} tokens"),
        ("vocabulary", f"{count(info.vocabulary)} tokens"),
        ("size", byte_size(info.size_bytes)),
        ("chat", "yes" if able.chat else "no chat template"),
        ("system turn", "yes" if able.system else "no"),
        ("tools", tools),
        ("tool parser", able.parser or "none"),
        ("thinking", thinking),
        *([("own code", f"never run ({', '.join(info.own_code)})")] if info.own_code else []),
        ("weights hash", short_hash(hashes.weights)),
        ("template hash", short_hash(hashes.template)),
        ("whole hash", short_hash(hashes.whole)),
    ]
