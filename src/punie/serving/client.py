"""One chat call to any OpenAI-compatible server. The only module that imports the HTTP client."""

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import httpx2

from punie.records.result import Completion, FaultKind
from punie.records.suite import Message, Sampling, Tool
from punie.serving.answer import Answer
from punie.serving.endpoint import Endpoint

CONNECT_TIMEOUT_S = 10.0
MAX_BODY_BYTES = 64 * 2**20
"""No answer is longer; a server that sends more is cut off, so that memory stays bounded."""
SEED_LIMIT = 2**63


class RequestFailed(Exception):  # noqa: N818 - it reads as what happened, and is no PunieError
    """A request that brought no answer. `retry_after_s` is what the server asked us to wait."""

    def __init__(
        self,
        kind: FaultKind,
        message: str,
        *,
        status: int | None = None,
        retryable: bool = True,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.status = status
        self.retryable = retryable
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """What is asked: the turns, the tools, how to sample."""

    messages: tuple[Message, ...]
    sampling: Sampling
    tools: tuple[Tool, ...] = ()


class ChatClient:
    """Holds the connections to one endpoint. An async context manager.

    `transport` replaces the network in tests.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        connections: int = 16,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.endpoint = endpoint
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if endpoint.api_key:
            headers["Authorization"] = f"Bearer {endpoint.api_key}"
        self._url = httpx2.URL(endpoint.base_url.rstrip("/") + "/chat/completions")
        self._client = httpx2.AsyncClient(
            headers=headers,
            timeout=httpx2.Timeout(endpoint.timeout_s, connect=CONNECT_TIMEOUT_S),
            limits=httpx2.Limits(
                max_connections=connections, max_keepalive_connections=connections
            ),
            transport=transport,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def ask(self, request: ChatRequest) -> Completion:
        """Send one request and read its answer. Raises RequestFailed, whatever went wrong.

        A prompt with tools is asked unstreamed, with token ids where the endpoint gives them: a
        stream sends nothing while a call is written, and loses what the parser cannot read.
        """
        abilities = self.endpoint.abilities
        stream = abilities.streaming and not request.tools
        body = request_body(self.endpoint, request, stream=stream)
        answer = Answer(has_tools=bool(request.tools), decode=self.endpoint.decode)
        try:
            async with asyncio.timeout(self.endpoint.timeout_s):
                await self._exchange(body, answer)
            if answer.lost_text_in_stream:
                again = request_body(self.endpoint, request, stream=False)
                answer = Answer(has_tools=True, decode=self.endpoint.decode)
                async with asyncio.timeout(self.endpoint.timeout_s):
                    await self._exchange(again, answer)
        except TimeoutError as error:
            seconds = self.endpoint.timeout_s
            message = f"no whole answer within {seconds:.0f} s"
            raise RequestFailed(FaultKind.TIMEOUT, message) from error
        except httpx2.TransportError as error:
            raise _transport_fault(error) from error
        except ValueError as error:
            raise RequestFailed(FaultKind.MALFORMED, f"not a chat answer: {error}") from error
        return answer.completion()

    async def _exchange(self, body: dict[str, Any], answer: Answer) -> None:
        content = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        request = self._client.build_request("POST", self._url, content=content)
        answer.started = time.perf_counter()
        response = await self._client.send(request, stream=True)
        try:
            if response.status_code != HTTPStatus.OK:
                raise _status_fault(response, await _read_some(response))
            if response.headers.get("content-type", "").startswith("text/event-stream"):
                async for chunk in response.aiter_bytes():
                    answer.feed(chunk)
            else:
                answer.read_whole(await _read_some(response))
            answer.finish()
        finally:
            await response.aclose()


def request_body(endpoint: Endpoint, request: ChatRequest, *, stream: bool) -> dict[str, Any]:
    """The JSON of a chat request, with nothing in it that is known to break a server.

    Settings that are None are left out (mlx_lm refuses null); temperature 0 sends no seed, because
    mlx_lm answers seeded requests one at a time.
    """
    sampling = request.sampling
    body: dict[str, Any] = {
        "model": endpoint.model,
        "messages": [_message_body(message) for message in request.messages],
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
    }
    for name in ("top_p", "top_k", "min_p"):
        value = getattr(sampling, name)
        if value is not None:
            body[name] = value
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if sampling.seed is not None and sampling.temperature > 0:
        body["seed"] = sampling.seed % SEED_LIMIT
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters,
                },
            }
            for tool in request.tools
        ]
    if stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    elif endpoint.abilities.token_ids:
        body["logprobs"] = True
    return body


def _message_body(message: Message) -> dict[str, Any]:
    body: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        body["tool_calls"] = [
            {
                "id": call.id,
                "type": call.type,
                "function": {"name": call.function.name, "arguments": call.function.arguments},
            }
            for call in message.tool_calls
        ]
    elif message.content is None:
        body["content"] = ""
    if message.tool_call_id is not None:
        body["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        body["name"] = message.name
    return body


async def _read_some(response: httpx2.Response) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.aiter_bytes():
        parts.append(part)
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise ValueError(f"more than {MAX_BODY_BYTES >> 20} MiB")
    return b"".join(parts)


def _status_fault(response: httpx2.Response, body: bytes) -> RequestFailed:
    status = response.status_code
    message = f"HTTP {status}: {_error_text(body)}"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        after = _seconds(response.headers.get("retry-after"))
        return RequestFailed(FaultKind.RATE_LIMITED, message, status=status, retry_after_s=after)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.REQUEST_TIMEOUT:
        after = _seconds(response.headers.get("retry-after"))
        return RequestFailed(FaultKind.SERVER_ERROR, message, status=status, retry_after_s=after)
    kind = FaultKind.TOO_LONG if "context" in message.lower() else FaultKind.REFUSED
    return RequestFailed(kind, message, status=status, retryable=False)


def _error_text(body: bytes) -> str:
    text = body[:2000].decode("utf-8", "replace").strip()
    with contextlib.suppress(ValueError, LookupError, TypeError):
        error: Any = json.loads(text)["error"]
        text = error if isinstance(error, str) else str(error["message"])
    return " ".join(text.split())[:300] or "no reason given"


def _seconds(retry_after: str | None) -> float | None:
    try:
        return max(0.0, float(retry_after)) if retry_after else None
    except ValueError:
        return None


def _transport_fault(error: httpx2.TransportError) -> RequestFailed:
    what = str(error) or type(error).__name__
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return RequestFailed(FaultKind.UNREACHABLE, f"cannot connect: {what}")
    if isinstance(error, httpx2.TimeoutException):
        return RequestFailed(FaultKind.TIMEOUT, f"no data in time: {what}")
    return RequestFailed(FaultKind.CONNECTION_LOST, f"the connection broke: {what}")
