"""`punie data interactions`, as a person calls it."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from punie.cli.main import cli
from punie.datasets.baseline import read_baseline
from punie.errors import InputError
from test_interactions import a_file, published


def run(*arguments: str, stdin: str | None = None) -> Result:
    result = CliRunner().invoke(cli, ["data", "interactions", *arguments], input=stdin)
    if isinstance(result.exception, InputError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def test_the_envelope_has_everything(tmp_path: Path):
    path = a_file(tmp_path, *published())
    data: Any = json.loads(run(str(path), "--json", "--planned", "coder=60%, tester=40").stdout)
    assert data["command"] == "data interactions"
    assert data["data"]["successful"] == 298
    assert data["data"]["planned"][0]["role"] == "coder"
    assert data["warnings"] == []


def test_a_folder_gets_metrics_page_and_charts(tmp_path: Path):
    path, folder = a_file(tmp_path, *published()), tmp_path / "results"
    result = run(str(path), "--output", str(folder))
    names = {each.name for each in folder.iterdir()}
    charts = {"roles.svg", "success-by-role.svg", "providers.svg", "success-by-provider.svg"}
    assert names == {"baseline_metrics.json", "interactions.md", "timeline.svg"} | charts
    page = (folder / "interactions.md").read_text()
    assert all(f"]({name})" in page for name in charts)
    assert "baseline_metrics.json" in result.stderr
    assert read_baseline(folder / "baseline_metrics.json").interactions == 302


def test_single_files_by_their_ending(tmp_path: Path):
    path = a_file(tmp_path, *published())
    run(str(path), "--output", str(tmp_path / "base.json"))
    assert read_baseline(tmp_path / "base.json").source == "base.json"
    run(str(path), "--output", str(tmp_path / "page.md"))
    assert "](page-roles.svg)" in (tmp_path / "page.md").read_text()
    assert (tmp_path / "page-roles.svg").exists()
    with pytest.raises(InputError, match="should be a folder"):
        run(str(path), "--output", str(tmp_path / "page.jsonl"))


def test_stdin_is_a_file_too():
    result = run("-", "--json", stdin='{"ok": true}\n{"ok": false}\n')
    data = json.loads(result.stdout)["data"]
    assert (data["total"], data["files"][0]["name"]) == (2, "stdin")


def test_warnings_go_to_stderr(tmp_path: Path):
    path = a_file(tmp_path, {"elapsed": 4, "ok": True})
    result = run(str(path), "--planned", "coder=100")
    assert "warning: elapsed (1 lines) tells no unit" in result.stderr
    assert "warning: --planned: no line tells a role" in result.stderr


def test_fields_and_words_of_ones_own(tmp_path: Path):
    rows = [{"verdict": "landed", "agent": {"kind": "coder"}} for _ in range(3)]
    path = a_file(tmp_path, *rows, {"verdict": "crashed", "agent": {"kind": "tester"}})
    named = ("--field", "success=verdict", "--field", "role=agent.kind")
    meant = ("--status", "landed=success", "--status", "crashed=failure")
    data: Any = json.loads(run(str(path), *named, *meant, "--json").stdout)["data"]
    assert (data["successful"], data["failed"]) == (3, 1)
    roles = {each["name"]: each["count"] for each in data["roles"]}
    assert roles == {"coder": 3, "tester": 1}


@pytest.mark.parametrize(
    "options",
    [
        ("--planned", "coder=35"),
        ("--planned", "coder=35,coder=65"),
        ("--planned", "coder"),
        ("--planned", ""),
        ("--planned", "coder=nan,tester=100"),
        ("--status", "done"),
        ("--status", "done=maybe"),
        ("--field", "rolle=agent"),
    ],
)
def test_an_option_that_makes_no_sense(tmp_path: Path, options: tuple[str, str]):
    path = a_file(tmp_path, {"ok": True})
    with pytest.raises(InputError, match=options[0]):
        run(str(path), *options)


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(InputError, match=r"none\.jsonl"):
        run(str(tmp_path / "none.jsonl"))
