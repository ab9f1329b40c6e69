"""Everything that can be wrong with training data, each at its place and in words."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.datasets.reading import read_dataset
from punie.datasets.rows_file import SHOWN
from punie.errors import DataError, InputError
from punie.scoring.json_text import is_array, is_object

USER = {"role": "user", "content": "Where is it?"}
ASSISTANT = {"role": "assistant", "content": "In hall 3."}
CALL: dict[str, Any] = {
    "id": "c1",
    "type": "function",
    "function": {"name": "find", "arguments": '{"item": "x"}'},
}
CALLING = {"role": "assistant", "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "hall 3"}
TOOL: dict[str, Any] = {
    "name": "find",
    "parameters": {"type": "object", "properties": {"item": {}}},
}
GOOD = {"messages": [USER, CALLING, RESULT, ASSISTANT], "tools": [TOOL]}


def chat(*turns: Any, **more: Any) -> str:
    return json.dumps({"messages": list(turns), **more})


def calls(**changes: Any) -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": [CALL | changes]}


def function(**changes: Any) -> dict[str, Any]:
    return calls(function={**CALL["function"], **changes})


ROWS: dict[str, tuple[str, str, str]] = {
    "no JSON": ('{"text": "a",}', ":1:14", "is no JSON"),
    "no object": ("[1]", ":1:1", "should be an object"),
    "no form": ('{"instruction": "a", "output": "b"}', ":1:1", "has instruction, output"),
    "ShareGPT": ('{"conversations": []}', ":1:1", "are messages of role and content"),
    "prompt alone": ('{"prompt": "a"}', ":1:1", "has a prompt, but no completion"),
    "completion alone": ('{"completion": "a"}', ":1:1", "has a completion, but no prompt"),
    "two forms": (chat(USER, ASSISTANT, text="a"), ":1:1", "messages and text: keep one"),
    "misspelled": ('{"mesages": []}', ":1:2 mesages", "did you mean messages?"),
    "misspelled label": ('{"text": "a", "catgory": "b"}', ":1:15", "did you mean category?"),
    "empty text": ('{"text": " "}', ":1:10 text", "is empty"),
    "text of another type": ('{"text": 5}', ":1:10 text", "should be a text"),
    "empty completion": ('{"prompt": "a", "completion": ""}', ":1:31", "is empty"),
    "chat as prompt": ('{"prompt": [], "completion": "a"}', ":1:12", "a chat goes under messages"),
    "tools of a text": ('{"text": "a", "tools": []}', ":1:15", "a text has no tools"),
    "label": ('{"text": "a", "group": [1]}', ":1:24 group", "at most 64 characters"),
    "long label": (json.dumps({"text": "a", "role": "b" * 65}), " role", "at most 64"),
    "NaN": ('{"text": "a", "score": NaN}', ":1:24", "NaN is no JSON"),
    "Infinity": ('{"text": "a", "score": -Infinity}', ":1:24", "Infinity is no JSON"),
    "huge number": ('{"text": "a", "score": 1e999}', ":1:24", "too large"),
    "digits": ('{"text": "a", "n": ' + "9" * 5000 + "}", ":1:20", "too large"),
    "half a character": ('{"text": "\\ud83d"}', ":1:11", "half of a surrogate pair"),
    "key twice": ('{"text": "a", "text": "b"}', ":1:15 text", "a second time"),
    "nesting": ('{"text": ' + "[" * 100_000, ":1:", "nested deeper"),
    "messages no list": ('{"messages": "a"}', ":1:14 messages", "should be a list"),
    "no turns": ('{"messages": []}', ":1:14 messages", "is empty"),
    "turn no object": (chat("a"), "messages[0]", "should be a turn"),
    "no role": (chat({"content": "a"}), "messages[0]", "has no role"),
    "ShareGPT turn": (chat({"from": "human", "value": "a"}), "messages[0]", "are role and content"),
    "unknown role": (chat({"role": "gpt", "content": "a"}), ".role", "did you mean assistant?"),
    "misspelled role": (chat({"role": "assitant"}), ".role", "did you mean assistant?"),
    "role of another type": (chat({"role": 1}), ".role", "should be one of"),
    "no content": (chat({"role": "user"}, ASSISTANT), "messages[0]", "has no content"),
    "empty content": (chat({"role": "user", "content": ""}, ASSISTANT), ".content", "is empty"),
    "nothing said": (chat(USER, {"role": "assistant"}), "messages[1]", "neither content nor"),
    "content no text": (chat({"role": "user", "content": 5}), ".content", "should be a text"),
    "picture": (
        chat({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, ASSISTANT),
        ".content[0]",
        "is a part of type 'image_url'",
    ),
    "part without a text": (
        chat({"role": "user", "content": [{"type": "text"}]}, ASSISTANT),
        ".content[0]",
        "with a text",
    ),
    "unknown key of a turn": (
        chat(USER, {**ASSISTANT, "thinking": "Hm."}),
        "messages[1].thinking",
        "which training would lose",
    ),
    "last turn": (chat(USER, ASSISTANT, USER), "messages[2].role", "should be the assistant's"),
    "no assistant": (chat(USER), ":1:14 messages", "there is nothing to learn"),
    "late system": (
        chat(USER, {"role": "system", "content": "a"}, ASSISTANT),
        "messages[1].role",
        "can only be the first",
    ),
    "two systems": (
        chat(*[{"role": "system", "content": "a"}] * 2, USER, ASSISTANT),
        "messages[1].role",
        "a second system turn",
    ),
    "calls of a user": (chat({**USER, "tool_calls": [CALL]}), ".tool_calls", "only an assistant"),
    "calls no list": (chat(USER, {**ASSISTANT, "tool_calls": {}}), ".tool_calls", "list of calls"),
    "bare call": (
        chat(USER, {"role": "assistant", "tool_calls": [{"name": "find"}]}),
        ".tool_calls[0]",
        "should be a call",
    ),
    "call without a name": (
        chat(USER, calls(function={"arguments": "{}"})),
        ".tool_calls[0].function",
        "needs the name",
    ),
    "empty name": (chat(USER, function(name="")), ".function.name", "needs the name"),
    "no arguments": (
        chat(USER, calls(function={"name": "find"})),
        ".tool_calls[0].function",
        "needs arguments",
    ),
    "broken arguments": (chat(USER, function(arguments="{")), ".arguments", "no JSON object"),
    "arguments a list": (chat(USER, function(arguments="[]")), ".arguments", "no JSON object"),
    "arguments with NaN": (
        chat(USER, function(arguments='{"a": NaN}')),
        ".arguments",
        "no JSON object",
    ),
    "arguments a number": (chat(USER, function(arguments=5)), ".arguments", "JSON text"),
    "type of a call": (chat(USER, calls(type="code")), ".type", "should be function"),
    "id of a call": (chat(USER, calls(id=5)), ".id", "should be a text"),
    "same id": (
        chat(USER, {"role": "assistant", "tool_calls": [CALL, CALL]}),
        ".tool_calls[1].id",
        "another call has the id",
    ),
    "unknown key of a call": (chat(USER, function(args="x")), ".args", "would lose"),
    "result of nothing": (chat(USER, RESULT, ASSISTANT), ".tool_call_id", "answers no call"),
    "result without an id": (
        chat(USER, {"role": "tool", "content": "a"}, ASSISTANT),
        "messages[1]",
        "answers no call",
    ),
    "result twice": (
        chat(USER, CALLING, RESULT, RESULT, ASSISTANT),
        "messages[3].tool_call_id",
        "that has no result yet",
    ),
    "id of a result": (
        chat(USER, CALLING, {**RESULT, "tool_call_id": 1}, ASSISTANT),
        ".tool_call_id",
        "should be a text",
    ),
    "user that answers": (
        chat({**USER, "tool_call_id": "c1"}, ASSISTANT),
        ".tool_call_id",
        "only a tool's turn",
    ),
    "name of a turn": (chat({**USER, "name": 5}, ASSISTANT), ".name", "should be a text"),
    "tools no list": (chat(USER, ASSISTANT, tools="[]"), " tools", "should be a list"),
    "tool no object": (chat(USER, ASSISTANT, tools=["find"]), "tools[0]", "should be a tool"),
    "tool without a name": (chat(USER, ASSISTANT, tools=[{}]), "tools[0]", "needs a name"),
    "name of a tool": (chat(USER, ASSISTANT, tools=[{"name": "a b"}]), ".name", "64 letters"),
    "description": (
        chat(USER, ASSISTANT, tools=[{"name": "a", "description": 1}]),
        ".description",
        "should be a text",
    ),
    "same tool": (chat(USER, ASSISTANT, tools=[TOOL, TOOL]), "tools[1]", "second tool"),
    "wrapped type": (
        chat(USER, ASSISTANT, tools=[{"type": "x", "function": TOOL}]),
        "tools[0].type",
        "should be function",
    ),
    "parameters": (
        chat(USER, ASSISTANT, tools=[{"name": "a", "parameters": []}]),
        ".parameters",
        "JSON Schema",
    ),
    "type of parameters": (
        chat(USER, ASSISTANT, tools=[{"name": "a", "parameters": {"type": "array"}}]),
        ".parameters.type",
        "should be object",
    ),
    "properties": (
        chat(USER, ASSISTANT, tools=[{"name": "a", "parameters": {"properties": []}}]),
        ".properties",
        "mapping of names",
    ),
    "property": (
        chat(USER, ASSISTANT, tools=[{"name": "a", "parameters": {"properties": {"b": 1}}}]),
        ".properties.b",
        "JSON Schema",
    ),
    "required": (
        chat(USER, ASSISTANT, tools=[{"name": "a", "parameters": {"required": {}}}]),
        ".required",
        "list of names",
    ),
    "required unknown": (
        chat(USER, ASSISTANT, tools=[{"name": "a", "parameters": {"required": [["b"]]}}]),
        ".required[0]",
        "no property",
    ),
}
BYTES: dict[str, tuple[bytes, str, str]] = {
    "byte order mark": (b'\xef\xbb\xbf{"text": "a"}', ":1:1", "byte order mark"),
    "bad UTF-8": (b'{"text": "a"}\n{"text": "\xff"}', ":2:11", "0xFF is not UTF-8"),
    "other encoding": ('{"text": "a"}'.encode("utf-16"), ":1:1", "byte order mark"),
    "blank line": (b'{"text": "a"}\n\n{"text": "b"}\n', ":2:1", "the line is blank"),
    "mixed forms": (
        b'{"text": "a"}\n{"prompt": "a", "completion": "b"}\n',
        ":2:1",
        "is a prompt with completion, but line 1 is a text",
    ),
    "long line": (b'{"text": "' + b"a" * 9 * 2**20 + b'"}', ":1:1", "longer than 8 MiB"),
    "empty": (b"", "", "has no rows"),
    "blank": (b"\n \n", "", "has no rows"),
}


def problem_of(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_dataset(path, path.parent)
    assert caught.value.hint
    return str(caught.value.problems[0])


@pytest.mark.parametrize("case", ROWS)
def test_a_wrong_row_is_named_at_its_place(tmp_path: Path, case: str):
    row, place, words = ROWS[case]
    path = tmp_path / "rows.jsonl"
    path.write_text(row, encoding="utf-8")
    said = problem_of(path)
    assert place in said
    assert words in said


@pytest.mark.parametrize("case", BYTES)
def test_a_wrong_file_is_named_at_its_place(tmp_path: Path, case: str):
    content, place, words = BYTES[case]
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    said = problem_of(path)
    assert place in said
    assert words in said


def test_all_problems_are_counted_and_the_first_are_shown(tmp_path: Path):
    (tmp_path / "train.jsonl").write_text('{"text": ""}\n' * 30 + '{"text": "a"}\n{"text": 5}\n')
    (tmp_path / "valid.jsonl").write_text("")
    with pytest.raises(DataError) as caught:
        read_dataset(tmp_path, tmp_path)
    assert (len(caught.value.problems), caught.value.found) == (SHOWN, 32)
    assert caught.value.message.endswith("and 12 more problems")
    assert caught.value.exit_code == 2


def test_an_empty_validation_set_is_better_left_away(tmp_path: Path):
    (tmp_path / "train.jsonl").write_text('{"text": "a"}\n')
    (tmp_path / "valid.jsonl").write_text("")
    assert "leave the file away, or let punie" in problem_of(tmp_path)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("", "is empty"),
        ("./nowhere", "no such file or folder"),
        ("nowhere.jsonl", "no such file or folder"),
        ("toolz", "there is no dataset 'toolz'; did you mean tools?"),
        ("data/toolz", "no such file or folder"),
        ("suites", "there is no dataset 'suites'"),
        ("rows.parquet", "JSON lines"),
        ("empty", "has no train.jsonl"),
        ("n" * 5000, "there is no dataset"),
    ],
)
def test_a_source_that_is_none_is_a_message(
    tmp_path: Path, source: str, words: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/tools").mkdir(parents=True)
    (tmp_path / "data/suites").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "rows.parquet").touch()
    with pytest.raises(InputError, match=words.replace("?", r"\?")) as caught:
        read_dataset(source, tmp_path)
    assert caught.value.hint


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "folder/train.jsonl").mkdir(parents=True)
    (tmp_path / "null.jsonl").symlink_to("/dev/zero")
    for source in ("pipe.jsonl", "folder", "null.jsonl"):
        with pytest.raises(InputError, match=r"regular file|is a folder"):
            read_dataset(tmp_path / source, tmp_path)


def test_a_name_does_not_lead_out_of_the_project(tmp_path: Path):
    project = tmp_path / "project"
    (project / "data").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/train.jsonl").write_text('{"text": "a"}\n')
    (project / "data/linked").symlink_to(tmp_path / "outside")
    with pytest.raises(InputError, match="link out of the project"):
        read_dataset("linked", project)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)


@given(data=st.data())
def test_a_spoiled_row_is_read_or_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
):
    row = json.loads(json.dumps(GOOD))
    here: Any = row
    while is_object(here) or is_array(here):
        keys: list[Any] = list(here) if is_object(here) else list(range(len(here)))
        key = data.draw(st.sampled_from(keys))
        if data.draw(st.booleans()) or not here[key] or isinstance(here[key], str):
            here[key] = data.draw(JSON)
            break
        here = here[key]
    path = tmp_path_factory.mktemp("spoiled") / "rows.jsonl"
    path.write_text(json.dumps(row), encoding="utf-8")
    try:
        dataset = read_dataset(path, path.parent)
    except DataError as error:
        assert all(each.line == 1 and each.what for each in error.problems)  # noqa: PT017 - either
    else:
        assert dataset.version.splits
