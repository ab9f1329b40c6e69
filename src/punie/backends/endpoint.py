"""The endpoint backend: any OpenAI-compatible URL, served by somebody else."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import urlsplit

from punie.errors import InputError
from punie.records.base import Record
from punie.records.run import ModelIdentity
from punie.serving.client import ChatClient
from punie.serving.endpoint import Abilities, Endpoint
from punie.serving.probe import check_reachable

PROBE_S = 60.0


class EndpointConfig(Record):
    """A URL and how to use it. `prices` are (input, output) per million tokens."""

    url: str
    model: str
    api_key: str | None = None
    prices: tuple[float, float] | None = None
    requests_per_minute: float | None = None
    timeout_s: float = 600.0

    def __repr_args__(self) -> list[tuple[str | None, object]]:
        """Everything but the key."""
        return [(name, value) for name, value in super().__repr_args__() if name != "api_key"]


class EndpointBackend:
    """Reaches a server that punie does not own."""

    @asynccontextmanager
    async def serve(self, config: EndpointConfig) -> AsyncGenerator[Endpoint]:
        """Check that the endpoint answers, and give it. Raises InputError or EndpointError."""
        endpoint = Endpoint(
            base_url=checked_url(config.url),
            model=config.model,
            identity=ModelIdentity(
                name=config.model, backend="endpoint", url=checked_url(config.url)
            ),
            api_key=config.api_key,
            abilities=Abilities(),
            prices=config.prices,
            requests_per_minute=config.requests_per_minute,
            timeout_s=config.timeout_s,
        )
        # A server that is there answers one token soon; waiting as for a long answer helps nobody.
        impatient = replace(endpoint, timeout_s=min(PROBE_S, endpoint.timeout_s))
        async with ChatClient(impatient) as client:
            await check_reachable(client)
        yield endpoint


def checked_url(url: str) -> str:
    """The URL if it is a plain http(s) one; raises InputError otherwise.

    A user name or password in it would end up in reports, so it is refused.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise InputError(f"not a usable URL: {url}", hint="it looks like http://127.0.0.1:8080/v1")
    if urlsplit(url).query or urlsplit(url).fragment:
        raise InputError(
            "the URL carries a query or a fragment, which may hold a key",
            hint="give the key in an environment variable (OPENAI_API_KEY, or key_env)",
        )
    if "@" in urlsplit(url).netloc:
        raise InputError(
            "the URL carries a user name or password",
            hint="give the key in an environment variable (OPENAI_API_KEY, or key_env)",
        )
    return url.rstrip("/")
