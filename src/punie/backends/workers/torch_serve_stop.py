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


def until_stopped(
    parts: "asyncio.Queue[Any]", streamer: Any, stops: tuple[str, ...]
) -> "asyncio.Queue[Any]":
    """A queue of an answer's parts that ends where one of `stops` begins.

    Plain text is looked at; reasoning, calls, errors and the end (None) go on as they are. The
    writer is told to end.
    """
    out: asyncio.Queue[Any] = asyncio.Queue()

    async def move() -> None:
        held = ""
        while True:
            part = await parts.get()
            if type(part) is not str:
                if held:
                    out.put_nowait(held)
                    held = ""
                out.put_nowait(part)
                if part is None:
                    return
                continue
            held += part
            cut = cut_at(held, stops)
            if cut != held:
                streamer.cancel()
                if cut:
                    out.put_nowait(cut)
                out.put_nowait(None)
                return
            back = kept_back(held, stops)
            if len(held) > back:
                out.put_nowait(held[: len(held) - back])
                held = held[len(held) - back :]

    streamer.moving = asyncio.ensure_future(move())  # kept alive with the answer
    return out
