"""What a person sees while a server of our own is started."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

from punie.cli.live import waiting_for


@asynccontextmanager
async def starting(model: str, *, quiet: bool = False) -> AsyncGenerator[None]:
    """Have the turn to load a model, and show that `model` is being started.

    What looks at free memory belongs inside: before, another punie may still be loading.
    """
    from punie.serving.turn import turn_to_start

    another = partial(waiting_for, "waiting for another punie to load its model", quiet=quiet)
    async with turn_to_start(another):
        with waiting_for(f"starting a server with {model}", quiet=quiet):
            yield
