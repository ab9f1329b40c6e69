"""What `punie serve` passes on to a server, and what it refuses."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.serving.endpoint import SAMPLING, Abilities
from punie.serving.fields import Refused
from punie.serving.incoming import MAX_DEPTH, Asked, Limits, checked

MLX = Abilities(token_ids=True, schema=False)
LIMITS = Limits(
    max_tokens=100, vocabulary=516, context_length=2048, abilities=MLX, server="mlx_lm.server"
)
HI = [{"role": "user", "content": "Hi"}]
IMAGE = {"type": "image_url", "image_url": {"url": "http://localhost/x.png"}}
CALL = {"id": "1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


BAD_CHATS: list[dict[str, Any]] = [
    {"messages": None},
    {"messages": []},
    {"messages": "Hi"},
    {"messages": {"role": "user"}},
    {"messages": ["Hi"]},
    {"messages": [{"content": "Hi"}]},
    {"messages": [{"role": "boss", "content": "Hi"}]},
    {"messages": [{"role": ["user"], "content": "Hi"}]},
    {"messages": [{"role": "user"}]},
    {"messages": [{"role": "user", "content": 3}]},
    {"messages": [{"role": "user", "content": {"text": "Hi"}}]},
    {"messages": [{"role": "user", "content": ["Hi"]}]},
    {"messages": [{"role": "user", "content": [IMAGE]}]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "Look"}, IMAGE]}]},
    {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]},
    {"messages": [{"role": "user", "content": "Hi", "name": 3}]},
    {"messages": [{"role": "assistant", "content": None, "tool_calls": "x"}]},
    {"messages": [{"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}]},
    {
        "messages": [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"function": {"name": "a", "arguments": "[1]"}}],
            }
        ]
    },
    {
        "messages": [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"function": {"name": "a", "arguments": '{"a": '}}],
            }
        ]
    },
    {"stop": 3},
    {"stop": [3]},
    {"stop": [None]},
    {"stop": ""},
    {"stop": [""]},
    {"stop": {"a": 1}},
    {"stop": ["x"] * 17},
    {"stop": "\ud800"},
    {"top_k": 516},
    {"top_k": -1},
    {"top_k": 2.5},
    {"top_k": True},
    {"temperature": -1},
    {"temperature": 3},
    {"temperature": "0"},
    {"temperature": True},
    {"top_p": 1.5},
    {"min_p": -0.1},
    {"seed": -1},
    {"seed": 2**64},
    {"seed": 1.5},
    {"max_tokens": 0},
    {"max_tokens": -5},
    {"max_tokens": "10"},
    {"max_tokens": True},
    {"max_completion_tokens": 0},
    {"frequency_penalty": 5},
    {"repetition_penalty": -1},
    {"repetition_penalty": 0},
    {"temperature": 1e-300},
    {"logit_bias": [1]},
    {"logit_bias": {"x": 1}},
    {"logit_bias": {"516": 1}},
    {"logit_bias": {"-1": 1}},
    {"logit_bias": {"1": "a"}},
    {"logit_bias": {"1": 1000}},
    {"logit_bias": {str(n): 1 for n in range(2000)}},
    {"logprobs": 1},
    {"logprobs": True, "stream": True},
    {"top_logprobs": 12},
    {"stream": "yes"},
    {"stream_options": True},
    {"stream_options": {"include_usage": "yes"}},
    {"n": 2},
    {"response_format": {"type": "json_object"}},
    {"tool_choice": "required"},
    {"tool_choice": {"type": "function", "function": {"name": "add"}}},
    {"modalities": ["text", "audio"]},
    {"tools": "add"},
    {"tools": [{"type": "code_interpreter"}]},
    {"tools": [{"type": "function", "function": {}}]},
    {"tools": [{"type": "function", "function": {"name": "a", "parameters": "x"}}]},
    {"chat_template_kwargs": "x"},
    {"chat_template_kwargs": {"chat_template": "{% for x in range(10**9) %}{% endfor %}"}},
    {"chat_template_kwargs": {"return_tensors": "np"}},
    {"chat_template_kwargs": {"return_dict": True}},
    {"chat_template_kwargs": {"max_length": 0, "truncation": True}},
    {"chat_template_kwargs": {"x": {}}},
    {"tools": [{"type": "function", "function": {"name": "a", "parameters": nested(MAX_DEPTH)}}]},
]
BAD_TEXTS: list[dict[str, Any]] = [
    {},
    {"prompt": None},
    {"prompt": ""},
    {"prompt": " \n"},
    {"prompt": ["Hi"]},
    {"prompt": [1, 2, 3]},
    {"prompt": 3},
    {"prompt": "Hi", "suffix": "!"},
    {"prompt": "Hi", "echo": True},
    {"prompt": "Hi", "best_of": 3},
]
BAD_BYTES: list[bytes] = [
    b"",
    b"null",
    b"[]",
    b'"Hi"',
    b"{",
    b'{"messages": [',
    b"\xff\xfe",
    b'{"messages": "\xe4"}',
    b"\xef\xbb\xbf{}",
    b'{"temperature": NaN}',
    b'{"temperature": Infinity}',
    b'{"temperature": 1e999}',
    b'{"seed": ' + b"9" * 5000 + b"}",
    b'{"a": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    b'{"a": "\\ud800"}',
    b"a" * 70_000,
]


def ask(**fields: Any) -> Asked:
    raw = json.dumps({"messages": HI} | fields).encode()
    return checked(raw, LIMITS, chat=True)


@pytest.mark.parametrize("fields", BAD_CHATS, ids=str)
def test_a_bad_chat_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        ask(**fields)
    assert refused.value.status == 400
    assert len(refused.value.message) < 250


@pytest.mark.parametrize("fields", BAD_TEXTS, ids=str)
def test_a_bad_completion_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        checked(json.dumps(fields).encode(), LIMITS, chat=False)


@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize("raw", BAD_BYTES, ids=range(len(BAD_BYTES)))
def test_bytes_that_are_no_request_are_refused(raw: bytes, chat: bool) -> None:
    with pytest.raises(Refused):
        checked(raw, LIMITS, chat=chat)


def test_only_what_is_known_is_passed_on() -> None:
    asked = ask(
        model="gpt-5",
        adapters="/etc",
        draft_model="org/other",
        num_draft_tokens=3,
        role_mapping={},
        user="me",
        store=True,
        metadata={},
        temperature=0.5,
        stop="x",
        seed=1,
    )
    assert asked.body == {
        "messages": HI,
        "temperature": 0.5,
        "stop": ["x"],
        "seed": 1,
        "max_tokens": 100,
    }
    assert not asked.stream


def test_null_is_not_given() -> None:
    names = ("temperature", "top_p", "stop", "seed", "max_tokens", "stream", "tools", "logprobs",
             "stream_options", "response_format", "tool_choice", "n")  # fmt: skip
    assert ask(**dict.fromkeys(names)).body == {"messages": HI, "max_tokens": 100}


def test_the_newer_name_of_max_tokens_counts_and_the_context_bounds_it() -> None:
    assert ask(max_completion_tokens=7, max_tokens=9).body["max_tokens"] == 7
    assert ask(max_tokens=10**30).body["max_tokens"] == 2048


def test_text_parts_become_text_and_a_developer_the_system() -> None:
    parts: list[dict[str, str]] = [
        {"type": "text", "text": "Be "},
        {"type": "text", "text": "brief."},
    ]
    messages = [{"role": "developer", "content": parts, "cache_control": "x"}, *HI]
    (first, _) = ask(messages=messages).body["messages"]
    assert first == {"role": "system", "content": "Be brief."}


def test_a_conversation_with_calls_is_passed_on() -> None:
    answer = {"role": "tool", "tool_call_id": "1", "content": "3"}
    assistant = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    tools = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
    body = ask(messages=[*HI, assistant, answer], tools=tools, tool_choice="auto").body
    assert body["messages"] == [*HI, {**assistant, "content": ""}, answer]
    assert body["tools"] == tools
    assert "tools" not in ask(tools=tools, tool_choice="none").body


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["messages", "prompt", "tools", "stop", "top_k", "temperature", "seed", "max_tokens", "n",
     "logit_bias", "stream", "stream_options", "logprobs", "chat_template_kwargs", "tool_choice"]
)  # fmt: skip


@given(fields=st.dictionaries(NAMES, JSON), chat=st.booleans())
def test_whatever_comes_is_refused_or_sound(fields: dict[str, Any], chat: bool) -> None:
    whole = {"messages": HI, "prompt": "Hi"} | fields
    try:
        asked = checked(json.dumps(whole).encode(), LIMITS, chat=chat)
    except Refused:
        return
    json.dumps(asked.body, ensure_ascii=False, allow_nan=False).encode()
    assert None not in asked.body.values()
    assert all(isinstance(word, str) and word for word in asked.body.get("stop", []))
    assert 0 <= asked.body.get("top_k", 0) < 516
    assert 1 <= asked.body["max_tokens"] <= 2048
    assert asked.body["messages"] if chat else asked.body["prompt"]


@given(raw=st.binary(max_size=200))
def test_whatever_bytes_come_are_refused(raw: bytes) -> None:
    with pytest.raises(Refused):
        checked(raw, LIMITS, chat=True)


def test_tools_that_the_template_does_not_show_are_refused() -> None:
    tool = {"type": "function", "function": {"name": "add"}}
    asked = {"messages": [{"role": "user", "content": "Hi"}], "tools": [tool]}
    without = replace(LIMITS, abilities=replace(MLX, tools=False))
    with pytest.raises(Refused, match="would not reach this model"):
        checked(json.dumps(asked).encode(), without, chat=True)
    checked(json.dumps(asked | {"tool_choice": "none"}).encode(), without, chat=True)
    assert checked(json.dumps(asked).encode(), LIMITS, chat=True).body["tools"] == [tool]


def within(abilities: Abilities, **fields: Any) -> dict[str, Any]:
    limits = replace(LIMITS, abilities=abilities, server="transformers serve")
    return checked(json.dumps({"messages": HI, **fields}).encode(), limits, chat=True).body


DEAF = Abilities(seed=False, sampling=SAMPLING - {"min_p", "presence_penalty"})


@pytest.mark.parametrize(
    "fields",
    [
        {"min_p": 0.1},
        {"presence_penalty": 0.5},
        {"logprobs": True},
        {"top_logprobs": 2},
        {"seed": 1},
        {"seed": 1, "temperature": 0.5},
    ],
)
def test_what_the_server_does_not_keep_is_refused_with_its_name(fields: dict[str, Any]) -> None:
    with pytest.raises(Refused, match=f"{next(iter(fields))}.*transformers serve") as refused:
        within(DEAF, **fields)
    assert refused.value.param == next(iter(fields))
    assert within(MLX, **fields) == {"messages": HI, "max_tokens": 100, **fields}


def test_what_says_nothing_is_dropped_for_a_server_that_would_refuse_it() -> None:
    habits = {"min_p": 0.0, "presence_penalty": 0, "logprobs": False, "top_logprobs": 0}
    kept = {"messages": HI, "max_tokens": 100, "temperature": 0}
    assert within(DEAF, **habits, seed=1, temperature=0) == kept


def test_a_form_is_passed_on_to_who_forces_answers_into_it() -> None:
    forcing = Abilities(schema=True)
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
    assert within(forcing, response_format=form)["response_format"] == form
    assert within(forcing, response_format={"type": "json_object"})["response_format"] == {
        "type": "json_object"
    }
    assert "response_format" not in within(forcing, response_format={"type": "text"})
    for odd in ("json", {"type": "json_schema"}, {"type": "grammar"}, {**form, "json_schema": 1}):
        with pytest.raises(Refused, match="response_format"):
            within(forcing, response_format=odd)
    with pytest.raises(Refused, match="is not enforced by transformers serve"):
        within(DEAF, response_format=form)
    text = json.dumps({"prompt": "Hi", "response_format": form}).encode()
    with pytest.raises(Refused, match="is not enforced"):
        checked(text, LIMITS, chat=False)
