"""The parts of a streamed answer, put together to the answer of a request that did not stream.

Everything is asked of mlx_lm as a stream, because that is the only answer whose reader it misses:
one that nobody waits for any more ends there, where an unstreamed one would be written to its end.
"""

from typing import Any

from punie.serving.upstream import KEEPALIVE


class Folding:
    """Takes the events of a stream; `whole` is the answer in OpenAI's form."""

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._texts: dict[str, list[str]] = {}
        self._calls: list[dict[str, Any]] = []
        self._finish_reason: str | None = None
        self._usage: dict[str, Any] | None = None

    def add(self, event: dict[str, Any]) -> None:
        """Take one event in."""
        if event is KEEPALIVE:
            return
        self._head = self._head or event
        self._usage = event.get("usage") or self._usage
        for choice in event.get("choices", ()):
            self._finish_reason = choice.get("finish_reason") or self._finish_reason
            delta = choice.get("delta", choice)
            for name in ("content", "reasoning", "text"):
                if delta.get(name):
                    self._texts.setdefault(name, []).append(delta[name])
            for call in delta.get("tool_calls") or ():
                self._calls.append({key: part for key, part in call.items() if key != "index"})

    def whole(self, *, chat: bool) -> dict[str, Any]:
        """Give the whole answer: a `chat.completion`, or a `text_completion`."""
        texts = {name: "".join(parts) for name, parts in self._texts.items()}
        choice: dict[str, Any] = {"index": 0, "finish_reason": self._finish_reason}
        if chat:
            message: dict[str, Any] = {"role": "assistant", "content": texts.get("content")}
            if "reasoning" in texts:
                message["reasoning"] = texts["reasoning"]
            if self._calls:
                message["tool_calls"] = self._calls
            choice["message"] = message
        else:
            choice["text"] = texts.get("text", "")
        kept = {name: self._head[name] for name in ("id", "created", "system_fingerprint")
                if name in self._head}  # fmt: skip
        kind = "chat.completion" if chat else "text_completion"
        whole = {**kept, "object": kind, "model": self._head.get("model"), "choices": [choice]}
        return whole | ({"usage": self._usage} if self._usage else {})
