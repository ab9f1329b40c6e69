"""Keeping a Mac from falling asleep while it measures."""

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from os import getpid
from pathlib import Path

ON_A_MAC = sys.platform == "darwin"
CAFFEINATE = Path("/usr/bin/caffeinate")


@contextmanager
def awake() -> Generator[None]:
    """Hold off idle sleep until the block, or this process, ends; nothing where it is not a Mac.

    A lid that is closed is sleep all the same: requests that it interrupts are found by the clocks.
    Untested on macOS.
    """
    holding = _hold() if ON_A_MAC else None
    try:
        yield
    finally:
        if holding is not None:
            holding.terminate()
            holding.wait()


def _hold() -> subprocess.Popen[bytes] | None:
    """Prevent idle sleep (`-i`) for as long as this process lives (`-w`)."""
    argv = [str(CAFFEINATE), "-i", "-w", str(getpid())]
    try:
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL)  # noqa: S603 - a fixed program
    except OSError:
        return None
