"""`RunStore`: runs, their prompts and their outcomes."""

import json
import os
import re
import shutil
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Self, TypeVar

from pydantic import TypeAdapter

from punie.analysis.summary import Tally
from punie.errors import InputError, StoreError
from punie.records.base import digest
from punie.records.result import EvalFault, EvalResult, Outcome
from punie.records.run import EvalReport, Run, RunStatus
from punie.records.suite import PROMPT, EvalPrompt, EvalSuite
from punie.records.summary import Summary
from punie.records.trust import Incident, IncidentKind
from punie.store.database import (
    BUSY_TIMEOUT_S,
    DATABASE,
    STATE_FOLDER,
    damaged_hint,
    open_database,
    read_record,
    store_error,
)
from punie.store.lock import run_lock
from punie.store.reference import steps_back

ROOM_BYTES = 16 * 2**20
"""A run is not begun with less room on the disk: its log, its WAL and its report need some."""
RUN_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,63}", re.ASCII)
Row = tuple[EvalPrompt, Outcome]
T = TypeVar("T")
RUN: TypeAdapter[Run] = TypeAdapter(Run)
SUITE: TypeAdapter[EvalSuite] = TypeAdapter(EvalSuite)
RESULT: TypeAdapter[EvalResult] = TypeAdapter(EvalResult)
FAULT: TypeAdapter[EvalFault] = TypeAdapter(EvalFault)


class RunStore:
    """The runs of one project. A context manager; every method raises StoreError when SQLite does.

    Reading never holds a whole run in memory: outcomes come one at a time. Opening it settles what
    was killed: a run that says `running` and that no punie works on any more becomes interrupted.
    """

    def __init__(self, project: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self.project = project
        self.path = project / STATE_FOLDER / DATABASE
        self._db = open_database(project, busy_timeout_s=busy_timeout_s)
        # A run that is at work, or a place that cannot be written to, is left as it is.
        for (run_id,) in self._query("SELECT id FROM runs WHERE status = ?", ("running",)):
            with suppress(InputError, StoreError), self.lock(run_id):
                self.settle(run_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def run_folder(self, run_id: str) -> Path:
        """`.punie/runs/ID`: the server's log and the HTML report.

        Raises StoreError where an id or a link leads out of it: a project may come from somebody
        else, and what is in the folder is written over, and deleted with the run.
        """
        state = self.project / STATE_FOLDER
        folder = state / "runs" / run_id
        if not RUN_ID.fullmatch(run_id) or _leads_away(folder, state):
            raise StoreError(
                f"the files of run {run_id[:80]!r} would lie outside of {state / 'runs'}",
                hint=f"punie made no such run; {damaged_hint(self.path)}",
            )
        return folder

    def lock(self, run_id: str) -> AbstractContextManager[None]:
        """Keep every other punie from working on this run.

        Entering raises InputError where another one does, StoreError in a read-only project.
        """
        return run_lock(self.run_folder(run_id))

    def require_room(self) -> None:
        """Raise StoreError where the disk is as good as full, before anything is measured."""
        free = shutil.disk_usage(self.path.parent).free
        if free < ROOM_BYTES:
            raise StoreError(
                f"the disk of {self.project} has only {free / 2**20:.1f} MB left",
                hint=f"free some disk space: a run is begun with {ROOM_BYTES / 2**20:.0f} MB",
            )

    def create(self, run: Run, suite: EvalSuite) -> None:
        """Keep a run's head and the prompts it is going to ask, before anything is asked."""
        bodies = [PROMPT.dump_json(p, exclude_defaults=True).decode() for p in suite.prompts]
        key = digest([digest(body) for body in bodies])
        head = suite.model_copy(update={"prompts": ()})
        with self._transaction():
            known = self._db.execute("SELECT 1 FROM prompts WHERE key = ? LIMIT 1", (key,))
            if known.fetchone() is None:
                self._db.executemany(
                    "INSERT INTO prompts VALUES (?, ?, ?, ?)",
                    (
                        (key, position, prompt.id, body)
                        for position, (prompt, body) in enumerate(
                            zip(suite.prompts, bodies, strict=True)
                        )
                    ),
                )
            self._db.execute(
                "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*_columns(run), key, head.model_dump_json(), run.model_dump_json()),
            )

    def add(self, run_id: str, outcomes: Iterable[Outcome]) -> None:
        """Commit outcomes, in one transaction. When this returns they survive a power cut.

        What is asked again after a fault belongs to the next round. After an answer there is none:
        a second answer would take the first one's round, which raises StoreError.
        """
        with self._transaction():
            self._db.executemany(
                "INSERT INTO outcomes (run, prompt_id, repeat, fault, score, passed, body, round)"
                " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1 + (SELECT count(*) FROM outcomes"
                " WHERE run = ?1 AND prompt_id = ?2 AND repeat = ?3 AND fault IS NOT NULL))",
                [(run_id, *_outcome_columns(outcome)) for outcome in outcomes],
            )

    def update(self, run: Run) -> None:
        """Replace a run's head: its status and its summary."""
        with self._transaction():
            self._db.execute(
                "UPDATE runs SET status = ?, score = ?, head = ? WHERE id = ?",
                (run.status, _score(run), run.model_dump_json(), run.id),
            )

    def delete(self, run_ids: Sequence[str]) -> None:
        """Forget runs with all their outcomes; prompts that no run asks any more go too."""
        with self._transaction():
            self._db.executemany("DELETE FROM runs WHERE id = ?", [(i,) for i in run_ids])
            self._db.execute("DELETE FROM prompts WHERE key NOT IN (SELECT prompts_key FROM runs)")

    def heads(self, *, suite: str | None = None, limit: int | None = None) -> list[Run]:
        """Run heads, newest first."""
        rows = self._query(
            "SELECT head FROM runs WHERE (?1 IS NULL OR suite_name = ?1)"
            " ORDER BY created_at DESC, id DESC LIMIT ?2",
            (suite, -1 if limit is None else limit),
        )
        return [self._read(RUN, head) for (head,) in rows]

    def find(self, reference: str) -> Run:
        """The run that a reference names: an id, a unique prefix, `last`, `last~N`, or an adapter.

        Raises InputError, naming what there is, where it fits none or several.
        """
        back = steps_back(reference)
        if back is not None:
            rows = self._query(
                "SELECT head FROM runs ORDER BY created_at DESC, id DESC LIMIT 1 OFFSET ?", (back,)
            )
        else:
            rows = self._query("SELECT head FROM runs WHERE id = ?", (reference,))
            rows = rows or self._query(
                "SELECT head FROM runs WHERE substr(id, 1, length(?1)) = ?1", (reference,)
            )
            rows = rows or self._query(
                "SELECT head FROM runs WHERE adapter = ? ORDER BY created_at DESC LIMIT 1",
                (reference,),
            )
        if len(rows) == 1:
            return self._read(RUN, rows[0][0])
        ids = [run.id for run in self.heads(limit=3)]
        newest = f"the newest runs: {', '.join(ids)}" if ids else "there is no run yet: punie eval"
        what = "fits several runs" if rows else "is no run here"
        raise InputError(f"{reference} {what}", hint=newest)

    def suite(self, run: Run) -> EvalSuite:
        """The suite of a run as it was, with the prompts that the run asks."""
        prompts = self._query(
            "SELECT p.body FROM runs r JOIN prompts p ON p.key = r.prompts_key"
            " WHERE r.id = ? ORDER BY p.position",
            (run.id,),
        )
        whole = tuple(self._read(PROMPT, body) for (body,) in prompts)
        return self._suite_head(run).model_copy(update={"prompts": whole})

    def owed(self, run: Run, suite: EvalSuite) -> list[tuple[EvalPrompt, int]]:
        """Each (prompt, repeat) of a run without an answer: never asked, or only with faults.

        A run that was asked until it was decided owes only the latter.
        """
        cursor = self._query(
            "SELECT prompt_id, repeat FROM outcomes WHERE run = ? AND fault IS NULL", (run.id,)
        )
        answered = set(cursor)
        left = [
            (prompt, repeat)
            for repeat in range(run.repeats)
            for prompt in suite.prompts
            if (prompt.id, repeat) not in answered
        ]
        if run.decided_after is None:
            return left
        asked = set(self._query("SELECT prompt_id, repeat FROM outcomes WHERE run = ?", (run.id,)))
        return [each for each in left if (each[0].id, each[1]) in asked]

    def report(self, run: Run) -> EvalReport:
        """A run with its suite's head; its prompts and outcomes come from `rows`.

        The numbers of a run that has not ended are made from its rows.
        """
        if run.summary is None or run.status is RunStatus.RUNNING:
            run = run.model_copy(update={"summary": self.numbers(run)})
        return EvalReport(run=run, suite=self._suite_head(run))

    def numbers(self, run: Run) -> Summary:
        """The summary of a run that did not write its own, made from its rows.

        Its wall time is that of its earlier parts, and from the first question of the last part
        to the last answer; its memory is what earlier parts noted. `run.summary` must be that of
        the earlier parts alone: what it says of the last part already would count twice.
        """
        resumed = [each.at for each in run.incidents if each.kind is IncidentKind.RESUMED]
        since = _seconds(resumed[-1] if resumed else run.created_at)
        first = last = None
        tally = Tally()
        for prompt, outcome in self.rows(run.id):
            tally.add(prompt, outcome)
            if outcome.started_at and (asked := _seconds(outcome.started_at)) >= since:
                first = min(asked, first or asked)
                last = max(asked + _took_s(outcome), last or asked)
        earlier = run.summary
        return tally.summary(
            wall_s=(earlier.wall_s if earlier else 0.0) + ((last or 0.0) - (first or 0.0)),
            peak_memory_bytes=earlier.peak_memory_bytes if earlier else None,
            prices=run.sources.prices if run.sources else None,
        )

    def rows(self, run_id: str, hashes: Collection[str] | None = None) -> Iterator[Row]:
        """Each outcome with its prompt, in the suite's order; of a prompt asked again the last.

        With `hashes` only those of these prompts.
        """
        cursor = self._execute(
            "SELECT p.body, o.fault, o.body FROM runs r"
            " JOIN prompts p ON p.key = r.prompts_key"
            " JOIN outcomes o ON o.run = r.id AND o.prompt_id = p.id"
            " WHERE r.id = ?1 AND o.round = (SELECT max(round) FROM outcomes x WHERE x.run = o.run"
            " AND x.prompt_id = o.prompt_id AND x.repeat = o.repeat)"
            " AND (?2 IS NULL OR json_extract(o.body, '$.prompt_hash') IN"
            " (SELECT value FROM json_each(?2)))"
            " ORDER BY p.position, o.repeat",
            (run_id, None if hashes is None else json.dumps(sorted(hashes))),
        )
        try:
            for prompt, fault, body in cursor:
                outcome = self._read(FAULT, body) if fault else self._read(RESULT, body)
                yield self._read(PROMPT, prompt), outcome
        except sqlite3.Error as error:
            raise store_error(self.path, error) from error

    def settle(self, run_id: str) -> None:
        """Say of a run that was killed what is true of it; the caller holds its lock."""
        run = self.find(run_id)
        if run.status is not RunStatus.RUNNING:
            return
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        what = "ended from outside while it measured"
        killed = Incident(at=now, kind=IncidentKind.KILLED, what=what)
        ended = {
            "status": RunStatus.INTERRUPTED,
            "summary": self.numbers(run),
            "incidents": (*run.incidents, killed),
        }
        self.update(run.model_copy(update=ended))

    def _suite_head(self, run: Run) -> EvalSuite:
        ((suite,),) = self._query("SELECT suite FROM runs WHERE id = ?", (run.id,))
        return self._read(SUITE, suite)

    def _read(self, kind: TypeAdapter[T], text: str) -> T:
        return read_record(self.path, kind.validate_json, text)

    def _query(self, sql: str, values: tuple[object, ...]) -> list[tuple[str]]:
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise store_error(self.path, error) from error

    def _execute(self, sql: str, values: tuple[object, ...]) -> sqlite3.Cursor:
        try:
            return self._db.execute(sql, values)
        except sqlite3.Error as error:
            raise store_error(self.path, error) from error

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._db, self.path)


class _Transaction:
    """BEGIN IMMEDIATE, then COMMIT or ROLLBACK."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db = db
        self._path = path

    def __enter__(self) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise store_error(self._path, error) from error

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            try:
                self._db.execute("COMMIT")
            except sqlite3.Error as failure:
                self._rollback()
                raise store_error(self._path, failure) from failure
            return
        self._rollback()
        if isinstance(error, sqlite3.Error):
            raise store_error(self._path, error) from error

    def _rollback(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")


def _columns(run: Run) -> tuple[object, ...]:
    return (
        run.id,
        run.created_at,
        run.status,
        run.suite_name,
        run.suite_hash,
        run.model.name,
        run.model.adapter,
        _score(run),
    )


def _score(run: Run) -> float | None:
    return run.summary.score.value if run.summary and run.summary.score else None


def _outcome_columns(outcome: Outcome) -> tuple[object, ...]:
    head = (outcome.prompt_id, outcome.repeat)
    body = outcome.model_dump_json(exclude_defaults=True)
    if isinstance(outcome, EvalFault):
        return (*head, outcome.kind, None, None, body)
    return (*head, None, outcome.score, outcome.passed, body)


def _leads_away(folder: Path, state: Path) -> bool:
    """Whether a run's folder, or something in it, is a link to elsewhere; `state` itself may be."""
    place = Path(os.path.realpath(state), "runs", folder.name)
    links = any(path.is_symlink() for path in folder.glob("*"))
    return links or Path(os.path.realpath(folder)) != place


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _took_s(outcome: Outcome) -> float:
    return outcome.elapsed_s if isinstance(outcome, EvalFault) else outcome.completion.latency_s
