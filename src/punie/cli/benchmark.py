"""`punie benchmark`: how fast this machine trains and serves a model, and what follows from it."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from punie.cli.backend_option import BACKEND, QUANTIZATION
from punie.cli.output import emit_json

if TYPE_CHECKING:
    from punie.cli.benchmarking import Benchmarked

OF_TRAINING = ("iters", "batch", "seq", "rank", "layers", "grid", "data")
"""Options that say nothing of serving."""


@click.command("benchmark")
@click.argument("model", required=False, metavar="[MODEL]")
@BACKEND
@QUANTIZATION
@click.option(
    "--iters",
    metavar="N",
    type=click.IntRange(1, 100_000),
    help="Timed iterations [default: 10, or 45 s].",
)
@click.option("--batch", metavar="N", type=click.IntRange(1), help="Rows [default: 4].")
@click.option("--seq", metavar="T", type=click.IntRange(8), help="Tokens a row [default: 256].")
@click.option("--rank", metavar="R", type=click.IntRange(1, 1024), help="LoRA's [default: 8].")
@click.option("--layers", metavar="N", type=click.IntRange(1), help="The last N [default: 16].")
@click.option("--grid", is_flag=True, help="Measure smaller and larger shapes too, 5 minutes.")
@click.option("--train", is_flag=True, help="Training only.")
@click.option("--serve", is_flag=True, help="Serving only, with more time for it.")
@click.option("--data", metavar="DATA", help="Say how long a training on this data would take.")
@click.option("--journal", metavar="GOAL", help="Write a journal entry with this goal.")
@click.option("--json", "as_json", is_flag=True, help="All measurements as JSON.")
def benchmark_command(as_json: bool, **options: Any) -> int:  # noqa: FBT001 - click passes by name
    """Measure how fast this machine trains and serves a model, and say what follows.

    MODEL is a built-in name, an MLX folder, a GGUF file, or a hub id; without it, the project's.
    Training is timed with the worker that trains, serving with real requests. Up to 5 s per
    iteration: go on; 30 s: usable; 60 s: slow; above: change something. Ctrl-C keeps what was
    measured.
    """
    from punie.cli.benchmark_measuring import BenchmarkWish
    from punie.cli.benchmarking import exit_code, run_benchmark
    from punie.settings import load_settings

    train, serve = options.pop("train"), options.pop("serve")
    if serve and not train and (given := [name for name in OF_TRAINING if options[name]]):
        raise click.UsageError(f"--serve alone measures no training: drop --{given[0]}")
    wish = BenchmarkWish(
        **options,
        train=train or not serve,
        serve=serve or not train,
        quiet=as_json,
        argv=tuple(sys.argv[1:]),
    )
    benchmarked = asyncio.run(run_benchmark(wish, load_settings(Path.cwd())))
    if as_json:
        warnings = [*benchmarked.result.conditions.warnings, *benchmarked.notes]
        emit_json("benchmark", benchmarked.as_json(), warnings)
    else:
        _print(benchmarked)
    return exit_code(benchmarked)


def _print(benchmarked: "Benchmarked") -> None:
    from punie.cli.output import err, out, safe
    from punie.reporting.benchmark import BenchmarkTable

    out().print(BenchmarkTable(benchmarked.result))
    for note in benchmarked.notes:
        err().print(safe(note), soft_wrap=True)
    if benchmarked.entry:
        err().print(safe(f"journal entry: {benchmarked.entry}"), soft_wrap=True)
