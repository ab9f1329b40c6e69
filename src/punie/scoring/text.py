"""The text of an answer: without thinking aloud, its code blocks, its folded form."""

import re
import unicodedata
from dataclasses import dataclass

from punie.records.result import Completion

_OPEN, _CLOSE = "<think>", "</think>"
_FENCE = re.compile(r"^[ \t]*+(`{3,}+|~{3,}+)[ \t]*+([^\s`]*+)[^\n`]*+$", re.MULTILINE)
_QUOTES = str.maketrans("\u2018\u2019\u201c\u201d\u00ab\u00bb", '\'\'""""')
_WRAPPING = "\"'`*"


def answer_text(completion: Completion) -> str:
    """What the model answered, without what it thought aloud in `<think>` blocks.

    Everything before a `</think>` is thought, back to its `<think>` or, because some templates open
    the block in the prompt, to the start. An unclosed `<think>` swallows the rest only where the
    text begins with it: elsewhere it is a mention.
    """
    text = completion.text
    if "think>" not in text:
        return text
    *thoughts, rest = text.split(_CLOSE)
    kept = [said for said, opened, _ in (part.partition(_OPEN) for part in thoughts) if opened]
    if not rest.lstrip().startswith(_OPEN):
        kept.append(rest)
    return "".join(kept)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language in lower case ("" if unnamed), its content, was it closed.

    `start` and `end` are where it stands in the text, fences included.
    """

    language: str
    content: str
    closed: bool
    start: int
    end: int


def fenced_blocks(text: str) -> list[Block]:
    """The fenced code blocks of Markdown, in order; the last of a cut answer may be unclosed."""
    if "```" not in text and "~~~" not in text:
        return []
    blocks: list[Block] = []
    opened: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if opened is None:
            opened = fence
        elif fence[1].startswith(opened[1]) and not fence[2]:
            content = text[opened.end() + 1 : fence.start()]
            blocks.append(Block(opened[2].lower(), content, True, opened.start(), fence.end()))
            opened = None
    if opened is not None:
        content = text[opened.end() + 1 :]
        blocks.append(Block(opened[2].lower(), content, False, opened.start(), len(text)))
    return blocks


def without_blocks(text: str) -> str:
    """The prose of Markdown: its text without the fenced code blocks."""
    parts: list[str] = []
    position = 0
    for block in fenced_blocks(text):
        parts.append(text[position : block.start])
        position = block.end
    return "".join([*parts, text[position:]])


def fold(text: str, *, case: bool) -> str:
    """Text for comparing: composed Unicode, plain quotes and, unless `case` counts, folded case."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text).translate(_QUOTES)
    return text if case else text.casefold()


def fold_answer(text: str, *, case: bool) -> str:
    """A short answer for comparing: folded, single spaces, no wrapping, no final full stop.

    Wrapping is quotes, backticks and asterisks at either end. Where nothing else would be left, it
    is the answer and stays.
    """
    spaced = " ".join(fold(text, case=case).split())
    bare = spaced.strip(_WRAPPING).rstrip(".。").strip(_WRAPPING).strip()
    return bare or spaced
