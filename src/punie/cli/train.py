"""`punie train`: from data and a base model to an adapter."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from punie.cli.backend_option import BACKEND
from punie.cli.output import emit_json
from punie.errors import EXIT_INTERRUPTED, EXIT_OK, InputError

if TYPE_CHECKING:
    from punie.cli.trained import Trained, TrainWish

OVERRIDES = (
    "method",
    "quantization",
    "rank",
    "layers",
    "learning_rate",
    "batch_size",
    "epochs",
    "iterations",
    "max_length",
    "seed",
)
"""Options that stand for a key of the plan; the others are set in --config."""


@click.command("train")
@click.argument("data", required=False, metavar="[DATA]")
@click.option("--model", metavar="M", help="Built-in name, hub id, MLX folder or GGUF file.")
@BACKEND
@click.option("--name", metavar="N", help="The adapter's name [default: chosen and shown].")
@click.option(
    "--config",
    metavar="PLAN.YAML",
    type=click.Path(path_type=Path),
    help="The plan: punie's own form, or mlx_lm's.",
)
@click.option("--method", type=click.Choice(["lora", "dora", "full"]), help="[default: lora]")
@click.option(
    "--quantization",
    type=click.Choice(["none", "8bit", "4bit"]),
    help="With cuda: how the base is packed [default: 4bit].",
)
@click.option("--rank", metavar="R", type=click.IntRange(1), help="[default: 8, alpha 32]")
@click.option("--layers", metavar="N|all", help="The last N blocks [default: 16, or all].")
@click.option("--learning-rate", metavar="X", type=float, help="[default: 2e-4]")
@click.option("--batch-size", metavar="N", type=click.IntRange(1), help="Rows [default: 4].")
@click.option("--epochs", metavar="E", type=float, help="[default: 3]")
@click.option("--iterations", metavar="N", type=click.IntRange(1), help="Instead of epochs.")
@click.option(
    "--max-length", metavar="T", type=click.IntRange(8), help="Tokens of a row [default: 2048]."
)
@click.option("--seed", metavar="S", type=click.IntRange(0), help="[default: 0]")
@click.option(
    "--processes",
    metavar="N",
    type=click.IntRange(1, 1024),
    help="Share each batch out over N, a GPU each [default: 1].",
)
@click.option(
    "--select-by",
    metavar="SUITE",
    help="Keep the checkpoint that does best on this suite [default: by validation loss].",
)
@click.option(
    "--allow-leakage",
    is_flag=True,
    help="Train although rows stand in a suite too; later results there are stamped.",
)
@click.option("--dry-run", is_flag=True, help="Look at data, memory and time, and train nothing.")
@click.option(
    "--emit",
    type=click.Choice(["skypilot"]),
    help="Write a task that runs this on a cluster or cloud, and train nothing.",
)
@click.option("--resume", metavar="NAME", help="Go on with a training that was interrupted.")
@click.option(
    "--finish", is_flag=True, help="With --resume: make the adapter of the best checkpoint so far."
)
@click.option("--journal", metavar="GOAL", help="Write a journal entry with this goal.")
@click.option("--json", "as_json", is_flag=True, help="The adapter's manifest as JSON.")
def train_command(as_json: bool, emit: str | None, **options: Any) -> int:  # noqa: FBT001 - click passes by name
    """Train an adapter.

    DATA is a folder with train.jsonl, valid.jsonl and test.jsonl, one .jsonl file (which is split),
    a name in data/, or a hub dataset. Without arguments: the project's data and model. Every row is
    looked at first; Ctrl-C stops after the iteration that runs, keeps everything, and --resume goes
    on from there.
    """
    from punie.cli.trained import TrainWish
    from punie.cli.training import train_adapter
    from punie.settings import load_settings

    overrides = {name: options.pop(name) for name in OVERRIDES}
    overrides = {name: value for name, value in overrides.items() if value is not None}
    if "layers" in overrides:
        overrides["layers"] = _layers(overrides["layers"])
    wish = TrainWish(**options, overrides=overrides, quiet=as_json, argv=tuple(sys.argv[1:]))
    if emit:
        return _emit(wish, as_json=as_json)
    try:
        trained = asyncio.run(train_adapter(wish, load_settings(Path.cwd())))
    except asyncio.CancelledError:  # by the second Ctrl-C
        raise KeyboardInterrupt from None
    if as_json:
        emit_json("train", trained.as_json(), trained.warnings)
    else:
        _print(trained)
    return EXIT_INTERRUPTED if trained.stopped else EXIT_OK


def _emit(wish: "TrainWish", *, as_json: bool) -> int:
    from punie.cli.emitting import emit_task
    from punie.cli.output import err, safe
    from punie.settings import load_settings

    emitted = asyncio.run(emit_task(wish, load_settings(Path.cwd())))
    if as_json:
        emit_json("train", {"task": emitted.task.as_dict()}, emitted.notes)
        return EXIT_OK
    click.echo(emitted.task.as_yaml(), nl=False)
    for note in emitted.notes:
        err().print(safe(note), soft_wrap=True)
    return EXIT_OK


def _layers(text: str) -> int | str:
    if text == "all":
        return text
    if text.isascii() and text.isdigit() and len(text) <= 9 and int(text):
        return int(text)
    raise InputError(f"--layers is {text[:40]!r}", hint="a number from 1 on, or all")


def _print(trained: "Trained") -> None:
    from punie.cli.output import err, out, safe

    out().print(trained.table)
    notes = err()
    notes.print()
    for line in trained.warnings:
        notes.print(safe(line), soft_wrap=True)
    for line in trained.next_steps:
        notes.print(line, markup=False, soft_wrap=True)
