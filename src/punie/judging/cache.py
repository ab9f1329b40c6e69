"""Where a judge's replies are kept by the content of their questions."""

from typing import Protocol

from punie.records.judgement import Reply


class Cache(Protocol):
    """Replies that could be read, by the key of their question and judge."""

    def get(self, key: str) -> Reply | None:
        """The reply to a question that was asked before, if any."""
        ...

    def put(self, key: str, reply: Reply) -> None:
        """Keep a reply."""
        ...


class MemoryCache:
    """A cache that lives as long as the process."""

    def __init__(self) -> None:
        self._replies: dict[str, Reply] = {}

    def get(self, key: str) -> Reply | None:
        """The reply to a question that was asked before, if any."""
        return self._replies.get(key)

    def put(self, key: str, reply: Reply) -> None:
        """Keep a reply."""
        self._replies[key] = reply
