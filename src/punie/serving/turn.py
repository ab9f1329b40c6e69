"""One punie at a time loads a model, so that each sees the memory that the one before it took."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext, suppress

from filelock import FileLock, Timeout

from punie.serving.registry import state_root

LOCK = "starting.lock"
LOOK_EVERY_S = 0.1


@asynccontextmanager
async def turn_to_start(
    waiting: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> AsyncGenerator[None]:
    """Hold this user's one turn to start a server: from the look at free memory until it is ready.

    `waiting` is entered while another punie has the turn. The system ends a turn with its process,
    however that ends. Where the state folder cannot be written nobody waits: a server is worth
    starting all the same.
    """
    with suppress(OSError):
        state_root().mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = FileLock(state_root() / LOCK)
    if not _taken(lock):
        with waiting():
            while not _taken(lock):  # noqa: ASYNC110 - another process has it, and sets no event
                await asyncio.sleep(LOOK_EVERY_S)
    try:
        yield
    finally:
        lock.release()


def _taken(lock: FileLock) -> bool:
    """Whether the turn is ours now, or there is none to be had."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    except OSError:
        return True
    return True
