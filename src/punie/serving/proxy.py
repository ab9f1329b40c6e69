"""The HTTP side of `punie serve`: OpenAI's interface in front of one model with its adapter.

Whatever model a client names, it gets this one: mlx_lm keeps model and adapter together under one
name only, and would answer with the bare base under any other.
"""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any, Self

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from punie.errors import ServerError
from punie.serving.config import DECODE_CONCURRENCY
from punie.serving.doorman import Doorman, refusal
from punie.serving.endpoint import Endpoint
from punie.serving.fields import Refused
from punie.serving.folding import Folding
from punie.serving.incoming import MAX_BODY_BYTES, Asked, Limits, checked
from punie.serving.tally import Tally
from punie.serving.upstream import KEEPALIVE, Upstream, UpstreamFailed

MAX_IN_FLIGHT = DECODE_CONCURRENCY
"""As many as mlx_lm writes side by side; one that waits for its turn looks like a hang."""
BODY_TIMEOUT_S = 30.0
PATIENCE_S = 2.0
"""A restart that takes longer is answered with 503; clients ask again after `RETRY_AFTER_S`."""
RETRY_AFTER_S = 5
CHAT, TEXT = "/chat/completions", "/completions"
RESTARTING = "the model's server is being restarted; ask again in a moment"
PATHS = "there are GET /v1/models, GET /health, POST /v1/chat/completions and POST /v1/completions"


class Proxy:
    """Answers clients with one endpoint's model, and has it revived when it ends.

    `name` is what the model is called to clients. An async context manager; `app` is the ASGI
    application for `port`, and `keep_up` runs beside it.
    """

    def __init__(self, endpoint: Endpoint, *, name: str, port: int, max_tokens: int) -> None:
        self.endpoint = endpoint
        self.name = name
        self.tally = Tally()
        self.reading = 0
        """Requests that were accepted and are not whole yet."""
        self._limits = Limits(
            max_tokens,
            endpoint.vocabulary,
            endpoint.context_length,
            endpoint.abilities,
            endpoint.server,
        )
        self._upstream = Upstream(endpoint)
        self._repairs: set[asyncio.Task[None]] = set()
        self.app = Starlette(
            routes=[
                Route("/health", self._health, methods=["GET"]),
                Route("/v1/models", self._models, methods=["GET"]),
                Route("/v1/models/{model:path}", self._model, methods=["GET"]),
                Route(f"/v1{CHAT}", Asking(self, chat=True), methods=["POST"]),
                Route(f"/v1{TEXT}", Asking(self, chat=False), methods=["POST"]),
            ],
            middleware=[Middleware(Doorman, port=port)],
            exception_handlers={404: _no_such_path, 405: _no_such_path, Exception: _own_mistake},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for repair in self._repairs:
            repair.cancel()
        await asyncio.gather(*self._repairs, return_exceptions=True)
        await self._upstream.__aexit__()

    async def keep_up(self) -> None:
        """Have the model's server started again whenever it ends, asked or not.

        Never returns; raises ServerError once it is given up.
        """
        keeper = self.endpoint.keeper
        if keeper is None:
            await asyncio.Event().wait()
            return
        while True:
            life = keeper.life
            await keeper.process.ended()
            await keeper.revive(life)

    def checked(self, raw: bytes, *, chat: bool) -> Asked:
        """What a client asks, to be passed on under the one name. Raises Refused."""
        asked = checked(raw, self._limits, chat=chat)
        asked.body["model"] = self.endpoint.model
        if not asked.body.get("logprobs"):
            asked.body.update(stream=True, stream_options={"include_usage": True})
        return asked

    async def events(self, path: str, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        """The answer's events under the name that clients know. Raises UpstreamFailed."""
        async with self._turn() as life:
            try:
                async with aclosing(self._upstream.answer(path, body)) as events:
                    async for event in events:
                        yield event if event is KEEPALIVE else event | {"model": self.name}
            except UpstreamFailed as failure:
                if failure.broken:
                    self._have_it_revived(life)
                raise
        if self.endpoint.keeper is not None:
            self.endpoint.keeper.answered()

    @asynccontextmanager
    async def _turn(self) -> AsyncGenerator[int]:
        keeper = self.endpoint.keeper
        if keeper is None:
            yield 0
            return
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    life = await stack.enter_async_context(keeper.turn())
            except TimeoutError:
                raise UpstreamFailed(503, RESTARTING, broken=False) from None
            if keeper.death() is not None:
                message = "the model's server ended and is not started again"
                raise UpstreamFailed(503, message, broken=False)
            yield life

    def _have_it_revived(self, life: int) -> None:
        """Ask for it beside the request, whose sender is told at once."""
        repair = asyncio.create_task(self._revive(life))
        self._repairs.add(repair)
        repair.add_done_callback(self._repairs.discard)

    async def _revive(self, life: int) -> None:
        if self.endpoint.keeper is not None:
            try:
                await self.endpoint.keeper.revive(life)
            except ServerError:
                return  # keep_up hears of it too, and ends the command

    async def _health(self, _request: Request) -> Response:
        keeper = self.endpoint.keeper
        if keeper is not None and (keeper.death() is not None or not keeper.process.alive):
            return refusal(503, RESTARTING, Retry_After=str(RETRY_AFTER_S))
        return JSONResponse({"status": "ok"})

    async def _models(self, _request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [self._description()]})

    async def _model(self, _request: Request) -> Response:
        """Any name is this model."""
        return JSONResponse(self._description())

    def _description(self) -> dict[str, Any]:
        return {"id": self.name, "object": "model", "created": 0, "owned_by": "punie"}


class Asking:
    """The ASGI endpoint of one path: read, check, pass on, and stop when the client goes away."""

    def __init__(self, proxy: Proxy, *, chat: bool) -> None:
        self._proxy = proxy
        self._chat = chat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        tally = self._proxy.tally
        tally.requests += 1
        try:
            asked = await self._accepted(Request(scope, receive))
        except Refused as refused:
            tally.refused += 1
            wait = {"Retry_After": "1"} if refused.status == 429 else {}
            reply = refusal(refused.status, refused.message, param=refused.param, **wait)
            await reply(scope, receive, send)
            return
        except ClientDisconnect:
            tally.left += 1
            return
        answering = asyncio.create_task(self._answer(asked, scope, receive, send))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                tally.left += 1
        finally:
            for task in (answering, leaving):
                task.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)
        if not answering.cancelled():
            answering.result()

    async def _accepted(self, request: Request) -> Asked:
        proxy = self._proxy
        # Those whose bodies are still on their way hold memory too.
        if proxy.tally.in_flight + proxy.reading >= MAX_IN_FLIGHT:
            raise Refused(f"{MAX_IN_FLIGHT} requests are in flight already", status=429)
        proxy.reading += 1
        try:
            raw = await _body(request)
        finally:
            proxy.reading -= 1
        return proxy.checked(raw, chat=self._chat)

    async def _answer(self, asked: Asked, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._streamed if asked.stream else self._whole
        try:
            await answer(asked, scope, receive, send)
        except UpstreamFailed as failure:
            self._proxy.tally.failed += 1
            wait = {"Retry_After": str(RETRY_AFTER_S)} if failure.status >= 500 else {}
            await refusal(failure.status, failure.message, **wait)(scope, receive, send)

    async def _whole(self, asked: Asked, scope: Scope, receive: Receive, send: Send) -> None:
        folding = Folding()
        whole: dict[str, Any] | None = None
        with self._proxy.tally.asking() as count:
            async with aclosing(self._events(asked)) as events:
                async for event in events:
                    count.note(event)
                    if asked.body.get("stream"):
                        folding.add(event)
                    else:
                        whole = event
        await JSONResponse(whole or folding.whole(chat=self._chat))(scope, receive, send)

    async def _streamed(self, asked: Asked, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Send each event as it comes. What fails before the first is still an error's status."""
        started = False
        try:
            with self._proxy.tally.asking() as count:
                async with aclosing(self._events(asked)) as events:
                    async for event in events:
                        count.note(event)
                        if not started:
                            await _start_stream(send)
                            started = True
                        if line := _line(event, asked):
                            await send(_part(line))
                            await asyncio.sleep(0)  # hear of a client that leaves, and be fair
            await send(_part(b"data: [DONE]\n\n"))
        except UpstreamFailed as failure:
            if not started:
                raise
            # The status is sent; an error object in the stream is what OpenAI's clients raise on.
            self._proxy.tally.failed += 1
            error = {"message": failure.message, "type": "server_error"}
            await send(_part(f"data: {json.dumps({'error': error})}\n\n".encode()))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _events(self, asked: Asked) -> AsyncGenerator[dict[str, Any]]:
        return self._proxy.events(CHAT if self._chat else TEXT, asked.body)


async def _body(request: Request) -> bytes:
    """Read the body. Raises Refused if it is no JSON by its type, too large, or too slow."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != (
        "application/json"
    ):
        raise Refused("the content type must be application/json", status=415)
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Refused("the body must not be compressed", status=415)
    too_large = Refused(f"the body is larger than {MAX_BODY_BYTES >> 20} MiB", status=413)
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > MAX_BODY_BYTES:
        raise too_large
    content = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for part in request.stream():
                content += part
                if len(content) > MAX_BODY_BYTES:
                    raise too_large
    except TimeoutError:
        raise Refused("the body did not come in time", status=408) from None
    return bytes(content)


async def _left(receive: Receive) -> None:
    """Wait until the client has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _start_stream(send: Send) -> None:
    headers = [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-cache"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


def _part(line: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": line, "more_body": True}


def _line(event: dict[str, Any], asked: Asked) -> bytes:
    """One event as the client gets it; nothing if it did not ask for it."""
    if event is KEEPALIVE:
        return b": keepalive\n\n"
    if not event.get("choices") and not asked.include_usage:
        return b""
    return f"data: {json.dumps(event)}\n\n".encode()


async def _no_such_path(_request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    return refusal(status, f"there is no such path or method here; {PATHS}")


async def _own_mistake(_request: Request, _error: Exception) -> Response:
    return refusal(500, "punie made a mistake of its own")
