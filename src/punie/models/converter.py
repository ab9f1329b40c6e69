"""The child programs that make a model's folder, and what they say of how far they are."""

import json
import os
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from punie.errors import ModelError
from punie.models.worker import worker_argv

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is, and of how much; a total of 0 is unknown."""


def quiet(what: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


def convert_by(worker: str, *words: str, source: Path, work: Path, progress: Progress) -> None:
    """Run a worker that converts `source`, in the folder `work`. Raises ModelError.

    It says on stdout what is wrong, or how many tensors are done.
    """
    error: dict[str, str] = {}

    def watch(line: str) -> None:
        try:
            message: Any = json.loads(line)
            if "error" in message:
                error.update(message["error"])
            elif "total" in message:
                progress("convert", message["done"], message["total"])
        except (ValueError, TypeError, KeyError):
            return  # a warning of some library

    status, said = run_child(worker_argv(worker, *words), work, watch, {})
    if error:
        raise ModelError(error["message"], hint=error["hint"])
    if status != 0:
        raise ModelError(
            f"the conversion of {source} ended with status {status}: {' '.join(said[-3:])[:500]}",
            hint="not enough memory?" if status < 0 else "",
        )


def run_child(
    argv: Sequence[str], work: Path, watch: Callable[[str], None], env: Mapping[str, str]
) -> tuple[int, list[str]]:
    """Run a child in `work`; its exit status and last lines. It is killed if we are interrupted.

    Its stdin is a pipe that we hold: a converter ends by itself when we are gone.
    """
    said: deque[str] = deque(maxlen=20)
    with subprocess.Popen(  # noqa: S603 - our own command line
        argv,
        cwd=work,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as child:
        try:
            assert child.stdout is not None
            for line in child.stdout:
                said.append(line.strip())
                watch(line.strip())
            return child.wait(), list(said)
        except BaseException:
            child.kill()
            raise
