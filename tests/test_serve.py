"""`punie serve`, with the real mlx_lm.server and an adapter."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from made_lora import made_lora
from punie.backends.mlx import MlxBackend
from punie.cli.served_openly import bound_socket, listening_to
from punie.cli.snippets import snippets
from punie.errors import InputError
from punie.serving.config import DECODE_CONCURRENCY, ServerConfig
from punie.serving.doorman import is_local
from punie.serving.endpoint import Endpoint
from punie.serving.incoming import MAX_BODY_BYTES
from punie.serving.proxy import Proxy
from punie.serving.registry import running, state_root, sweep
from test_incoming import BAD_BYTES, BAD_CHATS, BAD_TEXTS, HI
from test_process import TINY, alive
from test_server_faults import Lab

PUNIE = [sys.executable, "-m", "punie.cli.main"]
CHAT = "/v1/chat/completions"
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Served:
    """A `punie serve` that runs."""

    process: subprocess.Popen[str]
    port: int
    envelope: dict[str, Any]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def upstream(self) -> psutil.Process:
        """The mlx_lm.server behind it."""
        (server,) = [
            child
            for child in psutil.Process(self.process.pid).children(recursive=True)
            if child.cmdline()[1:4] == ["-P", "-m", "punie.backends.workers.serve"]
        ]
        return server

    def asked_upstream(self) -> int:
        """How many requests reached the mlx_lm.server."""
        log = state_root() / "logs" / f"serve-{self.port}.log"
        return log.read_text(errors="replace").count('"POST ')

    def chat(self, **fields: Any) -> httpx2.Response:
        body = {"messages": HI, "max_tokens": 8} | fields
        return httpx2.post(self.url + CHAT, json=body, timeout=60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(*argv: str) -> Generator[Served]:
    """Run `punie serve` in a process of its own until the block ends."""
    port = free_port()
    command = [*PUNIE, "serve", *argv, "--port", str(port), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            lines: list[str] = []
            while not lines or lines[-1] != "}\n":
                lines.append(process.stdout.readline())
                assert lines[-1], "it ended before it was ready"
            yield Served(process, port, json.loads("".join(lines)))
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_lora(tmp_path_factory.mktemp("adapter") / "mine", scale=20.0)


@pytest.fixture(scope="module")
def served(tiny_model: Path, adapter: Path) -> Generator[Served]:
    with serving(str(tiny_model), "--adapter", str(adapter)) as started:
        yield started


def error_of(reply: httpx2.Response) -> dict[str, Any]:
    """The error object, which must be OpenAI's and must show nothing of the inside."""
    assert "Traceback" not in reply.text
    error: dict[str, Any] = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    return error


def test_the_envelope_and_the_models_name_what_is_served(served: Served, adapter: Path) -> None:
    data = served.envelope["data"]
    assert data["model"] == "model+mine"
    assert data["adapter"] == str(adapter)
    assert data["url"] == f"{served.url}/v1"
    listed = httpx2.get(f"{served.url}/v1/models").json()
    assert [model["id"] for model in listed["data"]] == ["model+mine"]
    assert httpx2.get(f"{served.url}/v1/models/org/any").json()["id"] == "model+mine"
    assert httpx2.get(f"{served.url}/health").json() == {"status": "ok"}


def test_any_model_name_gets_the_adapter(served: Served, tiny_model: Path) -> None:
    names = ("gpt-5", "default_model", str(tiny_model), "org/model", "", None, 3)
    replies = [served.chat(model=name, temperature=0).json() for name in names]
    replies.append(served.chat(adapters="/nowhere", draft_model="org/other", temperature=0).json())
    (answer,) = {reply["choices"][0]["message"]["content"] for reply in replies}
    assert {reply["model"] for reply in replies} == {"model+mine"}
    # Asked by its path behind our back, the same server answers as the bare base.
    (listening,) = [c for c in served.upstream.net_connections() if c.status == "LISTEN"]
    behind = f"http://127.0.0.1:{listening.laddr[1]}{CHAT}"
    bare = {"messages": HI, "max_tokens": 8, "temperature": 0, "model": str(tiny_model)}
    base = httpx2.post(behind, json=bare, timeout=60).json()["choices"][0]["message"]["content"]
    assert base != answer
    again = served.chat(temperature=0).json()["choices"][0]["message"]["content"]
    assert again == answer


def test_a_stream_comes_in_parts_and_says_the_same(served: Served) -> None:
    body = {"messages": HI, "max_tokens": 200, "stream": True, "temperature": 0}
    parts: list[bytes] = []
    with httpx2.stream("POST", served.url + CHAT, json=body, timeout=60) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        parts.extend(reply.iter_raw())
    assert len(parts) > 3
    lines = [line for line in b"".join(parts).decode().split("\n\n") if line.startswith("data: ")]
    assert lines.pop() == "data: [DONE]"
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert {event["model"] for event in events} == {"model+mine"}
    assert not [event for event in events if "usage" in event]
    text = "".join(event["choices"][0]["delta"].get("content", "") for event in events)
    whole = served.chat(max_tokens=200, temperature=0).json()
    assert whole["object"] == "chat.completion"
    assert whole["choices"][0]["message"] == {"role": "assistant", "content": text}
    assert whole["usage"]["completion_tokens"] >= len(events) - 1
    assert whole["choices"][0]["finish_reason"] == events[-1]["choices"][0]["finish_reason"]


def test_usage_is_in_a_stream_that_asks_for_it(served: Served) -> None:
    reply = served.chat(stream=True, stream_options={"include_usage": True}).text
    (usage,) = [line for line in reply.split("\n\n") if '"usage"' in line]
    assert json.loads(usage.removeprefix("data: "))["usage"]["completion_tokens"] == 8


def test_completions_and_logprobs_are_served(served: Served) -> None:
    body = {"prompt": "Once", "max_tokens": 4}
    whole = httpx2.post(f"{served.url}/v1/completions", json=body, timeout=60).json()
    assert whole["object"] == "text_completion"
    assert whole["choices"][0]["text"]
    assert len(served.chat(logprobs=True).json()["choices"][0]["logprobs"]["content"]) == 8


def test_what_is_malformed_never_reaches_the_model(served: Served) -> None:
    server = served.upstream.pid
    before = served.asked_upstream()
    with httpx2.Client(base_url=served.url, timeout=60) as client:
        for fields in BAD_CHATS:
            content = json.dumps({"messages": HI} | fields)
            refused = client.post(CHAT, content=content.encode(), headers=JSON)
            assert (refused.status_code, error_of(refused)["type"]) == (
                400,
                "invalid_request_error",
            ), fields
        for fields in BAD_TEXTS:
            refused = client.post("/v1/completions", json=fields)
            assert refused.status_code == 400, fields
        for raw in BAD_BYTES:
            assert client.post(CHAT, content=raw, headers=JSON).status_code == 400
        for headers in ({"Content-Type": "text/plain"}, {}, JSON | {"Content-Encoding": "gzip"}):
            refused = client.post(CHAT, content=json.dumps({"messages": HI}), headers=headers)
            assert error_of(refused)
            assert refused.status_code == 415
        large = b" " * (MAX_BODY_BYTES + 1)
        assert client.post(CHAT, content=large, headers=JSON).status_code == 413
        chunks = client.post(CHAT, content=iter([large, large]), headers=JSON)
        assert chunks.status_code == 413
        for method, path in (("GET", CHAT), ("POST", "/v1/models"), ("POST", "/v1/embeddings"),
                             ("POST", "/chat/completions"), ("GET", "/"),
                             ("DELETE", "/v1/models"), ("POST", "/v1/../health")):  # fmt: skip
            assert client.request(method, path).status_code in (404, 405), path
            assert error_of(client.request(method, path))
    assert served.asked_upstream() == before
    assert served.upstream.pid == server
    assert served.chat().status_code == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    ],
    ids=range(6),
)
def test_what_is_no_http_is_turned_away(served: Served, raw: bytes) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
        reply = b""
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(65536):
                reply += part
    assert not reply or reply.split()[1] in (b"400", b"403", b"431")
    assert b"Traceback" not in reply


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1:{port}", True),
        ("localhost:{port}", True),
        ("LOCALHOST:{port}", True),
        ("[::1]:{port}", True),
        ("127.0.0.1", False),
        ("localhost", False),
        ("localhost:1", False),
        ("evil.example:{port}", False),
        ("localhost.evil.example:{port}", False),
        ("127.0.0.1.nip.io:{port}", False),
        ("127.0.0.1:{port}@evil.example", False),
        ("0.0.0.0:{port}", False),
        ("", False),
    ],
)
def test_the_host_is_this_machine(served: Served, host: str, allowed: bool) -> None:
    headers = {"Host": host.format(port=served.port)}
    reply = httpx2.get(f"{served.url}/v1/models", headers=headers)
    assert reply.status_code == (200 if allowed else 403)
    assert "model+mine" in reply.text or not allowed


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost:3000", True),
        ("http://127.0.0.1", True),
        ("http://[::1]:5173", True),
        ("https://evil.example", False),
        ("http://evil.example", False),
        ("http://localhost.evil.example", False),
        ("http://localhost@evil.example", False),
        ("http://user@localhost", False),
        ("http://localhost:99999", False),
        ("http://localhost/path", False),
        ("https://localhost", False),
        ("file://", False),
        ("null", False),
        ("", False),
    ],
)
def test_a_page_of_another_site_may_neither_ask_nor_read(
    served: Served, origin: str, allowed: bool
) -> None:
    assert is_local(origin) == allowed
    asking = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    with httpx2.Client(base_url=served.url) as client:
        preflight = client.options(CHAT, headers=asking)
        reply = client.get("/v1/models", headers={"Origin": origin})
        refused = client.post(CHAT, content=b"{}", headers={"Origin": origin} | JSON)
    assert preflight.status_code == (204 if allowed else 403)
    assert reply.status_code == (200 if allowed else 403)
    assert refused.status_code == (400 if allowed else 403)
    for each in (preflight, reply, refused):
        assert each.headers.get("access-control-allow-origin") == (origin if allowed else None)


def test_no_page_is_named_where_none_asks(served: Served) -> None:
    reply = httpx2.get(f"{served.url}/v1/models")
    assert not [name for name in reply.headers if name.startswith("access-control")]


def test_a_killed_server_comes_back(served: Served) -> None:
    before = served.upstream.pid
    os.kill(before, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while (reply := served.chat(temperature=0)).status_code != 200:
        assert reply.status_code == 503
        assert int(reply.headers["retry-after"]) > 0
        assert "Traceback" not in error_of(reply)["message"]
        assert time.monotonic() < deadline
    assert served.upstream.pid != before


def punie(*argv: str) -> subprocess.CompletedProcess[str]:
    command = [*PUNIE, *argv]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def test_status_lists_it_and_a_taken_port_names_it(served: Served) -> None:
    listed = json.loads(punie("serve", "--status", "--json").stdout)["data"]
    assert served.port in [entry["port"] for entry in listed]
    assert f"http://127.0.0.1:{served.port}/v1" in punie("serve", "--status").stdout
    taken = punie("serve", "--port", str(served.port))
    assert taken.returncode == 2
    assert f"by punie (pid {served.process.pid})" in taken.stderr
    assert punie("serve", "--stop", str(free_port())).returncode == 2
    assert punie("serve", "--stop", "--adapter", "x").returncode == 2


def test_stop_ends_it_and_nothing_is_left(tiny_model: Path) -> None:
    with serving(str(tiny_model)) as one:
        children = [each.pid for each in psutil.Process(one.process.pid).children(recursive=True)]
        assert len(children) >= 2
        stopped = json.loads(punie("serve", "--stop", str(one.port), "--json").stdout)["data"]
        assert [entry["port"] for entry in stopped["stopped"]] == [one.port]
        assert one.process.wait(10) == 0
        assert not [pid for pid in children if alive(pid)]
        assert one.port not in [entry.port for entry in running()]


def test_ctrl_c_twice_ends_it_within_an_answer(tiny_model: Path) -> None:
    with serving(str(tiny_model)) as one:
        children = [each.pid for each in psutil.Process(one.process.pid).children(recursive=True)]
        # A request whose body never ends holds the connection open.
        with socket.create_connection(("127.0.0.1", one.port)) as held:
            head = f"POST {CHAT} HTTP/1.1\r\nHost: 127.0.0.1:{one.port}\r\n"
            held.sendall(
                f"{head}Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{{".encode()
            )
            assert httpx2.get(f"{one.url}/health").status_code == 200
            one.process.send_signal(signal.SIGINT)
            with contextlib.suppress(httpx2.TransportError):  # until it takes nobody new
                while httpx2.get(f"{one.url}/health"):
                    pass
            one.process.send_signal(signal.SIGINT)
            assert one.process.wait(10) == 130
        assert not [pid for pid in children if alive(pid)]
        assert one.port not in [entry.port for entry in running()]


def test_nothing_outlives_a_sigkill(tiny_model: Path) -> None:
    with serving(str(tiny_model)) as one:
        children = psutil.Process(one.process.pid).children(recursive=True)
        one.process.kill()
        psutil.wait_procs(children, timeout=10)
        assert not [child.pid for child in children if alive(child.pid)]
    assert one.port not in [entry.port for entry in running()]
    sweep()
    assert not [path for path in (state_root() / "servers").iterdir() if path.stem.startswith(
        (f"{one.process.pid}-", *(f"{child.pid}-" for child in children)))]  # fmt: skip


def test_term_while_the_model_loads_leaves_nothing(tiny_model: Path) -> None:
    port = free_port()
    command = [*PUNIE, "serve", str(tiny_model), "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while len(children := psutil.Process(process.pid).children(recursive=True)) < 2:
            assert process.poll() is None  # until there are guardian and server
        process.terminate()
        _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert said.endswith("interrupted\n")
    assert not [child.pid for child in children if alive(child.pid)]


BUSY = """
import sys
import punie.backends.preflight
from punie.cli.main import main

def busy(*_, **__):
    print("busy", flush=True)
    while True:
        pass

punie.backends.preflight.cap_for_serving = busy
main()
"""


def test_ctrl_c_again_and_again_reaches_code_that_does_not_wait(tiny_model: Path) -> None:
    command = [sys.executable, "-c", BUSY, "serve", str(tiny_model), "--port", str(free_port())]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "busy\n"
            for patience_s in (0.5, 0.5, 10, 10):  # two may have been one to the system
                process.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(patience_s)
            _, said = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 130
    assert said.endswith("interrupted\n")


def test_a_server_that_dies_again_and_again_ends_it(tiny_model: Path) -> None:
    with serving(str(tiny_model)) as one:
        killed: set[int] = set()
        while one.process.poll() is None:
            with contextlib.suppress(ValueError, psutil.Error):  # between two starts
                if (pid := one.upstream.pid) not in killed:
                    os.kill(pid, signal.SIGKILL)
                    killed.add(pid)
            with contextlib.suppress(httpx2.TransportError):
                assert httpx2.get(f"{one.url}/health").status_code in (200, 503)
        assert one.process.returncode == 5
        assert killed


def test_a_port_is_chosen_only_where_none_is_asked_for() -> None:
    with contextlib.closing(bound_socket(None)) as first:
        with contextlib.closing(bound_socket(None)) as second:
            assert first.getsockname()[1] < second.getsockname()[1]
        with pytest.raises(InputError, match=r"is taken by .*\(pid \d+\)"):
            bound_socket(int(first.getsockname()[1]))


async def endless(writer: asyncio.StreamWriter) -> None:
    event = {"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": None}]}
    while True:
        writer.write(f"data: {json.dumps(event)}\n\n".encode())
        await writer.drain()
        await asyncio.sleep(0.01)


async def three_words(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.05):
            await endless(writer)


async def silence(_writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def nothing(_writer: asyncio.StreamWriter) -> None:
    pass


async def keepalives(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b": keepalive 1/2\n\n")
        await writer.drain()
        await asyncio.sleep(0.01)


async def a_word_then_keepalives(writer: asyncio.StreamWriter) -> None:
    await three_words(writer)
    await keepalives(writer)


@asynccontextmanager
async def before(endpoint: Endpoint) -> AsyncGenerator[tuple[str, Proxy]]:
    """A proxy before an endpoint, and the address of its chats."""
    with contextlib.closing(bound_socket(free_port())) as listening:
        port = int(listening.getsockname()[1])
        proxy = Proxy(endpoint, name="tiny", port=port, max_tokens=9)
        async with proxy, listening_to(proxy, listening):
            yield f"http://127.0.0.1:{port}{CHAT}", proxy


@asynccontextmanager
async def proxied(
    answer: Any, *, first_token_s: float = 1.0, timeout_s: float = 600.0
) -> AsyncGenerator[tuple[str, asyncio.Event, Proxy]]:
    """A proxy before a server that begins a stream and goes on with `answer`.

    The event is set once the server has noticed that its reader is gone.
    """
    gone = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
        writer.write(head)
        tasks = [asyncio.ensure_future(answer(writer)), asyncio.ensure_future(reader.read())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        writer.close()
        gone.set()

    upstream = await asyncio.start_server(handle, "127.0.0.1", 0)
    endpoint = Endpoint(
        base_url=f"http://127.0.0.1:{upstream.sockets[0].getsockname()[1]}/v1",
        model="default_model",
        identity=TINY,
        first_token_s=first_token_s,
        timeout_s=timeout_s,
    )
    async with upstream, before(endpoint) as (url, proxy):
        yield url, gone, proxy


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_ends_the_work(stream: bool) -> None:
    async with proxied(endless) as (url, gone, proxy), httpx2.AsyncClient() as client:
        body = {"messages": HI, "stream": stream}
        with contextlib.suppress(httpx2.TimeoutException):
            async with client.stream("POST", url, json=body, timeout=3.0) as reply:
                async for _ in reply.aiter_raw():
                    break
        async with asyncio.timeout(10):
            await gone.wait()
        assert proxy.tally.left == 1
        assert proxy.tally.in_flight == 0
        assert proxy.tally.completion_tokens > 0


async def test_a_server_that_dies_within_an_answer_is_told_of() -> None:
    async with proxied(three_words) as (url, _, proxy), httpx2.AsyncClient() as client:
        streamed = await client.post(url, json={"messages": HI, "stream": True})
        assert "ended within its answer" in error_within(streamed)
        whole = await client.post(url, json={"messages": HI})
        assert whole.status_code == 503
        assert whole.headers["retry-after"]
        assert "ended within its answer" in error_of(whole)["message"]
        assert proxy.tally.failed == 2


async def test_a_server_that_says_nothing_gives_a_status() -> None:
    async with proxied(nothing) as (url, _, _proxy), httpx2.AsyncClient() as client:
        assert (await client.post(url, json={"messages": HI, "stream": True})).status_code == 503
    async with proxied(silence) as (url, _, _proxy), httpx2.AsyncClient(timeout=30) as client:
        hung = await client.post(url, json={"messages": HI})
        assert hung.status_code == 504
        assert "no token in time" in error_of(hung)["message"]


def error_within(stream: httpx2.Response) -> str:
    """The message of the error object that ends a stream."""
    assert stream.status_code == 200
    assert "[DONE]" not in stream.text
    last = stream.text.strip().split("\n\n")[-1]
    message: str = json.loads(last.removeprefix("data: "))["error"]["message"]
    return message


@pytest.mark.parametrize(
    ("answer", "deadlines", "said"),
    [
        (keepalives, {"first_token_s": 0.3}, "no token in time"),
        (a_word_then_keepalives, {"first_token_s": 0.3}, "fell silent"),
        (endless, {"timeout_s": 0.5}, "not whole within"),
    ],
)
async def test_no_sign_of_life_stands_for_a_token(
    answer: Any, deadlines: dict[str, float], said: str
) -> None:
    async with (
        proxied(answer, **deadlines) as (url, gone, proxy),
        httpx2.AsyncClient(timeout=20) as client,
    ):
        whole = await client.post(url, json={"messages": HI})
        assert whole.status_code == 504
        assert whole.headers["retry-after"]
        assert said in error_of(whole)["message"]
        streamed = await client.post(url, json={"messages": HI, "stream": True})
        assert said in error_within(streamed)
        async with asyncio.timeout(10):
            await gone.wait()
        assert proxy.tally.failed == 2
        assert proxy.tally.in_flight == 0


async def test_a_client_that_reads_slowly_is_no_silence_of_the_server() -> None:
    async def much(writer: asyncio.StreamWriter) -> None:
        event = {"choices": [{"index": 0, "delta": {"content": "x" * 2**20}}]}
        for _ in range(16):
            writer.write(f"data: {json.dumps(event)}\n\n".encode())
            await writer.drain()
        writer.write(b"data: [DONE]\n\n")

    async with (
        proxied(much, first_token_s=0.5) as (url, _, _proxy),
        httpx2.AsyncClient(timeout=20) as client,
        client.stream("POST", url, json={"messages": HI, "stream": True}) as reply,
    ):
        await asyncio.sleep(1.0)  # twice as long as the server itself may be silent
        assert (await reply.aread()).endswith(b"data: [DONE]\n\n")


def test_the_other_backend_answers_whole_and_in_parts(tiny_model: Path, adapter: Path) -> None:
    pytest.importorskip("bitsandbytes")
    with serving(str(tiny_model), "--adapter", str(adapter), "--backend", "cuda") as served:
        whole = served.chat(temperature=0)
        assert whole.status_code == 200, whole.text
        streamed = served.chat(temperature=0, stream=True).text
        refused = served.chat(logprobs=True)
    lines = [line for line in streamed.split("\n\n") if line.startswith("data: ")]
    assert lines.pop() == "data: [DONE]"
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    text = "".join(event["choices"][0]["delta"].get("content") or "" for event in events)
    assert whole.json()["choices"][0]["message"]["content"] == text
    assert refused.status_code == 400
    assert "logprobs" in error_of(refused)["message"]


async def test_a_server_that_freezes_is_told_of_and_comes_back(
    tiny_model: Path, tmp_path: Path
) -> None:
    config = ServerConfig(
        model=tiny_model, log=tmp_path / "log", first_token_s=1.5, total_s=600, stop_grace_s=0.2
    )
    async with (
        MlxBackend(TINY, tools=True).serve(config) as endpoint,
        before(endpoint) as (url, proxy),
        httpx2.AsyncClient(timeout=30) as client,
    ):
        keeper = endpoint.keeper
        assert keeper is not None
        assert keeper.process.pid is not None
        keeping = asyncio.create_task(proxy.keep_up())
        long = {"messages": HI, "max_tokens": 2000, "temperature": 0, "stream": True}
        async with client.stream("POST", url, json=long) as reply:
            parts = reply.aiter_text()
            streamed = ""
            while "data: " not in streamed:
                streamed += await anext(parts)
            os.kill(keeper.process.pid, signal.SIGSTOP)
            streamed += "".join([part async for part in parts])
        assert "fell silent" in json.loads(streamed.split("data: ")[-1])["error"]["message"]
        assert "[DONE]" not in streamed
        async with asyncio.timeout(30):
            while (again := await client.post(url, json={"messages": HI})).status_code != 200:
                assert again.status_code in (503, 504)
                assert int(again.headers["retry-after"]) > 0
                assert error_of(again)
        assert keeper.life == 2
        assert ["hung" in each.what for each in keeper.incidents] == [True]
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def test_a_server_that_was_only_slow_is_left_alone(tmp_path: Path) -> None:
    lab = Lab(tmp_path, tmp_path)
    # The first chat is the probe of the start; the second is never answered, all others are.
    process = lab.fake("--fault", "hang", "--after", "1", "--times", "1", first_token_s=1.5)
    async with (
        lab.serving(process) as endpoint,
        before(endpoint) as (url, _proxy),
        httpx2.AsyncClient(timeout=30) as client,
    ):
        late = await client.post(url, json={"messages": HI})
        assert late.status_code == 504
        assert endpoint.keeper is not None
        assert await endpoint.keeper.revive(1) is None  # after the look that the proxy asked for
        assert (await client.post(url, json={"messages": HI})).status_code == 200
        assert endpoint.keeper.life == 1
        assert not endpoint.keeper.incidents


async def test_more_than_the_server_writes_side_by_side_are_asked_to_wait() -> None:
    async with proxied(endless) as (url, _, proxy), httpx2.AsyncClient(timeout=30) as client:
        proxy.tally.in_flight = DECODE_CONCURRENCY
        full = await client.post(url, json={"messages": HI})
        assert full.status_code == 429
        assert full.headers["retry-after"] == "1"
        proxy.tally.in_flight = 0


async def test_a_request_whose_body_is_on_its_way_counts() -> None:
    async with proxied(endless) as (url, _, proxy), httpx2.AsyncClient(timeout=30) as client:
        address = httpx2.URL(url)
        assert address.port is not None
        _, writer = await asyncio.open_connection("127.0.0.1", address.port)
        head = f"POST {address.path} HTTP/1.1\r\nHost: {address.netloc.decode()}\r\n"
        writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 9\r\n\r\n".encode())
        async with asyncio.timeout(10):
            while not proxy.reading:  # noqa: ASYNC110 - the proxy sets no event
                await asyncio.sleep(0.01)
        proxy.tally.in_flight = DECODE_CONCURRENCY - 1
        assert (await client.post(url, json={"messages": HI})).status_code == 429
        proxy.tally.in_flight = 0
        writer.close()


def test_the_snippets_can_be_pasted() -> None:
    import yaml

    texts = snippets("http://127.0.0.1:8642/v1", "it's", context=2048, tools=True)
    shell, python, config, zed = texts.values()
    compile(python, "snippet", "exec")
    (model,) = yaml.safe_load(config)["models"]
    assert (model["provider"], model["apiBase"]) == ("openai", "http://127.0.0.1:8642/v1")
    provider = json.loads(zed)["language_models"]["openai_compatible"]["punie"]
    assert provider["available_models"][0]["name"] == "it's"
    echoed = ["sh", "-c", shell.replace("curl ", "printf '%s\\n' ")]
    said = subprocess.run(echoed, check=True, capture_output=True, text=True).stdout.splitlines()
    assert json.loads(said[-1])["model"] == "it's"
