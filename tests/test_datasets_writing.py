"""What punie writes: rows that are read again as they were, manifests, suites of held-out rows."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.datasets.catalog import list_datasets, pin
from punie.datasets.held_out import suite_of_rows
from punie.datasets.reading import read_dataset
from punie.datasets.row_form import row_data
from punie.datasets.writing import name_for, split_into_project, write_dataset
from punie.errors import InputError
from punie.records.dataset import Row, Split
from punie.suites.load import load_suite

TOOL: dict[str, Any] = {
    "name": "find",
    "description": "Find an item.",
    "parameters": {"type": "object", "properties": {"item": {"type": "string"}}},
}
CALL: dict[str, Any] = {
    "id": "a",
    "type": "function",
    "function": {"name": "find", "arguments": '{"item":"x"}'},
}
ASK = {"role": "user", "content": "Where is the x?"}
SAY = {"role": "assistant", "content": "In hall 3."}
CALLING: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": [CALL]}
CHAT: dict[str, Any] = {"messages": [ASK, CALLING], "tools": [TOOL]}


def write(path: Path, *rows: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path: Path, *rows: object) -> tuple[Row, ...]:
    return read_dataset(write(path, *rows), path.parent).rows[Split.TRAIN]


def version(path: Path, *rows: object) -> str:
    return read_dataset(write(path, *rows), path.parent).version.hash


# ---- forms that mean the same


def test_bare_and_wrapped_tools_arguments_and_parts_are_one_row(tmp_path: Path):
    function = {"name": "find", "arguments": {"item": "x"}}
    other = {
        "tools": [{"type": "function", "function": {**TOOL, "strict": True}}],
        "messages": [
            {"content": [{"type": "text", "text": "Where is "}, {"text": "the x?"}],
             "role": "user"},
            {"role": "assistant", "content": "", "refusal": None, "tool_calls": [
                {"id": "a", "function": function},
            ]},
        ],
    }  # fmt: skip
    plain = {**CHAT, "messages": [ASK, {**CALLING, "tool_calls": [
        {**CALL, "function": {"name": "find", "arguments": '{"item": "x"}'}},
    ]}]}  # fmt: skip
    assert version(tmp_path / "a.jsonl", plain) == version(tmp_path / "b.jsonl", other)


def test_the_hash_tells_what_is_trained_and_nothing_else(tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    first = version(path, CHAT)
    path.write_text(json.dumps(dict(reversed(CHAT.items())), indent=None, separators=(" ,", " : ")))
    assert read_dataset(path, tmp_path).version.hash == first
    assert version(path, {**CHAT, "source": "somewhere"}) == first
    assert version(path, {**CHAT, "category": "c"}) != first
    assert version(path, CHAT, CHAT) != first
    changed = [ASK, {**CALLING, "tool_calls": [{**CALL, "id": "b"}]}]
    assert version(path, {**CHAT, "messages": changed}) != first


def test_calls_and_results_without_ids_find_each_other(tmp_path: Path):
    function = CALL["function"]
    asking = {"role": "assistant", "tool_calls": [{"function": function}, {"function": function}]}
    results = [{"role": "tool", "content": text} for text in ("1", "2")]
    (row,) = read(tmp_path / "rows.jsonl", {"messages": [ASK, asking, *results, SAY]})
    assert [call.id for call in row.messages[1].tool_calls] == ["call_1", "call_2"]
    assert [turn.tool_call_id for turn in row.messages[2:4]] == ["call_1", "call_2"]


def test_other_keys_are_named_once(tmp_path: Path):
    path = write(tmp_path / "rows.jsonl", {**CHAT, "id": 1, "prompt_id": "b"}, {**CHAT, "id": 2})
    (note,) = read_dataset(path, tmp_path).notes
    assert note.endswith("keys that training does not use: id, prompt_id (1 rows)")


TEXT = st.text(min_size=1).filter(lambda text: bool(text.strip()))
TURNS = TEXT.map(lambda text: [{"role": "user", "content": text}, SAY])
LABELS = st.fixed_dictionaries({}, optional={"category": st.sampled_from(["a", "b"])})
ROWS = st.one_of(
    st.fixed_dictionaries({"prompt": TEXT, "completion": TEXT}),
    st.fixed_dictionaries({"text": TEXT}),
    st.fixed_dictionaries({"messages": TURNS, "tools": st.sampled_from([[], [TOOL]])}),
    st.just(CHAT),
)


@given(data=ROWS, labels=LABELS)
def test_a_written_row_is_read_as_it_was(
    data: dict[str, Any], labels: dict[str, str], tmp_path_factory: pytest.TempPathFactory
):
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    once = read(path, data | labels)
    assert read(path, *map(row_data, once)) == once


# ---- the held-out part as a suite


def held_out(tmp_path: Path, *rows: object) -> list[Any]:
    text = suite_of_rows(read(tmp_path / "rows.jsonl", *rows), "held")
    path = tmp_path / "held.jsonl"
    path.write_text(text, encoding="utf-8")
    return list(load_suite(path).prompts)


def test_each_answer_is_expected_as_what_it_is(tmp_path: Path):
    call, abstain, gold, exact, prose = held_out(
        tmp_path,
        {**CHAT, "role": "coder", "group": "g"},
        {"messages": [ASK, SAY], "tools": [TOOL]},
        {"messages": [ASK, {**SAY, "content": '{"hall": 3}'}]},
        {"messages": [ASK, SAY], "category": "places"},
        {"messages": [ASK, {**SAY, "content": "One line.\nAnother."}]},
    )
    (expected,) = call.expect.tool_calls.calls
    assert (expected.name, expected.arguments) == ("find", {"item": "x"})
    assert (call.category, call.role, call.group) == ("tool_calling", "coder", "g")
    assert abstain.expect.tool_calls.calls == ()
    assert gold.expect.json.gold == {"hall": 3}
    assert (exact.expect.exact.values, exact.category) == (("In hall 3.",), "places")
    assert list(prose.expect) == []
    assert all(each.messages[-1].role == "user" for each in (call, abstain, gold, exact, prose))


def test_what_cannot_be_asked_is_left_out(tmp_path: Path):
    unknown = {**CALL, "function": {"name": "fetch", "arguments": "{}"}}
    argument = {**CALL, "function": {"name": "find", "arguments": '{"hall": 3}'}}
    pattern = {**CALL, "function": {"name": "find", "arguments": '{"item": {"any_of": 3}}'}}
    asked = held_out(
        tmp_path,
        CHAT,
        {"messages": [SAY]},
        {"messages": [ASK, SAY, SAY]},
        *({"messages": [ASK, {**CALLING, "tool_calls": [each]}], "tools": [TOOL]}
          for each in (unknown, argument, pattern)),
    )  # fmt: skip
    assert len(asked) == 1
    texts = read(tmp_path / "texts.jsonl", {"text": "Once."}, {"text": "Twice."})
    assert suite_of_rows(texts, "held") == ""


def test_there_is_room_for_the_longest_answer(tmp_path: Path):
    long = {"messages": [ASK, {**SAY, "content": "word " * 400}]}
    prompts = held_out(tmp_path, CHAT, long)
    assert {prompt.max_tokens for prompt in prompts} == {1120}


# ---- datasets in the project


def project_of(tmp_path: Path, count: int = 20) -> Path:
    asks = [{**ASK, "content": f"Where is item {i}?"} for i in range(count)]
    write(tmp_path / "rows.jsonl", *({**CHAT, "messages": [ask, CALLING]} for ask in asks))
    return tmp_path


def test_one_file_becomes_a_dataset_with_a_manifest_and_a_suite(tmp_path: Path):
    project = project_of(tmp_path)
    source = read_dataset(project / "rows.jsonl", project)
    written = split_into_project(source, project, name="items", seed=3)
    dataset = read_dataset("items", project)
    assert dataset.version == written.version
    assert dataset.pinned
    assert dataset.changes == ()
    assert {split: len(rows) for split, rows in dataset.rows.items()} == {
        Split.TRAIN: 16,
        Split.VALID: 2,
        Split.TEST: 2,
    }
    assert written.suite is not None
    suite = load_suite(written.suite)
    asked = {prompt.messages[0].content for prompt in suite.prompts}
    assert asked == {row.messages[0].content for row in dataset.rows[Split.TEST]}
    assert (written.version.seed, written.version.suite) == (3, "data/suites/items.jsonl")
    assert sorted(path.name for path in (project / "data").iterdir()) == ["items", "suites"]


def test_a_manifest_names_no_folder_of_the_machine(tmp_path: Path):
    project = project_of(tmp_path / "project")
    outside = write(tmp_path / "elsewhere" / "rows.jsonl", CHAT)
    for path in (project / "rows.jsonl", outside):
        assert read_dataset(path, project).version.origin == "rows.jsonl"


def test_what_is_split_already_is_not_split_again(tmp_path: Path):
    project = project_of(tmp_path)
    source = read_dataset(project / "rows.jsonl", project)
    written = split_into_project(source, project, name="items", seed=3)
    with pytest.raises(InputError, match="is split already"):
        split_into_project(read_dataset(written.folder, project), project, name="b", seed=3)


@pytest.mark.parametrize(
    "taken", ["data/items", "data/suites/items.yaml", "data/suites/items.jsonl"]
)
def test_nothing_is_overwritten(tmp_path: Path, taken: str):
    project = project_of(tmp_path)
    (project / taken).parent.mkdir(parents=True, exist_ok=True)
    (project / taken).touch()
    rows = read_dataset(project / "rows.jsonl", project).rows
    with pytest.raises(InputError, match="is there already"):
        write_dataset(project, "items", rows, origin="test")
    assert [path.name for path in (project / "data").rglob("*.jsonl") if path.stat().st_size] == []


def test_a_disk_that_is_full_leaves_nothing_half_written(tmp_path: Path):
    project = project_of(tmp_path)
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000));"
        "from punie.cli.main import main; main()"
    )
    ended = subprocess.run(
        [sys.executable, "-B", "-c", code, "data", "split", "rows.jsonl"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "File too large" in ended.stderr
    assert list((project / "data").iterdir()) == []


@pytest.mark.parametrize("name", ["suites", "", ".hidden", "a/b", "a b", "x" * 55, "../up"])
def test_names_that_cannot_be_one(tmp_path: Path, name: str):
    with pytest.raises(InputError, match="cannot name a dataset"):
        write_dataset(tmp_path, name, {}, origin="test")


@pytest.mark.parametrize(
    ("file", "name"),
    [("a/my rows (1).jsonl", "my-rows-1"), ("suites.jsonl", "suites-data"), ("ä.jsonl", "dataset")],
)
def test_a_files_name_becomes_a_datasets(file: str, name: str):
    assert name_for(Path(file)) == name


def test_rows_that_left_their_manifest_are_told_and_can_be_pinned(tmp_path: Path):
    project = project_of(tmp_path)
    source = read_dataset(project / "rows.jsonl", project)
    folder = split_into_project(source, project, name="items", seed=3).folder
    (folder / "valid.jsonl").unlink()
    lines = (folder / "train.jsonl").read_text().splitlines(keepends=True)
    (folder / "train.jsonl").write_text("".join(lines[1:]))
    (folder / "test.jsonl").write_text(
        "".join(reversed((folder / "test.jsonl").read_text().splitlines(keepends=True)))
    )
    changed = read_dataset("items", project)
    assert changed.changes == (
        "train.jsonl has 15 rows, no longer 16",
        "valid.jsonl is gone",
        "test.jsonl has other rows, or in another order",
    )
    assert (changed.version.seed, len(changed.version.splits)) == (3, 2)
    pin(changed)
    assert read_dataset("items", project).changes == ()


def test_the_list_has_folders_files_and_what_cannot_be_read(tmp_path: Path):
    project = project_of(tmp_path)
    source = read_dataset(project / "rows.jsonl", project)
    split_into_project(source, project, name="items", seed=3)
    write(project / "data/bare/train.jsonl", {"text": "a"})
    write(project / "data/single.jsonl", CHAT)
    write(project / "data/broken/train.jsonl", {"text": ""})
    write(project / "data/spoiled/train.jsonl", {"text": "a"})
    (project / "data/spoiled/manifest.json").write_text("{}")
    (project / "data/notes").mkdir()
    bare, broken, items, single, spoiled = list_datasets(project)
    assert (bare.name, bare.pinned, [form.value for form in bare.forms]) == (
        "bare",
        False,
        ["text"],
    )
    assert broken.error is not None
    assert (items.pinned, [form.value for form in items.forms]) == (True, ["messages"])
    assert (single.name, single.pinned) == ("single", False)
    assert spoiled.error is not None
    assert "is no manifest of a dataset" in spoiled.error.message


@pytest.mark.parametrize(
    "changed",
    [
        {"suite": "x\x1b]0;owned"},
        {"suite": "data/suites/x.jsonl\ntouch owned"},
        {"suite": "/etc/passwd"},
        {"suite": "data/../../elsewhere.jsonl"},
        {"suite": "~/suite.jsonl"},
        {"suite": "--json"},
        {"name": "\u202eitems"},
        {"hash": "\x1b[2J"},
    ],
    ids=str,
)
def test_a_manifest_that_punie_did_not_write_is_not_trusted(
    tmp_path: Path, changed: dict[str, str]
):
    project = project_of(tmp_path)
    source = read_dataset(project / "rows.jsonl", project)
    made = split_into_project(source, project, name="items", seed=3)
    assert read_dataset("items", project).version.suite == "data/suites/items.jsonl"
    path = made.folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
    with pytest.raises(InputError) as refused:
        read_dataset("items", project)
    assert f"manifest.json: {next(iter(changed))} " in refused.value.message
    assert refused.value.message.isprintable()
    assert "do not trust it" in refused.value.hint
    (listed,) = (each for each in list_datasets(project) if each.name == "items")
    assert listed.error is not None


@pytest.mark.parametrize("number", [-1, 10**400])
def test_a_manifest_counts_what_can_be_counted(tmp_path: Path, number: int):
    project = project_of(tmp_path)
    source = read_dataset(project / "rows.jsonl", project)
    made = split_into_project(source, project, name="items", seed=3)
    path = made.folder / "manifest.json"
    data = json.loads(path.read_text())
    data["splits"]["train"]["rows"] = number
    path.write_text(json.dumps(data))
    with pytest.raises(InputError, match=r"is no manifest of a dataset: splits\.train\.rows"):
        read_dataset("items", project)


def test_a_project_without_data_has_no_datasets(tmp_path: Path):
    assert list_datasets(tmp_path) == []
