"""Reading an answer as it arrives, streamed or whole, into a `Completion`."""

import json
import math
import re
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

from punie.records.result import Completion, ToolCall

MAX_TEXT = 2**20
"""Characters of an answer that are kept; what is longer is cut and marked as clipped."""
MAX_LINE = 4 * 2**20
"""Bytes of one line of a stream; no server of sound mind sends more."""
MAX_COUNT = 2**53
BROKEN_OFF = re.compile("abort|cancel|error|timeout|fail", re.IGNORECASE)
"""What servers give as the reason for an answer that they did not let the model finish."""
CALL_MARKER = "<tool_call>"


class Answer:
    """Takes the bytes of one answer and gives its completion. Raises ValueError for nonsense."""

    def __init__(
        self, *, has_tools: bool, decode: Callable[[Sequence[int]], str] | None = None
    ) -> None:
        self.started = 0.0
        self._has_tools = has_tools
        self._decode = decode
        self._first: float | None = None
        self._ended = 0.0
        self._buffer = b""
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._size = 0
        self._calls: dict[int, dict[str, str]] = {}
        self._finish: str | None = None
        self._usage: dict[str, Any] = {}
        self._token_ids: list[int] = []
        self._logprob: float | None = None
        self._streamed = False
        self._done = False
        self._answered = False

    def feed(self, chunk: bytes) -> None:
        """Take bytes of an event stream; lines may be cut anywhere."""
        self._streamed = True
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        if len(self._buffer) > MAX_LINE:
            raise ValueError(f"a line of the stream is longer than {MAX_LINE >> 20} MiB")
        for line in lines:
            if line.startswith(b"data:"):
                self._event(line[5:].strip())
            elif line.replace(b" ", b"").startswith(b"event:error"):
                raise ValueError("the stream reported an error")

    def read_whole(self, body: bytes) -> None:
        """Take the whole body of an unstreamed answer."""
        try:
            self._packet(json.loads(body), "message")
        except RecursionError:
            raise ValueError("JSON nested too deeply") from None
        self._done = True

    def finish(self) -> None:
        """Note the end of the answer; raises ValueError if it ended too early."""
        self._ended = time.perf_counter()
        if self._buffer.startswith(b"data:"):
            self._event(self._buffer[5:].strip())
        if not self._done and self._finish is None:
            raise ValueError("the answer ended in the middle")
        silent = not self._text and not self._reasoning and not self._calls
        if not self._answered or (silent and self._finish is None):
            raise ValueError("it ended without an answer")

    @property
    def lost_text_in_stream(self) -> bool:
        """Whether a streamed answer swallowed what looked to the server like a call."""
        if not self._streamed or self._calls:
            return False
        if self._finish == "tool_calls":
            return True
        silent = not self._text and not self._reasoning
        return self._finish == "length" and silent and self._usage.get("completion_tokens") != 0

    def completion(self) -> Completion:
        """The answer as a record. Text that the server's parser lost is put back from its ids."""
        text = _sound("".join(self._text))
        calls = tuple(_call(self._calls[index]) for index in sorted(self._calls))
        raw = self._lost_text(text, len(calls))
        cached = _mapping(self._usage.get("prompt_tokens_details"))
        return Completion(
            text=(_sound(raw) if raw is not None else text)[:MAX_TEXT],
            reasoning=_sound("".join(self._reasoning))[:MAX_TEXT],
            tool_calls=() if raw is not None else calls,
            finish_reason=self._finish or "stop",
            latency_s=self._ended - self.started,
            first_token_s=self._first - self.started if self._first and self._streamed else None,
            prompt_tokens=_count(self._usage.get("prompt_tokens")),
            completion_tokens=_count(self._usage.get("completion_tokens")),
            cached_tokens=_count(cached.get("cached_tokens")),
            recovered=raw is not None,
            clipped=self._size > MAX_TEXT,
            logprob=self._logprob,
        )

    def _lost_text(self, text: str, calls: int) -> str | None:
        """What the model really wrote, where the server's tool parser dropped a part of it."""
        if self._decode is None or not self._token_ids:
            return None
        suspicious = self._has_tools and (
            (self._finish == "tool_calls" and not calls)
            or (self._finish in ("length", "stop", "tool_calls") and not text and not calls)
            or calls
        )
        if not suspicious:
            return None
        raw = self._decode(self._token_ids)
        written = raw.count(CALL_MARKER)
        lost = written > calls if written or calls else bool(raw.strip()) and not self._reasoning
        return raw if lost else None

    def _event(self, data: bytes) -> None:
        if data == b"[DONE]":
            self._done = True
        elif data:
            try:
                self._packet(json.loads(data), "delta")
            except RecursionError:
                raise ValueError("JSON nested too deeply") from None

    def _packet(self, packet: Any, key: str) -> None:
        body = _mapping(packet)
        choices = _sequence(body.get("choices"))
        if body.get("error"):
            raise ValueError(f"the server said: {body['error']!r}")
        self._usage = _mapping(body.get("usage")) or self._usage
        if not choices:
            if key == "message":
                raise ValueError("it has no choices")
            return
        choice = _mapping(choices[0])
        if not isinstance(choice.get(key), dict) and (key == "message" or not choice):
            raise ValueError(f"its choice has no {key}")
        self._answered = True
        self._turn(_mapping(choice.get(key)))
        if choice.get("finish_reason"):
            self._finish = _sound(str(choice["finish_reason"]))[:64]
        if self._finish is not None and BROKEN_OFF.search(self._finish):
            raise ValueError(f"the server broke the answer off ({self._finish})")
        for token in _sequence(_mapping(choice.get("logprobs")).get("content")):
            self._token(_mapping(token))
        for number in _sequence(choice.get("token_ids")):  # vLLM's are not in its logprobs
            self._token({"id": number})

    def _token(self, token: dict[str, Any]) -> None:
        number, logprob = _count(token.get("id")), token.get("logprob")
        if number is not None and self._decode is not None:
            self._token_ids.append(number)
        if isinstance(logprob, float) and math.isfinite(logprob):
            self._logprob = (self._logprob or 0.0) + logprob

    def _turn(self, turn: dict[str, Any]) -> None:
        content = turn.get("content")
        reasoning = turn.get("reasoning") or turn.get("reasoning_content")
        calls = _sequence(turn.get("tool_calls"))
        if content:
            self._keep(self._text, str(content))
        if reasoning:
            self._keep(self._reasoning, str(reasoning))
        for position, each in enumerate(calls):
            call = _mapping(each)
            self._call_part(_count(call.get("index")) or position, _mapping(call.get("function")))
        if self._first is None and (content or reasoning or calls):
            self._first = time.perf_counter()

    def _keep(self, parts: list[str], text: str) -> None:
        if self._size <= MAX_TEXT:
            parts.append(text)
        self._size += len(text)

    def _call_part(self, index: int, function: dict[str, Any]) -> None:
        call = self._calls.setdefault(index, {"name": "", "arguments": ""})
        arguments = function.get("arguments") or ""
        call["name"] += str(function.get("name") or "")
        call["arguments"] += arguments if isinstance(arguments, str) else json.dumps(arguments)


def _call(parts: dict[str, str]) -> ToolCall:
    """The call, with its arguments as text where they are no JSON object of bearable depth."""
    name, text = _sound(parts["name"]), _sound(parts["arguments"][:MAX_TEXT])
    try:
        arguments: Any = json.loads(text) if text.strip() else {}
        if isinstance(arguments, dict):
            arguments = json.loads(_sound(json.dumps(arguments, ensure_ascii=False)))
            return ToolCall(name=name, arguments=arguments)
    except (ValueError, RecursionError):
        pass
    return ToolCall(name=name, arguments=None, raw=text)


def _sound(text: str) -> str:
    """Text that UTF-8 can hold: lone surrogates, which JSON can smuggle in, become `?`."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _mapping(value: Any) -> dict[str, Any]:
    """A JSON object as it is; anything else, which no honest server sends there, as empty."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _sequence(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _count(value: Any) -> int | None:
    """A number of tokens, or None for what cannot be one."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 <= value < MAX_COUNT else None
