"""Suites as they load: hashes, chats, the catalog, selections, and the commands."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from punie.cli.main import cli
from punie.errors import InputError, SuiteError
from punie.records.expect import Exact, Expect, ExpectedCall, Json, ToolCalls
from punie.records.suite import EvalSuite, suite_hash
from punie.suites.catalog import builtin_suite, find_suite, list_suites
from punie.suites.load import load_suite, suite_of
from punie.suites.schema import suite_schema
from punie.suites.select import select

ROOT = Path(__file__).parent.parent
DATA = ROOT.parent / "shared" / "data"

SMALL = """\
name: small
defaults: {system: Be brief., temperature: 0.5, max_tokens: 64, stop: [END], tools: [add]}
tools:
  - type: function
    function:
      name: add
      description: Add.
      strict: true
      parameters: {type: object, properties: {a: {type: integer}}}
prompts:
  - id: one
    prompt: What is 1 + 1?
    tags: [easy]
    expect: {number: 2}
  - id: two
    messages:
      - {role: system, content: Own.}
      - role: user
        content: [{type: text, text: "Add "}, {type: text, text: "one."}]
    tools: []
    role: coder
    category: code
    weight: 2
    max_tokens: 9
    must_pass: true
    expect: {number: 1}
"""


def suite(text: str) -> EvalSuite:
    return suite_of(text, "s.yaml", folder=None)


def rows(tmp_path: Path, *data: dict[str, Any]) -> EvalSuite:
    file = tmp_path / "my chats.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in data))
    return load_suite(file)


def test_everything_is_resolved():
    loaded = suite(SMALL)
    one, two = loaded.prompts
    assert (loaded.name, loaded.version, loaded.source) == ("small", "1", "s.yaml")
    assert (loaded.sampling.temperature, loaded.sampling.max_tokens) == (0.5, 64)
    assert loaded.sampling.stop == ("END",)
    assert [(m.role, m.content) for m in one.messages] == [
        ("system", "Be brief."),
        ("user", "What is 1 + 1?"),
    ]
    assert [(m.role, m.content) for m in two.messages] == [("system", "Own."), ("user", "Add one.")]
    assert [tool.name for tool in one.tools] == ["add"]
    assert two.tools == ()
    assert (two.role, two.category, two.weight, two.max_tokens, two.must_pass) == (
        *("coder", "code", 2, 9),
        True,
    )
    assert loaded.hash == suite_hash("small", loaded.sampling, loaded.prompts)


def test_what_looks_like_something_else_stays_a_text():
    written = ["no", "on", "012", "1:30", "2026-11-21", "0x1F", "1_000", ".5", ".inf", "+1"]
    prompts = "".join(
        f"  - {{id: p{i}, prompt: x, expect: {{exact: {text}}}}}\n"
        for i, text in enumerate(written)
    )
    loaded = suite("name: s\nprompts:\n" + prompts)
    assert [p.expect.exact for p in loaded.prompts] == [Exact(values=(text,)) for text in written]


def test_numbers_and_blocks():
    loaded = suite(
        "name: s\nversion: 3\nprompts:\n"
        "- {id: a, prompt: x, expect: {number: -1.5e3}}\n"
        "- id: b\n  prompt: |\n    first\n    second\n  expect: {number: 7}\n"
    )
    assert loaded.version == "3"
    assert [p.expect.number.value for p in loaded.prompts if p.expect.number] == [-1500, 7]
    assert loaded.prompts[1].messages[0].content == "first\nsecond\n"


def hashes(text: str) -> list[str]:
    return [prompt.hash for prompt in suite(text).prompts]


def test_prompt_hashes_stand_when_only_the_sampling_or_the_order_of_keys_changes():
    reordered = SMALL.replace(
        "    prompt: What is 1 + 1?\n    tags: [easy]\n    expect: {number: 2}\n",
        "    expect: {number: 2}\n    prompt: What is 1 + 1?\n",
    ).replace(
        "      name: add\n      description: Add.\n", "      description: Add.\n      name: add\n"
    )
    hotter = SMALL.replace("temperature: 0.5", "temperature: 0.9").replace(
        "tokens: 9", "tokens: 10"
    )
    assert reordered != SMALL
    assert hashes(reordered) == hashes(SMALL) == hashes(hotter)
    assert suite(hotter).hash != suite(SMALL).hash


@pytest.mark.parametrize(
    "change",
    [
        ("number: 2", "number: 3"),
        ("number: 2", "exact: '2'"),
        ("What is 1", "What was 1"),
        ("Be brief.", "Be long."),
        ("description: Add.", "description: Sum."),
    ],
)
def test_prompt_hashes_change_with_what_is_sent_or_expected(change: tuple[str, str]):
    changed = suite(SMALL.replace(*change))
    assert changed.prompts[0].hash != suite(SMALL).prompts[0].hash
    assert changed.prompts[1].hash == suite(SMALL).prompts[1].hash
    assert changed.hash != suite(SMALL).hash


def test_inline_prompts_and_rows_of_a_file_are_the_same(tmp_path: Path):
    prompts = [
        {"id": "a", "prompt": "x", "expect": {"number": 4}, "tags": ["t"]},
        {"id": "b", "messages": [{"role": "user", "content": "ünïcode 🎈"}]},
    ]
    (tmp_path / "rows.jsonl").write_text("\n\n".join(json.dumps(p) for p in prompts) + "\n\n")
    (tmp_path / "s.yaml").write_text("name: s\nprompts: rows.jsonl\n")
    loaded = load_suite(tmp_path / "s.yaml")
    inline = suite(json.dumps({"name": "s", "prompts": prompts}, ensure_ascii=False))
    assert loaded.prompts == inline.prompts
    assert loaded.hash == inline.hash


CALL = {"id": "c", "type": "function", "function": {"name": "add", "arguments": '{"a": 4}'}}
ADD = {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}


@pytest.mark.parametrize(
    ("answer", "expect"),
    [
        ({"content": "Paris"}, Expect(exact=Exact(values=("Paris",)))),
        ({"content": ' {"a": [1, 2]}\n'}, Expect(json=Json(gold={"a": [1, 2]}))),
        ({"content": "[1, 2]"}, Expect(json=Json(gold=[1, 2]))),
        ({"content": "{not json}"}, Expect()),
        ({"content": "[" * 900 + "]" * 900}, Expect()),
        ({"content": "[NaN]"}, Expect()),
        ({"content": "long " * 40}, Expect()),
        ({"content": "two\nlines"}, Expect()),
        (
            {"tool_calls": [CALL]},
            Expect(tool_calls=ToolCalls(calls=(ExpectedCall(name="add", arguments={"a": 4}),))),
        ),
    ],
    ids=["short", "object", "list", "no json", "deep", "NaN", "long", "lines", "calls"],
)
def test_the_last_assistant_turn_is_the_expectation(
    answer: dict[str, Any], expect: Expect, tmp_path: Path
):
    question = {"role": "user", "content": "?"}
    chat = [question, {"role": "assistant", "content": "!"}, question]
    loaded = rows(
        tmp_path,
        {"messages": [*chat, {"role": "assistant", **answer}], "tools": [ADD], "source": "mine"},
    )
    assert (loaded.name, loaded.prompts[0].id) == ("my-chats", "row-00001")
    assert [m.content for m in loaded.prompts[0].messages] == ["?", "!", "?"]
    assert loaded.prompts[0].expect == expect
    assert loaded.prompts[0].tools[0].name == "add"


def test_chats_without_an_answer_are_unscored(tmp_path: Path):
    loaded = rows(tmp_path, {"messages": [{"role": "user", "content": "?"}]})
    assert loaded.prompts[0].expect == Expect()
    assert len(loaded.prompts[0].messages) == 1


def test_completions_and_prompts_may_stand_among_chats(tmp_path: Path):
    loaded = rows(
        tmp_path,
        {"prompt": "2 + 2?", "completion": "4", "category": "maths", "id": "sum"},
        {"id": "own", "prompt": "2 + 2?", "expect": {"number": 4}},
    )
    assert [(p.id, p.category) for p in loaded.prompts] == [("sum", "maths"), ("own", "general")]
    assert loaded.prompts[0].expect == Expect(exact=Exact(values=("4",)))


def test_equal_tools_and_system_messages_are_kept_once(tmp_path: Path):
    chat = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    first, second = rows(tmp_path, *[{"messages": chat, "tools": [ADD]}] * 2).prompts
    assert first.tools[0] is second.tools[0]
    assert first.messages[0] is second.messages[0]


def test_real_chats_load(tmp_path: Path):
    if not DATA.is_dir():
        pytest.skip("the shared data are not here")
    turns = {"human": "user", "gpt": "assistant", "observation": "tool"}
    chats: list[dict[str, Any]] = []
    for row in json.loads((DATA / "glaive_toolcall_300.json").read_text()):
        messages: list[dict[str, Any]] = []
        for turn in row["conversations"]:
            if turn["from"] == "function_call":
                call = json.loads(turn["value"])
                function = {"name": call["name"], "arguments": json.dumps(call["arguments"])}
                messages.append(
                    {"role": "assistant", "tool_calls": [{"id": "c", "function": function}]}
                )
            else:
                messages.append({"role": turns[turn["from"]], "content": turn["value"]})
        tools: list[Any] = json.loads(row["tools"] or "[]")
        chats.append({"messages": messages, "tools": tools})
    # Every chat once more, cut where its first call is expected.
    for chat in list(chats):
        first = next((i for i, m in enumerate(chat["messages"]) if "tool_calls" in m), None)
        if first is not None:
            chats.append({**chat, "messages": chat["messages"][: first + 1]})
    loaded = rows(tmp_path, *chats)
    assert len(loaded.prompts) == len(chats)
    assert sum(p.expect.tool_calls is not None for p in loaded.prompts) == len(chats) - 300


def project(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "suites"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(SMALL)
    (folder / "chats.jsonl").write_text('{"prompt": "a", "completion": "b"}')
    (folder / "rows.yaml").write_text("name: with-rows\nprompts: rows.jsonl\n")
    (folder / "rows.jsonl").write_text('{"id": "a", "prompt": "x"}\n')
    (folder / "quick.yml").write_text(SMALL.replace("small", "my-quick"))
    (folder / "broken.yaml").write_text("nam: x\n")
    (tmp_path / "punie.toml").touch()
    return tmp_path


def test_the_catalog(tmp_path: Path):
    root = project(tmp_path)
    listed = list_suites(root)
    assert [(each.name, each.suite is not None) for each in listed] == [
        ("broken", False),
        ("chats", True),
        ("mine", True),
        ("quick", True),
        ("rows", True),
        ("baseline", True),
    ]
    assert find_suite("mine", root).name == "small"
    assert find_suite("small", root).name == "small"
    assert find_suite("quick", root).name == "my-quick"
    assert find_suite("quick", None).source == "builtin"
    assert find_suite(str(root / "data/suites/chats.jsonl"), None).name == "chats"
    with pytest.raises(SuiteError, match="did you mean name"):
        find_suite("broken", root)
    with pytest.raises(InputError, match="did you mean baseline") as caught:
        find_suite("basline", root)
    assert "punie suites list" in caught.value.hint


def test_selections_keep_the_suites_identity():
    whole = builtin_suite("baseline")
    part = select(whole, category="reasoning", role="reviewer", tag="hard")
    assert {p.category for p in part.prompts} == {"reasoning"}
    assert all(p.role == "reviewer" and "hard" in p.tags for p in part.prompts)
    assert (part.name, part.hash) == (whole.name, whole.hash)
    assert select(whole) == whole


def test_samples_are_seeded_and_keep_the_order():
    whole = builtin_suite("baseline")
    order = [p.id for p in whole.prompts]
    draws = {tuple(p.id for p in select(whole, sample=10, seed=s).prompts) for s in range(20)}
    assert len(draws) == 20
    assert all(len(set(ids)) == 10 for ids in draws)
    assert all(sorted(ids, key=order.index) == list(ids) for ids in draws)
    assert select(whole, sample=10, seed=3) == select(whole, sample=10, seed=3)
    assert select(whole, sample=1000) == whole
    grown = whole.model_copy(update={"prompts": whole.prompts[1:]})
    before, after = ({p.id for p in select(s, sample=10).prompts} for s in (whole, grown))
    assert len(before & after) >= 9


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        ({"category": "reasonning"}, "did you mean reasoning?"),
        ({"role": "cook"}, "known: coder, coordinator"),
        ({"tag": "esay"}, "did you mean easy?"),
        ({"category": "reasoning", "tag": "abstain"}, "category reasoning, tag abstain"),
        ({"sample": 0}, "a sample of 0"),
    ],
)
def test_an_empty_selection_says_what_there_is(asked: dict[str, Any], what: str):
    with pytest.raises(InputError) as caught:
        select(builtin_suite("baseline"), **asked)
    assert what in caught.value.message


def test_the_example_of_the_specification_loads():
    text = (ROOT / "specs" / "suites.md").read_text("utf-8")
    example = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert example
    loaded = suite(example[1])
    assert (loaded.name, loaded.version) == ("house-style", "2")
    assert [prompt.id for prompt in loaded.prompts] == [
        "find-pallet",
        "after-the-answer",
        "shelves",
    ]


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> tuple[int, str, str]:
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(cli, ["suites", *words])
    assert not isinstance(result.exception, SystemExit | None) or result.exit_code in {0, 3}
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize("columns", ["40", "120"])
def test_list_and_show(columns: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", columns)
    root = project(tmp_path)
    code, out, err = run(monkeypatch, root, "list")
    assert code == 0
    assert "problems" in out
    assert "punie suites check broken" in err
    assert max(map(len, out.splitlines())) <= int(columns)
    code, out, _ = run(monkeypatch, root, "show", "baseline")
    assert code == 0
    assert "tool-add" in out
    table = out[out.index("source:") :].splitlines()[1:]
    assert max(map(len, table)) <= int(columns)


def test_json_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = project(tmp_path)
    _, out, _ = run(monkeypatch, root, "list", "--json")
    listed = json.loads(out)
    assert listed["warnings"] == ["broken has problems"]
    mine = next(each for each in listed["data"] if each["name"] == "mine")
    assert (mine["source"], mine["prompts"]) == ("data/suites/mine.yaml", 2)
    assert mine["categories"] == {"general": 1, "code": 1}
    _, out, _ = run(monkeypatch, root, "show", "mine", "--json")
    assert EvalSuite.model_validate(json.loads(out)["data"]) == find_suite("mine", root)
    _, out, _ = run(monkeypatch, root, "schema", "--json")
    assert json.loads(out)["data"] == suite_schema()
    _, out, _ = run(monkeypatch, root, "schema")
    assert json.loads(out) == suite_schema()


def test_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = project(tmp_path)
    code, out, err = run(monkeypatch, root, "check", "mine", "baseline")
    assert (code, out) == (0, "")
    assert "baseline: ok, 72 prompts" in err
    code, out, err = run(monkeypatch, root, "check", "data/suites/broken.yaml", "mine", "nothing")
    assert code == 3
    assert out.splitlines() == [
        "data/suites/broken.yaml:1:1 nam: unknown key; did you mean name?",
        "data/suites/broken.yaml:1:1 name: is missing",
        out.splitlines()[2],
        "there is no suite 'nothing'; known: broken, chats, mine, quick, rows, baseline",
    ]
    assert out.splitlines()[2].startswith("data/suites/broken.yaml:1:1 prompts: is missing")
    assert err.splitlines()[-1] == "4 problems"
    code, out, _ = run(monkeypatch, root, "check", "broken", "--json")
    assert code == 3
    (checked,) = json.loads(out)["data"]
    assert not checked["ok"]
    assert checked["problems"][0]["path"] == "nam"
