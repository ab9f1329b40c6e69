"""What `punie serve` passes on to its mlx_lm server, and what comes back, event by event.

Beside the client the only module that imports the HTTP client: a client measures one whole answer,
this one hands on the parts of an answer that it does not look into.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, aclosing
from typing import Any, Self, cast

import httpx2

from punie.serving.endpoint import Endpoint

CONNECT_TIMEOUT_S = 10.0
MAX_EVENT_BYTES = 32 * 2**20
MAX_ERROR_BYTES = 64 * 1024
KEEPALIVE: dict[str, Any] = {}
"""Stands for a sign of life: the prompt is still being read."""


class UpstreamFailed(Exception):  # noqa: N818 - it reads as what happened, and is no PunieError
    """No answer, or only a part of one. `broken`: the server itself may need help."""

    def __init__(self, status: int, message: str, *, broken: bool) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.broken = broken


class Upstream:
    """Asks the server behind an endpoint. An async context manager."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        # mlx_lm answers each request on a connection of its own (HTTP/1.0).
        timeout = httpx2.Timeout(endpoint.timeout_s, connect=CONNECT_TIMEOUT_S, pool=None)
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
        # Never https: an empty context spares reading the certificates.
        plain = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._client = httpx2.AsyncClient(
            timeout=timeout, limits=limits, trust_env=False, verify=plain
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def answer(self, path: str, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        """The events of an answer: its parts if the body asks for a stream, or one whole answer.

        A stream may be silent for the endpoint's `first_token_s`, before its first token and
        between two, and every answer may take `timeout_s`; a sign of life is no token. Raises
        UpstreamFailed, before the first event or after it. To be closed by the caller: that is what
        ends the server's work on a stream that nobody reads any more.
        """
        content = json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        url = self._endpoint.url.rstrip("/") + path
        stream = bool(body.get("stream"))
        loop = asyncio.get_running_loop()
        total_s = self._endpoint.timeout_s
        silence_s = (self._endpoint.first_token_s if stream else None) or total_s
        end = loop.time() + total_s
        until, overdue = loop.time() + silence_s, "the model gave no token in time"
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout_at(min(until, end)):
                    request = self._client.stream("POST", url, content=content, headers=headers)
                    reply = await stack.enter_async_context(request)
                    if reply.status_code != 200:
                        raise _refusal(reply.status_code, await _beginning(reply))
                events = await stack.enter_async_context(aclosing(_events(reply, stream=stream)))
                while True:
                    # Not around the yield: a client that reads slowly is no silence of the server.
                    async with asyncio.timeout_at(min(until, end)):
                        event = await anext(events, None)
                    if event is None:
                        return
                    yield event
                    if event is not KEEPALIVE:
                        until, overdue = loop.time() + silence_s, "the model fell silent"
        except (TimeoutError, httpx2.TimeoutException):
            if loop.time() >= end:
                overdue = f"the answer was not whole within {total_s:.0f} s"
            raise UpstreamFailed(504, overdue, broken=True) from None
        except (httpx2.TransportError, httpx2.StreamError):
            raise UpstreamFailed(503, "the model's server is gone", broken=True) from None


async def _events(reply: httpx2.Response, *, stream: bool) -> AsyncGenerator[dict[str, Any]]:
    """Yield the events of an answer.

    A stream is whole with its last word, or, as transformers' server has none, once a part of it
    has told why it ends.
    """
    buffer, whole = b"", False
    async for part in reply.aiter_bytes():
        buffer += part
        if len(buffer) > MAX_EVENT_BYTES:
            raise UpstreamFailed(502, "the model's server sent too much", broken=True)
        while stream and b"\n\n" in buffer:
            block, _, buffer = buffer.partition(b"\n\n")
            if block.startswith(b":"):
                yield KEEPALIVE
            elif block == b"data: [DONE]":
                return
            else:
                event = _parsed(block.removeprefix(b"data:"))
                whole = whole or _ends(event)
                yield event
    if stream and whole:
        return
    if stream:
        raise UpstreamFailed(503, "the model's server ended within its answer", broken=True)
    yield _parsed(buffer)


def _ends(event: Mapping[str, Any]) -> bool:
    choices: Any = event.get("choices")
    told: list[Any] = list(cast("list[Any]", choices)) if isinstance(choices, list) else []
    known = [cast("dict[str, Any]", each) for each in told if isinstance(each, dict)]
    return any(each.get("finish_reason") for each in known)


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        value: Any = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise UpstreamFailed(502, "the model's server sent no answer that can be read", broken=True)
    return cast("dict[str, Any]", value)


async def _beginning(reply: httpx2.Response) -> bytes:
    content = b""
    async for part in reply.aiter_bytes():
        content += part
        if len(content) > MAX_ERROR_BYTES:
            break
    return content


def _refusal(status: int, content: bytes) -> UpstreamFailed:
    """What a status other than 200 means: mlx_lm answers 404 to all that fails while it works."""
    text = content.decode("utf-8", "replace")
    try:
        error: Any = json.loads(text)["error"]
    except (ValueError, LookupError, TypeError):
        error = text
    reason = " ".join(str(error).split())[:300] or f"HTTP {status}"
    if "generation thread died" in reason or status >= 500:
        return UpstreamFailed(503, "the model's server can no longer generate", broken=True)
    return UpstreamFailed(400, f"the model's server refuses this: {reason}", broken=False)
