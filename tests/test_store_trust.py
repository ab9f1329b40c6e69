"""What the store does on a bad day: killed runs, locks, other writers, damage, old schemas."""

import multiprocessing
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from punie.cli.main import cli
from punie.errors import InputError, StoreError
from punie.records.result import EvalFault, EvalResult
from punie.records.run import RunStatus
from punie.records.trust import Incident, IncidentKind
from punie.store import database
from punie.store.benchmarks import BenchmarkStore
from punie.store.database import migrations, open_database
from punie.store.runs import RunStore
from punie.store.trainings import TrainingStore
from test_store import a_fault, a_result, a_run, a_suite

GOLDEN = Path(__file__).with_name("golden")


def database_of(project: Path) -> Path:
    return project / ".punie" / "punie.db"


def test_a_fault_that_is_asked_again_gives_way_to_the_answer(tmp_path: Path) -> None:
    suite = a_suite(3)
    with RunStore(tmp_path) as store:
        store.create(a_run(), suite)
        store.add("r1", [a_result("p0"), a_fault("p1")])
        owed = store.owed(a_run(), suite)
        assert [(prompt.id, repeat) for prompt, repeat in owed] == [("p1", 0), ("p2", 0)]
        store.add("r1", [a_fault("p1")])
        store.add("r1", [a_result("p1"), a_result("p2")])
        assert store.owed(a_run(), suite) == []
        assert [type(outcome) for _, outcome in store.rows("r1")] == [EvalResult] * 3
        for late in (a_result("p1"), a_fault("p1"), a_fault("p0")):
            with pytest.raises(StoreError, match="UNIQUE"):
                store.add("r1", [late])
        rounds = "SELECT group_concat(round) FROM outcomes WHERE prompt_id = 'p1'"
        with closing(sqlite3.connect(store.path)) as other:
            assert other.execute(rounds).fetchone() == ("1,2,3",)


def test_what_is_owed_counts_repeats(tmp_path: Path) -> None:
    run, suite = a_run(repeats=2), a_suite(2)
    with RunStore(tmp_path) as store:
        store.create(run, suite)
        store.add("r1", [a_result("p0")])
        owed = [(prompt.id, repeat) for prompt, repeat in store.owed(run, suite)]
        assert owed == [("p1", 0), ("p0", 1), ("p1", 1)]
        assert store.suite(run) == suite


def test_a_run_that_was_killed_is_settled_with_the_numbers_of_its_rows(tmp_path: Path) -> None:
    earlier = Incident(at="2026-01-01T01:00:00", kind=IncidentKind.RESUMED, what="again")
    run = a_run(incidents=(earlier,))
    times = ["2026-01-01T00:30:00", "2026-01-01T01:00:10", "2026-01-01T01:00:20"]
    results = [
        a_result(f"p{n}").model_copy(update={"started_at": moment})
        for n, moment in enumerate(times)
    ]
    with RunStore(tmp_path) as store, store.lock("r1"):
        store.create(run, a_suite(4))
        store.add("r1", results)
        with RunStore(tmp_path) as other:
            assert other.find("r1") == run, "somebody is working on it"
    with RunStore(tmp_path) as store:
        settled = store.find("r1")
    assert settled.status is RunStatus.INTERRUPTED
    assert [each.kind for each in settled.incidents] == [IncidentKind.RESUMED, IncidentKind.KILLED]
    assert settled.summary is not None
    assert settled.summary.answered == 3
    assert settled.summary.wall_s == pytest.approx(10.5), "of the last part: its two answers"


def edit_id(project: Path, new: str) -> None:
    """Do to the database what somebody can who hands a project on."""
    with closing(sqlite3.connect(database_of(project))) as db, db:
        db.execute("UPDATE runs SET id = ?1, head = json_set(head, '$.id', ?1)", (new,))


@pytest.mark.parametrize("where", ["absolute", "..", "../../precious", "a/../../precious", ""])
def test_an_id_that_leads_elsewhere_touches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    project = tmp_path / "project"
    precious = project / "precious"
    precious.mkdir(parents=True)
    for name in ("pid", "lock", "report.html"):
        (precious / name).write_text("mine")
    with RunStore(project) as store:
        store.create(a_run(status=RunStatus.RUNNING), a_suite())
    (project / ".punie" / "runs" / "a").mkdir(parents=True)
    edit_id(project, str(precious) if where == "absolute" else where)
    monkeypatch.chdir(project)
    assert CliRunner().invoke(cli, ["runs", "list"]).exit_code == 0
    for words in (["report", "last"], ["runs", "delete", "last", "--yes"]):
        error = CliRunner().invoke(cli, words).exception
        assert isinstance(error, StoreError), words
        assert "outside of" in error.message
    assert {path.name: path.read_text() for path in precious.iterdir()} == {
        "pid": "mine",
        "lock": "mine",
        "report.html": "mine",
    }


@pytest.mark.parametrize("link", ["runs", "runs/r1", "runs/r1/pid", "runs/r1/report.html"])
def test_a_link_in_the_state_folder_is_not_followed(tmp_path: Path, link: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "r1").mkdir(parents=True)
    project = tmp_path / "project"
    project.mkdir()
    with RunStore(project) as store:
        store.create(a_run(status=RunStatus.DONE), a_suite())
        place = project / ".punie" / link
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(elsewhere)
        with pytest.raises(StoreError, match="outside of"), store.lock("r1"):
            pass
    assert [path.name for path in elsewhere.rglob("*")] == ["r1"]


def test_the_state_folder_itself_may_lie_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / ".punie").symlink_to(tmp_path / "disk")
    with RunStore(tmp_path / "project") as store, store.lock("r1"):
        assert (tmp_path / "disk" / "runs" / "r1" / "lock").exists()


def test_a_run_is_worked_on_once_at_a_time(tmp_path: Path) -> None:
    holder = """
import sys
from pathlib import Path
from punie.store.runs import RunStore
with RunStore(Path(sys.argv[1])) as store, store.lock("r1"):
    print(flush=True)
    sys.stdin.read()
"""
    argv = [sys.executable, "-c", holder, str(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        with RunStore(tmp_path) as store:
            with pytest.raises(InputError, match=f"still running in process {child.pid}"):
                store.lock("r1").__enter__()
            with store.lock("r2"):
                pass
            child.kill()
            child.wait()
            with store.lock("r1"):
                pass


def test_a_database_that_somebody_else_is_writing_is_waited_for_and_then_named(
    tmp_path: Path,
) -> None:
    with RunStore(tmp_path, busy_timeout_s=0.05) as store:
        store.create(a_run(), a_suite())
        with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="locked") as caught:
                store.add("r1", [a_result()])
            assert "try again" in caught.value.hint
            other.execute("ROLLBACK")
        store.add("r1", [a_result()])
        assert len(list(store.rows("r1"))) == 1


def _open_and_add(project: Path, number: int) -> None:
    with RunStore(project) as store:
        store.create(a_run(f"run-{number}"), a_suite())
        for prompt in range(3):
            store.add(f"run-{number}", [a_result(f"p{prompt}")])


def test_eight_processes_share_a_new_database(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    children = [spawn.Process(target=_open_and_add, args=(tmp_path, n)) for n in range(8)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * 8
    with RunStore(tmp_path) as store:
        assert len(store.heads()) == 8
        assert all(len(list(store.rows(f"run-{n}"))) == 3 for n in range(8))


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A project with one run of two hundred answers."""
    with RunStore(tmp_path) as store:
        store.create(a_run(status=RunStatus.DONE), a_suite(200))
        store.add("r1", [a_result(f"p{n}", "word " * 50) for n in range(200)])
    return tmp_path


def read_all(project: Path) -> None:
    with RunStore(project) as store:
        for run in store.heads():
            list(store.rows(run.id))
            store.owed(run, store.suite(run))
    with TrainingStore(project) as trainings, BenchmarkStore(project) as benchmarks:
        trainings.heads()
        benchmarks.heads()


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.7, 0.99])
def test_a_torn_database_is_named_not_trusted(filled: Path, kept: float) -> None:
    path = database_of(filled)
    os.truncate(path, int(path.stat().st_size * kept))
    with pytest.raises(StoreError, match=r"punie\.db") as caught:
        read_all(filled)
    assert "aside together" in caught.value.hint


@pytest.mark.parametrize("place", [0.1, 0.25, 0.5, 0.75, 0.9])
def test_rubbish_in_a_database_is_never_a_mistake_of_ours(filled: Path, place: float) -> None:
    path = database_of(filled)
    content = bytearray(path.read_bytes())
    at = int(len(content) * place)
    content[at : at + 32_768] = b"\xff" * 32_768  # more than the tables that stay empty
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"punie\.db"):
        read_all(filled)


def test_a_record_that_no_longer_reads_is_a_damaged_database(filled: Path) -> None:
    with closing(sqlite3.connect(database_of(filled))) as db, db:
        db.execute("UPDATE outcomes SET body = '{' WHERE prompt_id = 'p7'")
    with pytest.raises(StoreError, match="cannot be read") as caught:
        read_all(filled)
    assert "aside" in caught.value.hint


@pytest.fixture
def read_only(filled: Path) -> Iterator[Path]:
    """The same project on a file system that takes no writes."""
    mounted = filled.parent / f"{filled.name}-read-only"
    mounted.mkdir()
    made = subprocess.run(["mount", "--bind", filled, mounted], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("only root can mount")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", mounted], check=True, capture_output=True)
        yield mounted
    finally:
        subprocess.run(["umount", mounted], check=True, capture_output=True)


def test_a_read_only_project_still_shows_its_runs(read_only: Path) -> None:
    with RunStore(read_only) as store:
        assert store.find("last").id == "r1"
        assert len(list(store.rows("r1"))) == 200
        with pytest.raises(StoreError, match="readonly") as caught:
            store.add("r1", [a_result("p0")])
        assert "read-only" in caught.value.hint
        with pytest.raises(StoreError, match="Read-only file system"):
            store.lock("r1").__enter__()


def test_a_read_only_project_shows_what_a_killed_run_left_in_its_wal(
    filled: Path, read_only: Path
) -> None:
    source = "import os, sys; from test_store_trust import *; leave_a_wal(Path(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", source, str(filled)], cwd=Path(__file__).parent, check=False
    )
    assert done.returncode == 1
    assert database_of(filled).with_name("punie.db-wal").stat().st_size
    with RunStore(read_only) as store:
        assert [run.id for run in store.heads()] == ["r2", "r1"]
        assert store.find("r2").status is RunStatus.RUNNING, "it cannot be settled here"
        assert len(list(store.rows("r2"))) == 1


def leave_a_wal(project: Path) -> None:
    store = RunStore(project)
    store.create(a_run("r2", "2026-01-02T00:00:00"), a_suite(5))
    store.add("r2", [a_result("p0")])
    os._exit(1)


def test_every_released_schema_can_still_be_read(tmp_path: Path) -> None:
    dumps = sorted(GOLDEN.glob("store-v*.sql"))
    assert [int(re.findall(r"\d+", dump.name)[0]) for dump in dumps] == [
        number for number, _ in migrations()
    ]
    for dump in dumps:
        project = tmp_path / dump.stem
        (project / ".punie").mkdir(parents=True)
        with closing(sqlite3.connect(database_of(project))) as db:
            db.executescript(dump.read_text(encoding="utf-8"))
        with RunStore(project) as store:
            run = store.find("last")
            assert run.id == "20261121-010203-abcd"
            assert run.summary is not None
            assert run.summary.answered == 2
            rows = list(store.rows(run.id))
            assert [(prompt.id, type(outcome)) for prompt, outcome in rows] == [
                ("p0", EvalResult),
                ("p1", EvalResult),
                ("p2", EvalFault),
            ]
            owed = store.owed(run, store.suite(run))
            assert [prompt.id for prompt, _ in owed] == ["p2"]


def test_a_migration_keeps_a_copy_of_all_that_was_acknowledged(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = open_database(filled)  # a second connection, so that nothing is moved out of the WAL
    with RunStore(filled) as store:
        store.create(a_run("r2", status=RunStatus.DONE), a_suite(5))
    known = [*migrations(), (99, "ALTER TABLE runs ADD COLUMN colour TEXT;")]
    monkeypatch.setattr(database, "migrations", lambda: known)
    try:
        with RunStore(filled) as store:
            assert len(store.heads()) == 2
    finally:
        holder.close()
    copy = database_of(filled).with_name(f"punie.v{known[-2][0]}.bak")
    with closing(sqlite3.connect(copy)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (known[-2][0],)
        assert db.execute("SELECT count(*) FROM runs").fetchone() == (2,)
    with closing(sqlite3.connect(database_of(filled))) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (99,)
    monkeypatch.undo()
    with pytest.raises(StoreError, match="newer punie"):
        RunStore(filled)
    shutil.copy(copy, database_of(filled))
    with RunStore(filled) as store:
        assert {run.id for run in store.heads()} == {"r1", "r2"}


def test_a_migration_that_fails_changes_nothing(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = "CREATE TABLE new (x TEXT);\nALTER TABLE nowhere ADD COLUMN colour TEXT;"
    monkeypatch.setattr(database, "migrations", lambda: [(1, ""), (99, broken)])
    with pytest.raises(StoreError, match="no such table"):
        RunStore(filled)
    monkeypatch.undo()
    with RunStore(filled) as store:
        assert len(store.heads()) == 1
