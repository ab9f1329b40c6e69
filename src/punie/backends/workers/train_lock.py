"""One worker at a time in a training's folder.

punie's own lock ends with punie, and its worker lives on for up to the guardian's grace, to finish
an iteration and save. A training that is resumed meanwhile must not write into the same folder: the
older worker would put its state over the newer one's.

Of several processes that train together the first one holds the folder. It writes into the lock's
file which launch it is of, and the others, which read the folder too, wait for that.
"""

import contextlib
import fcntl
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from punie.backends.workers.train_failure import Failure
from punie.records.training import FailureKind

LOCK = "worker.lock"
WAIT_S = 40.0
"""The guardian kills a worker 30 s after the death of its punie; then the system drops the lock."""
LOOK_S = 0.05
LAUNCH = "PUNIE_LAUNCH"
"""The variable that says which launch a process is of: no two have the same."""


def hold(folder: Path, stopped: Callable[[], bool], *, wait_s: float = WAIT_S) -> bool:
    """Hold the folder until this process ends, once whoever holds it now has ended.

    False: we were told to stop before. Raises Failure where that takes longer than `wait_s`, or
    the folder cannot be written.
    """
    try:
        # Never closed: the lock lasts as long as the process, whatever ends it.
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        give_up = None
        while not _taken(descriptor):
            if give_up is None:
                give_up = time.monotonic() + wait_s
                print("waiting for the worker before this one to end", file=sys.stderr, flush=True)
            if stopped():
                return False
            if time.monotonic() >= give_up:
                raise Failure(
                    FailureKind.RESUME,
                    f"another worker has been training in {folder} for {wait_s:g} s and does not "
                    "end: stop it, and resume",
                )
            time.sleep(LOOK_S)
        if launch := os.environ.get(LAUNCH):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, launch.encode(), 0)
    except OSError as problem:
        raise Failure(
            FailureKind.DISK, f"{folder / LOCK}: {problem.strerror or problem}"
        ) from problem
    return True


def wait_for_first(folder: Path, stopped: Callable[[], bool]) -> bool:
    """Wait until the first process of this launch holds the folder; False: told to stop before.

    Where that one gives up, this one is ended by the launch.
    """
    launch = os.environ[LAUNCH].encode()
    while not stopped():
        with contextlib.suppress(OSError):
            if (folder / LOCK).read_bytes() == launch:
                return True
        time.sleep(LOOK_S)
    return False


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
