"""`punie adapters fuse` and `export`: models and files made from an adapter."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from punie.cli.live import waiting_for
from punie.cli.output import emit_json, err, safe

if TYPE_CHECKING:
    from punie.adapters.registry import Entry
    from punie.backends.local import LocalModel

JSON = click.option("--json", "as_json", is_flag=True, help="As JSON.")
NAME = click.argument("name", metavar="NAME")
MODEL = click.option("--model", metavar="M", help="The base model [default: as trained].")
OUTPUT = click.option(
    "--output", metavar="PATH", type=click.Path(path_type=Path), help="Where to, nothing there yet."
)
PUBLISHER = "punie"


@click.command("fuse")
@NAME
@OUTPUT
@click.option(
    "--format",
    "form",
    type=click.Choice(["mlx", "hf"]),
    help="As mlx_lm writes it, or a plain 16-bit Hugging Face folder [default: by backend].",
)
@click.option("--dequantize", is_flag=True, help="With mlx: unpack a quantised base for good.")
@click.option(
    "--dtype",
    type=click.Choice(["bfloat16", "float16", "float32"]),
    help="With hf [default: the base's 16-bit type, or bfloat16].",
)
@MODEL
@JSON
def fuse_command(
    *,
    name: str,
    output: Path | None,
    form: str | None,
    dequantize: bool,
    dtype: str | None,
    model: str | None,
    as_json: bool,
) -> None:
    """Make one model of base and adapter [default: exports/NAME-fused].

    hf is unpacked, needs no mlx, and is what transformers, vLLM and punie on both backends load. In
    the form of mlx a quantised base stays quantised: packing the sum anew changes answers. How much
    they change is measured and said.
    """
    from punie.adapters.export import exports_folder
    from punie.adapters.fuse import fuse_adapter, merge_adapter
    from punie.sizes import byte_size

    project, entry, base = adapter_and_base(name, model, silent=as_json)
    form = form or ("hf" if base.how.backend == "cuda" else "mlx")
    if dequantize and form == "hf":
        raise click.UsageError("--dequantize goes with --format mlx; hf is always unpacked")
    if dtype and form == "mlx":
        raise click.UsageError("--dtype goes with --format hf; mlx keeps the base's")
    folder = output or exports_folder(project) / f"{entry.name}-fused"
    with waiting_for(f"fusing {entry.name}", quiet=as_json):
        if form == "hf":
            fused = merge_adapter(entry, base, folder, dtype)
        else:
            fused = fuse_adapter(entry, base, folder, dequantize=dequantize)
    if as_json:
        emit_json("adapters fuse", {"folder": str(folder), **fused.model_dump(mode="json")})
        return
    agreement = fused.agreement
    click.echo(folder)
    size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    told = err()
    told.print(safe(f"{fused.dtype}, {byte_size(size)}"), soft_wrap=True)
    told.print(
        f"of {agreement.positions} tokens {agreement.same_next_token} are expected as by base and "
        f"adapter on {agreement.backend}; largest difference of a probability "
        f"{agreement.largest_difference:.2g}",
        soft_wrap=True,
    )
    told.print(safe(f"next: punie adapters parity {name}"), soft_wrap=True)


@click.command("export")
@NAME
@click.option(
    "--to",
    "target",
    required=True,
    type=click.Choice(["gguf", "lmstudio", "hub"]),
    help="A GGUF file, a folder of LM Studio, or a folder to upload.",
)
@OUTPUT
@MODEL
@click.option("--fused", is_flag=True, help="With hub: the fused model instead of the adapter.")
@click.option("--dequantize", is_flag=True, help="With lmstudio or --fused: unpack the weights.")
@click.option(
    "--llama-cpp",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="With gguf: let the converter of this llama.cpp checkout write it.",
)
@click.option(
    "--publisher", metavar="NAME", help=f"With lmstudio: whose model it is [default: {PUBLISHER}]."
)
@JSON
def export_command(
    *,
    name: str,
    target: str,
    output: Path | None,
    model: str | None,
    fused: bool,
    dequantize: bool,
    llama_cpp: Path | None,
    publisher: str | None,
    as_json: bool,
) -> None:
    """Write an adapter for other programs. Nothing is overwritten, nothing is uploaded.

    gguf: fused and unpacked, compared with the model after writing; llama, mistral, qwen2 and qwen3
    with byte-level BPE, others by --llama-cpp. lmstudio: the fused model under PUBLISHER/NAME. hub:
    the adapter and its card.
    """
    from punie.adapters.export import (
        export_fused,
        export_gguf,
        export_hub,
        exports_folder,
        lmstudio_place,
    )
    from punie.adapters.registry import find_adapter
    from punie.reporting.numbers import byte_size

    _refuse_idle_options(target, fused=fused, dequantize=dequantize, llama_cpp=llama_cpp)
    if publisher and target != "lmstudio":
        raise click.UsageError("--publisher goes with --to lmstudio")
    if target == "hub" and not fused:
        project = project_here()
        entry = find_adapter(project, name)
        written = export_hub(entry, output or exports_folder(project) / f"{entry.name}-hub")
    else:
        project, entry, base = adapter_and_base(name, model, silent=as_json)
        with waiting_for(f"fusing and writing {entry.name}", quiet=as_json):
            if target == "gguf":
                file = output or exports_folder(project) / f"{entry.name}.gguf"
                written = export_gguf(entry, base, file, llama_cpp=llama_cpp)
            elif target == "lmstudio":
                folder = lmstudio_place(entry, publisher or PUBLISHER, output)
                written = export_fused(entry, base, folder, dequantize=dequantize)
            else:
                folder = output or exports_folder(project) / f"{entry.name}-fused-hub"
                written = export_fused(entry, base, folder, dequantize=dequantize)
    if as_json:
        data = {"path": str(written.path), "size_bytes": written.size_bytes, "said": written.said}
        emit_json("adapters export", data | {"to": target})
        return
    click.echo(written.path)
    told = err()
    told.print(safe(f"{byte_size(written.size_bytes)}; {written.said}"), soft_wrap=True)
    for line in _next(target, written.path):
        told.print(safe(line), soft_wrap=True)


def project_here() -> Path:
    """The project that the command runs in."""
    from punie.settings import find_project

    return find_project(Path.cwd())


def adapter_and_base(
    name: str, model: str | None, *, silent: bool, backend: str | None = None
) -> "tuple[Path, Entry, LocalModel]":
    """The project, the adapter called `name`, and its base model, which is pulled if need be.

    `backend` replaces the one that the project's settings say.
    """
    from punie.adapters.fuse import base_of
    from punie.adapters.registry import find_adapter
    from punie.cli.backend_option import backend_choice
    from punie.cli.pulling import pulling
    from punie.settings import load_settings

    project = project_here()
    entry = find_adapter(project, name)
    how = backend_choice(load_settings(Path.cwd()).values, backend=backend, quantization=None)
    with pulling(silent=silent) as progress:
        return project, entry, base_of(entry, project, model, progress, how=how)


def _refuse_idle_options(
    target: str, *, fused: bool, dequantize: bool, llama_cpp: Path | None
) -> None:
    """No option is accepted that would do nothing."""
    if fused and target != "hub":
        raise click.UsageError("--fused goes with --to hub; the others are always fused")
    if llama_cpp and target != "gguf":
        raise click.UsageError("--llama-cpp goes with --to gguf")
    if dequantize and (target == "gguf" or (target == "hub" and not fused)):
        raise click.UsageError("--dequantize goes with --to lmstudio, or --to hub --fused")


def _next(target: str, path: Path) -> list[str]:
    import shlex
    import sys

    if target == "gguf":
        return [f"next: punie eval --model {shlex.quote(str(path))}   the same suite through it"]
    if target == "hub":
        return [f"next: hf upload ORG/NAME {shlex.quote(str(path))}"]
    if sys.platform != "darwin":
        return ["LM Studio runs MLX folders on Apple Silicon only; elsewhere: --to gguf"]
    return ["LM Studio lists it under My Models"]
