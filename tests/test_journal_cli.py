import json
from pathlib import Path

import pytest

import journal_run
from in_process import Command, command_in
from punie.journal.record import decode
from punie.records.suite import EvalSuite
from punie.store.runs import RunStore


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose database has one run, `r1`."""
    (tmp_path / ".punie").mkdir()
    rows = journal_run.rows()
    run = journal_run.report(rows).run
    suite = EvalSuite(name="baseline", prompts=tuple(journal_run.prompts()), hash=run.suite_hash)
    with RunStore(tmp_path) as store:
        store.create(run, suite)
        store.add(run.id, [outcome for _, outcome in rows])
    return tmp_path


@pytest.fixture
def punie(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    return command_in(project, monkeypatch, capsys, "journal")


def test_an_entry_is_written_rendered_and_checked(project: Path, punie: Command):
    new = punie("new", "First baseline")
    entry = Path(new.out.strip())
    assert (new.code, entry.name) == (0, "entry.md")
    assert entry.is_relative_to(project / "journal")
    stale = punie("check")
    assert stale.code == 0
    assert "README.md: is missing: run punie journal render" in stale.err
    assert punie("check", "--strict").code == 3
    assert punie("render").out.strip().endswith("journal/README.md")
    clean = punie("check", "--strict", "--json")
    assert clean.code == 0
    data = json.loads(clean.out)
    assert data["command"] == "journal check"
    assert data["data"] == {"entries": [entry.parent.name], "findings": []}


def test_findings_go_to_stdout_with_their_place_and_exit_code(punie: Command):
    entry = Path(json.loads(punie("new", "Goal", "--json").out)["data"]["entry"])
    path = entry / "entry.md"
    path.write_text(path.read_text().replace("seed: 7", "seed: 8"))
    found = punie("check", entry.name)
    assert found.code == 3
    where = f"journal/{entry.name[:4]}/{entry.name[4:6]}/{entry.name}/entry.md:9"
    assert found.out == f"{where}: seed is 8, run.json gives 7\n"
    assert json.loads(punie("check", "--json").out)["data"]["findings"] == [
        {"file": where.removesuffix(":9"), "line": 9, "what": "seed is 8, run.json gives 7"}
    ]


def test_the_database_is_asked_for_the_run(project: Path, punie: Command):
    punie("new", "Goal", "--text")
    assert punie("check").code == 0
    with RunStore(project) as store:
        prompt, outcome = journal_run.rows()[-1]
        again = outcome.model_copy(update={"repeat": 2, "prompt_id": prompt.id})
        store.add("r1", [again])
    found = punie("check")
    assert found.code == 3
    assert "run.json:" in found.out
    assert "prompt lost of the database is missing" in found.out


def test_an_entry_is_written_again_from_its_record(project: Path, punie: Command):
    first = Path(json.loads(punie("new", "Goal", "--json").out)["data"]["entry"])
    (project / ".punie" / "punie.db").unlink()
    again = punie("new", "Goal", "--run", str(first / "run.json"), "--supersedes", first.name)
    second = Path(again.out.strip()).parent
    assert decode((second / "run.json").read_bytes()).rows == (
        decode((first / "run.json").read_bytes()).rows
    )
    assert punie("check").code == 0
    refused = punie("new", "Goal", "--run", str(first / "run.json"), "--text")
    assert (refused.code, "keeps no prompts" in refused.err) == (2, True)
    assert punie("new", "Goal", "--run", "none.json").code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["new", ""], "the goal is empty"),
        (["new", "Goal", "--run", "r9"], "r9 is no run here"),
        (["new", "Goal", "--supersedes", "x"], "x is no entry of this journal"),
        (["new", "Goal", "--dataset", "nowhere"], "nowhere"),
        (["check", "x"], "x is no entry of this journal"),
    ],
)
def test_bad_input_is_a_message(punie: Command, arguments: list[str], message: str):
    refused = punie(*arguments)
    assert refused.code == 2
    assert message in refused.err
