"""What `punie serve` counts."""

import time
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

WINDOW_S = 10.0
MOMENTS = 20_000
"""Tokens that the window remembers at most: 2,000 a second for 10 s."""


@dataclass(slots=True)
class Tally:
    """Requests and tokens since the start.

    `refused` were turned away unasked, `failed` got no whole answer although they were asked, and
    `left` are those whose client went away.
    """

    began: float = field(default_factory=time.monotonic)
    requests: int = 0
    in_flight: int = 0
    refused: int = 0
    failed: int = 0
    left: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    _moments: deque[float] = field(default_factory=lambda: deque[float](maxlen=MOMENTS))

    @property
    def uptime_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.began

    @property
    def tokens_per_s(self) -> float:
        """Tokens a second over the last 10 s, of all requests together; 0 while none come."""
        now = time.monotonic()
        while self._moments and now - self._moments[0] > WINDOW_S:
            self._moments.popleft()
        if len(self._moments) < 2:
            return 0.0
        return len(self._moments) / max(now - self._moments[0], 0.1)

    @contextmanager
    def asking(self) -> Generator["TokenCount"]:
        """Count one request in flight and its tokens, to the end of the block."""
        count = TokenCount(self._moments)
        self.in_flight += 1
        try:
            yield count
        finally:
            self.in_flight -= 1
            self.prompt_tokens += count.prompt
            self.completion_tokens += count.completion


@dataclass(slots=True)
class TokenCount:
    """The tokens of one request: as the server reports them at its end, else as they came."""

    moments: deque[float]
    prompt: int = 0
    completion: int = 0

    def note(self, event: dict[str, Any]) -> None:
        """Look at an event of the answer."""
        if usage := event.get("usage"):
            self.prompt = int(usage.get("prompt_tokens", 0))
            self.completion = int(usage.get("completion_tokens", 0))
        elif event:
            self.completion += 1
            self.moments.append(time.monotonic())
