"""How long prompts are in tokens, by the model's own tokenizer, without loading the model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

COUNTED = 4
"""So many of the longest texts are counted; the longest in tokens is among them."""
TURN_TOKENS = 12
"""What a chat template adds to a turn, its markers and role, at most."""
TEMPLATE_TOKENS = 64
"""What it adds to the whole: a default system turn, the frame of the tools."""
UTF8_BYTES_PER_TOKEN = 3
"""Without a readable tokenizer. English has more than four bytes in a token, code about three."""


def longest_in_tokens(folder: Path, prompts: Sequence[tuple[str, int]]) -> int:
    """Tokens of the longest prompt, given as (all of its text, its number of turns).

    The few longest texts are counted with `tokenizer.json` (0.2 s for 50,000 tokens of vocabulary);
    what a template adds is allowed for by a constant. Without that file: bytes / 3.
    """
    longest = sorted(prompts, key=lambda prompt: len(prompt[0]), reverse=True)[:COUNTED]
    sizes = _counted(folder / "tokenizer.json", [text for text, _ in longest])
    turns = [n for _, n in longest]
    frames = [TEMPLATE_TOKENS + TURN_TOKENS * n for n in turns]
    return max((size + frame for size, frame in zip(sizes, frames, strict=True)), default=0)


def _counted(tokenizer: Path, texts: Sequence[str]) -> list[int]:
    try:
        from tokenizers import Tokenizer  # noqa: PLC0415 - slow, and not everywhere installed

        read: Any = cast("Any", Tokenizer).from_file(str(tokenizer))
        return [len(read.encode(text, add_special_tokens=False).ids) for text in texts]
    except Exception:  # noqa: BLE001 - tokenizers raises plain Exception for any file it dislikes
        return [len(text.encode("utf-8", "replace")) // UTF8_BYTES_PER_TOKEN + 1 for text in texts]
