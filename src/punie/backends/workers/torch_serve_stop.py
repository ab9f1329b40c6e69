"""Ending an answer at the texts that a request names; what is found there is not part of it."""

import asyncio
from typing import Any


def cut_at(text: str, stops: tuple[str, ...]) -> str:
    """The text up to where the first of `stops` begins."""
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    return text[: min(places)] if places else text


def kept_back(text: str, stops: tuple[str, ...]) -> int:
    """How many of the last characters may be the beginning of a stop."""
    longest = max(map(len, stops)) - 1
    return next(
        (n for n in range(min(longest, len(text)), 0, -1)
         if any(stop.startswith(text[-n:]) for stop in stops)),
        0,
    )  # fmt: skip


def until_stopped(parts: "asyncio.Queue[Any]", stops: tuple[str, ...]) -> "asyncio.Queue[Any]":
    """A queue of an answer's parts that lacks what stands after the begin of one of `stops`.

    Plain text is looked at; reasoning, calls, errors and the end (None) go on as they are. The
    generation ends by itself at a stop, and streams it.
    """
    return _Cut(parts, stops)


class _Cut(asyncio.Queue[Any]):
    """Takes the parts out of another queue as they are asked for."""

    def __init__(self, parts: "asyncio.Queue[Any]", stops: tuple[str, ...]) -> None:
        super().__init__()
        self._parts = parts
        self._stops = stops
        self._held = ""
        self._stopped = False

    async def get(self) -> Any:
        """The next part, once there is one that is surely no part of a stop."""
        while self.empty():
            self._take(await self._parts.get())
        return super().get_nowait()

    def get_nowait(self) -> Any:
        """The next part if there is one; raises QueueEmpty."""
        while self.empty():
            self._take(self._parts.get_nowait())
        return super().get_nowait()

    def _take(self, part: Any) -> None:
        if type(part) is not str:
            if self._held:
                self.put_nowait(self._held)
            self._held = ""
            self.put_nowait(part)
        elif not self._stopped:
            text = self._held + part
            cut = cut_at(text, self._stops)
            self._stopped = cut != text
            back = 0 if self._stopped else kept_back(cut, self._stops)
            self._held = cut[len(cut) - back :]
            if len(cut) > back:
                self.put_nowait(cut[: len(cut) - back])
