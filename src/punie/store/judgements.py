"""What judges said, by the content of the question, and of which answers."""

import sqlite3
from pathlib import Path
from typing import Self, TypeVar

from punie.records.judgement import Judged, JudgeFault, Judgement, Reply
from punie.records.run import Run
from punie.store.database import (
    BUSY_TIMEOUT_S,
    DATABASE,
    STATE_FOLDER,
    open_database,
    read_record,
    store_error,
)

R = TypeVar("R", Reply, Judgement, JudgeFault)


def judged_answers(project: Path, run: Run) -> dict[tuple[str, int], Judged]:
    """What the judge of a run's head said of its answers, by prompt and repeat."""
    if run.judged is None:
        return {}
    with JudgementStore(project) as store:
        return store.of_run(run.id, run.judged.judge.key)


class JudgementStore:
    """The judgements of one project, and a judge's cache (`get`, `put`). A context manager.

    Every method raises StoreError when SQLite does. What it keeps survives a power cut, and goes
    with the last run that it was used for.
    """

    def __init__(self, project: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self.path = project / STATE_FOLDER / DATABASE
        self._db = open_database(project, busy_timeout_s=busy_timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def get(self, key: str) -> Reply | None:
        """The reply to a question that was asked before, if any."""
        rows = self._execute("SELECT body FROM judge_replies WHERE key = ?", (key,))
        return self._read(Reply, rows[0][0]) if rows else None

    def put(self, key: str, reply: Reply) -> None:
        """Keep a reply. It has no run yet: see `use`."""
        self._execute(
            "INSERT INTO judge_replies VALUES (?, ?)"
            " ON CONFLICT (key) DO UPDATE SET body = excluded.body",
            (key, reply.model_dump_json(exclude_defaults=True)),
        )

    def use(self, run_id: str, key: str) -> None:
        """Note that a reply was used for a run; it is kept as long as one of its runs is."""
        self._execute("INSERT OR IGNORE INTO judge_uses VALUES (?, ?)", (run_id, key))

    def add(self, run_id: str, judge: str, judged: Judged) -> None:
        """Keep what the judge of this key said of an answer, in place of what it said before."""
        fault = judged.kind.value if isinstance(judged, JudgeFault) else None
        body = judged.model_dump_json(exclude_defaults=True)
        self._execute(
            "INSERT OR REPLACE INTO judgements VALUES (?, ?, ?, ?, ?, ?)",
            (run_id, judge, judged.prompt_id, judged.repeat, fault, body),
        )

    def of_run(self, run_id: str, judge: str) -> dict[tuple[str, int], Judged]:
        """What the judge said of the run's answers, by prompt and repeat."""
        rows = self._execute(
            "SELECT fault, body FROM judgements WHERE run = ? AND judge = ?", (run_id, judge)
        )
        judged: list[Judged] = [
            self._read(JudgeFault, body) if fault else self._read(Judgement, body)
            for fault, body in rows
        ]
        return {(each.prompt_id, each.repeat): each for each in judged}

    def _execute(self, sql: str, values: tuple[object, ...]) -> list[tuple[str, ...]]:
        """Run one statement, which commits by itself."""
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise store_error(self.path, error) from error

    def _read(self, kind: type[R], text: str) -> R:
        return read_record(self.path, kind.model_validate_json, text)
