"""Journal entries of comparisons: one folder from which every number is made anew."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compared_project import WRONG, a_suite, add_run
from in_process import Command, command_in
from punie.adapters.manifest import write_manifest
from punie.errors import EXIT_GATE, EXIT_OK, EXIT_USAGE
from punie.journal.comparison import COMPARISON_KIND, ComparisonRecord
from punie.records.adapter import AdapterManifest
from punie.store.runs import RunStore
from synthetic_training import a_finished_manifest

ROLES = ("coder", "researcher")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two runs of an adapter's own suite, with its training between them."""
    manifest = a_finished_manifest()
    folder = tmp_path / "adapters" / manifest.name
    folder.mkdir(parents=True)
    write_manifest(folder, manifest)
    (tmp_path / "punie.toml").write_text("")
    suite = a_suite(60, name=own_suite(manifest), roles=ROLES)
    add_run(tmp_path, suite, "0" * 57 + "111", run_id="base-run")
    run = add_run(tmp_path, suite, "1" * 50 + "0" * 10, run_id="current-run")
    model = run.model.model_copy(
        update={"adapter": manifest.name, "adapter_hash": manifest.adapter_hash}
    )
    with RunStore(tmp_path) as store:
        store.update(run.model_copy(update={"model": model}))
    return tmp_path


def own_suite(manifest: AdapterManifest) -> str:
    assert manifest.suite is not None
    return Path(manifest.suite).stem


@pytest.fixture
def punie(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    return command_in(project, monkeypatch, capsys)


@pytest.fixture
def entry(punie: Command, project: Path) -> Path:
    """The entry of the comparison, just written."""
    ended = punie("compare", "base-run", "current-run", "--journal", "Does it pay?")
    assert ended.code == EXIT_OK
    (found,) = (project / "journal").glob("*/*/*")
    return found


def test_one_entry_tells_the_whole_story(entry: Path, punie: Command, project: Path) -> None:
    text = (entry / "entry.md").read_text("utf-8")
    manifest = a_finished_manifest()
    for part in (
        "base-run",
        "current-run",
        "**Better**",
        "Decision: ",
        "### What flipped",
        "### The training between them",
        f"- Between them: `{manifest.name}`",
        "role coder",
        "![Loss by iteration; the kept checkpoint is marked](loss.svg)",
        "![What became of every prompt](flips.svg)",
    ):
        assert part in text
    assert WRONG not in text + (entry / "comparison.json").read_text("utf-8")
    assert str(project) not in text + (entry / "comparison.json").read_text("utf-8")
    assert punie("journal", "render").code == EXIT_OK
    table = (project / "journal/README.md").read_text("utf-8")
    assert "## Comparisons" in table
    assert "Does it pay?" in table
    assert punie("journal", "check", "--strict").code == EXIT_OK


def edit(entry: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the record and nothing else, in punie's own form."""
    path = entry / "comparison.json"
    data = json.loads(path.read_text("utf-8"))
    change(data)
    path.write_bytes(COMPARISON_KIND.encode(ComparisonRecord.model_validate(data)))


def other_score(data: dict[str, Any]) -> None:
    row = next(each for each in data["rows"] if each["arm"] == "current" and each.get("score") == 0)
    row |= {"score": 1.0, "passed": 1.0}


def wider_margin(data: dict[str, Any]) -> None:
    data["gates"]["targets"][0]["minimum_gain_points"] = 50


def dropped_row(data: dict[str, Any]) -> None:
    data["rows"] = [each for each in data["rows"] if not each["id"].endswith("-0001")]


def other_adapter(data: dict[str, Any]) -> None:
    data["training"]["adapter_hash"] = "0123456789ab" + "0" * 52


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (other_score, "differs from the database"),
        (wider_margin, "comparison.json gives"),
        (dropped_row, "its rows give 59"),
        (other_adapter, "training made 0123456789ab"),
    ],
)
def test_a_record_that_was_edited_is_found(
    entry: Path, punie: Command, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    edit(entry, change)
    ended = punie("journal", "check")
    assert ended.code == EXIT_GATE
    assert said in ended.out


def test_an_edited_answer_is_found_without_the_database(entry: Path, punie: Command) -> None:
    """By the run's own numbers, and by its run.json where the journal has it."""
    made = punie("journal", "new", "The run itself.", "--run", "current-run")
    assert made.code == EXIT_OK
    assert punie("journal", "render").code == EXIT_OK
    assert punie("runs", "delete", "base-run", "current-run", "--yes").code == EXIT_OK
    assert punie("journal", "check").code == EXIT_OK
    edit(entry, other_score)
    ended = punie("journal", "check")
    assert ended.code == EXIT_GATE
    assert "run current-run has score" in ended.out
    assert "differs from its run.json" in ended.out


@pytest.mark.parametrize("before", ["**Better**", "+78.3", "base-run"])
def test_a_text_that_was_edited_is_found(entry: Path, punie: Command, before: str) -> None:
    path = entry / "entry.md"
    text = path.read_text("utf-8")
    head, results = text.split("<!-- punie:begin results -->")
    assert before in results
    path.write_text(f"{head}<!-- punie:begin results -->{results.replace(before, 'Best', 1)}")
    assert punie("journal", "check").code == EXIT_GATE


def test_a_chart_that_was_edited_is_found(entry: Path, punie: Command) -> None:
    path = entry / "flips.svg"
    path.write_text(path.read_text("utf-8").replace("<title>", "<title>x"))
    assert "flips.svg" in punie("journal", "check").out


def test_it_checks_without_the_database_and_the_adapter(
    entry: Path, punie: Command, project: Path
) -> None:
    assert entry.is_dir()
    assert punie("runs", "delete", "base-run", "current-run", "--yes").code == EXIT_OK
    for each in (project / "adapters").glob("*/*"):
        each.unlink()
    assert punie("journal", "check").code == EXIT_OK


def test_journal_set_to_never_is_refused(punie: Command, project: Path) -> None:
    (project / "punie.toml").write_text('journal = "never"\n')
    ended = punie("compare", "base-run", "current-run", "--journal", "goal")
    assert ended.code == EXIT_USAGE
    assert "journal is set to never" in ended.err
