"""Opening the project's SQLite file: durable settings, numbered migrations, clear refusals."""

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Generator
from importlib import resources
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from pydantic import ValidationError

from punie.errors import StoreError

T = TypeVar("T")
BUSY_TIMEOUT_S = 30.0
_LOOK_S = 0.02
STATE_FOLDER = ".punie"
DATABASE = "punie.db"


def open_database(project: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> sqlite3.Connection:
    """Open (and where needed make) `.punie/punie.db` of a project. Raises StoreError.

    WAL with `synchronous=FULL`: what was acknowledged survives a crash and a power cut. The
    connection is in autocommit mode; transactions are explicit. In a folder that cannot be written
    to, a database that is there is opened for reading. Another writer is waited for
    `busy_timeout_s` seconds.
    """
    path = project / STATE_FOLDER / DATABASE
    if path.is_file() and not os.access(path.parent, os.W_OK):
        return _open_to_read(path)
    try:
        make_state_folder(project)
        connection = _connect(path, busy_timeout_s)
    except (OSError, sqlite3.Error) as error:
        raise store_error(path, error) from error
    with _closing_on_error(connection, path):
        _use_wal(connection, busy_timeout_s)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        _migrate(connection, path)
    return connection


def _connect(path: Path, timeout_s: float, parameters: str = "") -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(str(path))}{parameters}",
        uri=True,
        timeout=timeout_s,
        isolation_level=None,
        check_same_thread=False,
    )


def _use_wal(connection: sqlite3.Connection, timeout_s: float) -> None:
    """Switch to WAL, which a new database is not in yet.

    SQLite waits for other writers everywhere but here: who comes in while another process makes the
    switch, or closes the database as its last user, is told at once that it is locked.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(_LOOK_S)
        else:
            return


def _open_to_read(path: Path) -> sqlite3.Connection:
    """Open a database in a place that cannot be written to.

    SQLite reads WAL databases there only with the files of its shared memory at hand. Where those
    are gone, all was moved into the database itself, which then is read as one that never changes.
    """
    connection = _connect(path, 0, "?mode=ro")
    wal = path.with_name(f"{path.name}-wal")
    try:
        connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error:
        if not wal.exists() or not wal.stat().st_size:
            connection.close()
            connection = _connect(path, 0, "?immutable=1")
    with _closing_on_error(connection, path):
        version = _version(connection, path)
        if version < migrations()[-1][0]:
            raise StoreError(
                f"{path} was written by an older punie and cannot be brought up to date: "
                "its folder is read-only",
                hint="copy the project to a place that can be written to",
            )
    return connection


@contextlib.contextmanager
def _closing_on_error(connection: sqlite3.Connection, path: Path) -> Generator[None]:
    try:
        yield
    except BaseException as error:
        connection.close()
        if isinstance(error, OSError | sqlite3.Error):
            raise store_error(path, error) from error
        raise


def make_state_folder(project: Path) -> Path:
    """Make `.punie` of a project, which ignores its own content in git. Raises OSError."""
    folder = project / STATE_FOLDER
    folder.mkdir(exist_ok=True)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="utf-8")
    return folder


def store_error(path: Path, error: Exception) -> StoreError:
    """What went wrong with the database at `path`, and what to do about it."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    hint = "check that the folder exists and can be written to"
    if any(word in text for word in ("not a database", "malformed", "file is encrypted")):
        hint = damaged_hint(path)
    elif "locked" in text:
        hint = "another program is writing; try again when it is done"
    elif any(word in text for word in ("full", "No space", "disk I/O", "too large")):
        hint = "free some disk space; what was acknowledged is kept"
    elif "UNIQUE" in text:
        hint = "this is a mistake of punie's own: the outcome is kept already, the new one is not"
    elif "readonly" in text.lower().replace("-", ""):
        hint = "the folder is read-only: runs can be shown there, not made"
    return StoreError(f"{path}: {text}", hint=hint)


def damaged_hint(path: Path) -> str:
    """What to do with a database that cannot be read; its WAL must never meet another one."""
    name = path.name
    return f"move {name}, {name}-wal and {name}-shm aside together; punie makes a new one"


def read_record(path: Path, read: Callable[[str], T], text: str) -> T:
    """A record from its JSON by `read`. Raises StoreError where the file at `path` is damaged."""
    try:
        return read(text)
    except ValidationError as error:
        what = str(error.errors(include_url=False)[0]["msg"])
        raise StoreError(
            f"{path}: a record in it cannot be read: {what}", hint=damaged_hint(path)
        ) from error


def migrations() -> list[tuple[int, str]]:
    """The numbered migrations that this punie knows, oldest first, as (version, SQL)."""
    folder = resources.files("punie.store").joinpath("migrations")
    files = sorted(f.name for f in folder.iterdir() if f.name.endswith(".sql"))
    return [(int(name[:4]), folder.joinpath(name).read_text("utf-8")) for name in files]


def _version(connection: sqlite3.Connection, path: Path) -> int:
    """The schema's version. Raises StoreError for one that this punie does not know."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    newest = migrations()[-1][0]
    if version > newest:
        raise StoreError(
            f"{path} was written by a newer punie (schema {version}, this one knows {newest})",
            hint="upgrade punie, or work in another folder",
        )
    return version


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    version = _version(connection, path)
    owed = [(number, script) for number, script in migrations() if number > version]
    if owed and version:
        _back_up(connection, path.with_suffix(f".v{version}.bak"))
    for number, script in owed:
        _apply(connection, number, script)


def _back_up(connection: sqlite3.Connection, path: Path) -> None:
    """Copy the whole database, also what is still in its WAL, whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(part)) as copy:
        connection.backup(copy)
    part.replace(path)


def _apply(connection: sqlite3.Connection, number: int, script: str) -> None:
    """Run one migration in one transaction, unless another punie was faster."""
    connection.execute("BEGIN IMMEDIATE")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version >= number:
        connection.execute("ROLLBACK")
        return
    try:
        # executescript would commit first, so the statements are run one by one.
        for statement in _statements(script):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
    except sqlite3.Error:
        connection.execute("ROLLBACK")
        raise


def _statements(script: str) -> list[str]:
    statements: list[str] = []
    part = ""
    for line in script.splitlines(keepends=True):
        part += line
        if sqlite3.complete_statement(part):
            statements.append(part)
            part = ""
    return statements
