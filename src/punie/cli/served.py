"""From what was asked for to an endpoint that answers."""

import contextlib
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from punie.cli.adapter import adapter_of
from punie.cli.backend_option import backend_choice
from punie.cli.live import waiting_for
from punie.cli.starting import starting
from punie.cli.wish import Wish, chosen_concurrency
from punie.errors import EndpointError, InputError
from punie.records.suite import EvalSuite
from punie.serving.endpoint import Endpoint
from punie.settings import EndpointSettings, Loaded, Settings

if TYPE_CHECKING:
    from punie.backends.endpoint import EndpointConfig
    from punie.backends.local import LocalModel
    from punie.backends.preflight import Preflight


class Served(NamedTuple):
    """Who answers, and what its memory allows; None for somebody else's server."""

    endpoint: Endpoint
    memory: "Preflight | None"


@asynccontextmanager
async def served(
    wish: Wish, settings: Loaded, log: Path, suite: EvalSuite
) -> AsyncGenerator[Served]:
    """The endpoint that was asked for: a server of our own, or somebody else's.

    Before a server of our own is started, what `suite` takes is compared with what is free.
    """
    for flag, given in (("backend", wish.backend), ("quantization", wish.quantization)):
        if wish.url and given not in {None, "auto", "endpoint", "none"}:
            raise InputError(
                f"--url and --{flag} {given} contradict each other", hint="drop one of them"
            )
    if is_remote(wish, settings):
        if wish.adapter:
            raise InputError(
                "--adapter is for models that punie serves, not for a URL",
                hint="start the server with the adapter, or drop --url",
            )
        async with _remote(wish, settings.values) as endpoint:
            yield Served(endpoint, None)
        return
    async with _local(wish, settings, log, suite) as service:
        yield service


def is_remote(wish: Wish, settings: Loaded) -> bool:
    """Whether somebody else's server was asked for."""
    return bool(wish.url) or (wish.backend or settings.values.backend) == "endpoint"


@asynccontextmanager
async def _remote(wish: Wish, values: Settings) -> AsyncGenerator[Endpoint]:
    from punie.backends.endpoint import EndpointBackend

    config = remote_config(wish, values)
    async with contextlib.AsyncExitStack() as stack:
        with waiting_for(f"asking {config.url} for one token", quiet=wish.quiet):
            endpoint = await stack.enter_async_context(EndpointBackend().serve(config))
        yield endpoint


def remote_config(wish: Wish, values: Settings) -> "EndpointConfig":
    """Somebody else's server as it was asked for, with its key.

    Raises InputError where it is not said which, EndpointError where its key is missing.
    """
    from punie.backends.endpoint import EndpointConfig, checked_url

    named = chosen_endpoint(wish.url, values)
    checked_url(named.url)
    model = wish.model or named.model or values.model
    if not model:
        raise InputError(
            f"which model of {named.url}?", hint="give --model with the name that it goes by there"
        )
    # A project's file must not choose where the key of somebody's OpenAI account goes: a configured
    # endpoint gets only the key that its key_env names.
    configured = named in values.endpoints.values()
    key_env = named.key_env or ("" if configured else "OPENAI_API_KEY")
    key = os.environ.get(key_env) if key_env else None
    if key is not None and not (key.isascii() and key.isprintable() and " " not in key):
        raise EndpointError(
            f"{key_env} holds white space or characters that no key has",
            hint="set it again, without a line break at its end",
        )
    if named.key_env and not key:
        raise EndpointError(
            f"{named.key_env}, the key of {named.url}, is not set",
            hint=f"export {named.key_env}=…",
        )
    return EndpointConfig(
        url=named.url,
        model=model,
        api_key=key,
        prices=named.prices,
        requests_per_minute=named.requests_per_minute,
        timeout_s=named.timeout_s,
    )


def chosen_endpoint(url: str | None, values: Settings) -> EndpointSettings:
    """What `--url` names: a URL, or a configured endpoint.

    Without it: OPENAI_BASE_URL, or the only configured endpoint.
    """
    known = values.endpoints
    if url is None:
        if base := os.environ.get("OPENAI_BASE_URL"):
            return EndpointSettings(url=base)
        if len(known) == 1:
            return next(iter(known.values()))
        raise InputError(
            "which endpoint?", hint="give --url, or set OPENAI_BASE_URL, or configure one endpoint"
        )
    if url in known:
        return known[url]
    if "://" not in url and known:
        raise InputError(
            f"no endpoint is called {url}", hint=f"configured: {', '.join(sorted(known))}"
        )
    return EndpointSettings(url=url)


def local_model(wish: Wish, settings: Loaded) -> "LocalModel":
    """The model of this machine that was asked for, with its adapter, both checked.

    Raises InputError or ModelError, before anything is started.
    """
    from punie.backends.local import prepare
    from punie.cli.pulling import pulling
    from punie.models.catalog import DEFAULT_MODEL

    chosen = wish.model or settings.values.model
    adapter = adapter_of(wish, settings)
    with pulling(silent=wish.quiet) as progress:
        return prepare(
            chosen or DEFAULT_MODEL,
            adapter,
            how=backend_choice(
                settings.values, backend=wish.backend, quantization=wish.quantization
            ),
            demo=chosen is None,
            progress=progress,
        )


@asynccontextmanager
async def _local(
    wish: Wish, settings: Loaded, log: Path, suite: EvalSuite
) -> AsyncGenerator[Served]:
    from punie.backends.local import serve
    from punie.backends.preflight import preflight

    model = local_model(wish, settings)
    async with contextlib.AsyncExitStack() as stack:
        async with starting(model.identity.name, quiet=wish.quiet):
            memory = preflight(
                model.path,
                suite,
                concurrency=chosen_concurrency(wish, settings),
                repeats=wish.repeats or 1,
                adapter=model.adapter,
                how=model.how,
            )
            endpoint = await stack.enter_async_context(
                serve(
                    model,
                    log,
                    concurrency=memory.concurrency,
                    memory_cap_bytes=memory.cap_bytes,
                )
            )
        yield Served(endpoint, memory)
