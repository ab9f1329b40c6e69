"""How a worker is started: the one command line of every child program of punie's own."""

import sys

WORKERS = "punie.backends.workers"


def worker_argv(name: str, *words: str) -> list[str]:
    """The command line of the worker `name` with `words` as its arguments.

    `-P`: what lies in the current folder is not imported, or a project's own `random.py` would
    stand in for Python's and run inside the worker.
    """
    return [sys.executable, "-P", "-m", f"{WORKERS}.{name}", *words]


def launched(argv: list[str], *, backend: str, processes: int) -> list[str]:
    """The command line that runs the worker `argv` in so many processes, by the engine's launcher.

    It is the worker's own where there is only one.
    """
    if processes == 1:
        return argv
    return worker_argv("launch", backend, str(processes), *argv)
