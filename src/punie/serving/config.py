"""What a server of our own is asked to serve, and how."""

from pathlib import Path

from punie.records.base import Record

SECONDS_PER_GB = 20.0
"""A slow disk reads 100 MB/s; twice that long is allowed before a load counts as stuck. A token
needs every weight once too: the deadlines of an answer grow with the same number."""

DECODE_CONCURRENCY = 32
"""mlx_lm's own default."""

PROMPT_CONCURRENCY = 8
"""mlx_lm's own default; the estimate of memory counts with it."""


class ServerConfig(Record):
    """One model, with or without one adapter, on one port of this machine.

    `port` 0 lets the system choose a free one, which cannot collide.
    """

    model: Path
    adapter: Path | None = None
    host: str = "127.0.0.1"
    port: int = 0
    log: Path
    """Where the child's stdout and stderr go."""
    decode_concurrency: int = DECODE_CONCURRENCY
    """Answers written side by side in one batch; further requests wait, silently."""
    prompt_concurrency: int = PROMPT_CONCURRENCY
    """Prompts read side by side in one batch."""
    start_timeout_s: float = 120.0
    """From the start to the first token of a probe."""
    first_token_s: float = 120.0
    """From sending a request to its first token, or of silence between two."""
    total_s: float = 900.0
    """From sending a request to the end of its answer."""
    stop_grace_s: float = 3.0
    memory_cap_bytes: int | None = None
    """A server that holds more is started again, between two requests."""
    on_gpu: bool = False
    """Whether its memory is that of an NVIDIA GPU."""

    def scaled_to(self, weight_bytes: int) -> "ServerConfig":
        """Allow a big model longer to load, and to answer, than a small one."""
        more = SECONDS_PER_GB * weight_bytes / 1e9
        deadlines = {
            "start_timeout_s": self.start_timeout_s + more,
            "first_token_s": self.first_token_s + more,
            "total_s": self.total_s + 10 * more,
        }
        return self.model_copy(update=deadlines)
