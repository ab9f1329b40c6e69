"""What a row asks and what it says, as words to compare."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

from punie.records.datacheck import Place
from punie.records.dataset import Row
from punie.records.suite import EvalPrompt, EvalSuite, Message

Words = tuple[str, ...]
Shingle = tuple[str, ...]

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


class Prompts:
    """Prompts as the words that make each of them a prompt of its own.

    These are what users and tools say. A system turn counts only where no other row or prompt has
    the same: it may hold the very text that is asked about, but mostly it is everybody's. Tools'
    signatures never count.
    """

    def __init__(self, rows: Iterable[Row], suites: Iterable[EvalSuite]) -> None:
        chats = [row.messages for row in rows]
        chats += [prompt.messages for suite in suites for prompt in suite.prompts]
        self._systems = Counter(_system(messages) for messages in chats)

    def of_row(self, row: Row) -> list[Words]:
        """The row's prompt as a whole and, of a longer chat, its first question alone."""
        if row.text is not None:
            return [words_of(row.text)]
        asked = [turn for turn in row.messages if turn.role in ("user", "tool")]
        whole = self._words(row.messages, asked)
        first = self._words(row.messages, asked[:1])
        return [each for each in dict.fromkeys((whole, first)) if each]

    def of_prompt(self, prompt: EvalPrompt) -> Words:
        """The words of a suite's prompt."""
        asked = [turn for turn in prompt.messages if turn.role in ("user", "tool")]
        return self._words(prompt.messages, asked)

    def _words(self, messages: Sequence[Message], asked: Sequence[Message]) -> Words:
        system = _system(messages)
        own = [system] if self._systems[system] == 1 else []
        return words_of("\n".join([*own, *(turn.content or "" for turn in asked)]))


def _system(messages: Sequence[Message]) -> str:
    return "\n".join(turn.content or "" for turn in messages if turn.role == "system")


def _said(turn: Message) -> str:
    calls = [f"{call.function.name} {call.function.arguments}" for call in turn.tool_calls]
    return "\n".join(filter(None, [turn.content, *calls]))


def _answers(row: Row) -> bool:
    return row.messages[-1].role == "assistant"
