"""`punie eval`: the main job."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from punie.cli.adapter_option import as_path
from punie.cli.backend_option import QUANTIZATION
from punie.cli.judge_options import judge_options
from punie.cli.output import emit_json
from punie.errors import EXIT_GATE, EXIT_INTERRUPTED, EXIT_OK, EXIT_RUNTIME, EXIT_UNMEASURED

if TYPE_CHECKING:
    from punie.cli.measured import Measured


VERSUS = ("against", "gate", "fail_on_regression", "until_decided", "latency")
"""The options of a comparison."""


@click.command("eval")
@click.argument("suite", required=False, metavar="[SUITE|FILE]")
@click.option("--model", metavar="M", help="Built-in name, hub id, MLX folder or GGUF file.")
@click.option(
    "--adapter",
    metavar="NAME|FOLDER",
    type=click.Path(),
    callback=as_path,
    help="An adapter: model and suite default to its own.",
)
@click.option(
    "--url",
    metavar="URL|NAME",
    help="An OpenAI-compatible server, or the name of a configured endpoint.",
)
@click.option(
    "--backend", type=click.Choice(["auto", "mlx", "cuda", "endpoint"]), help="What serves."
)
@QUANTIZATION
@click.option("--category", metavar="C", help="Only prompts of this category.")
@click.option("--role", metavar="R", help="Only prompts of this role.")
@click.option("--tag", metavar="T", help="Only prompts with this tag.")
@click.option(
    "--sample", metavar="N", type=click.IntRange(1), help="Only N prompts, drawn by --seed."
)
@click.option(
    "--seed",
    metavar="S",
    type=click.IntRange(0),
    help="For --sample, --until-decided, and sampling above 0.",
)
@click.option(
    "--repeats",
    metavar="K",
    type=click.IntRange(1, 1000),
    help="Ask each prompt K times [default: 1].",
)
@click.option(
    "--temperature", metavar="T", type=click.FloatRange(0, 2), help="Instead of the suite's."
)
@click.option(
    "--max-tokens", metavar="N", type=click.IntRange(1), help="Longest answer, for every prompt."
)
@click.option(
    "--concurrency",
    metavar="N",
    type=click.IntRange(1, 256),
    help="Prompts in flight [default: 8].",
)
@click.option(
    "--tools", type=click.Choice(["auto", "native", "prompt"]), help="How tools are given."
)
@click.option(
    "--checks/--no-checks",
    default=None,
    help="Check the instrument first: adapter, tools, seed, concurrency, context [default: yes].",
)
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Results as .jsonl, .json or .csv, summary beside.",
)
@click.option("--journal", metavar="GOAL", help="Write a journal entry with this goal.")
@judge_options(
    judge="Have the answers marked afterwards, beside the score.",
    rubric="What the judge marks by: punie judge rubric.",
)
@click.option(
    "--against",
    metavar="base|RUN",
    help="Compare with the model without its adapter, or with a run.",
)
@click.option(
    "--gate",
    metavar="FILE|NAME",
    help="With --against: what must hold, as YAML. Exit code 3 where it fails, 4 undecided.",
)
@click.option(
    "--fail-on-regression",
    is_flag=True,
    help="With --against: exit code 3 where the default gate fails.",
)
@click.option(
    "--until-decided",
    is_flag=True,
    help="With --against: ask in an order drawn by --seed, and stop once a test has decided.",
)
@click.option(
    "--latency",
    is_flag=True,
    help="With --against: serve both at once and ask them in turns, to compare their times.",
)
@click.option(
    "--resume",
    metavar="RUN",
    help="Ask what a run still owes, in the same way. `last` is the newest.",
)
@click.option("--json", "as_json", is_flag=True, help="The run and its summary as JSON.")
def eval_command(as_json: bool, **options: Any) -> int:  # noqa: FBT001 - click passes by name
    """Measure a model on a suite.

    Without arguments: the project's suite and model, or in a folder without any a short demo on a
    small built-in model. Every answer is kept the moment it comes; Ctrl-C ends the run and keeps
    what was measured, and --resume goes on with it. With --against it ends in a comparison, and the
    same command, given again, goes on with what was cut short.
    """
    from punie.cli.measure import measure
    from punie.cli.wish import Wish
    from punie.settings import load_settings

    versus = {name: options.pop(name) for name in VERSUS}
    wish = Wish(**options, quiet=as_json, argv=tuple(sys.argv[1:]))
    if versus["against"] is not None:
        from punie.cli.against_command import run_against

        return run_against(wish, versus, as_json=as_json)
    _refuse_alone(versus)
    try:
        measured = asyncio.run(measure(wish, load_settings(Path.cwd())))
    except asyncio.CancelledError:  # by the second Ctrl-C
        raise KeyboardInterrupt from None
    if as_json:
        emit_json("eval", measured.as_json(), measured.warnings)
    else:
        print_run(measured)
    return exit_code(measured)


def _refuse_alone(versus: dict[str, Any]) -> None:
    """Raise InputError for a flag that says nothing without --against."""
    from punie.errors import InputError

    for name, value in versus.items():
        if value:
            flag = f"--{name.replace('_', '-')}"
            raise InputError(f"{flag} needs --against", hint=f"{flag} --against base|RUN")


def exit_code(measured: "Measured") -> int:
    """The worst that happened decides, as `punie --help` lists it."""
    run = measured.report.run
    summary = measured.report.summary
    if measured.judging == EXIT_INTERRUPTED or run.status == "interrupted":
        return EXIT_INTERRUPTED
    if not summary.answered:
        return EXIT_UNMEASURED
    if summary.faults or run.status == "failed" or measured.unwritten:
        return EXIT_RUNTIME
    if measured.judging:
        return EXIT_RUNTIME
    return EXIT_GATE if summary.must_pass_failed else EXIT_OK


def print_run(measured: "Measured") -> None:
    """Print a run as a table, and on stderr what else is to be said of it."""
    from punie.cli.output import err, out, safe
    from punie.reporting.terminal import eval_table, owed

    out().print(eval_table(measured.report))
    if left := owed(measured.report):
        out().print(f"\n{left}", markup=False, soft_wrap=True)
    notes = err()
    notes.print()
    for line in measured.warnings:
        notes.print(safe(line), soft_wrap=True)
    for line in measured.next_steps:
        notes.print(line, markup=False, soft_wrap=True)
