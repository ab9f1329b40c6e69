"""How long to go on with requests that fail, and when the next one may be sent."""

import asyncio
import random
import time
from contextlib import suppress
from dataclasses import dataclass

from punie.records.result import FaultKind
from punie.serving.client import RequestFailed

LOST = frozenset(
    {FaultKind.UNREACHABLE, FaultKind.CONNECTION_LOST, FaultKind.TIMEOUT, FaultKind.MALFORMED}
)
"""Faults after which a server of our own is looked at, and started again if need be. An answer that
ends in the middle is `MALFORMED`: a dying server may close its streams in good order."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to go on with a prompt whose requests fail.

    Pauses double from `first_pause_s` to `longest_pause_s`, each varied by up to a half so that
    clients do not return together. A server that says `Retry-After` is believed; one that wants
    more than `longest_wait_s` is not asked again. Being told to slow down does not use up
    `attempts`, only `slow_downs`. A prompt that no answer came to in time, that a server of our own
    did not survive, or during which the machine slept, is asked `again` so many times.
    """

    attempts: int = 4
    slow_downs: int = 12
    again: int = 1
    first_pause_s: float = 0.5
    longest_pause_s: float = 15.0
    longest_wait_s: float = 120.0

    def pause_s(self, failures: int, fault: RequestFailed) -> float:
        """Seconds to wait after the `failures`-th failure, counted from 1."""
        pause = min(self.longest_pause_s, self.first_pause_s * 2 ** (failures - 1))
        pause *= random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
        return max(pause, min(fault.retry_after_s or 0.0, self.longest_wait_s))

    def spent(self, failures: list[FaultKind], *, ours: bool) -> bool:
        """Whether a prompt whose requests failed like this is given up; `ours` is the server."""
        slow_downs = failures.count(FaultKind.RATE_LIMITED)
        naps = failures.count(FaultKind.SLEPT)
        others = len(failures) - slow_downs - naps
        lost = sum(kind in LOST or kind is FaultKind.SERVER_DIED for kind in failures)
        return (
            slow_downs > self.slow_downs
            or naps > self.again
            or failures.count(FaultKind.TIMEOUT) > self.again
            or others >= self.attempts
            or (ours and lost > self.again)
        )


class Pacer:
    """Hands out moments to send at: evenly, and none while the endpoint wants a pause."""

    def __init__(self, per_minute: float | None) -> None:
        self._gap_s = 60.0 / per_minute if per_minute else 0.0
        self._next = 0.0

    async def turn(self, stop: asyncio.Event) -> None:
        """Wait for the next free moment, or until `stop` is set."""
        now = time.monotonic()
        if not self._gap_s and self._next <= now:
            return
        moment = max(now, self._next)
        self._next = moment + self._gap_s
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), moment - now)

    def hold(self, seconds: float) -> None:
        """Send nothing for so long, because the endpoint said so."""
        self._next = max(self._next, time.monotonic() + seconds)

    @property
    def held_s(self) -> float:
        """Seconds until the next moment."""
        return max(0.0, self._next - time.monotonic())
