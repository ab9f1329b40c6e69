"""`punie compare` before files that are none, texts that command, and a judge of no use."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from answered_runs import BASE, TUNED, two_runs
from compared_project import a_suite, add_run
from in_process import Command, command_in
from punie.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_UNMEASURED, EXIT_USAGE
from test_calibration import judge
from test_eval_command import PUNIE, environment


@pytest.fixture
def punie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    (tmp_path / "punie.toml").write_text("")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return command_in(tmp_path, monkeypatch, capsys)


def test_a_pipe_or_a_device_is_no_run(tmp_path: Path, punie: Command) -> None:
    add_run(tmp_path, a_suite(4), "1111", run_id="base-run")
    os.mkfifo(tmp_path / "run.json")
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    for name in ("run.json", "zero.json"):
        ended = punie("compare", "base-run", name)
        assert ended.code == EXIT_USAGE
        assert f"{name}: is no regular file" in ended.err


def test_a_list_is_no_run(tmp_path: Path, punie: Command) -> None:
    add_run(tmp_path, a_suite(4), "1111", run_id="base-run")
    (tmp_path / "list.json").write_text("[1]")
    ended = punie("compare", "base-run", "list.json")
    assert ended.code == EXIT_USAGE
    assert "list.json: should be a JSON object" in ended.err


def test_a_judge_of_no_use_is_more_than_a_failed_gate(tmp_path: Path, punie: Command) -> None:
    two_runs(tmp_path, [(f"Fact {n}", f"No fact {n}") for n in range(24)])
    asked = ("compare", BASE, TUNED, "--fail-on-regression")
    assert punie(*asked).code not in {0, EXIT_UNMEASURED}
    with judge("prose") as url:
        ended = punie(*asked, "--judge", url, "--judge-model", "m")
    assert ended.code == EXIT_UNMEASURED


def test_a_judge_that_said_nothing_is_told_in_page_and_journal(
    tmp_path: Path, punie: Command
) -> None:
    two_runs(tmp_path, [(f"Fact {n}", f"No fact {n}") for n in range(24)])
    with judge("prose") as url:
        judged = ("--judge", url, "--judge-model", "m")
        page = punie("compare", BASE, TUNED, *judged, "--format", "html", "--journal", "nothing")
    assert page.code == EXIT_UNMEASURED
    assert "24 of 24 pairs" in page.out
    (entry,) = (tmp_path / "journal").rglob("entry.md")
    assert "What a judge prefers" in entry.read_text()
    assert punie("journal", "check").code == EXIT_OK


def test_a_judging_that_ended_before_its_first_word_is_told_in_page_and_journal(
    tmp_path: Path, punie: Command
) -> None:
    two_runs(tmp_path, [(f"Fact {n}", f"No fact {n}") for n in range(24)])
    log = tmp_path / "requests.jsonl"
    with judge("longer", "--first-token-s", "0.5", "--log", str(log)) as url:
        judged = ("--judge", url, "--judge-model", "m")
        with subprocess.Popen(
            [*PUNIE, "compare", BASE, TUNED, *judged, "--format", "html", "--journal", "early"],
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            while not log.exists() or "[[FIRST" not in log.read_text():
                assert process.poll() is None
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            page, said = process.communicate(timeout=60)
    assert process.returncode == EXIT_INTERRUPTED, said
    assert "</html>" in page
    (entry,) = (tmp_path / "journal").rglob("entry.md")
    assert entry.with_name("comparison.json").exists()
    assert punie("journal", "check").code == EXIT_OK
