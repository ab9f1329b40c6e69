"""Records that are one head and no rows: kept whole as JSON, beside the columns one lists by."""

import sqlite3
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Generic, Self, TypeVar

from punie.errors import InputError
from punie.records.benchmark import BenchmarkResult
from punie.records.training_run import TrainingRun
from punie.store.database import (
    BUSY_TIMEOUT_S,
    DATABASE,
    STATE_FOLDER,
    open_database,
    read_record,
    store_error,
)
from punie.store.reference import steps_back

H = TypeVar("H", bound=TrainingRun | BenchmarkResult)


class HeadStore(ABC, Generic[H]):
    """The heads of one table of a project. A context manager.

    Every method raises StoreError when SQLite does. A reference to a head is an id, a unique
    beginning of one, `last`, `last~N`, or a name (the newest of that name).
    """

    table: ClassVar[str]
    noun: ClassVar[str]
    made_by: ClassVar[str]
    """The command that makes the first one."""
    kind: type[H]

    def __init__(self, project: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self.path = project / STATE_FOLDER / DATABASE
        self._db = open_database(project, busy_timeout_s=busy_timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    @abstractmethod
    def columns(self, head: H) -> dict[str, str]:
        """The values one finds and lists by, with the names of their columns."""

    def add(self, head: H) -> None:
        """Keep a new one. When this returns it survives a power cut."""
        values = {**self.columns(head), "head": head.model_dump_json()}
        names, places = ", ".join(values), ", ".join("?" for _ in values)
        self._execute(
            f"INSERT INTO {self.table} ({names}) VALUES ({places})",  # noqa: S608 - our own names
            tuple(values.values()),
        )

    def update(self, head: H) -> None:
        """Replace one that is there."""
        values = {**self.columns(head), "head": head.model_dump_json()}
        changes = ", ".join(f"{name} = ?" for name in values)
        self._execute(
            f"UPDATE {self.table} SET {changes} WHERE id = ?",  # noqa: S608 - our own names
            (*values.values(), head.id),
        )

    def delete(self, ids: list[str]) -> None:
        """Forget them."""
        for each in ids:
            self._execute(f"DELETE FROM {self.table} WHERE id = ?", (each,))  # noqa: S608 - as above

    def heads(self, *, name: str | None = None, limit: int | None = None) -> list[H]:
        """All of them, or those of a name, newest first."""
        rows = self._execute(
            f"SELECT head FROM {self.table} WHERE (?1 IS NULL OR name = ?1)"  # noqa: S608 - as above
            " ORDER BY created_at DESC, id DESC LIMIT ?2",
            (name, -1 if limit is None else limit),
        )
        return [self._read(head) for (head,) in rows]

    def find(self, reference: str) -> H:
        """The one that a reference names. Raises InputError, naming what there is."""
        back = steps_back(reference)
        newest_first = "ORDER BY created_at DESC, id DESC LIMIT 1"
        if back is not None:
            rows = self._where(f"1 {newest_first} OFFSET ?", back)
        else:
            rows = self._where("id = ?", reference)
            rows = rows or self._where("substr(id, 1, length(?1)) = ?1", reference)
            rows = rows or self._where(f"name = ? {newest_first}", reference)
        if len(rows) == 1:
            return self._read(rows[0][0])
        ids = [each.id for each in self.heads(limit=3)]
        newest = f"the newest: {', '.join(ids)}" if ids else f"there is none yet: {self.made_by}"
        what = f"fits several {self.noun}s" if rows else f"is no {self.noun} here"
        raise InputError(f"{reference} {what}", hint=newest)

    def _where(self, condition: str, value: object) -> list[tuple[str]]:
        return self._execute(
            f"SELECT head FROM {self.table} WHERE {condition}",  # noqa: S608 - our own conditions
            (value,),
        )

    def _execute(self, sql: str, values: tuple[object, ...]) -> list[tuple[str]]:
        """Run one statement, which commits by itself."""
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise store_error(self.path, error) from error

    def _read(self, text: str) -> H:
        return read_record(self.path, self.kind.model_validate_json, text)
