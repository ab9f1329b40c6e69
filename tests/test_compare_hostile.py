"""`punie compare` before files that are none, texts that command, and a judge of no use."""

import os
from pathlib import Path

import pytest

from answered_runs import BASE, TUNED, two_runs
from compared_project import a_suite, add_run
from in_process import Command, command_in
from punie.errors import EXIT_UNMEASURED, EXIT_USAGE
from test_calibration import judge


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
