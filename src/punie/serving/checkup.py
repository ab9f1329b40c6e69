"""What a doctor can see of servers: the configured endpoints, the hub, and punie's own."""

import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from punie.records.checkup import Checkup, note, ok, problem
from punie.serving.registry import Kind, running

DEADLINE_S = 3.0
HUB = "https://huggingface.co"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


@dataclass(frozen=True, slots=True)
class Reply:
    """How a URL answered: an HTTP status, or why there was none."""

    status: int | None
    seconds: float
    why: str = ""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer; following one would carry a key to another address."""

    def redirect_request(  # noqa: PLR0917 - urllib's signature
        self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: Any
    ) -> None:
        """Follow nothing."""


def reach(url: str, headers: Mapping[str, str] | None = None, *, proxies: bool = False) -> Reply:
    """GET `url` once, within a few seconds, and read nothing of what comes back.

    `proxies`: go through those of the environment, as Hugging Face's library does; our own client
    does not. A thread that is not waited for bounds what no timeout of a socket does: looking up a
    name, and an answer that comes a byte at a time.
    """
    replies: list[Reply] = []
    asking = Thread(
        target=lambda: replies.append(_get(url, headers or {}, proxies=proxies)), daemon=True
    )
    asking.start()
    asking.join(DEADLINE_S)
    return replies[0] if replies else Reply(None, DEADLINE_S, _reason(TimeoutError()))


def _get(url: str, headers: Mapping[str, str], *, proxies: bool) -> Reply:
    handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
    if not proxies:
        handlers.append(urllib.request.ProxyHandler({}))
    opener = urllib.request.build_opener(*handlers)
    began = time.monotonic()
    status, why = None, ""
    try:
        # Only http and https come here: endpoints are checked, the hub's address is below.
        request = urllib.request.Request(url, headers={"User-Agent": "punie", **headers})  # noqa: S310 - see above
        with opener.open(request, timeout=DEADLINE_S) as response:
            status = int(response.status)
    except urllib.error.HTTPError as error:
        status = error.code
        error.close()
    except urllib.error.URLError as error:
        why = _reason(error.reason)
    except (OSError, HTTPException, ValueError) as error:
        why = _reason(error)
    return Reply(status, time.monotonic() - began, why)


def check_endpoint(name: str, url: str, *, key_env: str, model: str | None) -> Checkup:
    """Whether an endpoint answers and takes the key that variable `key_env` holds, if any.

    It is asked for its list of models: that costs nothing, where even one token would.
    """
    line = f"endpoint {name}" if name else "endpoint"
    key = os.environ.get(key_env, "") if key_env else ""
    has_key = f"{key_env} is set" if key else "no key needed" if not key_env else "no key"
    about = f"{url}{f', model {model}' if model else ''}, {has_key}"
    if key and not (key.isascii() and key.isprintable() and " " not in key):
        return problem(
            line,
            f"{url}: {key_env} holds white space or characters that no key has",
            "set it again, without a line break at its end",
        )
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    reply = reach(f"{url.rstrip('/')}/models", headers)
    if reply.status is None:
        mend = "check the address, and that the server is running"
        return problem(line, f"{about}: cannot be reached ({reply.why})", mend)
    if reply.status in (401, 403):
        mend = f"export {key_env or 'OPENAI_API_KEY'}=…" if not key else f"check {key_env}"
        return problem(line, f"{about}: refused (HTTP {reply.status})", mend)
    if reply.status == 200:
        return ok(line, f"{about}: answers in {reply.seconds * 1000:.0f} ms")
    if reply.status in (404, 405):
        return note(line, f"{about}: answers, but lists no models (HTTP {reply.status})")
    return note(line, f"{about}: answers with HTTP {reply.status}", "look at the server's log")


def missing_key(name: str, url: str, key_env: str) -> Checkup:
    """Say that the key of a configured endpoint is not there."""
    return problem(f"endpoint {name}", f"{url}: {key_env} is not set", f"export {key_env}=…")


def check_hub(*, offline: bool) -> Checkup:
    """Whether models could be downloaded. A machine without a network is fine, so it is no problem.

    HF_ENDPOINT is honoured, and so are the proxies of the environment.
    """
    line = "hugging face hub"
    if offline:
        return note(line, "HF_HUB_OFFLINE is set: nothing is downloaded", "unset HF_HUB_OFFLINE")
    url = os.environ.get("HF_ENDPOINT") or HUB
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return problem(line, "HF_ENDPOINT is no http(s) address", "unset HF_ENDPOINT")
    reply = reach(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", proxies=True)
    if reply.status is None:
        found = f"{parts.hostname} cannot be reached ({reply.why}); models here can be used"
        return note(line, found, "check the network, for models that are not here")
    return ok(line, f"{parts.hostname} answers in {reply.seconds * 1000:.0f} ms")


def check_proxies(env: Mapping[str, str]) -> Checkup | None:
    """Say that a proxy is set, which punie's own client does not use; its address is not shown."""
    names = [each for name in PROXIES for each in (name, name.lower()) if env.get(each)]
    if not names:
        return None
    found = f"{', '.join(names)} set: downloads use it, requests to endpoints go directly"
    return note("proxy", found)


def check_servers() -> list[Checkup]:
    """The servers of punie that run on this machine."""
    lines: list[Checkup] = []
    entries = running()
    addresses = {entry.owner_pid for entry in entries if entry.kind is Kind.SERVE and entry.owned}
    for entry in entries:
        about = f"{entry.model} on port {entry.port}, pid {entry.pid}, since {entry.since_here}"
        if entry.owned and entry.kind is Kind.SERVE:
            lines.append(ok("server", f"punie serve: {about}"))
        elif entry.owned and entry.owner_pid in addresses:
            continue  # the server behind an address that has its line
        elif entry.owned:
            lines.append(note("server", f"{entry.kind.value} of a running punie: {about}"))
        else:
            found = f"left behind by a punie that is gone: {about}"
            lines.append(problem("server", found, f"kill {entry.pid}"))
    return lines or [ok("servers", "none of punie's is running")]


def _reason(error: object) -> str:
    """Why there was no answer, in few words."""
    if isinstance(error, TimeoutError):
        return f"no answer within {DEADLINE_S:.0f} s"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__ if isinstance(error, BaseException) else str(error)
