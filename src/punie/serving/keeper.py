"""`Keeper`: keeps one server answering, and writes down what it had to do for it.

A request that got no answer asks the keeper to `revive` the server. One that lives and answers a
probe is left alone: it was slow. One that died or hangs is started again, with growing pauses and
only so often; one that ran out of memory only once. A watch looks at the server's memory and has it
started again, between requests, when it has grown above its cap.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from punie.errors import ServerError
from punie.records.trust import Incident, IncidentKind
from punie.serving.process import (
    LESS_MEMORY,
    NoTokenError,
    Probe,
    ServerProcess,
    ServerState,
)
from punie.sizes import byte_size

WATCH_S = 1.0


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """How often a server is started again: `in_a_row` times without `proof` answers in between.

    The pause before a restart doubles from `first_pause_s` to `longest_pause_s`. Running out of
    memory is forgiven once: the same work would need the same memory again.
    """

    in_a_row: int = 3
    proof: int = 16
    first_pause_s: float = 0.5
    longest_pause_s: float = 8.0

    def pause_s(self, restarts: int) -> float:
        """Seconds to wait before the `restarts`-th restart in a row, counted from 1."""
        return min(self.longest_pause_s, self.first_pause_s * 2 ** (restarts - 1))


class Keeper:
    """Owns a `ServerProcess` and the only way to it. An async context manager: up inside it.

    `incidents` are the restarts so far, in order. `waiting` says why requests wait, while they do.
    `memory_bytes` is what the server held a moment ago.
    """

    def __init__(
        self, process: ServerProcess, probe: Probe, policy: RestartPolicy | None = None
    ) -> None:
        self.process = process
        self.incidents: list[Incident] = []
        self.waiting = ""
        self.memory_bytes: int | None = None
        self._probe = probe
        self._policy = policy or RestartPolicy()
        self._repair = asyncio.Lock()
        self._open = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._in_use = 0
        self._in_a_row = 0
        self._proof = 0
        self._ran_out = False
        self._given_up: ServerError | None = None
        self._last_end = ""
        self._watch: asyncio.Task[None] | None = None

    @property
    def base_url(self) -> str:
        """Where the server listens now; a restart may change it."""
        return self.process.base_url

    @property
    def life(self) -> int:
        """Which start of the server is up; it grows with each restart."""
        return self.process.life

    def death(self) -> str | None:
        """Why nothing will be answered any more, or None."""
        return self._given_up.message if self._given_up else None

    async def start(self) -> None:
        """Bring the server up. One that loads but gives no token is tried a second time.

        Raises ServerError.
        """
        from punie.serving.registry import sweep  # noqa: PLC0415 - needs psutil, 20 ms

        # What a punie that was killed may have left running would hold memory.
        await asyncio.to_thread(sweep)
        try:
            await self.process.start(self._probe)
        except NoTokenError:
            self._note(IncidentKind.RESTARTED, "the server gave no token after its start")
            await self.process.start(self._probe)
        self._open.set()
        self._watch = asyncio.create_task(self._watch_memory())

    async def stop(self) -> None:
        """End the server; nothing waits or is started again after this."""
        self._given_up = self._given_up or ServerError("the server was stopped")
        self._open.set()
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await self.process.stop()

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.process.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def open(self) -> bool:
        """Whether requests may be sent now, so that `turn` does not wait."""
        return self._open.is_set()

    async def opened(self) -> None:
        """Wait until requests may be sent."""
        await self._open.wait()

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[int]:
        """Wait until the server is up, and hold off planned restarts while inside; gives `life`."""
        await self._open.wait()
        self._in_use += 1
        self._idle.clear()
        try:
            yield self.life
        finally:
            self._in_use -= 1
            if not self._in_use:
                self._idle.set()

    def answered(self) -> None:
        """Hear that an answer came: after enough of them, earlier restarts are forgiven."""
        self._proof += 1
        if self._proof >= self._policy.proof:
            self._in_a_row = 0

    async def revive(self, life: int) -> str | None:
        """Make sure that a server answers, after a request to its start number `life` did not.

        Returns why that start of the server ended, once the next one answers; None if it lives and
        answers a probe, so that it was only slow. Raises ServerError once the server is given up.
        """
        async with self._repair:
            if self._given_up:
                raise self._given_up
            if life != self.life:
                return self._last_end
            reason = self.process.death()
            if reason is None:
                if await self._answers():
                    return None
                reason = self.process.death() or (
                    f"the server hung: no token within {self.process.config.first_token_s:.0f} s"
                )
            await self._restart(reason)
            return reason

    async def _answers(self) -> bool:
        """Whether the server that lives gives a token in time."""
        self.waiting = "asking the server for one token, after a request got no answer"
        probing = asyncio.ensure_future(self._probe(self.base_url))
        ended = asyncio.ensure_future(self.process.ended())
        try:
            async with asyncio.timeout(self.process.config.first_token_s):
                await asyncio.wait({probing, ended}, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            return False
        else:
            return probing.done() and probing.exception() is None
        finally:
            self.waiting = ""
            for task in (probing, ended):
                task.cancel()
            await asyncio.gather(probing, ended, return_exceptions=True)

    async def _restart(self, reason: str, *, failed: bool = True) -> None:
        """Try to start the server until it is up, holding `_repair`. Raises ServerError at the end.

        `failed` is whether its end was a failure, which counts, and no plan of ours.
        """
        self._open.clear()
        self._last_end = reason
        why: str | None = reason
        try:
            while why is not None:
                self._count(why, failed=failed)
                failed = True
                why = await self._start_again(why)
        except ServerError as error:
            if self._given_up is None:
                self._given_up = error
                self._note(IncidentKind.GAVE_UP, error.message.partition("\n")[0])
            raise
        finally:
            self.waiting = ""
            self._open.set()

    async def _start_again(self, reason: str) -> str | None:
        """Try one start, after a pause. None if it went well, else why not."""
        self._note(IncidentKind.RESTARTED, reason)
        self.waiting = f"restarting the server: {reason}"
        await asyncio.sleep(self._policy.pause_s(max(1, self._in_a_row)))
        await self.process.stop()
        if self._given_up:  # stopped meanwhile
            raise self._given_up
        try:
            await self.process.start(self._probe)
        except ServerError as error:
            if self._given_up:
                raise
            return error.message.partition("\n")[0].removesuffix(".")
        return None

    def _count(self, reason: str, *, failed: bool) -> None:
        """Count a restart, unless it is planned and answers came since the last one.

        Raises ServerError if there were enough.
        """
        self._in_a_row += failed or not self._proof
        self._proof = 0
        out_of_memory = self.process.out_of_memory
        if (out_of_memory and self._ran_out) or self._in_a_row > self._policy.in_a_row:
            times = "twice" if out_of_memory else f"{self._in_a_row} times in a row"
            error = self.process.failure(f"{reason}; that was {times}, so it is not started again")
            raise ServerError(error.message, hint=LESS_MEMORY if out_of_memory else error.hint)
        self._ran_out |= out_of_memory

    async def _watch_memory(self) -> None:
        """Note the peak, so that a killed server's is known, and restart what grew too much."""
        cap = self.process.config.memory_cap_bytes
        while True:
            await asyncio.sleep(WATCH_S)
            # In a thread: a GPU's driver takes its time, and answers are being timed meanwhile.
            await asyncio.to_thread(self.process.note_memory)
            now = await asyncio.to_thread(self.process.current_memory)
            self.memory_bytes = now
            if cap is not None and now is not None and now > cap:
                with contextlib.suppress(ServerError):  # who asks next is told
                    await self._restart_between_requests(now, cap)

    async def _restart_between_requests(self, now: int, cap: int) -> None:
        life = self.life
        self.waiting = "letting the requests in flight end, to restart a server that has grown"
        self._open.clear()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.process.config.total_s):
                    # A death meanwhile has it started again at once: nothing to wait for then.
                    while self._in_use and life == self.life:
                        with contextlib.suppress(TimeoutError):
                            await asyncio.wait_for(self._idle.wait(), WATCH_S)
            async with self._repair:
                if life == self.life and self.process.state is ServerState.READY:
                    grown = f"{byte_size(now)}, above its cap of {byte_size(cap)}"
                    await self._restart(f"the server had grown to {grown}", failed=False)
        finally:
            self.waiting = ""
            self._open.set()

    def _note(self, kind: IncidentKind, what: str) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.incidents.append(Incident(at=at, kind=kind, what=what))
