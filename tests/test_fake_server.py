import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from fake_server import Behaviour, FakeServer, Reply

PROGRAM = Path(__file__).with_name("fake_server.py")


def a_chat(text: str = "hello there", **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


async def posted(
    server: FakeServer, body: dict[str, Any], headers: dict[str, str] | None = None
) -> httpx2.Response:
    async with httpx2.AsyncClient(trust_env=False) as client:
        return await client.post(f"{server.url}/chat/completions", json=body, headers=headers)


def events(response: httpx2.Response) -> list[dict[str, Any]]:
    lines = [line for line in response.text.splitlines() if line.startswith("data: ")]
    assert lines.pop() == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines]


async def test_an_unknown_question_is_echoed():
    async with FakeServer() as server:
        answer = (await posted(server, a_chat())).json()
    assert answer["choices"][0]["message"]["content"] == "hello there"
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"] == {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4}


async def test_a_scripted_question_gets_its_answer():
    call = {"name": "add", "arguments": {"a": 1}}
    broken = {"name": "add", "arguments": "{"}
    reply = Reply(tool_calls=[call, broken], reasoning="hm")
    async with FakeServer(answers={"2 + 2?": "4", "add": reply}) as server:
        text = (await posted(server, a_chat("2 + 2?"))).json()
        called = (await posted(server, a_chat("add"))).json()["choices"][0]
    assert text["choices"][0]["message"]["content"] == "4"
    assert called["finish_reason"] == "tool_calls"
    assert called["message"]["content"] is None
    assert called["message"]["reasoning"] == "hm"
    sent = [each["function"]["arguments"] for each in called["message"]["tool_calls"]]
    assert sent == ['{"a": 1}', "{"]


async def test_a_stream_gives_words_then_usage_if_asked():
    body = a_chat("one two  three", stream=True)
    async with FakeServer(Behaviour(keepalives=2)) as server:
        plain = await posted(server, body)
        counted = await posted(server, {**body, "stream_options": {"include_usage": True}})
    assert plain.text.startswith(": keepalive 1/2\n\n: keepalive 1/2\n\n")
    deltas = [event["choices"][0]["delta"].get("content", "") for event in events(plain)]
    assert "".join(deltas) == "one two  three"
    assert len(deltas) > 3
    assert all("usage" not in event for event in events(plain))
    assert events(counted)[-1]["usage"]["completion_tokens"] == 3


async def test_a_stream_carries_tool_calls():
    reply = Reply(text="sure", tool_calls=[{"name": "f", "arguments": {}}])
    async with FakeServer(answers={"go": reply}) as server:
        seen = events(await posted(server, a_chat("go", stream=True)))
    assert seen[-2]["choices"][0]["delta"]["tool_calls"][0]["function"]["name"] == "f"
    assert seen[-1]["choices"][0]["finish_reason"] == "tool_calls"


async def test_logprobs_show_token_ids_unless_dropped():
    body = a_chat("x", logprobs=True)
    answers = {"x": Reply(text="abc", token_ids=[7, 8])}
    async with FakeServer(answers=answers) as server:
        kept = (await posted(server, body)).json()["choices"][0]
    async with FakeServer(Behaviour(drop_logprobs=True), answers=answers) as server:
        dropped = (await posted(server, body)).json()["choices"][0]
    assert [each["id"] for each in kept["logprobs"]["content"]] == [7, 8]
    assert "logprobs" not in dropped


async def test_usage_can_be_left_out():
    async with FakeServer(Behaviour(drop_usage=True)) as server:
        assert "usage" not in (await posted(server, a_chat())).json()


async def test_health_and_models_answer():
    async with FakeServer(model="mine") as server, httpx2.AsyncClient(trust_env=False) as client:
        root = server.url.removesuffix("/v1")
        assert (await client.get(f"{root}/health")).json() == {"status": "ok"}
        assert (await client.get(f"{server.url}/models")).json()["data"][0]["id"] == "mine"
        assert (await client.get(f"{root}/elsewhere")).status_code == 404


async def test_requests_are_remembered_without_the_key():
    async with FakeServer(Behaviour(key="secret")) as server:
        body = a_chat(adapters="a1")
        answered = await posted(server, body, {"Authorization": "Bearer secret", "X-Mine": "1"})
        refused = await posted(server, body, {"Authorization": "Bearer other"})
        missing = await posted(server, body)
    assert [r.status_code for r in (answered, refused, missing)] == [200, 401, 401]
    assert [seen.credential for seen in server.requests] == ["right", "wrong", "none"]
    first = server.requests[0]
    assert (first.method, first.path) == ("POST", "/v1/chat/completions")
    assert (first.model, first.adapter, first.headers["x-mine"]) == ("m", "a1", "1")
    assert "secret" not in str(server.requests)


@pytest.mark.parametrize("status", [401, 404, 429, 500])
async def test_a_status_lasts_as_often_as_told(status: int):
    behaviour = Behaviour(fault="status", status=status, retry_after="3", times=2)
    async with FakeServer(behaviour) as server:
        responses = [await posted(server, a_chat()) for _ in range(3)]
    assert [r.status_code for r in responses] == [status, status, 200]
    assert [r.headers.get("retry-after") for r in responses] == ["3", "3", None]


@pytest.mark.parametrize("stream", [False, True])
async def test_the_connection_breaks_mid_body(*, stream: bool):
    async with FakeServer(Behaviour(fault="reset")) as server:
        with pytest.raises(httpx2.TransportError):
            await posted(server, a_chat(stream=stream))
    assert len(server.requests) == 1


async def test_truncated_and_foreign_bodies_are_whole_responses():
    async with FakeServer(Behaviour(fault="truncated")) as server:
        truncated = await posted(server, a_chat())
    async with FakeServer(Behaviour(fault="not-json")) as server:
        foreign = await posted(server, a_chat())
    for response in (truncated, foreign):
        assert response.status_code == 200
        with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
            response.json()


async def test_a_hang_leaves_health_alive():
    async with FakeServer(Behaviour(fault="hang")) as server:
        asked = asyncio.create_task(posted(server, a_chat()))
        async with httpx2.AsyncClient(trust_env=False) as client:
            while not server.requests:
                await client.get(f"{server.url}/models")
            health = await client.get(f"http://127.0.0.1:{server.port}/health")
        assert health.status_code == 200
        assert not asked.done()
    with pytest.raises(httpx2.TransportError):
        await asked


async def test_a_slow_answer_comes_whole():
    async with (
        FakeServer(Behaviour(first_token_s=0.05, keepalives=1)) as server,
        httpx2.AsyncClient(trust_env=False) as client,
        client.stream("POST", f"{server.url}/chat/completions", json=a_chat(stream=True)) as reply,
    ):
        text = (await reply.aread()).decode()
    assert reply.headers["transfer-encoding"] == "chunked"
    assert text.startswith(": keepalive 1/2\n\ndata: ")
    assert text.endswith("data: [DONE]\n\n")


async def test_a_connection_is_kept_for_many_requests():
    async with FakeServer() as server:
        limits = httpx2.Limits(max_connections=1)
        async with httpx2.AsyncClient(trust_env=False, limits=limits) as client:
            for _ in range(5):
                await client.post(f"{server.url}/chat/completions", json=a_chat("x " * 5000))
            assert len(server.connections) == 1
    assert len(server.requests) == 5


def test_the_program_prints_its_port_and_logs(tmp_path: Path):
    log, answers = tmp_path / "log.jsonl", tmp_path / "answers.json"
    answers.write_text(json.dumps({"hi": "ho", "call": {"tool_calls": [], "text": "none"}}))
    flags = ["--port", "0", "--answers", answers, "--log", log, "--chatter-bytes", "800"]
    with subprocess.Popen(
        [sys.executable, PROGRAM, *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        port = json.loads(child.stdout.readline())["port"]
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        with httpx2.Client(trust_env=False) as client:
            texts = [client.post(url, json=a_chat(text)).json() for text in ("hi", "call")]
        child.send_signal(signal.SIGTERM)
        _, noise = child.communicate(timeout=10)
    assert child.returncode == 0
    assert [each["choices"][0]["message"]["content"] for each in texts] == ["ho", "none"]
    assert len(noise) > 2400
    seen = [json.loads(line) for line in log.read_text().splitlines()]
    assert [each["body"]["messages"][0]["content"] for each in seen] == ["hi", "call"]


def test_the_program_can_exit_at_its_start():
    done = subprocess.run(
        [sys.executable, PROGRAM, "--exit-at-start", "3"], capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (3, b"")
    assert b"told to exit" in done.stderr
