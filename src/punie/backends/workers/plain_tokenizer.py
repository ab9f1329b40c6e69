"""A model's tokenizer by transformers alone, for machines without mlx_lm."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# transformers carries no types.

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from punie.backends.workers.answers import Turns

THINKING = (
    {"<think>", "</think>"},
    {"<longcat_think>", "</longcat_think>"},
    {"<|think:start|>", "<|think:end|>"},
    {"<|channel>", "<channel|>"},
    {"<|open|>", "<|close|>", "<|sep|>", "<|end_of_msg|>"},
)
"""Tokens by which mlx_lm 0.32 knows a model that reasons; it tells the template of it."""


class PlainTokenizer:
    """Answers by the names that mlx_lm's tokenizer has, with the same texts, tokens and ends.

    What mlx_lm has for some models alone is not here: its parsers of tool calls, and its templates
    that are programs.
    """

    tool_parser = None

    def __init__(self, model: Path) -> None:
        from transformers import AutoTokenizer  # noqa: PLC0415 - slow to import

        self._tokenizer: Any = AutoTokenizer.from_pretrained(model)
        if kind := self._tokenizer.init_kwargs.get("chat_template_type"):
            raise ValueError(f"its chat template is mlx_lm's {kind}, and mlx_lm is not installed")
        self.backend_tokenizer: Any = getattr(self._tokenizer, "backend_tokenizer", None)
        self.bos_token_id: int | None = self._tokenizer.bos_token_id
        self.eos_token_id: int | None = self._tokenizer.eos_token_id
        own = () if self.eos_token_id is None else (self.eos_token_id,)
        self.eos_token_ids: set[int] = {*_declared_ends(model), *own}
        self.chat_template: Any = self._tokenizer.chat_template
        self.has_chat_template: bool = self.chat_template is not None
        vocabulary = self._tokenizer.get_vocab().keys()
        self.has_thinking: bool = any(tokens <= vocabulary for tokens in THINKING)

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool) -> str:
        """The text of tokens."""
        return str(self._tokenizer.decode(ids, skip_special_tokens=skip_special_tokens))

    def apply_chat_template(
        self,
        turns: Turns,
        *,
        tools: list[dict[str, Any]] | None,
        add_generation_prompt: bool,
        tokenize: bool = True,
    ) -> Any:
        """The text of a chat, or its tokens."""
        return self._tokenizer.apply_chat_template(
            turns,
            tools=tools,
            add_generation_prompt=add_generation_prompt,
            tokenize=tokenize,
            return_dict=False,
            enable_thinking=self.has_thinking,
        )


def _declared_ends(model: Path) -> Sequence[int]:
    """The tokens that end an answer by the model's files; what is said of generating goes first."""
    for name in ("generation_config.json", "config.json"):
        file = model / name
        said: Any = json.loads(file.read_bytes()) if file.exists() else {}
        if ends := said.get("eos_token_id"):
            return [ends] if isinstance(ends, int) else ends
    return ()
