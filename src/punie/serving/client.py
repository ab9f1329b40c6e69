"""One chat call to any OpenAI-compatible server. The only module that imports the HTTP client."""

import asyncio
import contextlib
import json
import ssl
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Self

import httpx2

from punie.records.result import Completion, FaultKind
from punie.serving.answer import Answer
from punie.serving.endpoint import Endpoint
from punie.serving.request import ChatRequest, request_body

CONNECT_TIMEOUT_S = 10.0
MAX_WAIT_S = 86_400.0
MAX_BODY_BYTES = 32 * 2**20
"""No answer is longer; a server that sends more is cut off, so that memory stays bounded."""


MAX_ERROR_BYTES = 2**16
MAX_MESSAGE = 300
"""Characters of a fault's message that are kept; cut only once our key is taken out."""


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


class ChatClient:
    """Sends chats to one endpoint. An async context manager.

    Each request in flight has a transport of one connection for itself, taken from a stack: httpx's
    client and its pool look at every idle connection for every request, which would cost more than
    all that punie does with the answer. `transport` replaces the network in tests.
    """

    def __init__(
        self, endpoint: Endpoint, *, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        self.endpoint = endpoint
        self._address = endpoint.url
        self._url = _chat_url(self._address)
        self._headers = {
            "Host": self._url.netloc.decode(),
            "Content-Type": "application/json",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "User-Agent": "punie",
        }
        if endpoint.api_key:
            self._headers["Authorization"] = f"Bearer {endpoint.api_key}"
        self._replacement = transport
        self._in_flight = 0
        self._idle: list[httpx2.AsyncBaseTransport] = []
        # Only https needs the certificates, which take 15 ms to read; one context serves all.
        secure = self._url.scheme == "https"
        self._tls = (
            httpx2.create_ssl_context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for transport in self._idle:
            await transport.aclose()

    async def ask(self, request: ChatRequest) -> Completion:
        """Send one request and read its answer. Raises RequestFailed, whatever went wrong.

        A prompt with tools is asked unstreamed, with token ids where the endpoint gives them: a
        stream sends nothing while a call is written, and loses what the parser cannot read.
        """
        stream = self.endpoint.abilities.streaming and not request.tools
        self._in_flight += 1
        try:
            answer = await self._answer(request, stream=stream)
            if answer.lost_text_in_stream:
                answer = await self._answer(request, stream=False)
        except httpx2.TransportError as error:
            raise self._keyless(_transport_fault(error)) from None
        except (httpx2.RequestError, ValueError) as error:
            fault = RequestFailed(FaultKind.MALFORMED, f"not a chat answer: {error}")
            raise self._keyless(fault) from None
        except RequestFailed as fault:
            raise self._keyless(fault) from None
        finally:
            self._in_flight -= 1
        return answer.completion()

    async def _answer(self, request: ChatRequest, *, stream: bool) -> Answer:
        """Send one request, within the deadlines for a sign of life and for the whole.

        Keepalives are signs of life: a server that reads long prompts sends them as it goes on.
        """
        endpoint = self.endpoint
        body = request_body(endpoint, request, stream=stream)
        answer = Answer(has_tools=bool(request.tools), decode=endpoint.decode)
        silence_s = (endpoint.first_token_s if stream else None) or endpoint.timeout_s
        if request.sampling.seed is not None:
            silence_s *= self._in_flight  # mlx_lm answers seeded requests one after the other
        try:
            async with asyncio.timeout(endpoint.timeout_s):
                await self._exchange(body, answer, min(silence_s, endpoint.timeout_s))
        except TimeoutError as error:
            message = f"no whole answer within {endpoint.timeout_s:.0f} s"
            raise RequestFailed(FaultKind.TIMEOUT, message) from error
        return answer

    def _keyless(self, fault: RequestFailed) -> RequestFailed:
        """The fault in short and without our key, which a server may echo; faults are shown."""
        fault.message = without_key(self.endpoint.api_key, fault.message)[:MAX_MESSAGE]
        fault.args = (fault.message,)
        return fault

    def _moved(self) -> None:
        """Follow a server that listens elsewhere since it was started again."""
        self._address = self.endpoint.url
        self._url = _chat_url(self._address)
        self._headers["Host"] = self._url.netloc.decode()

    async def _exchange(self, body: dict[str, Any], answer: Answer, silence_s: float) -> None:
        if self._address != self.endpoint.url:
            self._moved()
        waits = {"connect": CONNECT_TIMEOUT_S, "pool": None, "read": silence_s, "write": silence_s}
        content = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        request = httpx2.Request(
            "POST",
            self._url,
            headers={**self._headers, "Content-Length": str(len(content))},
            content=content,
            extensions={"timeout": waits},
        )
        async with self._transport() as transport:
            answer.started = time.perf_counter()
            response = await transport.handle_async_request(request)
            try:
                if response.status_code != HTTPStatus.OK:
                    raise _status_fault(response, await _read_some(response))
                if response.headers.get("content-type", "").startswith("text/event-stream"):
                    async for chunk in _bounded(response):
                        answer.feed(chunk)
                else:
                    answer.read_whole(await _read_some(response))
                answer.finish()
            finally:
                await response.aclose()

    @asynccontextmanager
    async def _transport(self) -> AsyncGenerator[httpx2.AsyncBaseTransport]:
        if self._replacement is not None:
            yield self._replacement
            return
        transport = self._idle.pop() if self._idle else self._new_transport()
        try:
            yield transport
        finally:
            self._idle.append(transport)

    def _new_transport(self) -> httpx2.AsyncHTTPTransport:
        one = httpx2.Limits(max_connections=1, max_keepalive_connections=1)
        return httpx2.AsyncHTTPTransport(limits=one, verify=self._tls, trust_env=False)


def without_key(key: str | None, text: str) -> str:
    """The text without a key, as it is or as JSON and Python write it."""
    if not key:
        return text
    for form in {key, json.dumps(key)[1:-1], repr(key)[1:-1]}:
        text = text.replace(form, "[key]")
    return text


def _chat_url(base_url: str) -> httpx2.URL:
    return httpx2.URL(base_url.rstrip("/") + "/chat/completions")


async def _bounded(response: httpx2.Response) -> AsyncGenerator[bytes]:
    """The body's parts; raises ValueError once there are more bytes than any answer has."""
    size = 0
    async for part in response.aiter_bytes():
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise ValueError(f"more than {MAX_BODY_BYTES >> 20} MiB")
        yield part


async def _read_some(response: httpx2.Response) -> bytes:
    return b"".join([part async for part in _bounded(response)])


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
    text = body[:MAX_ERROR_BYTES].decode("utf-8", "replace").strip()
    with contextlib.suppress(ValueError, LookupError, TypeError):
        error: Any = json.loads(text)["error"]
        text = error if isinstance(error, str) else str(error["message"])
    return " ".join(text.split()) or "no reason given"


def _seconds(retry_after: str | None) -> float | None:
    """The seconds to wait, which may be written as a number or as a date."""
    if not retry_after:
        return None
    with contextlib.suppress(ValueError):
        seconds = float(retry_after)
        return min(seconds, MAX_WAIT_S) if seconds >= 0 else None
    with contextlib.suppress(ValueError, TypeError):
        moment = parsedate_to_datetime(retry_after)
        return min(MAX_WAIT_S, max(0.0, (moment - datetime.now(UTC)).total_seconds()))
    return None


def _transport_fault(error: httpx2.TransportError) -> RequestFailed:
    what = str(error) or type(error).__name__
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return RequestFailed(FaultKind.UNREACHABLE, f"cannot connect: {what}")
    if isinstance(error, httpx2.TimeoutException):
        return RequestFailed(FaultKind.TIMEOUT, "no sign of life in time")
    return RequestFailed(FaultKind.CONNECTION_LOST, f"the connection broke: {what}")
