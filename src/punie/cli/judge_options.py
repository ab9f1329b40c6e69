"""`--judge`, `--judge-model` and `--rubric`: who judges, and by what."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., object])

JUDGE = "A configured endpoint, a URL, or a model as in punie eval --model."


def judge_options(
    *, rubric: str, judge: str = JUDGE, required: bool = False
) -> Callable[[_Command], _Command]:
    """Give a command the three options, as `judge`, `judge_model` and `rubric`.

    `judge` and `rubric` are their helps. Where a judge is `required` the command is about it alone,
    and gets `--concurrency` too.
    """
    options = [
        click.option("--judge", metavar="ENDPOINT|MODEL", required=required, help=judge),
        click.option(
            "--judge-model", metavar="M", help="The judge's name, where --judge is a URL."
        ),
        click.option("--rubric", metavar="FILE", type=click.Path(path_type=Path), help=rubric),
    ]
    if required:
        options.append(
            click.option(
                "--concurrency",
                metavar="N",
                type=click.IntRange(1, 256),
                help="Answers in flight [default: 8].",
            )
        )

    def decorate(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate
