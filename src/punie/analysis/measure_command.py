"""The `punie eval` that a sentence advises: to be copied into a shell, whatever a name holds."""

import shlex
from collections.abc import Sequence

from punie.records.run import ModelIdentity, Run
from punie.records.training import Quantization
from punie.text import one_line

BUILTIN = "builtin"
"""What stands in the place of a file for a suite that comes with punie."""
LONGEST = 4096
"""Characters of a word: that of a path. A command that is cut short would be another one."""


def measure_command(run: Run, suite: str | None = None, options: Sequence[str] = ()) -> str:
    """The command that measures the model of `run` on `suite`, or else on what the run was asked.

    Where the run knows where its parts lay, they are named as that; else by their names.
    """
    asked, url, model = run.sources, run.model.url, run.model.name
    if asked is not None:
        url = asked.url
        model = model if run.model.backend == "endpoint" else asked.model
    words = ["punie", "eval", suite or place_of_suite(run)]
    if url:
        words += ["--url", url]
    elif run.model.backend == "endpoint":
        words += ["--backend", "endpoint"]
    else:
        words += _backend(run.model)
    words += ["--model", model]
    adapter = (asked.adapter if asked else None) or run.model.adapter
    words += ["--adapter", adapter] if adapter else []
    return in_shell([*words, *options])


def _backend(model: ModelIdentity) -> list[str]:
    """What chooses the backend again; mlx has the machines that have a usual one of their own."""
    packed = model.quantization is not Quantization.NONE
    words = ["--backend", model.backend] if model.backend == "cuda" else []
    return [*words, "--quantization", model.quantization.value] if packed else words


def place_of_suite(run: Run) -> str:
    """The file of a run's suite, or its name where it is built in or its file is not known."""
    place = run.sources.suite if run.sources else BUILTIN
    return run.suite_name if place == BUILTIN else place


def in_shell(words: Sequence[str]) -> str:
    """The words as a line for a shell, each quoted where it has to be."""
    return " ".join(map(_word, words))


def _word(text: str) -> str:
    word = one_line(text, LONGEST)
    # A shell puts the home folder in its place only where the ~ stands outside of quotes.
    return f"~/{shlex.quote(word[2:])}" if word.startswith("~/") else shlex.quote(word)
