"""Folders to work in, beside where the result goes, so that a rename finishes it."""

import os
import re
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psutil

from punie.errors import StoreError


@contextmanager
def scratch(place: Path, name: str) -> Generator[Path]:
    """Give an empty folder `.NAME.partial-…` in `place`, which is made; gone after the block.

    What a killed punie left of this name is removed first. Raises StoreError where nothing can be
    written.
    """
    try:
        place.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(place, name)
        work = Path(tempfile.mkdtemp(prefix=f".{name}.partial-{os.getpid()}-", dir=place))
    except OSError as error:
        raise StoreError(
            f"{place}: {error.strerror or error}", hint="choose a place that can be written to"
        ) from error
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _remove_abandoned(place: Path, name: str) -> None:
    ours = re.compile(rf"{re.escape(f'.{name}.partial-')}(\d+)-\w+")
    for folder in place.iterdir():
        maker = ours.fullmatch(folder.name)
        if maker and not folder.is_symlink() and not psutil.pid_exists(int(maker[1])):
            shutil.rmtree(folder, ignore_errors=True)
