"""What a row asks and what it says, as words to compare."""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from punie.records.datacheck import Place
from punie.records.dataset import Row
from punie.records.suite import EvalPrompt, EvalSuite, Message

Words = tuple[str, ...]
Shingle = tuple[str, ...]

SHORT = 8
"""Fewer words say too little: of shorter texts only the same words count."""
SHARED, FEWEST = 0.05, 3
"""What this share of texts has in common, and at least so many, is a template's wording."""

# Scripts without spaces: each character is a word. Operators are words too: 4 + 7 is not 4 - 7.
_ALONE = r"\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_ALONE}]|[-+*/=<>^%]|[^\W{_ALONE}]+")


def words_of(text: str) -> Words:
    """The words of a text: NFKC, case folded, without punctuation."""
    return tuple(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def shingles_of(words: Words, size: int) -> frozenset[Shingle]:
    """Every run of `size` words; of a shorter text, the text."""
    if len(words) < size:
        return frozenset([words] if words else [])
    return frozenset(zip(*(words[at:] for at in range(size)), strict=False))


def whole_text(row: Row) -> str:
    """Everything that the row asks and answers, without what stands in its system turn."""
    if row.text is not None:
        return row.text
    return "\n".join(_said(turn) for turn in row.messages if turn.role != "system")


def asked_text(row: Row) -> str:
    """Everything before the last answer, without the system turn; of plain text, all of it."""
    if row.text is not None:
        return row.text
    turns = row.messages[:-1] if row.messages[-1:] and _answers(row) else row.messages
    return "\n".join(f"{turn.role}: {_said(turn)}" for turn in turns if turn.role != "system")


def answer_text(row: Row) -> str:
    """The last answer, with its calls; of plain text, nothing."""
    return _said(row.messages[-1]) if row.messages and _answers(row) else ""


def place_of(row: Row, what: str = "") -> Place:
    """Where the row stands."""
    return Place(file=row.file, line=row.line, what=what)


@dataclass(frozen=True, slots=True)
class Asked:
    """Everything that a row asks on its way to its last answer, as words."""

    words: Words
    """The whole prompt. Every turn stands in it unbroken, and so does every beginning of it."""
    short: tuple[Words, ...] = ()
    """Of turns of users alone, of beginnings and of the whole: those of under `SHORT` words."""


class Prompts:
    """Prompts as the words that make each of them a prompt of its own.

    These are what users and tools say. A system turn counts only where no other prompt has the
    same and it holds a text of its own, which may be what is asked about. Mostly it is everybody's,
    or everybody's with another date. Tools' signatures never count.
    """

    def __init__(self, rows: Iterable[Row], suites: Iterable[EvalSuite]) -> None:
        chats = [row.messages for row in rows]
        chats += [prompt.messages for suite in suites for prompt in suite.prompts]
        asked_of: dict[str, str] = {}
        shared = {""}
        for messages in chats:
            # A suite that is made of rows has their prompts again: one prompt is no other one.
            asked = "\n".join(turn.content or "" for turn in _asked(messages))
            system = _system(messages)
            if asked_of.setdefault(system, asked) != asked:
                shared.add(system)
        self._own = _with_own_text(asked_of) - shared

    def of_row(self, row: Row) -> Asked:
        """What the row asks."""
        if row.text is not None:
            words = words_of(row.text)
            return Asked(words, (words,) if 0 < len(words) < SHORT else ())
        turns = [(turn.role, words_of(turn.content or "")) for turn in _asked(row.messages)]
        short = [words for role, words in turns if role == "user"]
        begun: Words = ()
        for _, words in turns:
            begun += words
            if len(begun) >= SHORT:
                break
            short.append(begun)
        kept = dict.fromkeys(words for words in short if 0 < len(words) < SHORT)
        return Asked(self._words(row.messages), tuple(kept))

    def of_prompt(self, prompt: EvalPrompt) -> Words:
        """The words of a suite's prompt."""
        return self._words(prompt.messages)

    def _words(self, messages: Sequence[Message]) -> Words:
        system = _system(messages)
        own = [system] if system in self._own else []
        return words_of("\n".join([*own, *(turn.content or "" for turn in _asked(messages))]))


def wording_from(texts: int) -> int:
    """In so many of the different texts, what they share is a template's wording."""
    return max(FEWEST, math.ceil(SHARED * texts))


def _with_own_text(systems: Iterable[str]) -> set[str]:
    """Those that have enough words that few others have; dates, numbers and codes are none."""
    words = {each: {word for word in words_of(each) if word.isalpha()} for each in systems}
    holders = Counter(word for each in words.values() for word in each)
    few = wording_from(len(words))
    return {
        system
        for system, each in words.items()
        if sum(holders[word] < few for word in each) >= SHORT
    }


def _asked(messages: Sequence[Message]) -> list[Message]:
    return [turn for turn in messages if turn.role in ("user", "tool")]


def _system(messages: Sequence[Message]) -> str:
    return "\n".join(turn.content or "" for turn in messages if turn.role == "system")


def _said(turn: Message) -> str:
    calls = [f"{call.function.name} {call.function.arguments}" for call in turn.tool_calls]
    return "\n".join(filter(None, [turn.content, *calls]))


def _answers(row: Row) -> bool:
    return row.messages[-1].role == "assistant"
