"""`punie compare --routes`: who serves which role, as a file."""

from pathlib import Path

import pytest
import yaml

from compared_project import a_suite, add_run
from in_process import Command, command_in
from punie.errors import EXIT_OK, EXIT_USAGE

SIZE = 240
ROLES = ("coder", "planner")
BEFORE, AFTER = "1" * SIZE, "10" * (SIZE // 2)
"""The base is right everywhere, the current run where a coder asks."""


@pytest.fixture
def punie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    (tmp_path / "punie.toml").write_text("")
    return command_in(tmp_path, monkeypatch, capsys)


def two_runs(project: Path, roles: tuple[str, ...]) -> None:
    suite = a_suite(SIZE, roles=roles)
    add_run(project, suite, BEFORE, run_id="base-run")
    add_run(project, suite, AFTER, run_id="current-run", model="other")


def test_a_hybrid_names_who_serves_each_role(tmp_path: Path, punie: Command):
    two_runs(tmp_path, ROLES)
    path = tmp_path / "out" / "routes.yaml"
    ended = punie("compare", "base-run", "current-run", "--routes", str(path))
    assert ended.code == EXIT_OK
    assert "Decision: hybrid" in ended.out
    assert "routes  " in ended.err
    routes = yaml.safe_load(path.read_text())
    assert routes["routes"] == {"coder": "current", "planner": "base"}
    assert (routes["base"]["run"], routes["current"]["model"]) == ("base-run", "other")


def test_without_roles_or_with_three_runs_there_are_no_routes(tmp_path: Path, punie: Command):
    two_runs(tmp_path, ())
    path = str(tmp_path / "routes.yaml")
    ended = punie("compare", "base-run", "current-run", "--routes", path)
    assert ended.code == EXIT_USAGE
    assert "no prompt of these runs has a role" in ended.err
    ended = punie("compare", "base-run", "current-run", "current-run", "--routes", path)
    assert ended.code == EXIT_USAGE
    assert not Path(path).exists()
