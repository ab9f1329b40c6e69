"""What a server of our own is asked to serve, and how."""

from pathlib import Path

from pydantic import Field

from punie.records.base import Record

SECONDS_PER_GB = 20.0
"""A slow disk reads 100 MB/s; twice that long is allowed before a load counts as stuck."""


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
    decode_concurrency: int = 32
    """Answers written side by side in one batch."""
    prompt_concurrency: int = 8
    """Prompts read side by side in one batch."""
    chat_template_args: dict[str, bool | int | str] = Field(default_factory=dict)
    trust_remote_code: bool = False
    start_timeout_s: float = 120.0
    """Until the first token; `scaled_to` the size of the weights."""
    stop_grace_s: float = 3.0

    def scaled_to(self, weight_bytes: int) -> "ServerConfig":
        """Allow a big model longer to load than a small one."""
        seconds = self.start_timeout_s + SECONDS_PER_GB * weight_bytes / 1e9
        return self.model_copy(update={"start_timeout_s": seconds})
