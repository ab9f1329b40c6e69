"""One punie at a time works on a run; when it ends, however it ends, the system lets go."""

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from punie.errors import InputError, StoreError

LOCK, OWNER = "lock", "pid"


@contextmanager
def run_lock(folder: Path) -> Generator[None]:
    """Hold the lock of the run whose files are in `folder`, which is made where it is missing.

    Raises InputError where another punie holds it, with that one's process id if it is known, and
    StoreError where the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK)
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"run {folder.name} is still running{_owner(folder)}",
            hint="wait until it has ended, or end it with Ctrl-C there",
        ) from None
    except OSError as error:
        raise StoreError(
            f"{folder}: {error.strerror or error}",
            hint="check that the project's folder can be written to and that the disk has room",
        ) from error
    try:
        # Only a name for the message above: the lock alone decides.
        with suppress(OSError):
            (folder / OWNER).write_text(str(os.getpid()), encoding="ascii")
        yield
    finally:
        lock.release()


def _owner(folder: Path) -> str:
    with suppress(OSError, ValueError):
        return f" in process {int((folder / OWNER).read_text(encoding='ascii'))}"
    return ""
