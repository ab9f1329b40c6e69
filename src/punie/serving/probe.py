"""Ready means: one real token came back."""

import asyncio

from punie.errors import EndpointError
from punie.records.result import FaultKind
from punie.records.suite import Message, Sampling
from punie.serving.client import ChatClient, RequestFailed
from punie.serving.endpoint import Endpoint
from punie.serving.request import ChatRequest

ONE_TOKEN = ChatRequest(
    messages=(Message(role="user", content="Hi"),), sampling=Sampling(max_tokens=1)
)


async def until_one_token(endpoint: Endpoint, pause_s: float = 0.1) -> None:
    """Ask until one token comes; the caller bounds the time.

    For a server of our own, which may still be loading. Raises RequestFailed if it refuses.
    """
    async with ChatClient(endpoint) as client:
        while True:
            try:
                await client.ask(ONE_TOKEN)
            except RequestFailed as fault:
                if not fault.retryable:
                    raise
                await asyncio.sleep(pause_s)
            else:
                return


async def check_reachable(client: ChatClient, *, attempts: int = 3, pause_s: float = 1.0) -> None:
    """Ask somebody else's endpoint for one token before a run.

    Raises EndpointError, with what to do, if no request gets through: a wrong address, key, or
    model is found out here and not once per prompt.
    """
    for attempt in range(1, attempts + 1):
        try:
            await client.ask(ONE_TOKEN)
        except RequestFailed as fault:
            if fault.kind is FaultKind.RATE_LIMITED:
                return
            if fault.retryable and fault.kind is not FaultKind.UNREACHABLE and attempt < attempts:
                await asyncio.sleep(pause_s)
                continue
            raise _refusal(client.endpoint, fault) from fault
        else:
            return


def _refusal(endpoint: Endpoint, fault: RequestFailed) -> EndpointError:
    hint = "check the address, and that the server is running"
    if fault.status in (401, 403):
        name = "the key's environment variable (OPENAI_API_KEY, or key_env of the endpoint)"
        hint = f"set {name} to a key that this endpoint accepts"
    elif fault.status in (400, 404, 422):
        hint = f"check the model's name ({endpoint.model}) and that the address ends in /v1"
    return EndpointError(f"{endpoint.base_url}: {fault.message}", hint=hint)
