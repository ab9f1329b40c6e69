"""When two answers to a prompt are the same one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.records.expect import (
    Exact,
    Expect,
    ExpectedCall,
    Json,
    Keywords,
    Number,
    Python,
    ToolCalls,
)
from punie.records.result import CallForm, Completion, ToolCall
from punie.records.suite import EvalPrompt, Tool
from punie.scoring.normal import NO_CALL, normal_answer

CALL = ExpectedCall(name="get_weather", arguments={"city": "Oslo"})
TOOLS = (Tool(name="get_weather"), Tool(name="add"))


def normal(answer: str | Completion, **expected: Any) -> str:
    completion = answer if isinstance(answer, Completion) else Completion(text=answer)
    return normal_answer(
        EvalPrompt(id="p", messages=(), tools=TOOLS, expect=Expect(**expected)), completion
    )


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("It is 42.", "First 7, then 42", {"number": Number(value=42)}),
        ("about 42.04 km", "41.97", {"number": Number(value=42, tolerance=0.05)}),
        ("1,000", "1000.0", {"number": Number(value=7)}),
        ("Paris.", ' "paris" ', {"exact": Exact(values=("Paris",))}),
        ("PARIS", "City of  Paris", {"exact": Exact(values=("Paris", "city of paris"))}),
        ('{"b": 5.0, "a": [1]}', '```json\n{"a": [1], "b": 5}\n```', {"json": Json()}),
        ("x = 1  # one\n", "```python\nx=1\n```", {"python": Python()}),
        ("<think>hm, 7 or 8</think>Yes", "  YES. ", {}),
        ("I cannot say.", "Who knows?", {"tool_calls": ToolCalls(calls=(CALL,))}),
    ],
)
def test_the_same_answer_in_two_spellings(one: str, other: str, expected: dict[str, Any]):
    assert normal(one, **expected) == normal(other, **expected)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("It is 42.", "It is 43.", {"number": Number(value=42)}),
        ("42", "forty-two", {"number": Number(value=42)}),
        ("It is 42", "42", {}),
        ("Paris", "paris", {"exact": Exact(values=("Paris",), case=True)}),
        ('{"a": 1}', '{"a": "1"}', {"json": Json()}),
        ('{"a": true}', '{"a": 1}', {"json": Json()}),
        ("[1, 2]", "[2, 1]", {"json": Json()}),
        ("x = 1", "x = 2", {"python": Python()}),
        ("say a", "say b 42", {"keywords": Keywords(all=("say",))}),
        ("yes 42", "no 42", {"number": Number(value=42), "keywords": Keywords(any=("yes",))}),
    ],
)
def test_two_answers(one: str, other: str, expected: dict[str, Any]):
    assert normal(one, **expected) != normal(other, **expected)


def test_calls_are_the_same_in_whichever_form_they_stand():
    structured = Completion(tool_calls=(ToolCall(name="get_weather", arguments={"city": "Oslo"}),))
    tagged = '<tool_call>{"name": "get_weather", "arguments": {"city": "Oslo"}}</tool_call>'
    wanted = ToolCalls(calls=(CALL,))
    said = normal(structured, tool_calls=wanted)
    assert said == 'get_weather({"city":"Oslo"})'
    assert normal(tagged, tool_calls=wanted) == said
    assert normal("Let me look. " + tagged, tool_calls=wanted) == said


def test_the_order_of_calls_counts_where_the_prompt_says_so():
    calls = [ToolCall(name="add", arguments={"a": n}, form=CallForm.TAGGED) for n in (1.0, 2)]
    one, other = Completion(tool_calls=tuple(calls)), Completion(tool_calls=tuple(calls[::-1]))
    free, ordered = ToolCalls(calls=(CALL,)), ToolCalls(calls=(CALL,), ordered=True)
    assert normal(one, tool_calls=free) == normal(other, tool_calls=free)
    assert normal(one, tool_calls=ordered) == 'add({"a":1}); add({"a":2})'
    assert normal(one, tool_calls=ordered) != normal(other, tool_calls=ordered)


def test_not_calling_is_one_answer_and_a_broken_call_another():
    assert normal("Ulysses is by Joyce.", tool_calls=ToolCalls()) == NO_CALL
    broken = ToolCall(name="add", arguments=None, raw='{"a": ')
    assert normal(Completion(tool_calls=(broken,)), tool_calls=ToolCalls()) == 'add({"a":'


def test_without_text_the_calls_are_the_answer_where_nothing_is_expected():
    made = Completion(tool_calls=(ToolCall(name="add", arguments={}),))
    assert normal(made) == "add({})"
    assert normal("") == ""


@given(st.text().filter(lambda text: "think>" not in text))
def test_no_text_breaks_it_and_thinking_aloud_does_not_count(text: str):
    expected: dict[str, Any] = {
        "keywords": Keywords(all=("a",)),
        "exact": Exact(values=("a",)),
        "number": Number(value=1),
        "json": Json(),
        "tool_calls": ToolCalls(calls=(CALL,)),
        "python": Python(),
    }
    for kind, expectation in expected.items():
        asked = {kind: expectation}
        assert normal(f"<think>Is it 7?</think>{text}", **asked) == normal(text, **asked)
