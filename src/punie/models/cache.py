"""The user's cache: where converted models, corrected copies and remembered hashes live."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs

from punie.errors import ModelError


def cache_root() -> Path:
    """`PUNIE_CACHE`, or the platform's cache folder of this user. It may not exist yet."""
    chosen = os.environ.get("PUNIE_CACHE")
    return Path(chosen).expanduser().absolute() if chosen else platformdirs.user_cache_path("punie")


def build_once(target: Path, make: Callable[[Path], Path], *, waiting: Callable[[], None]) -> Path:
    """The folder `target`, made by `make` if it is not there yet; it is whole or does not exist.

    `make` is given an empty work folder and returns the finished folder inside it, which is then
    flushed to disk and renamed. One process builds at a time; the others call `waiting` once and
    wait. What a killed builder left is removed by the next. Raises ModelError where the cache
    cannot be written, and whatever `make` raises.
    """
    from filelock import FileLock, Timeout  # noqa: PLC0415 - costs more than finding the folder

    if target.is_dir():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(target.parent / f".{target.name}.lock")
        try:
            held = lock.acquire(timeout=0)
        except Timeout:
            waiting()
            held = lock.acquire()
        with held:
            return target if target.is_dir() else _build(target, make)
    except OSError as error:
        raise ModelError(
            f"cannot write the cache in {target.parent}: {error.strerror or error}",
            hint="set PUNIE_CACHE to a folder that can be written",
        ) from error


def _build(target: Path, make: Callable[[Path], Path]) -> Path:
    prefix = f".{target.name}.partial-"
    for leftover in target.parent.glob(f"{prefix}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    # A new name each time: a child of a killed builder may still write into the old one.
    with tempfile.TemporaryDirectory(
        prefix=prefix, dir=target.parent, ignore_cleanup_errors=True
    ) as work:
        made = make(Path(work))
        for file in [*made.iterdir(), made]:
            _flush(file)
        made.rename(target)
    _flush(target.parent)
    return target


def _flush(path: Path) -> None:
    if path.is_symlink():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
