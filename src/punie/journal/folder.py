"""Where entries live: `journal/<YYYY>/<MM>/<YYYYMMDD-HHMM>-<slug>-<4 characters>/`.

A folder appears whole or not at all: it is filled beside its place, synced, and renamed under a
lock. What a crash leaves behind begins with a dot, is no entry, and goes with the next write.
"""

import os
import re
import secrets
import shutil
import unicodedata
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from punie.errors import InputError, StoreError
from punie.store.database import make_state_folder

JOURNAL = "journal"
ENTRY = "entry.md"
RUN, TRAINING, BENCHMARK = "run.json", "training.json", "benchmark.json"
COMPARISON = "comparison.json"
RECORDS = (RUN, TRAINING, BENCHMARK, COMPARISON)
"""An entry has one of them."""
README = "README.md"
ENTRY_ID = re.compile(r"\d{8}-\d{4}-[a-z0-9]+(?:-[a-z0-9]+)*-[a-z0-9]{4}")

_LOCK = "journal.lock"
_LOCK_TIMEOUT_S = 30.0
_WRITING = ".writing-"
_SLUG_LENGTH = 40
_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
"""Those that nobody mistakes for another."""
_TRIES = 20


def slug(goal: str) -> str:
    """A goal as a folder's name: ASCII letters and digits, whole words, at most 40 characters."""
    plain = unicodedata.normalize("NFKD", goal).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)
    name = ""
    for word in words:
        longer = f"{name}-{word}" if name else word[:_SLUG_LENGTH]
        if len(longer) > _SLUG_LENGTH:
            break
        name = longer
    return name or "entry"


def place_of(journal: Path, entry_id: str) -> Path:
    """The folder of an entry."""
    return journal / entry_id[:4] / entry_id[4:6] / entry_id


def entry_folders(journal: Path) -> list[Path]:
    """Every entry's folder, oldest first. A folder that is named like none is not an entry."""
    return sorted(
        (each for each in journal.glob("[0-9]*/[0-9]*/*") if ENTRY_ID.fullmatch(each.name)),
        key=lambda folder: folder.name,
    )


def find_entry(root: Path, reference: str) -> Path:
    """The entry that a path, an id or a unique beginning of an id names. Raises InputError."""
    path = Path(reference)
    folder = path.parent if path.name in {ENTRY, *RECORDS} else path
    if folder.is_dir() and ENTRY_ID.fullmatch(folder.resolve().name):
        return folder.resolve()
    found = [each for each in entry_folders(root / JOURNAL) if each.name.startswith(reference)]
    if len(found) == 1:
        return found[0]
    what = "fits several entries" if found else "is no entry of this journal"
    hint = "give the folder's path, its name, or a longer beginning of it"
    raise InputError(f"{reference} {what}", hint=hint)


def entries_of(root: Path, run_id: str) -> list[Path]:
    """The entries that a run has, by the records in their folders, oldest first."""
    mark = f'"id":"{run_id}"'.encode()
    # Both names begin with the time in UTC, and no entry is older than its run.
    return [
        folder
        for folder in entry_folders(root / JOURNAL)
        if folder.name[:13] >= run_id[:13]
        and (folder / RUN).is_file()
        and mark in (folder / RUN).read_bytes()
    ]


def add_folder(
    root: Path, goal: str, now: datetime, files: Callable[[str], Mapping[str, bytes]]
) -> Path:
    """Add an entry of `files(entry_id)`, durable and whole, never over another.

    Raises StoreError where the journal cannot be written.
    """
    journal = root / JOURNAL
    with _writing(root):
        entry_id = _free_id(journal, goal, now)
        content = files(entry_id)
        target = place_of(journal, entry_id)
        _make_folders(target.parent, root)
        # With the lock held nobody writes: what begins like this was left by a crash.
        for left in journal.glob(f"{_WRITING}*"):
            shutil.rmtree(left, ignore_errors=True)
        draft = journal / f"{_WRITING}{entry_id}"
        try:
            _fill(draft, content)
            draft.rename(target)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        _sync(target.parent)
    return target


def replace_readme(root: Path, content: bytes) -> Path:
    """Replace `journal/README.md`, whole and durable. Raises StoreError."""
    path = root / JOURNAL / README
    draft = path.with_name(f"{_WRITING}{README}")
    with _writing(root):
        _make_folders(path.parent, root)
        try:
            _write(draft, content)
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        _sync(path.parent)
    return path


@contextmanager
def _writing(root: Path) -> Generator[None]:
    """Hold the journal's lock; what the system refuses becomes a StoreError."""
    try:
        with FileLock(make_state_folder(root) / _LOCK, timeout=_LOCK_TIMEOUT_S):
            yield
    except Timeout as error:
        raise StoreError(
            f"another punie has been writing the journal for {_LOCK_TIMEOUT_S:g} s",
            hint="try again when it is done",
        ) from error
    except OSError as error:
        raise StoreError(
            f"the journal cannot be written: {error.strerror or error}",
            hint=f"check that {JOURNAL}/ can be written to and that the disk has room",
        ) from error


def _free_id(journal: Path, goal: str, now: datetime) -> str:
    for _ in range(_TRIES):
        tail = "".join(secrets.choice(_LETTERS) for _ in range(4))
        entry_id = f"{now:%Y%m%d-%H%M}-{slug(goal)}-{tail}"
        if not place_of(journal, entry_id).exists():
            return entry_id
    raise StoreError("no free name for the entry was found", hint="wait a minute and try again")


def _make_folders(folder: Path, root: Path) -> None:
    """Make `folder` under `root`, each new level known to the disk."""
    missing = [each for each in (folder, *folder.parents) if root in each.parents]
    for each in reversed(missing):
        if not each.is_dir():
            each.mkdir(exist_ok=True)
            _sync(each.parent)


def _fill(draft: Path, files: Mapping[str, bytes]) -> None:
    draft.mkdir()
    for name, content in files.items():
        _write(draft / name, content)
    _sync(draft)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Make a folder's list of names durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
