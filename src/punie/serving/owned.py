"""A server of our own, kept alive while a block runs: the same for every backend that has one."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

from punie.serving.client import RequestFailed
from punie.serving.endpoint import Endpoint
from punie.serving.keeper import Keeper, RestartPolicy
from punie.serving.probe import until_one_token
from punie.serving.process import ServerProcess


@asynccontextmanager
async def owned(
    process: ServerProcess, endpoint: Endpoint, policy: RestartPolicy | None = None
) -> AsyncGenerator[Endpoint]:
    """Start `process` and give `endpoint` with its address and its keeper; end it afterwards.

    `endpoint` says all but where the server listens. Raises ServerError where it does not start.
    """

    async def probe(base_url: str) -> None:
        try:
            await until_one_token(replace(endpoint, base_url=base_url))
        except RequestFailed as fault:
            what = f"the server loaded {process.config.model} but refuses to answer"
            raise process.failure(f"{what}: {fault.message}") from fault

    async with Keeper(process, probe, policy) as keeper:
        yield replace(endpoint, base_url=keeper.base_url, keeper=keeper)
