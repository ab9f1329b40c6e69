"""Chats as the texts and tokens that mlx_lm's server makes of them, within limits.

A chat template is a program that came with a download: it may loop without end, fill the memory or
write without end.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# mlx_lm and transformers carry no types.

import contextlib
import json
import signal
from collections.abc import Generator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from punie.backends.workers.answers import Range, Turns
from punie.backends.workers.plain_tokenizer import PlainTokenizer
from punie.records.suite import Message, Tool

RENDER_S = 5.0
"""Processor time for one rendering; usual templates take a ten-thousandth of it."""
MAX_TEXT = 32_000_000
"""Characters of one rendering."""
WITHOUT_MLX = (
    "mlx_lm is not installed: tool calls were not read back by the parser of its server, but by"
    " punie's own reader"
)


class HostileError(BaseException):
    """A template that takes too much; no `except Exception` on the way swallows it."""


class RefusedError(Exception):
    """A row that no server would take."""


class UnusableError(Exception):
    """A model that these rows cannot be encoded for; the message says why."""


class Tokenizer:
    """mlx_lm's tokenizer of one model, with batches and places in the text.

    Where mlx_lm is not installed it is transformers' own, and `note` says what that leaves out.
    """

    def __init__(self, model: Path) -> None:
        self.served, self.note = _served(model)
        self._backend: Any = getattr(self.served, "backend_tokenizer", None)
        if self._backend is None:
            raise ValueError("it has no fast tokenizer, so no token has a place in the text")
        # A file may ask for both, and the server never does.
        self._backend.no_truncation()
        self._backend.no_padding()
        self.ends: frozenset[int] = frozenset(self.served.eos_token_ids)
        self.start: int | None = self.served.bos_token_id
        self.end: int | None = self.served.eos_token_id
        self.chats: bool = self.served.has_chat_template
        template: Any = self.served.chat_template
        self.marks: bool = isinstance(template, str) and "generation" in template
        signal.signal(signal.SIGVTALRM, _too_long)

    def ids(self, texts: Sequence[str], *, special: bool = False) -> list[list[int]]:
        """Token ids of several texts; `special` adds what is put around a plain text."""
        batch = self._backend.encode_batch_fast(list(texts), add_special_tokens=special)
        return [each.ids for each in batch]

    def placed(self, texts: Sequence[str]) -> list[tuple[list[int], list[Range]]]:
        """Token ids of several texts, each with the characters that it stands for."""
        batch = self._backend.encode_batch(list(texts), add_special_tokens=False)
        return [(each.ids, each.offsets) for each in batch]

    def text(self, ids: Sequence[int]) -> str:
        """The text of tokens, special ones too."""
        return str(self.served.decode(list(ids), skip_special_tokens=False))

    def render(self, turns: Turns, tools: list[dict[str, Any]] | None, *, ask: bool) -> str:
        """The text of a chat. Raises RefusedError with the template's reason, and HostileError."""
        with _limited():
            try:
                text = self.served.apply_chat_template(
                    turns, tools=tools, add_generation_prompt=ask, tokenize=False
                )
            except MemoryError:
                raise HostileError("takes more memory than a template needs") from None
            except Exception as error:  # a template may fail in any way
                raise RefusedError(_reason(error)) from error
        if not isinstance(text, str):
            raise RefusedError("the template writes no text")
        if len(text) > MAX_TEXT:
            raise HostileError(f"writes more than {MAX_TEXT:,} characters")
        return text

    def served_ids(self, turns: Turns, tools: list[dict[str, Any]] | None) -> list[int]:
        """The prompt for the next answer, by the very call that the server makes."""
        with _limited():
            return self.served.apply_chat_template(turns, tools=tools, add_generation_prompt=True)

    def marked(self, turns: Turns, tools: list[dict[str, Any]] | None) -> list[int]:
        """For each token whether `{% generation %}` marks it as the model's; may be empty."""
        with _limited(), contextlib.suppress(Exception):
            found = self.served._tokenizer.apply_chat_template(  # noqa: SLF001 - the wrapper gives no masks
                turns,
                tools=tools,
                return_dict=True,
                return_assistant_tokens_mask=True,
                enable_thinking=self.served.has_thinking,
            )
            return list(found["assistant_masks"])
        return []


def _served(model: Path) -> tuple[Any, str]:
    try:
        from mlx_lm.utils import load_config, load_tokenizer  # noqa: PLC0415 - slow to import
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"mlx", "mlx_lm"}:
            raise
        return PlainTokenizer(model), WITHOUT_MLX
    config: Any = load_config(model)
    return load_tokenizer(model, eos_token_ids=config.get("eos_token_id")), ""


def turns_of(messages: Sequence[Message]) -> Turns:
    """Messages as the server hands them to the template: no content is "", arguments are objects.

    Raises RefusedError for arguments that are no JSON, which a server refuses too.
    """
    return [_turn(message) for message in messages]


def tools_of(tools: Sequence[Tool]) -> list[dict[str, Any]] | None:
    """Tools as the server hands them to the template."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.parameters,
            },
        }
        for tool in tools
    ] or None


def _turn(message: Message) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message.role, "content": message.content or ""}
    if message.tool_calls:
        turn["tool_calls"] = [
            {
                "id": call.id,
                "type": call.type,
                "function": {
                    "name": call.function.name,
                    "arguments": _arguments(call.function.arguments),
                },
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        turn["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        turn["name"] = message.name
    return turn


def _arguments(text: str) -> Any:
    try:
        return json.loads(text) if text else text
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"the arguments of a call are no JSON: {text[:60]!r}") from error


def _reason(error: Exception) -> str:
    said = " ".join(str(error).split())[:200]
    return said or type(error).__name__


@contextlib.contextmanager
def _limited() -> Generator[None]:
    """End what happens inside after so much processor time."""
    signal.setitimer(signal.ITIMER_VIRTUAL, RENDER_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _too_long(_number: int, _frame: FrameType | None) -> None:
    raise HostileError(f"takes more than {RENDER_S:g} s of processor time")
