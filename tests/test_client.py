"""One chat call: what is sent, what is read, and what is said when it goes wrong."""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_server import Behaviour, FakeServer, Reply
from punie.records.result import Completion, FaultKind
from punie.records.run import ModelIdentity
from punie.records.suite import FunctionCall, HistoryCall, Message, Sampling, Tool
from punie.serving.answer import MAX_TEXT, Answer
from punie.serving.client import ChatClient, RequestFailed
from punie.serving.endpoint import Abilities, Endpoint
from punie.serving.request import ChatRequest, request_body

HI = (Message(role="user", content="Hi"),)
ADD = Tool(name="add", description="Adds.", parameters={"type": "object", "properties": {}})


def endpoint_at(url: str, **changes: Any) -> Endpoint:
    base = Endpoint(
        base_url=url, model="m", identity=ModelIdentity(name="m", backend="endpoint"), timeout_s=5
    )
    return replace(base, **changes)


@asynccontextmanager
async def asking(behaviour: Behaviour | None = None, **server: Any) -> AsyncGenerator[ChatClient]:
    async with (
        FakeServer(behaviour, **server) as fake,
        ChatClient(endpoint_at(fake.url)) as client,
    ):
        yield client


def chat(*tools: Tool, **sampling: Any) -> ChatRequest:
    return ChatRequest(messages=HI, sampling=Sampling(**sampling), tools=tools)


def body(request: ChatRequest, *, stream: bool = False, **endpoint: Any) -> dict[str, Any]:
    return request_body(endpoint_at("http://x/v1", **endpoint), request, stream=stream)


def test_only_what_is_set_is_sent() -> None:
    sent = body(chat())
    assert sent == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 512,
        "temperature": 0.0,
    }
    assert "null" not in json.dumps(sent)


@pytest.mark.parametrize(
    ("name", "value"), [("top_p", 0.5), ("top_k", 7), ("min_p", 0.1), ("max_tokens", 3)]
)
def test_every_sampling_setting_reaches_the_request(name: str, value: float) -> None:
    assert body(chat(**{name: value}))[name] == value


def test_a_seed_is_sent_only_where_it_matters() -> None:
    assert "seed" not in body(chat(seed=3))
    assert body(chat(seed=3, temperature=0.5))["seed"] == 3
    assert body(chat(stop=("\n",)))["stop"] == ["\n"]


def test_tools_are_asked_unstreamed_and_with_token_ids() -> None:
    sent = body(chat(ADD), abilities=Abilities(token_ids=True))
    assert sent["tools"][0]["function"]["name"] == "add"
    assert sent["logprobs"] is True
    assert "stream" not in sent


def test_history_with_calls_keeps_openai_s_form() -> None:
    call = HistoryCall(id="1", function=FunctionCall(name="add", arguments="{}"))
    request = ChatRequest(
        messages=(
            Message(role="assistant", tool_calls=(call,)),
            Message(role="tool", content="3", tool_call_id="1"),
        ),
        sampling=Sampling(),
    )
    first, second = body(request)["messages"]
    assert first["content"] is None
    assert first["tool_calls"][0] == {
        "id": "1",
        "type": "function",
        "function": {"name": "add", "arguments": "{}"},
    }
    assert second["tool_call_id"] == "1"


async def test_a_streamed_answer_knows_its_first_token() -> None:
    async with asking(Behaviour(first_token_s=0.05, keepalives=3)) as client:
        answer = await client.ask(chat())
    assert answer.text == "Hi"
    assert answer.first_token_s is not None
    assert answer.first_token_s >= 0.05
    assert answer.completion_tokens == 1


async def test_calls_come_as_calls() -> None:
    call = {"name": "add", "arguments": {"a": 1}}
    async with asking(answers={"Hi": Reply(tool_calls=[call])}) as client:
        answer = await client.ask(chat(ADD))
    assert [(c.name, c.arguments) for c in answer.tool_calls] == [("add", {"a": 1})]
    assert answer.finish_reason == "tool_calls"


async def test_arguments_that_do_not_parse_are_kept_as_they_came() -> None:
    call = {"name": "add", "arguments": '{"a": 1'}
    async with asking(answers={"Hi": Reply(tool_calls=[call])}) as client:
        answer = await client.ask(chat(ADD))
    assert answer.tool_calls[0].arguments is None
    assert answer.tool_calls[0].raw == '{"a": 1'


def words(mapping: dict[int, str]) -> Any:
    def decode(ids: Sequence[int]) -> str:
        return "".join(mapping[i] for i in ids)

    return decode


async def ask_recovering(reply: Reply, mapping: dict[int, str]) -> Completion:
    async with FakeServer(answers={"Hi": reply}) as fake:
        endpoint = endpoint_at(fake.url, abilities=Abilities(token_ids=True), decode=words(mapping))
        async with ChatClient(endpoint) as client:
            return await client.ask(chat(ADD))


async def test_a_call_that_the_server_s_parser_lost_is_recovered() -> None:
    reply = Reply(finish_reason="tool_calls", token_ids=[1, 2, 3])
    answer = await ask_recovering(reply, {1: "<tool_call>", 2: '{"name": "add"', 3: "</tool_call>"})
    assert answer.recovered
    assert answer.text == '<tool_call>{"name": "add"</tool_call>'


def test_ids_are_read_where_vllm_puts_them() -> None:
    answer = Answer(has_tools=True, decode=words({1: "<tool_call>", 2: "{}"}))
    choice = {"message": {"content": None}, "finish_reason": "stop", "token_ids": [1, 2, "x", None]}
    answer.read_whole(json.dumps({"choices": [choice]}).encode())
    answer.finish()
    assert answer.completion().text == "<tool_call>{}"
    assert answer.completion().recovered


async def test_the_second_of_two_calls_that_was_lost_is_recovered() -> None:
    call: dict[str, Any] = {"name": "add", "arguments": {}}
    reply = Reply(tool_calls=[call], token_ids=[1, 1])
    answer = await ask_recovering(reply, {1: "<tool_call>{}</tool_call>"})
    assert answer.recovered
    assert answer.text.count("<tool_call>") == 2


async def test_calls_that_arrived_are_left_alone() -> None:
    call: dict[str, Any] = {"name": "add", "arguments": {}}
    answer = await ask_recovering(
        Reply(tool_calls=[call], token_ids=[1]), {1: '<tool_call>{"name": "add"}</tool_call>'}
    )
    assert not answer.recovered
    assert len(answer.tool_calls) == 1


FAULTS = [
    (Behaviour(fault="status", status=401, key="k"), FaultKind.REFUSED, False),
    (Behaviour(fault="status", status=404), FaultKind.REFUSED, False),
    (Behaviour(fault="status", status=429, retry_after="7"), FaultKind.RATE_LIMITED, True),
    (Behaviour(fault="status", status=500), FaultKind.SERVER_ERROR, True),
    (Behaviour(fault="reset"), FaultKind.CONNECTION_LOST, True),
    (Behaviour(fault="truncated"), FaultKind.MALFORMED, True),
    (Behaviour(fault="not-json"), FaultKind.MALFORMED, True),
]


@pytest.mark.parametrize("tools", [(), (ADD,)], ids=["streamed", "whole"])
@pytest.mark.parametrize(("behaviour", "kind", "retryable"), FAULTS, ids=str)
async def test_each_fault_has_its_name(
    behaviour: Behaviour,
    kind: FaultKind,
    *,
    retryable: bool,
    tools: tuple[Tool, ...],
) -> None:
    async with asking(behaviour) as client:
        with pytest.raises(RequestFailed) as caught:
            await client.ask(chat(*tools))
    assert caught.value.kind is kind
    assert caught.value.retryable is retryable
    if kind is FaultKind.RATE_LIMITED:
        assert caught.value.retry_after_s == 7


async def test_a_server_that_never_answers_times_out() -> None:
    async with (
        FakeServer(Behaviour(fault="hang")) as fake,
        ChatClient(endpoint_at(fake.url, timeout_s=0.2)) as client,
    ):
        with pytest.raises(RequestFailed) as caught:
            await client.ask(chat())
    assert caught.value.kind is FaultKind.TIMEOUT


async def test_nobody_there_is_unreachable() -> None:
    async with ChatClient(endpoint_at("http://127.0.0.1:9/v1")) as client:
        with pytest.raises(RequestFailed) as caught:
            await client.ask(chat())
    assert caught.value.kind is FaultKind.UNREACHABLE


async def test_the_key_is_sent_and_never_shown() -> None:
    async with FakeServer(Behaviour(key="canary")) as fake:
        endpoint = endpoint_at(fake.url, api_key="canary")
        async with ChatClient(endpoint) as client:
            assert (await client.ask(chat())).text == "Hi"
        assert fake.requests[-1].credential == "right"
    assert "canary" not in repr(endpoint)


DEEP = '{"a":' * 400 + "1" + "}" * 400
HOSTILE: list[Any] = [
    [],
    "text",
    {"choices": "no"},
    {"choices": [5]},
    {"choices": [{"message": []}]},
    {"choices": [{"message": {"tool_calls": [7, {"function": 3}]}}]},
    {"choices": [{"message": {"content": 5}, "logprobs": {"content": [None]}}], "usage": []},
    {"choices": [{"message": {"content": "\ud800"}}]},
    {"error": "boom"},
    {"choices": [{"message": {"tool_calls": [{"function": {"arguments": '{"a":' * 400}}]}}]},
    {"choices": [{"message": {"tool_calls": [{"function": {"arguments": DEEP}}]}}]},
]


@pytest.mark.parametrize("packet", HOSTILE, ids=lambda packet: str(packet)[:80])
async def test_a_nonsense_answer_is_a_fault_or_a_sound_completion(packet: Any) -> None:
    def respond(_request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=json.dumps(packet).encode())

    transport = httpx2.MockTransport(respond)
    async with ChatClient(endpoint_at("http://x/v1"), transport=transport) as client:
        try:
            answer = await client.ask(chat(ADD))
        except RequestFailed as fault:
            assert fault.kind is FaultKind.MALFORMED  # noqa: PT017 - either end is right
        else:
            answer.model_dump_json()


@given(st.binary(max_size=300), st.integers(1, 40))
def test_any_bytes_are_a_value_error_at_worst(data: bytes, step: int) -> None:
    answer = Answer(has_tools=True)
    try:
        for start in range(0, len(data), step):
            answer.feed(data[start : start + step])
        answer.finish()
    except ValueError:
        return
    answer.completion().model_dump_json()


def test_a_stream_may_be_cut_anywhere() -> None:
    packets: list[dict[str, Any]] = [
        {"choices": [{"delta": {"content": "½ "}}]},
        {"choices": [{"delta": {"content": "cup"}, "finish_reason": "stop"}]},
        {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
    ]
    lines = [f"data: {json.dumps(p, ensure_ascii=False)}\n\n" for p in packets]
    data = ": keepalive\n\n".join([*lines, "data: [DONE]\n\n"]).encode()
    for step in range(1, 12):
        answer = Answer(has_tools=False)
        for start in range(0, len(data), step):
            answer.feed(data[start : start + step])
        answer.finish()
        completion = answer.completion()
        assert completion.text == "½ cup"
        assert completion.completion_tokens == 2


@pytest.mark.parametrize("piece", [b": comment\n\n", b"x" * 1000], ids=["comments", "one line"])
@pytest.mark.parametrize("kind", ["text/event-stream", "application/json"])
async def test_an_answer_without_end_is_given_up(piece: bytes, kind: str) -> None:
    class Endless(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncGenerator[bytes]:
            while True:
                yield piece * 2000

    def respond(_request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": kind}, stream=Endless())

    transport = httpx2.MockTransport(respond)
    endpoint = endpoint_at("http://x/v1", timeout_s=60)
    async with ChatClient(endpoint, transport=transport) as client:
        with pytest.raises(RequestFailed, match="MiB") as caught:
            await client.ask(chat())
    assert caught.value.kind is FaultKind.MALFORMED


def test_a_very_long_answer_is_clipped_and_says_so() -> None:
    answer = Answer(has_tools=False)
    message = {"content": "x" * (MAX_TEXT + 5)}
    answer.read_whole(json.dumps({"choices": [{"message": message}]}).encode())
    answer.finish()
    completion = answer.completion()
    assert completion.clipped
    assert len(completion.text) == MAX_TEXT


NO_ANSWER: list[bytes] = [
    b"data: [DONE]\n\n",
    b'data: {"error": {"message": "boom"}, "choices": [{"delta": {}}]}\n\ndata: [DONE]\n\n',
    b'data: {"choices": [{"delta": {}, "finish_reason": "error"}]}\n\ndata: [DONE]\n\n',
    b'event: error\ndata: {"detail": "boom"}\n\ndata: [DONE]\n\n',
    b'{"choices": [{}]}',
    b'{"choices": [{"message": null, "text": "4"}]}',
    b'{"choices": ["x"]}',
]


@pytest.mark.parametrize("body", NO_ANSWER, ids=str)
async def test_what_is_no_answer_is_never_scored(body: bytes) -> None:
    kind = "application/json" if body.startswith(b"{") else "text/event-stream"
    caught = await failing_with(httpx2.Response(200, headers={"content-type": kind}, content=body))
    assert caught.kind is FaultKind.MALFORMED


async def test_a_body_that_is_not_as_encoded_is_a_fault() -> None:
    class Plain(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncGenerator[bytes]:
            yield b"not gzip"

    response = httpx2.Response(200, headers={"content-encoding": "gzip"}, stream=Plain())
    assert (await failing_with(response)).kind is FaultKind.MALFORMED


async def test_a_key_that_a_server_echoes_is_cut_from_the_fault() -> None:
    response = httpx2.Response(401, content=b'{"error": "bad key sk-canary"}')
    caught = await failing_with(response, api_key="sk-canary")
    assert "canary" not in str(caught) + caught.message
    assert "[key]" in caught.message


async def failing_with(response: httpx2.Response, **endpoint: Any) -> RequestFailed:
    transport = httpx2.MockTransport(lambda _request: response)
    async with ChatClient(endpoint_at("http://x/v1", **endpoint), transport=transport) as client:
        with pytest.raises(RequestFailed) as caught:
            await client.ask(chat())
    return caught.value


@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7), ("nan", None), ("-3", None), ("soon", None), ("1e99", 86_400)]
)
async def test_retry_after_is_a_bearable_number(value: str, seconds: float | None) -> None:
    response = httpx2.Response(429, headers={"retry-after": value})
    assert (await failing_with(response)).retry_after_s == seconds


async def test_retry_after_may_be_a_date() -> None:
    response = httpx2.Response(429, headers={"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"})
    assert (await failing_with(response)).retry_after_s == 0


def test_absurd_counts_and_reasons_are_not_believed() -> None:
    choice = {"message": {"content": "x"}, "finish_reason": "\ud800" * 99}
    usage = {"completion_tokens": 10**400, "prompt_tokens": -1}
    answer = Answer(has_tools=False)
    answer.read_whole(json.dumps({"choices": [choice], "usage": usage}).encode())
    answer.finish()
    completion = answer.completion()
    assert completion.completion_tokens is None
    assert completion.prompt_tokens is None
    assert len(completion.finish_reason) <= 64
    completion.model_dump_json()


@pytest.mark.parametrize("reason", ["abort", "cancelled", "network_error", "timeout"])
async def test_an_answer_that_was_broken_off_is_no_answer(reason: str) -> None:
    choice = {"message": {"content": "half of it"}, "finish_reason": reason}
    fault = await failing_with(httpx2.Response(200, json={"choices": [choice]}))
    assert fault.kind is FaultKind.MALFORMED
    assert fault.retryable
    assert reason in fault.message


async def test_an_answer_of_nothing_at_all_is_no_answer() -> None:
    choice = {"message": {"content": None}, "finish_reason": None}
    fault = await failing_with(httpx2.Response(200, json={"choices": [choice]}))
    assert fault.kind is FaultKind.MALFORMED


@pytest.mark.parametrize("before", range(0, 320, 16))
async def test_no_part_of_a_key_is_kept_where_a_message_is_cut(before: int) -> None:
    key = "sk-" + "canary" * 8
    body = {"error": {"message": "x" * before + key}}
    fault = await failing_with(httpx2.Response(500, json=body), api_key=key)
    assert "canary" not in fault.message
    assert len(fault.message) <= 300
