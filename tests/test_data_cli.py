"""`punie data` as it is typed."""

import json
from pathlib import Path
from typing import Any

import pytest

from in_process import Command, command_in

TOOL: dict[str, Any] = {
    "name": "find",
    "parameters": {"type": "object", "properties": {"item": {"type": "string"}}},
}


def row(i: int) -> dict[str, Any]:
    call = {"name": "find", "arguments": json.dumps({"item": f"box {i}"})}
    return {
        "messages": [
            {"role": "system", "content": "You help."},
            {"role": "user", "content": f"Where is box {i}?"},
            {"role": "assistant", "tool_calls": [{"id": "c", "function": call}]},
        ],
        "tools": [TOOL],
        "category": "boxes" if i % 2 else "crates",
    }


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".punie").mkdir()
    rows = "".join(json.dumps(row(i)) + "\n" for i in range(40))
    (tmp_path / "boxes.jsonl").write_text(rows, encoding="utf-8")
    return tmp_path


@pytest.fixture
def punie(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    return command_in(project, monkeypatch, capsys, "data")


def test_a_file_is_split_listed_and_shown(project: Path, punie: Command):
    split = punie("split", "boxes.jsonl", "--seed", "7")
    assert (split.code, split.err) == (0, "")
    assert split.out.splitlines() == [
        "data/boxes: 32 train, 4 valid, 4 test",
        "data/suites/boxes.jsonl: punie eval boxes",
    ]
    (listed,) = punie("list", "--json").data
    assert (listed["name"], listed["pinned"], listed["forms"]) == ("boxes", True, ["messages"])
    assert listed["version"]["splits"]["train"]["rows"] == 32
    shown = punie("show", "boxes").out
    assert "category: boxes 50%, crates 50%" in shown
    assert 'assistant: find(item="box ' in shown
    assert str(project) not in shown
    data = punie("show", "boxes", "--json").data
    assert data["splits"]["valid"]["calling"] == 4
    assert data["splits"]["train"]["turns"] == {"system": 32, "user": 32, "assistant": 32}
    assert data["first"]["messages"][0] == {"role": "system", "content": "You help."}


def test_the_list_fits_a_narrow_terminal(punie: Command, monkeypatch: pytest.MonkeyPatch):
    punie("split", "boxes.jsonl")
    monkeypatch.setenv("COLUMNS", "40")
    listed = punie("list")
    assert "boxes" in listed.out
    assert max(map(len, listed.out.splitlines())) <= 40


def test_changed_rows_are_named_and_pinned(project: Path, punie: Command):
    punie("split", "boxes.jsonl", "--name", "mine", "--shares", "75/25")
    file = project / "data/mine/train.jsonl"
    file.write_text(file.read_text() + json.dumps(row(99)) + "\n")
    listed = punie("list")
    assert "changed" in listed.out
    assert "train.jsonl has 31 rows, no longer 30" in listed.err
    assert "punie data pin mine" in punie("show", "mine").err
    pinned = punie("pin", "mine")
    assert pinned.code == 0
    assert "pinned at" in pinned.out
    assert punie("list").err == ""
    assert punie("pin", "mine", "--json").data["splits"]["train"]["rows"] == 31


def test_without_a_test_part_there_is_no_suite(project: Path, punie: Command):
    split = punie("split", "boxes.jsonl", "--shares", "80/20", "--json")
    assert split.data["suite"] is None
    assert not (project / "data/suites").exists()


def test_an_empty_project_says_how_to_begin(punie: Command):
    listed = punie("list")
    assert (listed.code, listed.out) == (0, "")
    assert "punie data split FILE" in listed.err
    assert punie("list", "--json").data == []


def test_texts_are_shown_as_they_are(project: Path, punie: Command):
    (project / "texts.jsonl").write_text('{"text": "Once \\u001b[31mupon a time"}\n')
    shown = punie("show", "texts.jsonl").out
    assert "Once ␛[31mupon a time" in shown
    assert "prompt" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("show", "nothing"), 2, "there is no dataset 'nothing'"),
        (("show", "bad.jsonl"), 2, "bad.jsonl:2:10 text: is empty"),
        (("split", "bad.jsonl"), 2, "bad.jsonl:2:10 text: is empty"),
        (("split", "boxes.jsonl", "--name", "suites"), 2, "cannot name a dataset"),
        (("split", "boxes.jsonl", "--shares", "80/30"), 2, "add up to 100"),
        (("split", "boxes.jsonl", "--seed", "-1"), 2, "-1 is not in the range"),
        (("pin", "boxes.jsonl"), 2, "a dataset that is pinned has a folder of its own"),
        (("lst",), 2, "Did you mean list?"),
    ],
)
def test_bad_input_is_a_message(
    project: Path, punie: Command, arguments: tuple[str, ...], code: int, words: str
):
    (project / "bad.jsonl").write_text('{"text": "a"}\n{"text": ""}\n')
    ended = punie(*arguments)
    assert ended.code == code
    assert words in ended.err
    assert "Traceback" not in ended.err
    assert words in json.loads(punie(*arguments, "--json").out)["error"]["message"]


def test_check_names_what_is_wrong_and_exits_3(project: Path, punie: Command):
    punie("split", "boxes.jsonl")
    folder = project / "data/boxes"
    leaked = (folder / "test.jsonl").read_text().splitlines(keepends=True)[0]
    with (folder / "train.jsonl").open("a") as file:
        file.write(leaked)
    checked = punie("check", "boxes")
    assert checked.code == 3
    assert "error: leakage:" in checked.out
    assert "data/boxes/train.jsonl:33" in checked.out
    assert "train.jsonl has 33 rows, no longer 32" in checked.err
    report = punie("check", "boxes", "--json")
    assert report.code == 3
    assert {each["severity"] for each in report.data["findings"]} >= {"error"}


def test_check_of_sound_data_exits_0(project: Path, punie: Command):
    words = ["amber", "birch", "cedar", "delta", "ember", "flint", "grove", "heath", "ivory"]
    rows = [
        {"prompt": f"{a} {b} {a} {a}", "completion": f"{b} {a}"}
        for i, a in enumerate(words)
        for b in words[i + 1 :]
    ]
    (project / "words.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    checked = punie("check", "words.jsonl", "--json")
    assert checked.code == 0
    assert all(each["severity"] != "error" for each in checked.data["findings"])
