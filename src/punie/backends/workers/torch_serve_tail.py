"""The last bytes of a streamed answer, where it was cut within a character.

transformers' streams hold back what is no whole character yet, and lose it at the end: a streamed
answer would differ from the same one unstreamed.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportPrivateUsage=false
# transformers is only partly typed.

from typing import Any

from transformers.cli.serving.utils import (
    CBStreamer,
    DirectStreamer,
    response_events_to_chunks,
)


class Held:
    """A stream of text out of tokens that remembers those which are no text yet."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._tokens: list[int] = []

    def step(self, tokenizer: Any, token: int) -> str | None:
        """The text that this token completes, if it does."""
        self._tokens.append(token)
        text: str | None = self._stream.step(tokenizer, token)
        if text is not None:
            self._tokens.clear()
        return text

    def rest(self, tokenizer: Any) -> str:
        """What the tokens that are left stand for."""
        return tokenizer.decode(self._tokens, skip_special_tokens=True) if self._tokens else ""


def parts_of(rest: str, parser: Any) -> list[Any]:
    """The rest as the parts of an answer."""
    if not rest:
        return []
    return [rest] if parser is None else response_events_to_chunks(parser.feed(rest))


class WholeDirectStreamer(DirectStreamer):
    """The slow lane's."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._decode_stream = Held(self._decode_stream)

    def end(self) -> None:
        """Send what is left, then the end."""
        for part in parts_of(self._decode_stream.rest(self._tokenizer), self._parser):
            self._enqueue(part)
        super().end()


class WholeCBStreamer(CBStreamer):
    """The fast lane's."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._decode_stream = Held(self._decode_stream)

    def end(self) -> None:
        """Send what is left, then the end."""
        for part in parts_of(self._decode_stream.rest(self._tokenizer), self._parser):
            self._queue.put_nowait(part)
        super().end()
