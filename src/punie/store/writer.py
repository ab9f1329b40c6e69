"""Committing outcomes from an event loop without stopping it.

An fsync takes milliseconds, during which a blocked loop would see first tokens late and so measure
latencies that are not the model's. One thread commits. An outcome that comes alone is committed
at once; those that come within `GAP_S` of the last commit share the next one: each commit costs
as much CPU as all else that punie does with an answer. An outcome is acknowledged only once it is
committed.
"""

import asyncio
import threading
import time
from collections import deque
from typing import Self

from punie.records.result import Outcome
from punie.records.run import Run
from punie.store.runs import RunStore

GAP_S = 0.005


class OutcomeWriter:
    """An async context manager; `await write(outcome)` returns when the outcome is committed.

    Raises StoreError for each outcome that could not be kept.
    """

    def __init__(self, store: RunStore, run_id: str) -> None:
        self._store = store
        self._run_id = run_id
        self._waiting: deque[tuple[Outcome | Run, asyncio.Future[None]]] = deque()
        self._arrived = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._commit_until_closed, name="punie-store")
        self._loop: asyncio.AbstractEventLoop | None = None

    async def write(self, outcome: Outcome) -> None:
        """Commit one outcome."""
        await self._commit(outcome)

    async def update(self, run: Run) -> None:
        """Replace the run's head, because something befell the machine."""
        await self._commit(run)

    async def _commit(self, record: Outcome | Run) -> None:
        assert self._loop is not None
        done = self._loop.create_future()
        with self._arrived:
            self._waiting.append((record, done))
            self._arrived.notify()
        await done

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        with self._arrived:
            self._closing = True
            self._arrived.notify()
        await asyncio.to_thread(self._thread.join)

    def _commit_until_closed(self) -> None:
        last = 0.0
        while True:
            with self._arrived:
                while not self._waiting and not self._closing:
                    self._arrived.wait()
            if (early := last + GAP_S - time.monotonic()) > 0 and not self._closing:
                time.sleep(early)
            with self._arrived:
                batch = list(self._waiting)
                self._waiting.clear()
            if not batch:
                return
            failure: Exception | None = None
            try:
                records = [record for record, _ in batch]
                self._store.add(self._run_id, [r for r in records if not isinstance(r, Run)])
                for head in (r for r in records if isinstance(r, Run)):
                    self._store.update(head)
            except Exception as error:  # noqa: BLE001 - handed to whoever awaits the outcome
                failure = error
            last = time.monotonic()
            assert self._loop is not None
            self._loop.call_soon_threadsafe(_acknowledge, [done for _, done in batch], failure)


def _acknowledge(waiting: list[asyncio.Future[None]], failure: Exception | None) -> None:
    for done in waiting:
        if done.done():
            continue
        if failure is None:
            done.set_result(None)
        else:
            done.set_exception(failure)
