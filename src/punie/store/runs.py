"""`RunStore`: runs, their prompts and their outcomes."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Self

from punie.analysis.summary import Tally
from punie.errors import InputError
from punie.records.base import digest
from punie.records.result import EvalFault, EvalResult, Outcome
from punie.records.run import EvalReport, Run
from punie.records.suite import PROMPT, EvalPrompt, EvalSuite
from punie.store.database import DATABASE, STATE_FOLDER, open_database, store_error

Row = tuple[EvalPrompt, Outcome]


class RunStore:
    """The runs of one project. A context manager; every method raises StoreError when SQLite does.

    Reading never holds a whole run in memory: outcomes come one at a time.
    """

    def __init__(self, project: Path) -> None:
        self.project = project
        self.path = project / STATE_FOLDER / DATABASE
        self._db = open_database(project)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def run_folder(self, run_id: str) -> Path:
        """`.punie/runs/ID`: the server's log and the HTML report."""
        return self.project / STATE_FOLDER / "runs" / run_id

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
        """Commit outcomes, in one transaction. When this returns they survive a power cut."""
        with self._transaction():
            self._db.executemany(
                "INSERT INTO outcomes (run, prompt_id, repeat, fault, score, passed, body)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
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
        return [Run.model_validate_json(head) for (head,) in rows]

    def find(self, reference: str) -> Run:
        """The run that a reference names: an id, a unique prefix, `last`, `last~N`, or an adapter.

        Raises InputError, naming what there is, where it fits none or several.
        """
        back = _steps_back(reference)
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
            return Run.model_validate_json(rows[0][0])
        ids = [run.id for run in self.heads(limit=3)]
        newest = f"the newest runs: {', '.join(ids)}" if ids else "there is no run yet: punie eval"
        what = "fits several runs" if rows else "is no run here"
        raise InputError(f"{reference} {what}", hint=newest)

    def report(self, run: Run) -> EvalReport:
        """A run with its suite's head; its prompts and outcomes come from `rows`.

        A run that was ended from outside never wrote its numbers: they are made from its rows.
        """
        if run.summary is None:
            tally = Tally()
            for prompt, outcome in self.rows(run.id):
                tally.add(prompt, outcome)
            run = run.model_copy(update={"summary": tally.summary(wall_s=0.0)})
        ((suite,),) = self._query("SELECT suite FROM runs WHERE id = ?", (run.id,))
        return EvalReport(run=run, suite=EvalSuite.model_validate_json(suite))

    def rows(self, run_id: str) -> Iterator[Row]:
        """Each outcome with its prompt, in the suite's order; of a prompt asked again the last."""
        cursor = self._execute(
            "SELECT p.body, o.fault, o.body FROM runs r"
            " JOIN prompts p ON p.key = r.prompts_key"
            " JOIN outcomes o ON o.run = r.id AND o.prompt_id = p.id"
            " WHERE r.id = ? AND o.round = (SELECT max(round) FROM outcomes x WHERE x.run = o.run"
            " AND x.prompt_id = o.prompt_id AND x.repeat = o.repeat)"
            " ORDER BY p.position, o.repeat",
            (run_id,),
        )
        for prompt, fault, body in cursor:
            record = EvalFault if fault else EvalResult
            yield PROMPT.validate_json(prompt), record.model_validate_json(body)

    def _query(self, sql: str, values: tuple[object, ...]) -> list[tuple[str]]:
        return self._execute(sql, values).fetchall()

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


def _steps_back(reference: str) -> int | None:
    """0 for `last`, N for `last~N`, None for anything else."""
    name, tilde, steps = reference.partition("~")
    if name != "last" or (tilde and not steps.isdecimal()):
        return None
    return int(steps) if tilde else 0
