"""`punie adapters convert`: an adapter in the other form, mlx_lm's or PEFT's."""

import shlex
from pathlib import Path

import click

from punie.cli.adapters_made import JSON, MODEL, OUTPUT, project_here
from punie.cli.output import emit_json, err, safe


@click.command("convert")
@click.argument("name", metavar="NAME")
@click.option(
    "--to",
    "wanted",
    type=click.Choice(["peft", "mlx"]),
    help="PEFT's form, or mlx_lm's [default: the other one].",
)
@OUTPUT
@MODEL
@JSON
def convert_command(
    *, name: str, wanted: str | None, output: Path | None, model: str | None, as_json: bool
) -> None:
    """Write an adapter in PEFT's form, or one of PEFT's in mlx_lm's [default: exports/NAME-peft].

    No bit of a weight changes. punie itself reads both: this is for other programs.
    """
    from punie.adapters.convert import (
        WHOSE,
        AdapterForm,
        convert_adapter,
        form_of,
        refuse_same_form,
    )
    from punie.adapters.export import exports_folder
    from punie.adapters.registry import base_name, find_adapter, require_weights
    from punie.cli.pulling import pulling
    from punie.models.resolve import resolve

    project = project_here()
    entry = find_adapter(project, name)
    require_weights(entry)
    form = AdapterForm(wanted) if wanted else form_of(entry).other
    refuse_same_form(entry, form)
    with pulling(silent=as_json) as progress:
        base = resolve(base_name(entry, project, model), progress=progress)
    stem = entry.name.removesuffix(f"-{form.other}")
    folder = output or exports_folder(project) / f"{stem}-{form}"
    done = convert_adapter(entry, base, folder, project)
    if as_json:
        emit_json(
            "adapters convert",
            {
                "path": str(done.path),
                "to": done.form,
                "adapter_hash": done.adapter_hash,
                "tensors": done.tensors,
                "rank": done.rank,
                "scale": done.scale,
            },
        )
        return
    click.echo(done.path)
    told = err()
    told.print(
        safe(
            f"in {WHOSE[form]} form; read back: {done.tensors} tensors are the same bit for bit, "
            f"rank {done.rank} and scale {done.scale:g} too"
        ),
        soft_wrap=True,
    )
    words = ["punie", "eval", "--model", base.name, "--adapter", _as_path(done.path)]
    told.print(safe(f"next: {shlex.join(words)}"), soft_wrap=True)


def _as_path(folder: Path) -> str:
    """A path, where its last part alone would mean an adapter of the project."""
    return str(folder) if len(folder.parts) > 1 else f"./{folder}"
