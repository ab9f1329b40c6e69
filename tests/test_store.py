"""Runs at rest: durable, found again, exported without harm."""

import asyncio
import csv
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import closing
from pathlib import Path

import pytest

from punie.errors import InputError, StoreError
from punie.records.result import Completion, Culprit, EvalFault, EvalResult, FaultKind, Score
from punie.records.run import ModelIdentity, Run, RunStatus
from punie.records.suite import EvalPrompt, EvalSuite, Message, Sampling
from punie.records.summary import Estimate, Summary
from punie.store.database import migrations, open_database
from punie.store.export import FORMATS, format_of
from punie.store.provenance import provenance
from punie.store.runs import RunStore
from punie.store.writer import OutcomeWriter


def a_suite(count: int = 3) -> EvalSuite:
    prompts = tuple(
        EvalPrompt(id=f"p{i}", messages=(Message(role="user", content=f"q{i}"),), hash=f"h{i}")
        for i in range(count)
    )
    return EvalSuite(name="s", prompts=prompts, hash="suite-hash")


def a_run(run_id: str = "r1", created: str = "2026-01-01T00:00:00", **changes: object) -> Run:
    return Run.model_validate(
        {
            "id": run_id,
            "created_at": created,
            "suite_name": "s",
            "suite_version": "1",
            "suite_hash": "suite-hash",
            "suite_source": "builtin",
            "model": ModelIdentity(name="m", backend="mlx"),
            "sampling": Sampling(),
            "concurrency": 1,
            **changes,
        }
    )


def a_result(prompt: str = "p0", text: str = "fine", *, score: float = 1.0) -> EvalResult:
    passed = score == 1
    return EvalResult(
        prompt_id=prompt,
        prompt_hash="h",
        completion=Completion(text=text, latency_s=0.5),
        scores=(
            Score(
                scorer="exact",
                value=score,
                passed=passed,
                culprit=None if passed else Culprit.WRONG_ANSWER,
                note="" if passed else "expected a, got b",
            ),
        ),
        score=score,
        passed=passed,
    )


def a_fault(prompt: str = "p1") -> EvalFault:
    return EvalFault(prompt_id=prompt, prompt_hash="h", kind=FaultKind.TIMEOUT, message="no answer")


def asked(store: RunStore, sql: str, *values: str) -> object:
    """The first value of a query, seen by another connection."""
    with closing(sqlite3.connect(store.path)) as other:
        return other.execute(sql, values).fetchone()[0]


def test_what_was_written_comes_back_in_the_suite_s_order(tmp_path: Path) -> None:
    with RunStore(tmp_path) as store:
        store.create(a_run(status=RunStatus.DONE), a_suite())
        store.add("r1", [a_fault("p1")])
        store.add("r1", [a_result("p0", "½ \N{GRINNING FACE} \0 end")])
    with RunStore(tmp_path) as store:
        rows = list(store.rows("r1"))
        head = store.find("r1")
    assert [(p.id, type(o).__name__) for p, o in rows] == [
        ("p0", "EvalResult"),
        ("p1", "EvalFault"),
    ]
    assert rows[0][1] == a_result("p0", "½ \N{GRINNING FACE} \0 end")
    assert rows[1][1] == a_fault("p1")
    assert head == a_run(status=RunStatus.DONE)
    assert (tmp_path / ".punie" / ".gitignore").read_text() == "*\n"


def test_who_opens_while_another_makes_the_database_waits(tmp_path: Path) -> None:
    (tmp_path / ".punie").mkdir()
    with closing(sqlite3.connect(tmp_path / ".punie" / "punie.db", isolation_level=None)) as other:
        other.execute("CREATE TABLE t (a)")
        other.execute("BEGIN EXCLUSIVE")
        with ThreadPoolExecutor(1) as pool:
            opening = pool.submit(open_database, tmp_path)
            with pytest.raises(FutureTimeoutError):
                opening.result(timeout=0.3)
            other.execute("ROLLBACK")
            opening.result(timeout=30).close()


def test_rows_can_be_those_of_some_prompts_alone(tmp_path: Path) -> None:
    with RunStore(tmp_path) as store:
        store.create(a_run(), a_suite())
        results = [a_result(f"p{at}").model_copy(update={"prompt_hash": f"h{at}"}) for at in (2, 0)]
        fault = EvalFault(prompt_id="p1", prompt_hash="h1", kind=FaultKind.TIMEOUT, message="")
        store.add("r1", [*results, fault])
        assert [prompt.id for prompt, _ in store.rows("r1", {"h2", "h1", "other"})] == ["p1", "p2"]
        assert not list(store.rows("r1", ()))


def test_prompts_are_kept_once_and_go_with_their_last_run(tmp_path: Path) -> None:
    with RunStore(tmp_path) as store:
        store.create(a_run("r1"), a_suite())
        store.create(a_run("r2"), a_suite())
        store.create(a_run("r3"), a_suite(2))
        assert asked(store, "SELECT count(*) FROM prompts") == 5
        store.add("r1", [a_result()])
        store.delete(["r1", "r3"])
        assert asked(store, "SELECT count(*) FROM prompts") == 3
        assert asked(store, "SELECT count(*) FROM outcomes") == 0


def test_the_same_answer_is_never_kept_twice(tmp_path: Path) -> None:
    with RunStore(tmp_path) as store:
        store.create(a_run(), a_suite())
        store.add("r1", [a_result()])
        with pytest.raises(StoreError, match="UNIQUE"):
            store.add("r1", [a_result("p2"), a_result("p0")])
        assert [p.id for p, _ in store.rows("r1")] == ["p0"]


@pytest.fixture
def three_runs(tmp_path: Path) -> Iterator[RunStore]:
    adapted = ModelIdentity(name="m", backend="mlx", adapter="lora-r8")
    with RunStore(tmp_path) as store:
        store.create(a_run("20260101-aa11", "2026-01-01"), a_suite())
        store.create(a_run("20260102-bb22", "2026-01-02", model=adapted), a_suite())
        store.create(a_run("20260103-bb33", "2026-01-03"), a_suite())
        yield store


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("last", "20260103-bb33"),
        ("last~0", "20260103-bb33"),
        ("last~2", "20260101-aa11"),
        ("20260102", "20260102-bb22"),
        ("20260101-aa11", "20260101-aa11"),
        ("lora-r8", "20260102-bb22"),
    ],
)
def test_a_run_is_found_by_what_people_write(
    three_runs: RunStore, reference: str, found: str
) -> None:
    assert three_runs.find(reference).id == found


@pytest.mark.parametrize(
    ("reference", "said"),
    [("2026", "fits several"), ("last~3", "is no run"), ("%", "is no run"), ("last~x", "no run")],
)
def test_a_reference_that_fits_none_or_several_is_refused(
    three_runs: RunStore, reference: str, said: str
) -> None:
    with pytest.raises(InputError, match=said) as caught:
        three_runs.find(reference)
    assert "20260103-bb33" in caught.value.hint


def test_the_head_is_replaced_when_a_run_ends(tmp_path: Path) -> None:
    estimate = Estimate(value=0.5, low=0.2, high=0.8, n=4)
    summary = Summary(
        score=estimate,
        passed=None,
        answered_rate=None,
        prompts=4,
        repeats=1,
        answered=4,
        unscored=0,
        faults=0,
    )
    with RunStore(tmp_path) as store:
        store.create(a_run(), a_suite())
        store.update(a_run(status=RunStatus.DONE, summary=summary))
        assert store.heads()[0].summary == summary
        assert store.heads(suite="other") == []
        assert asked(store, "SELECT score FROM runs") == 0.5


def test_a_newer_database_is_left_alone(tmp_path: Path) -> None:
    open_database(tmp_path).close()
    path = tmp_path / ".punie" / "punie.db"
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {migrations()[-1][0] + 1}")
    db.close()
    with pytest.raises(StoreError, match="newer punie") as caught:
        RunStore(tmp_path)
    assert "upgrade" in caught.value.hint


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / ".punie").mkdir()
    (tmp_path / ".punie" / "punie.db").write_bytes(b"this is no database at all" * 100)
    with pytest.raises(StoreError, match=r"punie\.db") as caught:
        RunStore(tmp_path)
    assert "move punie.db, punie.db-wal and punie.db-shm aside" in caught.value.hint


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / ".punie").write_text("a file where the folder should be")
    with pytest.raises(StoreError, match=r"punie\.db"):
        RunStore(tmp_path)


async def test_an_outcome_is_acknowledged_once_it_is_committed(tmp_path: Path) -> None:
    suite = a_suite(200)
    with RunStore(tmp_path) as store:
        store.create(a_run(), suite)
        async with OutcomeWriter(store, "r1") as writer:

            async def write(prompt: EvalPrompt) -> None:
                await writer.write(a_result(prompt.id))
                query = "SELECT count(*) FROM outcomes WHERE prompt_id = ?"
                assert asked(store, query, prompt.id) == 1

            await asyncio.gather(*(write(prompt) for prompt in suite.prompts))


async def test_an_outcome_that_cannot_be_kept_raises_where_it_is_awaited(tmp_path: Path) -> None:
    with RunStore(tmp_path) as store:
        store.create(a_run(), a_suite())
        async with OutcomeWriter(store, "r1") as writer:
            await writer.write(a_result())
            with pytest.raises(StoreError):
                await writer.write(a_result())


WRITER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_store import a_result, a_run, a_suite
from punie.store.runs import RunStore
from punie.store.writer import OutcomeWriter
async def main():
    suite = a_suite(10_000)
    with RunStore(Path(".")) as store:
        store.create(a_run(), suite)
        async with OutcomeWriter(store, "r1") as writer:
            for prompt in suite.prompts:
                await writer.write(a_result(prompt.id))
                print(prompt.id, flush=True)
asyncio.run(main())
"""


def test_a_sigkill_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    source = WRITER.format(tests=str(Path(__file__).parent))
    with subprocess.Popen(
        [sys.executable, "-c", source], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        acknowledged = [child.stdout.readline().strip() for _ in range(50)]
        os.kill(child.pid, signal.SIGKILL)
        acknowledged += [line.strip() for line in child.stdout if line.endswith("\n")]
    with RunStore(tmp_path) as store:
        kept = {prompt.id for prompt, _ in store.rows("r1")}
    assert set(acknowledged) <= kept


def exported(store: RunStore, wanted: str) -> str:
    return "".join(FORMATS[wanted](store.find("r1"), store.rows("r1")))


def test_every_format_holds_every_outcome(tmp_path: Path) -> None:
    with RunStore(tmp_path) as store:
        store.create(a_run(), a_suite())
        store.add("r1", [a_result("p0", "=cmd|'/c calc'!A1\nnext"), a_fault("p1")])
        whole = json.loads(exported(store, "json"))
        lines = [json.loads(line) for line in exported(store, "jsonl").splitlines()]
        cells = list(csv.DictReader(io.StringIO(exported(store, "csv"))))
    assert whole["run"]["id"] == "r1"
    assert whole["outcomes"] == lines
    assert [line["status"] for line in lines] == ["passed", "fault"]
    assert lines[0]["answer"].startswith("=cmd")
    assert cells[0]["answer"] == "'=cmd|'/c calc'!A1\nnext"
    assert cells[1]["fault"] == "timed out"


def test_only_known_endings_are_written() -> None:
    assert format_of("a.b.CSV") == "csv"
    with pytest.raises(InputError, match="xlsx"):
        format_of("out.xlsx")


def test_provenance_names_no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    told = provenance(["eval", str(tmp_path / "my suite.yaml")], tmp_path)
    assert told.command == "punie eval '~/my suite.yaml'"
    assert told.git_commit is None
    assert told.versions["punie"]
    assert "cores" in told.hardware


def test_provenance_knows_the_commit_and_whether_it_is_clean(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        name = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        subprocess.run(["git", *name, *words], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-m", "first")
    clean = provenance([], tmp_path)
    (tmp_path / "file").write_text("two")
    dirty = provenance([], tmp_path)
    assert clean.git_commit == dirty.git_commit
    assert len(clean.git_commit or "") == 40
    assert (clean.git_dirty, dirty.git_dirty) == (False, True)
