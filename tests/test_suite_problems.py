"""Malformed suites: every problem at its line and column, all at once, never a traceback."""

import json
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie.errors import InputError, SuiteError
from punie.sources import json_rows, yaml_source
from punie.suites.file_form import PromptForm
from punie.suites.load import load_suite, suite_of

HEAD = """\
name: demo
tools:
  - name: add
    parameters: {type: object, properties: {a: {type: integer}, b: {type: integer}}}
prompts:
"""
"""Five lines: what a test appends starts on line 6."""


def problems_of(text: str) -> list[tuple[int, int, str, str]]:
    with pytest.raises(SuiteError) as caught:
        suite_of(text, "s.yaml", folder=None)
    assert all(problem.file == "s.yaml" for problem in caught.value.problems)
    assert caught.value.message == "\n".join(str(problem) for problem in caught.value.problems)
    return [(p.line, p.column, p.path, p.what) for p in caught.value.problems]


SYNTAX = {
    "empty": ("", 1, 1, "", "empty"),
    "only a comment": ("# nothing\n", 1, 1, "", "empty"),
    "a list": ("- a\n", 1, 1, "", "mapping with name and prompts"),
    "a text": ("hello", 1, 1, "", "mapping with name and prompts"),
    "null": ("~", 1, 1, "", "mapping with name and prompts"),
    "unclosed list": ("name: [a\n", 2, 1, "", "expected ',' or ']'"),
    "unclosed quote": ('name: "a\n', 2, 1, "", "unexpected end of stream"),
    "colon in a text": ("name: a: b\n", 1, 8, "", "mapping values are not allowed"),
    "tab": ("name: x\ndefaults:\n\tsystem: y\n", 3, 1, "", "spaces, not tabs"),
    "control character": ("name: é\x07\n", 1, 8, "", "U+0007"),
    "alias": ("name: x\nprompts: *all\n", 2, 10, "prompts", "aliases"),
    "anchor": ("name: &n x\n", 1, 7, "name", "anchors"),
    "tag": ("name: !!python/object:os.system x\n", 1, 7, "name", "tags"),
    "undefined directive": ("%YAML 3.0\n---\nname: x\n", 1, 1, "", "incompatible"),
    "two documents": ("name: x\n---\nname: y\n", 2, 1, "", "second document"),
    "a list as key": ("? [a]\n: b\n", 1, 3, "", "plain text"),
    "too deep": ("name: " + "[" * 70, 1, 6 + 64, "", "deeper than 64"),
    "half a character": ('name: "\\ud800"\n', 1, 10, "", "Unicode"),
    "bad indentation": ("name: x\n  version: 1\n", 2, 10, "", "mapping values"),
    "duplicate key": ("name: x\nname: y\nprompts: r.jsonl\n", 2, 1, "name", "second time"),
    "duplicate nested": (HEAD + "  - {id: a, prompt: p, id: b}", 6, 24, "prompts[0].id", "second"),
    "huge number": ("name: x\nversion: " + "9" * 5000, 2, 10, "version", "too large"),
    "infinite number": ("name: x\nversion: 1e999", 2, 10, "version", "too large"),
}

HEADERS = {
    "no name": ("prompts: [{id: a, prompt: b}]\n", 1, 1, "name", "missing"),
    "no prompts": ("name: a\n", 1, 1, "prompts", "missing"),
    "empty suite": ("name: a\nprompts: []\n", 2, 10, "prompts", "empty"),
    "prompts null": ("name: a\nprompts:\n", 2, 9, "prompts", "list of prompts"),
    "prompts number": ("name: a\nprompts: 3\n", 2, 10, "prompts", "list of prompts"),
    "prompts mapping": ("name: a\nprompts: {a: b}\n", 2, 10, "prompts", "list of prompts"),
    "prompts file": ("name: a\nprompts: rows.csv\n", 2, 10, "prompts", "JSONL"),
    "name with blanks": ("name: a b\n", 1, 7, "name", "match pattern"),
    "name number": ("name: 12\n", 1, 7, "name", "valid string, not 12 (write it in quotes"),
    "version float": ("version: 1.10\n", 1, 10, "version", "valid string, not 1.1"),
    "unknown key": ("promts: []\n", 1, 1, "promts", "did you mean prompts?"),
    "unlike any key": ("zzz: []\n", 1, 1, "zzz", "known: name, version"),
    "defaults a list": ("defaults: []\n", 1, 11, "defaults", "mapping of keys"),
    "unknown default": (
        "defaults: {temprature: 1}\n",
        1,
        12,
        "defaults.temprature",
        "temperature?",
    ),
    "too hot": (
        "defaults: {temperature: 3}\n",
        1,
        25,
        "defaults.temperature",
        "less than or equal",
    ),
    "zero tokens": ("defaults: {max_tokens: 0}\n", 1, 24, "defaults.max_tokens", "greater than"),
    "top_p zero": ("defaults: {top_p: 0}\n", 1, 19, "defaults.top_p", "greater than 0"),
    "negative seed": ("defaults: {seed: -1}\n", 1, 18, "defaults.seed", "greater than or equal"),
    "default tool": ("defaults: {tools: [x]}\n", 1, 20, "defaults.tools[0]", "no tool 'x'"),
    "tools a mapping": ("tools: {add: {}}\n", 1, 8, "tools", "valid list"),
    "tool without name": ("tools: [{description: x}]\n", 1, 9, "tools[0].name", "missing"),
    "tool name": ("tools: [{name: a b}]\n", 1, 16, "tools[0].name", "match pattern"),
    "tool key": ("tools: [{name: a, params: {}}]\n", 1, 19, "tools[0].params", "parameters?"),
    "tool twice": ("tools: [{name: a}, {name: a}]\n", 1, 27, "tools[1].name", "another tool's"),
    "wrapped tool": (
        "tools: [{type: function, function: {name: a, nam: b}}]\n",
        *(1, 46, "tools[0].function.nam", "did you mean name?"),
    ),
    "tool type": (
        "tools: [{type: x, function: {name: a}}]\n",
        1,
        16,
        "tools[0].type",
        "'function'",
    ),
    "parameters type": (
        "tools: [{name: a, parameters: {type: array}}]\n",
        *(1, 38, "tools[0].parameters.type", "object"),
    ),
    "required unknown": (
        "tools: [{name: a, parameters: {properties: {city: {}}, required: [citi]}}]\n",
        *(1, 67, "tools[0].parameters.required[0]", "did you mean city?"),
    ),
}

PROMPTS = {
    "not a mapping": ("  - hello\n", 6, 5, "prompts[0]", "mapping of keys"),
    "no id": ("  - prompt: p\n", 6, 5, "prompts[0].id", "missing"),
    "id pattern": ("  - {id: -a, prompt: p}\n", 6, 10, "prompts[0].id", "match pattern"),
    "id too long": ("  - {id: " + "a" * 65 + ", prompt: p}", 6, 10, "prompts[0].id", "pattern"),
    "id number": ("  - {id: 1, prompt: p}\n", 6, 10, "prompts[0].id", "in quotes"),
    "id twice": (
        "  - {id: a, prompt: p}\n  - {id: a, prompt: q}\n",
        *(7, 10, "prompts[1].id", "another prompt's id"),
    ),
    "nothing to send": ("  - id: a\n", 6, 5, "prompts[0]", "needs a prompt"),
    "empty prompt": ("  - {id: a, prompt: ' '}\n", 6, 21, "prompts[0].prompt", "empty"),
    "both": (
        "  - {id: a, prompt: p, messages: [{role: user, content: x}]}\n",
        *(6, 24, "prompts[0].messages", "beside prompt"),
    ),
    "unknown key": (
        "  - {id: a, prompt: p, expects: {}}\n",
        6,
        24,
        "prompts[0].expects",
        "expect?",
    ),
    "no messages": ("  - {id: a, messages: []}\n", 6, 23, "prompts[0].messages", "empty"),
    "unknown turn": (
        "  - {id: a, messages: [{role: human, content: x}]}\n",
        *(6, 31, "prompts[0].messages[0].role", "'user'"),
    ),
    "an image": (
        "  - {id: a, messages: [{role: user, content: [{type: image_url, text: x}]}]}\n",
        *(6, 54, "prompts[0].messages[0].content[0].type", "'text'"),
    ),
    "system later": (
        (
            "  - {id: a, messages: [{role: user, content: x}, {role: system, content: y},"
            " {role: user, content: z}]}\n"
        ),
        *(6, 57, "prompts[0].messages[1].role", "only be the first"),
    ),
    "ends with the answer": (
        "  - {id: a, messages: [{role: user, content: x}, {role: assistant, content: y}]}\n",
        *(6, 57, "prompts[0].messages[1].role", "last turn"),
    ),
    "silent turn": (
        "  - {id: a, messages: [{role: user}]}\n",
        6,
        24,
        "prompts[0].messages[0]",
        "no",
    ),
    "user makes calls": (
        (
            "  - {id: a, messages: [{role: user, content: x, tool_calls:"
            " [{id: i, function: {name: f, arguments: '{}'}}]}]}\n"
        ),
        *(6, 49, "prompts[0].messages[0].tool_calls", "only an assistant"),
    ),
    "history arguments": (
        (
            "  - {id: a, messages: [{role: assistant, tool_calls:"
            " [{id: i, function: {name: f, arguments: '{'}}]}, {role: user, content: x}]}\n"
        ),
        *(6, 94, "prompts[0].messages[0].tool_calls[0].function.arguments", "JSON text"),
    ),
    "weight zero": ("  - {id: a, prompt: p, weight: 0}\n", 6, 32, "prompts[0].weight", "than 0"),
    "must_pass": ("  - {id: a, prompt: p, must_pass: 7}\n", 6, 35, "prompts[0].must_pass", "bool"),
    "must_pass without expect": (
        "  - {id: a, prompt: p, must_pass: true}\n",
        6,
        24,
        "prompts[0].must_pass",
        "nothing is expected",
    ),
    "tags a text": ("  - {id: a, prompt: p, tags: x}\n", 6, 30, "prompts[0].tags", "list"),
    "tool unknown": (
        "  - {id: a, prompt: p, tools: [ad]}\n",
        *(6, 32, "prompts[0].tools[0]", "did you mean add?"),
    ),
    "tool twice": (
        "  - {id: a, prompt: p, tools: [add, add]}\n",
        6,
        37,
        "prompts[0].tools[1]",
        "two",
    ),
    "unknown scorer": (
        "  - {id: a, prompt: p, expect: {keyword: [x]}}\n",
        *(6, 33, "prompts[0].expect.keyword", "did you mean keywords?"),
    ),
    "expect a list": (
        "  - {id: a, prompt: p, expect: [x]}\n",
        6,
        32,
        "prompts[0].expect",
        "mapping",
    ),
    "no keywords": (
        "  - {id: a, prompt: p, expect: {keywords: []}}\n",
        *(6, 43, "prompts[0].expect.keywords", "at least one keyword"),
    ),
    "keyword number": (
        "  - {id: a, prompt: p, expect: {keywords: [x, 4]}}\n",
        *(6, 47, "prompts[0].expect.keywords[1]", "in quotes"),
    ),
    "keyword match": (
        "  - {id: a, prompt: p, expect: {keywords: {all: [x], match: glob}}}\n",
        *(6, 61, "prompts[0].expect.keywords.match", "'word', 'substring' or 'regex'"),
    ),
    "regex": (
        "  - {id: a, prompt: p, expect: {keywords: {all: ['a('], match: regex}}}\n",
        *(6, 50, "prompts[0].expect.keywords.all[0]", "regular expression"),
    ),
    "exact empty": (
        "  - {id: a, prompt: p, expect: {exact: []}}\n",
        *(6, 40, "prompts[0].expect.exact", "at least 1 item"),
    ),
    "number text": (
        "  - {id: a, prompt: p, expect: {number: four}}\n",
        *(6, 41, "prompts[0].expect.number", "mapping"),
    ),
    "json schema": (
        "  - {id: a, prompt: p, expect: {json: {schema: {type: strin}}}}\n",
        *(6, 48, "prompts[0].expect.json.schema", "no valid JSON Schema"),
    ),
    "pass_at": (
        "  - {id: a, prompt: p, expect: {number: {value: 4, pass_at: 2}}}\n",
        *(6, 61, "prompts[0].expect.number.pass_at", "less than or equal to 1"),
    ),
    "calls without tools": (
        "  - {id: a, prompt: p, expect: {tool_calls: []}}\n",
        *(6, 33, "prompts[0].expect.tool_calls", "no tools"),
    ),
    "call of another tool": (
        "  - {id: a, prompt: p, tools: [add], expect: {tool_calls: [{name: ad}]}}\n",
        *(6, 67, "prompts[0].expect.tool_calls[0].name", "did you mean add?"),
    ),
    "another argument": (
        (
            "  - {id: a, prompt: p, tools: [add], expect: {tool_calls: {calls:"
            " [{name: add, arguments: {c: 1}}]}}}\n"
        ),
        *(6, 92, "prompts[0].expect.tool_calls.calls[0].arguments.c", "no argument 'c'"),
    ),
    "empty any_of": (
        (
            "  - {id: a, prompt: p, tools: [add], expect: {tool_calls:"
            " [{name: add, arguments: {a: {any_of: []}}}]}}\n"
        ),
        *(6, 96, "prompts[0].expect.tool_calls[0].arguments.a.any_of", "list of accepted"),
    ),
    "beside any_of": (
        (
            "  - {id: a, prompt: p, tools: [add], expect: {tool_calls:"
            " [{name: add, arguments: {a: {any_of: [1], optinal: true}}}]}}\n"
        ),
        *(6, 101, "prompts[0].expect.tool_calls[0].arguments.a.optinal", "optional?"),
    ),
    "misspelled any_of": (
        (
            "  - {id: a, prompt: p, tools: [add], expect: {tool_calls:"
            " [{name: add, arguments: {a: {anyof: [1]}}}]}}\n"
        ),
        *(6, 88, "prompts[0].expect.tool_calls[0].arguments.a.anyof", "any_of?"),
    ),
}


@pytest.mark.parametrize("name", SYNTAX)
def test_syntax(name: str):
    text, line, column, path, what = SYNTAX[name]
    found = problems_of(text)
    assert (line, column, path) in [each[:3] for each in found]
    assert any(what in each[3] for each in found)


@pytest.mark.parametrize("name", HEADERS)
def test_header(name: str):
    text, line, column, path, what = HEADERS[name]
    if name.startswith(("no ", "empty", "prompts ")):
        found = problems_of(text)
    else:  # the rest of the suite is fine, so this must be the only problem
        rest = "" if text.startswith("name") else "\nname: demo"
        found = problems_of(text.rstrip("\n") + rest + "\nprompts: [{id: a, prompt: p}]\n")
    assert [each[:3] for each in found] == [(line, column, path)]
    assert what in found[0][3]


@pytest.mark.parametrize("name", PROMPTS)
def test_prompt(name: str):
    text, line, column, path, what = PROMPTS[name]
    found = problems_of(HEAD + text)
    assert [each[:3] for each in found] == [(line, column, path)]
    assert what in found[0][3]


ROWS = {
    "cut": ('{"messages": [', 15, "", "is no JSON: expecting value"),
    "single quotes": ("{'messages': []}", 2, "", "is no JSON: expecting property name"),
    "a number": ("7", 1, "", "should be an object"),
    "a list": ('[{"messages": []}]', 1, "", "should be an object"),
    "nothing known": ('{"text": "hello"}', 1, "", "needs messages"),
    "misspelled": ('{"message": [], "prompt": "x"}', 2, "message", "did you mean messages?"),
    "no messages": ('{"messages": []}', 14, "messages", "at least 1 item"),
    "role": ('{"messages": [{"role": "me", "content": "x"}]}', 24, "messages[0].role", "'user'"),
    "only an answer": ('{"messages": [{"role": "assistant", "content": "x"}]}', 14, "messages", ""),
    "a prompt alone": ('{"prompt": "x"}', 1, "messages", "missing"),
    "empty prompt": ('{"prompt": "", "completion": "x"}', 12, "prompt", "at least 1 character"),
    "bad completion": ('{"prompt": "x", "completion": 7}', 31, "completion", "in quotes"),
    "duplicate key": ('{"prompt": "x", "prompt": "y", "completion": "z"}', 17, "prompt", "second"),
    "not a number": ('{"prompt": "x", "completion": NaN}', 31, "", "NaN is no JSON"),
    "infinite": ('{"prompt": "x", "completion": 1e999}', 31, "", "too large"),
    "half a character": ('{"prompt": "\\ud800", "completion": "y"}', 13, "", "surrogate"),
    "too deep": ('{"prompt": ' + "[" * 70 + "]" * 70 + "}", 75, "", "deeper"),
    "required no name": (
        (
            '{"messages": [{"role": "user", "content": "x"}],'
            ' "tools": [{"name": "a", "parameters": {"required": [["b"]]}}]}'
        ),
        102,
        "tools[0].parameters.required[0]",
        "is required but no property",
    ),
    "image": (
        '{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}',
        *(53, "messages[0].content[0].type", "'text'"),
    ),
    "call without tools": (
        (
            '{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls":'
            ' [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]}]}'
        ),
        *(85, "messages[1].tool_calls", "no tools"),
    ),
    "arguments": (
        (
            '{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls":'
            ' [{"id": "c", "function": {"name": "f", "arguments": "{a"}}]}],'
            ' "tools": [{"name": "f"}]}'
        ),
        *(137, "messages[1].tool_calls[0].function.arguments", "JSON text"),
    ),
    "nameless call": (
        (
            '{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls":'
            ' [{"id": "c", "function": {"name": "", "arguments": "{}"}}]}], "tools": []}'
        ),
        *(119, "messages[1].tool_calls[0].function.name", "is empty"),
    ),
    "deep arguments": (
        (
            '{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls":'
            ' [{"id": "c", "function": {"name": "f", "arguments": "{\\"a\\": '
            + "[" * 500
            + "]" * 500
            + '}"}}]}], "tools": [{"name": "f"}]}'
        ),
        *(137, "messages[1].tool_calls[0].function.arguments", "JSON text"),
    ),
    "another tool": (
        (
            '{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls":'
            ' [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]}],'
            ' "tools": [{"name": "g"}]}'
        ),
        *(119, "messages[1].tool_calls[0].function.name", "no tool 'f'"),
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_row(name: str, tmp_path: Path):
    text, column, path, what = ROWS[name]
    file = tmp_path / "chats.jsonl"
    file.write_text('\n{"prompt": "a", "completion": "b"}\n' + text, encoding="utf-8")
    with pytest.raises(SuiteError) as caught:
        load_suite(file)
    found = [problem for problem in caught.value.problems if what in problem.what]
    assert [(p.file, p.line, p.column, p.path) for p in found] == [(str(file), 3, column, path)]


BYTES = {
    "latin-1": (b"name: demo\n# caf\xe9\n", 2, 6, "0xE9 is not UTF-8"),
    "utf-8 mark": (b"\xef\xbb\xbfname: demo\n", 1, 1, "byte order mark"),
    "utf-16": ("name: demo\n".encode("utf-16"), 1, 1, "byte order mark"),
    "random": (b"\x80\x81\x82", 1, 1, "0x80"),
}


@pytest.mark.parametrize("suffix", [".yaml", ".jsonl"])
@pytest.mark.parametrize("name", BYTES)
def test_bytes(name: str, suffix: str, tmp_path: Path):
    raw, line, column, what = BYTES[name]
    file = tmp_path / f"s{suffix}"
    file.write_bytes(raw)
    with pytest.raises(SuiteError) as caught:
        load_suite(file)
    found = [p for p in caught.value.problems if what in p.what]
    assert [(p.line, p.column) for p in found] == [(line, column)]


def test_fifty_errors_at_once_in_order():
    rows = "".join(
        f"  - id: p{i}\n    promt: x\n" if i % 2 else f"  - id: p{i}\n    prompt: ''\n"
        for i in range(48)
    )
    found = problems_of("name: a b\nversoin: 1\nprompts:\n" + rows)
    # A misspelled prompt is two problems: the unknown key, and that nothing is left to send.
    assert len([f for f in found if "unknown key" in f[3]]) == 25
    assert len([f for f in found if f[3] == "is empty"]) == 24
    assert len([f for f in found if "pattern" in f[3]]) == 1
    assert found == sorted(found, key=lambda f: f[:2])


def test_one_prompt_with_many_errors_reports_each():
    text = HEAD + dedent("""\
      - id: -x
        promt: x
        prompt: y
        weight: -1
        tools: [nope]
        expect:
          nmber: 4
          keywords: {all: ['['], match: regex}
          tool_calls: [{name: other}]
    """)
    found = problems_of(text)
    assert [(line, what.split(";")[0].split(":")[0]) for line, _, _, what in found] == [
        (6, "string should match pattern '^[A-Za-z0-9][\\w.-]{0,63}$'"),
        (7, "unknown key"),
        (9, "should be greater than 0, not -1"),
        (10, "the library has no tool 'nope'"),
        (12, "unknown key"),
        (13, "is no valid regular expression"),
    ]


def test_an_alias_bomb_is_refused_before_it_grows():
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(20)
    )
    assert problems_of(bomb)[0][:3] == (1, 4, "a")


def test_deep_nesting_does_not_exhaust_the_stack(tmp_path: Path):
    for opening in ("[", "{a: ", "- ", "? "):
        with pytest.raises(SuiteError):
            suite_of(opening * 100_000, "s.yaml", folder=None)
    file = tmp_path / "s.jsonl"
    file.write_text('{"a":' * 100_000)
    with pytest.raises(SuiteError):
        load_suite(file)


def test_files_that_cannot_be_read(tmp_path: Path):
    for name in ("missing.yaml", "missing.jsonl", "suite.txt", "suite"):
        with pytest.raises(InputError) as caught:
            load_suite(tmp_path / name)
        assert name in caught.value.message
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(InputError, match="is no file"):
        load_suite(tmp_path / "folder.yaml")


def test_a_file_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(yaml_source, "MAX_BYTES", 2**20)
    monkeypatch.setattr(json_rows, "MAX_ROW_BYTES", 2**20)
    for suffix in (".yaml", ".jsonl"):
        file = tmp_path / f"s{suffix}"
        file.write_text("x" * (2**20 + 1))
        with pytest.raises(SuiteError, match="1 MiB"):
            load_suite(file)


@pytest.mark.parametrize("name", ["../rows.jsonl", "/etc/rows.jsonl", "link.jsonl", "none.jsonl"])
def test_rows_stay_in_the_suites_folder(name: str, tmp_path: Path):
    (tmp_path / "rows.jsonl").write_text('{"id": "a", "prompt": "x"}\n')
    folder = tmp_path / "suites"
    folder.mkdir()
    (folder / "link.jsonl").symlink_to(tmp_path / "rows.jsonl")
    (folder / "s.yaml").write_text(f"name: s\nprompts: {name}\n")
    with pytest.raises(SuiteError) as caught:
        load_suite(folder / "s.yaml")
    (problem,) = caught.value.problems
    assert (problem.line, problem.column, problem.path) == (2, 10, "prompts")
    assert ("no file" if name == "none.jsonl" else "outside") in problem.what


def test_problems_of_rows_name_the_rows_file(tmp_path: Path):
    (tmp_path / "rows.jsonl").write_text('{"id": "a", "prompt": "x"}\n{"id": "a", "promt": "x"}\n')
    (tmp_path / "s.yaml").write_text("name: s\nprompts: rows.jsonl\nversoin: 2\n")
    with pytest.raises(SuiteError) as caught:
        load_suite(tmp_path / "s.yaml")
    found = [(Path(p.file).name, p.line, p.column, p.path) for p in caught.value.problems]
    assert found == [
        ("rows.jsonl", 2, 1, ""),
        ("rows.jsonl", 2, 8, "id"),
        ("rows.jsonl", 2, 13, "promt"),
        ("s.yaml", 3, 1, "versoin"),
    ]


def test_a_file_full_of_problems_is_cut(tmp_path: Path):
    file = tmp_path / "s.jsonl"
    file.write_text("x\n" * 5000)
    with pytest.raises(SuiteError) as caught:
        load_suite(file)
    assert len(caught.value.problems) == 100
    assert caught.value.found == 5000
    assert "first 100 of 5,000 problems" in caught.value.hint


def test_places_are_right_far_down_a_long_file():
    rows = [f"  - {{id: p{i}, prompt: x}}\n" for i in range(5000)]
    for i in (3, 900, 1200, 4999):
        rows[i] = f"  - {{id: p{i}, prompt: x, wieght: 2}}\n"
    found = problems_of("name: x\nversoin: 1\nprompts:\n" + "".join(rows))
    assert [line for line, _, _, _ in found] == [2, 7, 904, 1204, 5003]


def load_or_refuse(file: Path) -> None:
    """A suite, or problems: any other exception fails the test."""
    try:
        found = load_suite(file).prompts
    except SuiteError as error:
        found = error.problems
    assert found


@pytest.mark.parametrize("suffix", [".yaml", ".jsonl"])
@settings(max_examples=60, deadline=None)
@given(raw=st.binary(max_size=300))
def test_any_bytes(raw: bytes, suffix: str, tmp_path_factory: pytest.TempPathFactory):
    file = tmp_path_factory.getbasetemp() / f"any{suffix}"
    file.write_bytes(raw)
    load_or_refuse(file)


WORDS = st.sampled_from(
    [
        *PromptForm.model_fields,
        "name",
        "prompts",
        "defaults",
        "role",
        "user",
        "content",
        "assistant",
        *("keywords", "exact", "number", "json", "tool_calls", "calls", "arguments", "any_of"),
        *("all", "match", "regex", "schema", "gold", "type", "function", "parameters", "system"),
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=25,
)


@settings(max_examples=60, deadline=None)
@given(prompts=st.lists(st.dictionaries(WORDS, VALUES, max_size=5), max_size=3), rest=VALUES)
def test_any_data(
    prompts: list[dict[str, object]], rest: object, tmp_path_factory: pytest.TempPathFactory
):
    folder = tmp_path_factory.getbasetemp()
    data = {"name": "x", "prompts": prompts, "tools": rest, "defaults": rest}
    (folder / "data.yaml").write_text(json.dumps(data, ensure_ascii=True))
    load_or_refuse(folder / "data.yaml")
    (folder / "data.jsonl").write_text("\n".join(json.dumps(row) for row in prompts))
    load_or_refuse(folder / "data.jsonl")
