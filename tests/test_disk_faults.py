"""Disks that are full, read-only, locked or torn: a reason, an exit code, and nothing lost."""

import contextlib
import functools
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from killing import fake_server
from punie.errors import StoreError
from punie.records.run import RunStatus
from punie.store.runs import ROOM_BYTES, RunStore
from test_resume import SUITE, Flaky, a_run, again, folder, head

__all__ = ["folder"]

PROMPTS = 120
LIMITED = """
import resource, sys
size = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
from punie.cli.main import main
main()
"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with fake_server() as at:
        yield at


def punie(
    project: Path, *words: str, file_limit: int | None = None
) -> subprocess.CompletedProcess[str]:
    program = ["-m", "punie.cli.main"] if file_limit is None else ["-c", LIMITED, str(file_limit)]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PUNIE_")}
    return subprocess.run(
        [sys.executable, *program, *words],
        cwd=project,
        env={**env, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def fill(project: Path) -> None:
    """A suite whose answers need more than a few hundred kilobytes."""
    rows = "".join(f"  - {{id: p{n}, prompt: {'word ' * 400}{n}}}\n" for n in range(PROMPTS))
    (project / "mini.yaml").write_text(f"name: mini\nprompts:\n{rows}")


def command(url: str) -> list[str]:
    return ["eval", "mini.yaml", "--url", url, "--model", "m", "--concurrency", "2"]


def resumable(done: subprocess.CompletedProcess[str], project: Path) -> int:
    """Check how a run ended that could not go on; how many answers it kept."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "error" in done.stderr
    with RunStore(project) as store:
        run = store.find("last")
        kept = len(list(store.rows(run.id)))
    assert f"punie eval --resume {run.id}" in done.stderr
    assert run.status in {RunStatus.INTERRUPTED, RunStatus.FAILED}
    assert 0 < kept < PROMPTS
    return kept


def finish(project: Path, kept: int) -> None:
    done = punie(project, "eval", "--resume", "last", "--json")
    run: dict[str, Any] = json.loads(done.stdout)["data"]["run"]
    assert run["status"] == "done", done.stdout
    assert run["summary"]["answered"] == PROMPTS
    assert f"{PROMPTS - kept} questions" in run["incidents"][-1]["what"]


def test_a_file_that_may_not_grow_ends_the_run_resumable(tmp_path: Path, url: str) -> None:
    fill(tmp_path)
    done = punie(tmp_path, *command(url), file_limit=900_000)
    assert "free some disk space" in done.stderr
    finish(tmp_path, resumable(done, tmp_path))


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A disk of its own as the working folder, with little more room than a run may begin with."""
    disk = tmp_path / "disk"
    disk.mkdir()
    size = ROOM_BYTES + 2**20
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("only root can mount")
    try:
        monkeypatch.chdir(disk)
        yield disk
        monkeypatch.chdir(tmp_path)
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True, capture_output=True)


def use_up(disk: Path) -> Path:
    """Fill the disk to its last byte."""
    ballast = disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass
    return ballast


async def test_a_disk_that_fills_up_ends_the_run_resumable(small_disk: Path) -> None:
    (small_disk / "mini.yaml").write_text(SUITE)
    output = small_disk / "out.jsonl"
    async with Flaky() as server:

        def full(question: str) -> None:
            if question == "7":
                use_up(small_disk)

        server.hear = full
        with pytest.raises(StoreError, match="full") as caught:
            await a_run(small_disk, server, output=output)
        server.hear = str
        assert "free some disk space" in caught.value.hint
        assert "punie eval --resume" in caught.value.hint
        listed = punie(small_disk, "runs", "list")
        assert "Traceback" not in listed.stderr
        (small_disk / "ballast").unlink()
        run = head(small_disk)
        assert f"punie eval --resume {run.id} --url {server.url}" in caught.value.hint
        assert run.summary is not None
        assert run.summary.answered >= 2
        server.asked.clear()
        done = await again(small_disk)
        assert len(server.questions) == 4 - run.summary.answered
    assert done.report.summary.answered == 4
    assert len(output.read_text().splitlines()) == 4


def test_no_run_is_begun_on_a_full_disk(small_disk: Path, url: str) -> None:
    (small_disk / "mini.yaml").write_text(SUITE)
    assert punie(small_disk, "runs", "list").returncode == 0
    (small_disk / "ballast").write_bytes(b"x" * 2**21)
    done = punie(small_disk, *command(url))
    assert done.returncode == 1
    assert "MB left" in done.stderr
    assert "free some disk space" in done.stderr
    assert punie(small_disk, "runs", "list", "--json").stdout.count('"id"') == 0


def test_results_that_do_not_fit_leave_the_earlier_ones(tmp_path: Path, url: str) -> None:
    fill(tmp_path)
    earlier = tmp_path / "out.jsonl"
    earlier.write_text("earlier\n")
    done = punie(tmp_path, *command(url), "--max-tokens", "9")
    assert done.returncode == 0, done.stderr
    with RunStore(tmp_path) as store:
        assert store.find("last").status is RunStatus.DONE
    small = punie(tmp_path, "runs", "export", "--output", "out.jsonl", file_limit=100_000)
    assert small.returncode == 2
    assert "too large" in small.stderr
    assert "punie runs export" in small.stderr
    assert earlier.read_text() == "earlier\n"
    assert not list(tmp_path.glob(".out.jsonl*"))


@pytest.fixture
def read_only(tmp_path: Path, url: str) -> Iterator[Path]:
    """A project with a finished run, on a file system that takes no writes."""
    project, mounted = tmp_path / "project", tmp_path / "mounted"
    project.mkdir()
    mounted.mkdir()
    (project / "mini.yaml").write_text("name: mini\nprompts:\n  - {id: p, prompt: A}\n")
    assert punie(project, *command(url)).returncode == 0
    made = subprocess.run(["mount", "--bind", project, mounted], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("only root can mount")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", mounted], check=True, capture_output=True)
        yield mounted
    finally:
        subprocess.run(["umount", mounted], check=True, capture_output=True)


def test_a_read_only_project_shows_its_runs_and_makes_none(read_only: Path, url: str) -> None:
    for words in (["runs", "list"], ["runs", "show", "--json"], ["runs", "export"]):
        shown = punie(read_only, *words)
        assert shown.returncode == 0, shown.stderr
        assert "mini" in shown.stdout
    for words in (command(url), ["eval", "--resume", "last"], ["runs", "delete", "last", "--yes"]):
        refused = punie(read_only, *words)
        assert refused.returncode == 1, refused.stderr
        assert "Read-only file system" in refused.stderr
        assert "Traceback" not in refused.stderr


def test_a_torn_database_stops_every_command_with_a_reason(tmp_path: Path, url: str) -> None:
    (tmp_path / "mini.yaml").write_text("name: mini\nprompts:\n  - {id: p, prompt: A}\n")
    assert punie(tmp_path, *command(url)).returncode == 0
    path = tmp_path / ".punie" / "punie.db"
    os.truncate(path, path.stat().st_size // 2)
    for words in (["runs", "list"], ["eval", "--resume", "last"], command(url)):
        done = punie(tmp_path, *words)
        assert done.returncode == 1, done.stderr
        assert "malformed" in done.stderr
        assert "aside together" in done.stderr
        assert "Traceback" not in done.stderr


async def test_a_locked_database_ends_the_run_resumable(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = functools.partial(RunStore, busy_timeout_s=0.05)
    monkeypatch.setattr("punie.cli.measure.RunStore", impatient)
    async with Flaky() as server:
        with closing(sqlite3.connect(":memory:")) as other:

            def lock_after_two(question: str) -> None:
                if question == "7":
                    other.execute(f"ATTACH '{folder}/.punie/punie.db' AS punie")
                    other.isolation_level = None
                    other.execute("BEGIN IMMEDIATE")

            server.hear = lock_after_two
            with pytest.raises(StoreError, match="locked") as caught:
                await a_run(folder, server)
            other.execute("ROLLBACK")
        server.hear = str
        assert "another program is writing" in caught.value.hint
        run = head(folder)
        assert f"punie eval --resume {run.id}" in caught.value.hint
        assert run.status is RunStatus.INTERRUPTED
        assert run.summary is not None
        assert run.summary.answered == 2
        done = await again(folder)
    assert done.report.summary.answered == 4
