"""Whatever a model writes gets a score: never an exception, always in [0, 1], always storable."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from punie.records.expect import Expect
from punie.records.result import Completion, ToolCall
from punie.records.suite import EvalPrompt, Tool
from punie.scoring.score import overall, score_prompt

TOOL = Tool(
    name="f",
    parameters={
        "type": "object",
        "$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
        "properties": {"a": {"$ref": "#/$defs/tree"}, "b": {"type": "integer"}},
    },
)


def _prompt(*calls: dict[str, Any], strict: bool = True) -> EvalPrompt:
    expect = {
        "keywords": {"all": ["a", r"\b\w++\s"], "none": ["b"], "match": "regex"},
        "exact": "a",
        "number": 1,
        "json": {"gold": {"a": [1, {"b": 2}]}, "schema": TOOL.parameters},
        "tool_calls": {"calls": calls, "strict": strict},
        "python": ["f"],
    }
    adapter: TypeAdapter[Expect] = TypeAdapter(Expect)
    return EvalPrompt(id="p", messages=(), tools=(TOOL,), expect=adapter.validate_python(expect))


PROMPTS = [
    _prompt(),
    _prompt({"name": "f", "arguments": {"a": [[]], "b": {"any_of": [1, 2]}}}),
    _prompt({"name": "f", "arguments": {"a": [["x"]], "b": True}}, strict=False),
]


def check(completion: Completion) -> None:
    for prompt in PROMPTS:
        scores = score_prompt(prompt, completion)
        assert len(scores) == 6
        for score in scores:
            assert 0 <= score.value <= 1
            assert (score.value < 1) == (score.culprit is not None), score
            assert json.loads(score.model_dump_json())["scorer"] == score.scorer
            assert "\n" not in score.note
        both = overall(scores)
        assert both is not None
        assert 0 <= both[0] <= 1


DEEP = 50_000
HOSTILE = {
    "a huge number": "9" * 10_000,
    "a huge number in JSON": '{"a": ' + "9" * 10_000 + "}",
    "an infinite number": '{"a": 1e999, "b": -1e999}',
    "constants": '{"a": NaN, "b": Infinity, "c": -Infinity}',
    "deep lists": "[" * DEEP,
    "deep closed lists": "[" * 900 + "]" * 900,
    "deep objects": '{"a":' * DEEP,
    "deep closed objects": '{"a":' * 900 + "1" + "}" * 900,
    "nearly too deep": '{"name": "f", "arguments": {"a": ' + "[" * 61 + "]" * 61 + "}}",
    "too deep": '{"name": "f", "arguments": {"a": ' + "[" * 100 + "]" * 100 + "}}",
    "deep in a text": json.dumps({"name": "f", "arguments": "[" * DEEP}),
    "braces": '{"' * 30_000,
    "fences": "```json\n" * 10_000,
    "tags": "<tool_call>" * 5_000,
    "elements": "<tool_call><function=f>" + "<parameter=a>" * 5_000,
    "thoughts": "<think></think>" * 5_000,
    "deep calls": "f(" * DEEP,
    "deep closed calls": "f(a=" * 90 + "1" + ")" * 90,
    "unary": "f(a=" + "-" * DEEP + "1)",
    "sums": "1" + "+1" * (DEEP // 2),
    "attributes": "a" + ".b" * (DEEP // 2) + "()",
    "subscripts": "f(a=a" + "[0]" * (DEEP // 4) + ")",
    "indents": "\n".join(" " * n + "if x:" for n in range(150)),
    "many lines": "f(a=1\n" * 10_000,
    "unclosed quotes": 'f(a="' * 5_000,
    "NUL": '\x00{"a": "\x00"}\x00 f(a="\x00")',
    "lone surrogates": '\ud800 {"name": "f", "arguments": {"\\ud800": "\\udfff"}} \udfff',
    "surrogates in a call": 'f(a="\\ud800", b="\ud800")',
    "surrogates in JSON": '{"\\ud800": "\\udfff"}',
    "separators": "1,111" * 20_000,
    "carriage": "\r\u2028\u2029\x85\x0b\x0c" * 100,
    "escapes": r'f(a="\d")',
    "bytes": 'f(a=b"x", b=1j)',
    "spread": "f(*a, **b)",
    "a key twice": "f(a=1, a=2)",
    "odd keys": "f(a={1: 2, None: 3})",
    "walrus": "f((a:=1))",
    "quotes": '"' * 30_000,
    "backslashes": "\\" * 30_000,
    "spaces": " " * 100_000 + "x",
    "a long fence": "```" + "a" * 100_000 + "`",
    "wide braces": ("{" + " " * 1000) * 90,
    "boxed": r"\boxed{" * 5_000,
}  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_answers_are_scored(text: str):
    check(Completion(text=text))
    check(Completion(text=f"<tool_call>{text}</tool_call>", finish_reason="length"))
    check(Completion(text=f"```json\n{text}\n```", recovered=True))


def test_hostile_calls_in_the_structured_field_are_scored():
    deep: Any = []
    for _ in range(200):
        deep = [deep]
    for arguments in (
        None,
        {},
        {"a": deep, "b": float("nan")},
        {"a": "\ud800", "\udfff": 10**4000},
        {"b": float("inf")},
        {"a": 10**5000},
    ):
        for name in ("f", "", "\ud800"):
            call = ToolCall(name=name, arguments=arguments, raw="\ud800\x00")
            check(Completion(tool_calls=(call, call), finish_reason="tool_calls"))


pieces = st.sampled_from(
    ["{", "}", "[", "]", '"', "'", "\\", "f(", ")", "a=", '"a"', ":", ",", "1", "-", ".",
     "\n", "```", "```json\n", "<tool_call>", "</tool_call>", "<think>", "</think>", '"name"',
     '"f"', '"arguments"', "def f():", " ", "NaN", "true", "\ud800", "\x00", "<function=f>",
     "<parameter=a>", '{"name": "f", "arguments": {', "}}", "\\ud800", "#### ", "\\boxed{", "1,000"]
)  # fmt: skip


@given(
    text=st.text() | st.lists(pieces, max_size=40).map("".join),
    finish_reason=st.sampled_from(["stop", "length", "tool_calls", ""]),
    recovered=st.booleans(),
)
def test_any_answer_is_scored(*, text: str, finish_reason: str, recovered: bool):
    check(Completion(text=text, finish_reason=finish_reason, recovered=recovered))
