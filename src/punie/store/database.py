"""Opening the project's SQLite file: durable settings, numbered migrations, clear refusals."""

import shutil
import sqlite3
from importlib import resources
from pathlib import Path

from punie.errors import StoreError

BUSY_TIMEOUT_S = 30.0
STATE_FOLDER = ".punie"
DATABASE = "punie.db"


def open_database(project: Path) -> sqlite3.Connection:
    """Open (and where needed make) `.punie/punie.db` of a project. Raises StoreError.

    WAL with `synchronous=FULL`: what was acknowledged survives a crash and a power cut. The
    connection is in autocommit mode; transactions are explicit.
    """
    path = project / STATE_FOLDER / DATABASE
    try:
        make_state_folder(project)
        connection = sqlite3.connect(
            path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
    except (OSError, sqlite3.Error) as error:
        raise store_error(path, error) from error
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        _migrate(connection, path)
    except BaseException as error:
        connection.close()
        if isinstance(error, OSError | sqlite3.Error):
            raise store_error(path, error) from error
        raise
    return connection


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
    text = str(error)
    hint = "check that the folder exists and can be written to"
    if "not a database" in text or "malformed" in text:
        hint = f"move {path.name} aside; punie makes a new one"
    elif "locked" in text:
        hint = "another punie is writing; try again when it is done"
    elif "full" in text or "No space" in text:
        hint = "free some disk space; what was acknowledged is kept"
    return StoreError(f"{path}: {text}", hint=hint)


def migrations() -> list[tuple[int, str]]:
    """The numbered migrations that this punie knows, oldest first, as (version, SQL)."""
    folder = resources.files("punie.store").joinpath("migrations")
    files = sorted(f.name for f in folder.iterdir() if f.name.endswith(".sql"))
    return [(int(name[:4]), folder.joinpath(name).read_text("utf-8")) for name in files]


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    known = migrations()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > known[-1][0]:
        raise StoreError(
            f"{path} was written by a newer punie (schema {version}, this one knows "
            f"{known[-1][0]})",
            hint="upgrade punie, or work in another folder",
        )
    if 0 < version < known[-1][0]:
        shutil.copy2(path, path.with_suffix(f".v{version}.bak"))
    for number, script in known:
        if number > version:
            _apply(connection, number, script)


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
