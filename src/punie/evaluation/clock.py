"""Two clocks that tell apart time that passed while the machine was awake from all time."""

import time
from collections.abc import Callable
from dataclasses import dataclass

SLEPT_S = 30.0
"""A gap between the clocks that small corrections of the wall clock do not make."""


@dataclass(frozen=True, slots=True)
class Clock:
    """`wall` runs on while a laptop sleeps, `monotonic` stands still. Both in seconds."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic

    def ahead(self) -> float:
        """How far the wall clock is ahead; only differences between two of these mean anything."""
        return self.wall() - self.monotonic()
