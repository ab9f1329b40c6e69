"""Who may talk to a server on this machine's own address: an ASGI middleware.

Listening on 127.0.0.1 keeps other machines out, but not web pages: a page may send requests to
local addresses, and a name that is made to point here (DNS rebinding) even lets it read the
answers. So the Host must be this machine's with our port, and the Origin, which every browser
sends along, must be none or a page of this machine itself.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL = ("127.0.0.1", "localhost", "[::1]")
METHODS = "GET, POST"
HEADERS = "authorization, content-type"


def refusal(status: int, message: str, *, param: str | None = None, **headers: str) -> JSONResponse:
    """Answer with an error in OpenAI's form. A header's name is given with `_` for `-`."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    error = {"message": message, "type": kind, "param": param, "code": None}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return JSONResponse({"error": error}, status, headers=named)


class Doorman:
    """Lets only requests through that come from this machine and name it."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        self._hosts = {f"{name}:{port}" for name in LOCAL}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            await refusal(403, "the Host of this request is not this server's")(
                scope, receive, send
            )
            return
        if not origins:
            await self._app(scope, receive, send)
            return
        if len(origins) != 1 or not is_local(origins[0]):
            message = "pages of other sites may not use this server"
            await refusal(403, message)(scope, receive, send)
            return

        async def send_allowed(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                answer["Access-Control-Allow-Origin"] = origins[0]
                answer["Vary"] = "Origin"
            await send(message)

        if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            allowed = {
                "Access-Control-Allow-Methods": METHODS,
                "Access-Control-Allow-Headers": HEADERS,
                "Access-Control-Max-Age": "600",
            }
            await Response(status_code=204, headers=allowed)(scope, receive, send_allowed)
            return
        await self._app(scope, receive, send_allowed)


def is_local(origin: str) -> bool:
    """Whether an Origin is a page that this machine serves itself, on whatever port."""
    try:
        parts = urlsplit(origin)
        _ = parts.port  # raises ValueError if it is none
    except ValueError:
        return False
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    whole = f"{parts.scheme}://{parts.netloc}" == origin and "@" not in parts.netloc
    return whole and parts.scheme == "http" and host in LOCAL
