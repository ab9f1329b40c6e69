"""What a doctor can see of a project's database and of the disk."""

import os
import shutil
import sqlite3
from pathlib import Path
from urllib.parse import quote

from punie.records.checkup import Checkup, note, ok, problem
from punie.sizes import byte_size
from punie.store.database import DATABASE, STATE_FOLDER, migrations

SCARCE = 200_000_000
"""Below this a run's results may not find place."""
TIGHT = 5_000_000_000
"""Below this a model of middling size does not."""


def check_database(project: Path) -> Checkup:
    """Version and integrity of the project's database, which is opened for reading only."""
    path = project / STATE_FOLDER / DATABASE
    shown = f"{STATE_FOLDER}/{DATABASE}"
    if not path.exists():
        return _none_yet(project, shown)
    aside = f"mv {shown} {shown}.broken"
    try:
        version, verdict, runs = _examine(path)
    except sqlite3.OperationalError as error:
        return problem("database", f"{shown}: {error}", "end the other punie, or check the rights")
    except sqlite3.Error as error:
        return problem("database", f"{shown}: {error}", aside)
    if verdict != "ok":
        return problem("database", f"{shown} is damaged: {verdict[:120]}", aside)
    return _of_version(path, shown, version, runs)


def _none_yet(project: Path, shown: str) -> Checkup:
    if os.access(project, os.W_OK):
        return ok("database", f"no {shown} yet; the first eval makes it")
    return problem(
        "database", f"{project} cannot be written to", "work in a folder that you can write to"
    )


def _of_version(path: Path, shown: str, version: int, runs: int) -> Checkup:
    newest = migrations()[-1][0]
    if version > newest:
        found = f"{shown} was written by a newer punie (schema {version}, this one: {newest})"
        return problem("database", found, "pip install --upgrade punie")
    if not os.access(path, os.W_OK):
        return problem("database", f"{shown} cannot be written to", f"chmod u+w {shown}")
    if version < newest:
        return note("database", f"schema {version}; the next eval brings it to {newest}")
    count = "1 run" if runs == 1 else f"{runs} runs"
    return ok("database", f"{shown}, schema {version}, {count}, sound")


def _examine(path: Path) -> tuple[int, str, int]:
    """(schema version, what `quick_check` says, number of runs)."""
    address = f"file:{quote(str(path))}?mode=ro"
    connection = sqlite3.connect(address, uri=True, timeout=2.0)
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        runs = 0
        if verdict == "ok" and version > 0:
            (runs,) = connection.execute("SELECT count(*) FROM runs").fetchone()
        return int(version), str(verdict), int(runs)
    finally:
        connection.close()


def check_disk(name: str, folder: Path) -> Checkup:
    """Free space where `folder` is, or will be."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    free = shutil.disk_usage(there).free
    found = f"{byte_size(free)} free"
    if free < SCARCE:
        return problem(name, found, "free some space: results may not be kept")
    if free < TIGHT:
        return note(name, found, "free some space before you pull a model")
    return ok(name, found)
