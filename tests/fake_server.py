"""A fake OpenAI-compatible server: instant, scripted, and able to fail in many ways.

In a test, inside its event loop:

    async with FakeServer(answers={"2 + 2?": "4"}) as server:
        ...  # ask server.url, then look at server.requests

As a program, for benches and for tests of child processes; its first line is `{"port": 12345}`:

    python tests/fake_server.py --port 0 --fault status --status 429 --times 2

A chat is answered by the text of its last user turn, or, where that is not in `answers`, by the
same text. One token is one word. Costs about 0.1 ms of CPU a request, stdlib only.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self, get_args

Fault = Literal["status", "reset", "truncated", "not-json", "hang", "hang-all", "exit", "kill"]
Credential = Literal["none", "right", "wrong"]
REASONS = {200: "OK", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A scripted answer. A call's `arguments` may be a dict, or a string that is sent as it is."""

    text: str = ""
    tool_calls: Sequence[Mapping[str, Any]] = ()
    reasoning: str = ""
    finish_reason: str | None = None
    token_ids: Sequence[int] | None = None
    """What `logprobs` shows; by default the numbers of the text's words."""
    logprob: float = -0.1
    """Of each token."""
    prompt_tokens: int | None = None
    """What the usage says was read; by default the words of all turns and tools."""
    cached_tokens: int | None = None
    """What the usage says came from a prompt cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What goes wrong, and for how many chat requests.

    `fault`: `status` refuses with that code; `reset` breaks the connection in the middle of the
    body; `truncated` sends half of the JSON as if it were all; `not-json` sends a page of HTML with
    200; `hang` never answers a chat while `/health` is fine; `hang-all` answers nothing at all;
    `exit` ends the process in the middle of the body, `kill` so that it looks out of memory.
    """

    fault: Fault | None = None
    status: int = 500
    retry_after: str | None = None
    """Sent with the status, in seconds or as a date."""
    after: int = 0
    """The first so many chat requests are answered well."""
    times: int | None = None
    """So many chat requests then meet the fault; None is all of them."""
    first_token_s: float = 0.0
    """Wait before the answer's first byte of content."""
    slowest_s: float = 0.0
    """Waits are drawn between `first_token_s` and this, evenly on a logarithmic scale."""
    reset_share: float = 0.0
    """This share of the chats meets `reset`, drawn by the chat's number."""
    storm_every_s: float = 0.0
    storm_s: float = 0.0
    """The first `storm_s` of every `storm_every_s` refuse with 429 and say when to come back."""
    grow_bytes: int = 0
    """Memory that is taken and kept with each chat."""
    drip_s: float = 0.0
    """Between two keepalives while the answer's first byte of content is awaited."""
    keepalives: int = 0
    """`: keepalive` lines at the head of a stream."""
    chatter_bytes: int = 0
    """Written to stderr with every request, and once at the start."""
    drop_logprobs: bool = False
    drop_usage: bool = False
    key: str | None = None
    """Chats without `Authorization: Bearer KEY` get 401."""


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """One request as it came. The Authorization header is compared, then left out."""

    method: str
    path: str
    headers: dict[str, str]
    credential: Credential
    body: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def model(self) -> str | None:
        return self.body.get("model")

    @property
    def adapter(self) -> str | None:
        return self.body.get("adapters")


Answers = Mapping[str, str | Reply]
Replies = Callable[[str], str | Reply | None]


class FakeServer:
    """Listens on 127.0.0.1 while its context is open. `requests` is what it saw, in order.

    What `replies` makes of the last user turn goes before `answers`, unless it is None. `waiting`
    counts the chats whose content is still to come.
    """

    def __init__(
        self,
        behaviour: Behaviour | None = None,
        *,
        answers: Answers | None = None,
        replies: Replies | None = None,
        model: str = "fake",
        port: int = 0,
        log: Callable[[SeenRequest], object] | None = None,
    ) -> None:
        self.behaviour = behaviour or Behaviour()
        self.answers = answers or {}
        self.replies = replies
        self.model = model
        self.port = port
        self.requests: list[SeenRequest] = []
        self.log = log or self.requests.append
        self.chats = 0
        self.waiting = 0
        self.kept: list[bytes] = []
        self.started = 0.0
        self.connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self), "127.0.0.1", self.port, backlog=256
        )
        self.port = self._server.sockets[0].getsockname()[1]
        self.started = time.monotonic()
        self.chatter()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for connection in list(self.connections):
            connection.transport.abort()
        await self._server.wait_closed()

    def listed(self) -> list[dict[str, Any]]:
        """What `/v1/models` says."""
        return [{"id": self.model, "object": "model"}]

    def chatter(self) -> None:
        if self.behaviour.chatter_bytes:
            sys.stderr.write("chatter " * (self.behaviour.chatter_bytes // 8) + "\n")
            sys.stderr.flush()

    def fault(self) -> Fault | None:
        """What this chat meets."""
        behaviour = self.behaviour
        if random.Random(self.chats).random() < behaviour.reset_share:
            return "reset"
        into = self.chats - behaviour.after
        if into <= 0 or (behaviour.times is not None and into > behaviour.times):
            return None
        return behaviour.fault

    def wait_s(self) -> float:
        """How long this chat takes to its first token."""
        low, high = self.behaviour.first_token_s, self.behaviour.slowest_s
        if high <= low:
            return low
        return low * (high / low) ** random.Random(-self.chats).random()

    def storm_left_s(self) -> float:
        """Seconds until the storm of refusals is over; 0 between storms."""
        if not self.behaviour.storm_every_s:
            return 0.0
        into = (time.monotonic() - self.started) % self.behaviour.storm_every_s
        return max(0.0, self.behaviour.storm_s - into)

    def reply_to(self, body: Mapping[str, Any]) -> Reply:
        turns: list[Mapping[str, Any]] = body.get("messages") or []
        asked = next((turn["content"] for turn in reversed(turns) if turn["role"] == "user"), "")
        said = self.replies(asked) if self.replies else None
        answer = self.answers.get(asked, asked) if said is None else said
        return Reply(text=answer) if isinstance(answer, str) else answer


class _Connection(asyncio.Protocol):
    """One kept-alive connection; a request is parsed as soon as it is whole."""

    transport: asyncio.Transport

    def __init__(self, server: FakeServer) -> None:
        self.server = server
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.server.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            first, *lines = self.buffer[:end].decode("latin-1").split("\r\n")
            fields = (line.partition(":") for line in lines)
            headers = {name.lower(): value.strip() for name, _, value in fields}
            stop = end + 4 + int(headers.get("content-length", 0))
            if len(self.buffer) < stop:
                return
            content, self.buffer = self.buffer[end + 4 : stop], self.buffer[stop:]
            method, path, _ = first.split(" ", 2)
            self._handle(method, path, headers, content)

    def _handle(self, method: str, path: str, headers: dict[str, str], content: bytes) -> None:
        server = self.server
        sent = headers.pop("authorization", None)
        right = sent == f"Bearer {server.behaviour.key}"
        credential: Credential = "none" if sent is None else "right" if right else "wrong"
        body: dict[str, Any] = json.loads(content) if content else {}
        server.log(SeenRequest(method, path, headers, credential, body))
        server.chatter()
        if server.behaviour.fault == "hang-all":
            return
        if method == "POST" and path == "/v1/chat/completions":
            server.chats += 1
            self._chat(body, authorized=server.behaviour.key is None or right)
        elif path == "/health":
            self._send(b'{"status": "ok"}')
        elif path == "/v1/models":
            self._send(json.dumps({"object": "list", "data": server.listed()}).encode())
        else:
            self._send(b'{"error": "Not Found"}', status=404)

    def _chat(self, body: dict[str, Any], *, authorized: bool) -> None:
        behaviour = self.server.behaviour
        if not authorized:
            self._send(b'{"error": {"message": "Incorrect API key provided"}}', status=401)
            return
        if left := self.server.storm_left_s():
            after = f"Retry-After: {left:.3f}\r\n"
            self._send(b'{"error": {"message": "slow down"}}', status=429, extra=after)
            return
        if behaviour.grow_bytes:
            self.server.kept.append(random.randbytes(behaviour.grow_bytes))
        fault = self.server.fault()
        if fault in ("hang", "status", "not-json"):
            self._refuse(fault)
            return
        reply = self.server.reply_to(body)
        if body.get("stream"):
            head, payload = b": keepalive 1/2\n\n" * behaviour.keepalives, _stream(body, reply)
            kind = "text/event-stream"
        else:
            whole = _whole(body, reply, behaviour)
            head, payload, kind = b"", json.dumps(whole).encode(), "application/json"
        if behaviour.drop_usage:
            payload = payload.replace(b'"usage"', b'"not_usage"')
        if fault == "truncated":
            payload = payload[: len(payload) // 2]
        if fault == "reset":
            self._break_off(payload, kind)
        elif fault in ("exit", "kill"):
            self.transport.write(_head(200, kind, f"Content-Length: {len(payload)}\r\n"))
            self.transport.write(payload[: len(payload) // 2])
            os.kill(os.getpid(), signal.SIGKILL) if fault == "kill" else os._exit(3)
        elif behaviour.first_token_s:
            self._send_slowly(head, payload, kind)
        else:
            self._send(head + payload, kind=kind)

    def _refuse(self, fault: Fault) -> None:
        """Nothing, an error, or a page of HTML, instead of an answer."""
        behaviour = self.server.behaviour
        if fault == "status":
            after = f"Retry-After: {behaviour.retry_after}\r\n" if behaviour.retry_after else ""
            message = {"error": {"message": f"the fake was told to answer {behaviour.status}"}}
            self._send(json.dumps(message).encode(), status=behaviour.status, extra=after)
        elif fault == "not-json":
            self._send(b"<html><body>It works!</body></html>", kind="text/html")

    def _send(
        self, body: bytes, *, status: int = 200, kind: str = "application/json", extra: str = ""
    ) -> None:
        self.transport.write(_head(status, kind, f"Content-Length: {len(body)}\r\n{extra}") + body)

    def _send_slowly(self, head: bytes, payload: bytes, kind: str) -> None:
        """Headers and keepalives at once, content later, in chunks as a real stream would."""
        self.transport.write(_head(200, kind, "Transfer-Encoding: chunked\r\n") + _chunk(head))
        last = _chunk(payload) + b"0\r\n\r\n"
        self.server.waiting += 1
        loop, delay_s = asyncio.get_running_loop(), self.server.wait_s()
        if drip_s := self.server.behaviour.drip_s:
            for number in range(1, int(delay_s / drip_s)):
                loop.call_later(number * drip_s, self._keep_alive)
        loop.call_later(delay_s, self._send_last, last)

    def _keep_alive(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(_chunk(b": keepalive\n\n"))

    def _send_last(self, last: bytes) -> None:
        self.server.waiting -= 1
        self.transport.write(last)

    def _break_off(self, payload: bytes, kind: str) -> None:
        """Half of the promised body, then RST instead of FIN."""
        length = f"Content-Length: {len(payload)}\r\n"
        self.transport.write(_head(200, kind, length) + payload[: len(payload) // 2])
        raw: socket.socket = self.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.transport.abort()


def _head(status: int, kind: str, length: str) -> bytes:
    reason = REASONS.get(status, "Error")
    return f"HTTP/1.1 {status} {reason}\r\nContent-Type: {kind}\r\n{length}\r\n".encode()


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n" if data else b""


def _finish_reason(reply: Reply) -> str:
    return reply.finish_reason or ("tool_calls" if reply.tool_calls else "stop")


def _usage(body: Mapping[str, Any], reply: Reply) -> dict[str, Any]:
    turns: list[Mapping[str, Any]] = body.get("messages") or []
    read = reply.prompt_tokens
    if read is None:
        read = sum(len(str(turn.get("content") or "").split()) for turn in turns)
        read += sum(len(json.dumps(tool).split()) for tool in body.get("tools") or ())
    written = len(reply.text.split())
    usage: dict[str, Any] = {"prompt_tokens": read, "completion_tokens": written}
    usage["total_tokens"] = read + written
    if reply.cached_tokens is not None:
        usage["prompt_tokens_details"] = {"cached_tokens": reply.cached_tokens}
    return usage


def _calls(reply: Reply) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = []
    for index, call in enumerate(reply.tool_calls):
        given = call["arguments"]
        arguments = given if isinstance(given, str) else json.dumps(given)
        function = {"name": call["name"], "arguments": arguments}
        calls.append({"id": f"c{index}", "index": index, "type": "function", "function": function})
    return calls


def _whole(body: Mapping[str, Any], reply: Reply, behaviour: Behaviour) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
    if reply.tool_calls:
        message["tool_calls"] = _calls(reply)
    if reply.reasoning:
        message["reasoning"] = reply.reasoning
    choice: dict[str, Any] = {"index": 0, "finish_reason": _finish_reason(reply)}
    choice["message"] = message
    if body.get("logprobs") and not behaviour.drop_logprobs:
        ids = range(len(reply.text.split())) if reply.token_ids is None else reply.token_ids
        tokens = [{"id": each, "logprob": reply.logprob} for each in ids]
        choice["logprobs"] = {"content": tokens}
    return {
        "id": "chatcmpl-fake",
        "object": "chat.completion",
        "created": 1,
        "model": body.get("model"),
        "choices": [choice],
        "usage": _usage(body, reply),
    }


def _stream(body: Mapping[str, Any], reply: Reply) -> bytes:
    """Every event: reasoning, a word at a time, calls, the end, and usage if asked for."""
    chunk = {"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1}
    chunk["model"] = body.get("model") or ""
    deltas: list[dict[str, Any]] = []
    if reply.reasoning:
        deltas.append({"role": "assistant", "reasoning": reply.reasoning})
    words = reply.text.split(" ") if reply.text else []
    for index, word in enumerate(words):
        deltas.append({"role": "assistant", "content": f" {word}" if index else word})
    if reply.tool_calls:
        deltas.append({"role": "assistant", "tool_calls": _calls(reply)})
    choices: list[dict[str, Any]] = [
        {"index": 0, "finish_reason": None, "delta": delta} for delta in deltas
    ]
    choices.append({"index": 0, "finish_reason": _finish_reason(reply), "delta": {}})
    events: list[dict[str, Any]] = [{**chunk, "choices": [choice]} for choice in choices]
    options: Mapping[str, Any] = body.get("stream_options") or {}
    if options.get("include_usage"):
        events.append({**chunk, "choices": [], "usage": _usage(body, reply)})
    lines = [f"data: {json.dumps(event)}\n\n" for event in events]
    return "".join([*lines, "data: [DONE]\n\n"]).encode()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A fake OpenAI-compatible server.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--model", default="fake")
    parser.add_argument("--answers", type=Path, help="JSON: user text -> text, or a Reply's fields")
    parser.add_argument("--log", type=Path, help="append each request to this file, as JSON lines")
    parser.add_argument("--exit-at-start", type=int, metavar="CODE", help="say so on stderr, exit")
    parser.add_argument("--fault", choices=get_args(Fault))
    parser.add_argument("--status", type=int, default=500)
    parser.add_argument("--retry-after")
    parser.add_argument("--after", type=int, default=0)
    parser.add_argument("--times", type=int)
    parser.add_argument("--slowest-s", type=float, default=0.0)
    parser.add_argument("--reset-share", type=float, default=0.0)
    parser.add_argument("--storm-every-s", type=float, default=0.0)
    parser.add_argument("--storm-s", type=float, default=0.0)
    parser.add_argument("--grow-bytes", type=int, default=0)
    parser.add_argument("--load-s", type=float, default=0.0, help="as if it read a big model")
    parser.add_argument("--loaded", help="the model that it says it loaded")
    parser.add_argument("--adapter", help="the adapter that it says it loaded")
    parser.add_argument("--first-token-s", type=float, default=0.0)
    parser.add_argument("--drip-s", type=float, default=0.0)
    parser.add_argument("--keepalives", type=int, default=0)
    parser.add_argument("--chatter-bytes", type=int, default=0)
    parser.add_argument("--drop-logprobs", action="store_true")
    parser.add_argument("--drop-usage", action="store_true")
    parser.add_argument("--key")
    parser.add_argument("--judge", help="a judge of tests/fake_judge.py")
    return parser.parse_args()


def _read_answers(path: Path | None) -> dict[str, str | Reply]:
    if path is None:
        return {}
    scripted: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return {k: v if isinstance(v, str) else Reply(**v) for k, v in scripted.items()}


def _judge(name: str | None) -> Replies | None:
    if name is None:
        return None
    from fake_judge import replies_of  # beside this file

    return replies_of(name)


async def _serve(options: argparse.Namespace) -> None:
    with contextlib.ExitStack() as stack:
        log: Callable[[SeenRequest], object] = lambda _: None  # noqa: E731 - nothing to name
        if options.log:
            file = stack.enter_context(options.log.open("a", buffering=1, encoding="utf-8"))
            log = lambda seen: file.write(json.dumps(asdict(seen)) + "\n")  # noqa: E731 - as above
        behaviour = Behaviour(
            **{each.name: getattr(options, each.name) for each in fields(Behaviour)}
        )
        server = FakeServer(
            behaviour,
            answers=_read_answers(options.answers),
            model=options.model,
            port=options.port,
            log=log,
            replies=_judge(options.judge),
        )
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
        async with server:
            report(event="listening", port=server.port)
            await asyncio.sleep(options.load_s)
            layers = int(options.adapter is not None)
            told = {"model": options.loaded, "adapter": options.adapter}
            report(event="loaded", **told, adapted_layers=layers)
            sys.stdout.write(json.dumps({"port": server.port, "pid": os.getpid()}) + "\n")
            sys.stdout.flush()
            await stopped.wait()


def report(**event: object) -> None:
    """Tell the punie that started this program, where one did."""
    if descriptor := os.environ.get("PUNIE_EVENTS_FD"):
        os.write(int(descriptor), (json.dumps(event) + "\n").encode())


def main() -> None:
    options = _arguments()
    if options.exit_at_start is not None:
        sys.stderr.write("the fake was told to exit at its start\n")
        sys.exit(options.exit_at_start)
    asyncio.run(_serve(options))


if __name__ == "__main__":
    main()
