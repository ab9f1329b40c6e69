"""Rows as token ids with a mask, several at a time."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from punie.backends.workers.answers import Answer, Chat, Range, Turns
from punie.backends.workers.chat_text import (
    RefusedError,
    Tokenizer,
    UnusableError,
    tools_of,
    turns_of,
)
from punie.backends.workers.read_back import CallReader
from punie.records.dataset import Row
from punie.records.encoding import RowProblemKind
from punie.records.training import Masking

UNREAD_LIMIT = 100_000
"""Characters of an answer that punie's own reader of calls looks at."""
Found = tuple[RowProblemKind, str]


@dataclass(slots=True)
class EncodedRow:
    """A row as it goes to the file, cut at the greatest length; refused rows have no tokens."""

    ids: list[int] = field(default_factory=list[int])
    mask: bytearray = field(default_factory=bytearray)
    length: int = 0
    """Before it was cut."""
    problems: list[Found] = field(default_factory=list[Found])
    unread: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    """Turns with calls that no parser of mlx_lm reads: the position and the answer's text."""


@dataclass(slots=True)
class _Draft:
    """A chat on its way to tokens."""

    row: Row
    turns: Turns
    tools: list[dict[str, Any]] | None
    whole: str
    ids: list[int] = field(default_factory=list[int])
    places: list[Range] = field(default_factory=list[Range])
    answers: dict[int, Answer] = field(default_factory=dict[int, Answer])
    """By the turn's position."""
    unfound: list[int] = field(default_factory=list[int])


@dataclass(frozen=True, slots=True)
class _Border:
    """Tokens that replace those from `start` to `upto`; the answer's first is at `first`."""

    start: int
    upto: int
    ids: list[int]
    first: int


class RowEncoder:
    """Encodes rows with one tokenizer, one way of masking and one greatest length."""

    def __init__(
        self, tokenizer: Tokenizer, reader: CallReader, masking: Masking, max_length: int
    ) -> None:
        self._tokenizer = tokenizer
        self._reader = reader
        self._masking = masking
        self._max_length = max_length
        self._checked = False
        self.current: Row | None = None
        """The row that is being rendered."""

    def encode(self, rows: Sequence[Row], each_done: Callable[[], None]) -> list[EncodedRow]:
        """Encode rows, in their order. Raises HostileError for a template that takes too much."""
        encoded: list[EncodedRow | None] = [None] * len(rows)
        texts = {at: row.text for at, row in enumerate(rows) if row.text is not None}
        for at, ids in zip(
            texts, self._tokenizer.ids(list(texts.values()), special=True), strict=True
        ):
            encoded[at] = self._text(ids)
        drafts: dict[int, _Draft] = {}
        for at, row in enumerate(rows):
            each_done()
            if at not in texts:
                self.current = row
                try:
                    drafts[at] = self._rendered(row)
                except RefusedError as error:
                    encoded[at] = EncodedRow(problems=[(RowProblemKind.REFUSED, str(error))])
        self._place(list(drafts.values()))
        prompts = [
            each.prompt or "" for draft in drafts.values() for each in draft.answers.values()
        ]
        served = iter(self._tokenizer.ids(prompts))
        for at, draft in drafts.items():
            prompt_ids = {turn: next(served) for turn in draft.answers}
            self._check_the_first(draft, prompt_ids)
            encoded[at] = self._chat(draft, prompt_ids)
        return [each for each in encoded if each is not None]

    def _check_the_first(self, draft: _Draft, prompt_ids: Mapping[int, list[int]]) -> None:
        """Hold one prompt against the server's own call: batches must not change a token."""
        for at, answer in draft.answers.items():
            if not self._checked and answer.prompt is not None:
                self._checked = True
                if self._tokenizer.served_ids(draft.turns[:at], draft.tools) != prompt_ids[at]:
                    raise UnusableError("its tokenizer gives a server other tokens than here")

    def _text(self, ids: list[int]) -> EncodedRow:
        """Plain text: every token, and the end of text, as mlx_lm's own TextDataset has it."""
        end = self._tokenizer.end
        if end is not None and (not ids or ids[-1] != end):
            ids.append(end)
        problems: list[Found] = []
        if end is None:
            problems.append((RowProblemKind.LOST_END, "the tokenizer has no end of text"))
        return self._finished(ids, [(0, len(ids))], problems)

    def _rendered(self, row: Row) -> _Draft:
        if not self._tokenizer.chats:
            raise UnusableError("it has no chat template, and there are rows with messages")
        turns, tools = turns_of(row.messages), tools_of(row.tools)
        if not turns:
            raise RefusedError("it has no messages")
        whole = self._tokenizer.render(turns, tools, ask=False)
        if not whole.strip():
            raise RefusedError("the template writes nothing")
        return _Draft(row, turns, tools, whole)

    def _place(self, drafts: Sequence[_Draft]) -> None:
        """Find the answers of chats, as characters."""
        placed = self._tokenizer.placed([draft.whole for draft in drafts])
        for draft, (ids, places) in zip(drafts, placed, strict=True):
            draft.ids, draft.places = ids, places
            self.current = draft.row
            self._find_answers(draft)

    def _find_answers(self, draft: _Draft) -> None:
        ends = self._tokenizer.ends
        markers = [
            place for token, place in zip(draft.ids, draft.places, strict=True) if token in ends
        ]

        def render(turns: Turns, *, ask: bool) -> str | None:
            try:
                return self._tokenizer.render(turns, draft.tools, ask=ask)
            except RefusedError:
                return None

        chat = Chat(render, draft.turns, draft.whole, markers)
        after = 0
        for at in self._wanted(draft.turns):
            found = chat.answer(at, after)
            if found is None:
                draft.unfound.append(at)
            else:
                draft.answers[at] = found
                after = found.end
        if draft.unfound:
            self._ask_the_marks(draft, chat)

    def _wanted(self, turns: Turns) -> list[int]:
        """Positions of the turns whose answers are looked for."""
        if self._masking is Masking.NONE:  # for their calls alone
            return [at for at, turn in enumerate(turns) if "tool_calls" in turn]
        spoken = [at for at, turn in enumerate(turns) if turn["role"] == "assistant"]
        return spoken[-1:] if self._masking is Masking.LAST else spoken

    def _ask_the_marks(self, draft: _Draft, chat: Chat) -> None:
        """Take the answers from the template's own marks, where it has one for each turn."""
        if not self._tokenizer.marks:
            return
        mask = self._tokenizer.marked(draft.turns, draft.tools)
        runs = _runs(mask)
        spoken = [at for at, turn in enumerate(draft.turns) if turn["role"] == "assistant"]
        if len(runs) == len(spoken) and len(mask) == len(draft.places):
            for at, (first, last) in zip(spoken, runs, strict=True):
                if at in draft.unfound:
                    begin, end = draft.places[first][0], draft.places[last - 1][1]
                    draft.answers[at] = chat.marked(begin, end)
            draft.unfound = [at for at in draft.unfound if at not in draft.answers]

    def _chat(self, draft: _Draft, prompt_ids: Mapping[int, list[int]]) -> EncodedRow:
        """The tokens of a chat and what is trained of them."""
        ids, ranges, hows = list(draft.ids), list[Range](), dict[str, None]()
        answers = sorted(draft.answers.items())
        # From the last to the first: parting tokens moves only what comes later.
        for number, (at, answer) in reversed(list(enumerate(answers))):
            first, last = _tokens_of(draft.places, answer)
            how = answer.how
            if answer.prompt is not None and prompt_ids[at] != draft.ids[:first]:
                before = _tokens_of(draft.places, answers[number - 1][1])[1] if number else 0
                border = self._parted(draft, answer, prompt_ids[at], before)
                if border is None:
                    how = "the answer begins inside a token, which is trained as a whole"
                else:
                    how = "tokens ran across the border; they are parted as a server parts them"
                    moved = len(border.ids) - (border.upto - border.start)
                    ids[border.start : border.upto] = border.ids
                    ranges = [(begin + moved, end + moved) for begin, end in ranges]
                    first, last = border.first, last + moved
            ranges.append((first, last))
            if how:
                hows[how] = None
        problems = self._problems(draft, list(reversed(hows)))
        if self._masking is Masking.NONE:
            ranges = [(0, len(ids))]
        row = self._finished(ids, ranges, problems)
        self._read_calls(draft, row)
        return row

    def _parted(
        self, draft: _Draft, answer: Answer, served: Sequence[int], before: int
    ) -> _Border | None:
        """The tokens around an answer's beginning as a server has them; None where that fails.

        A server tokenises the prompt alone, so no token of its runs into the answer.
        """
        shared = zip(served, draft.ids, strict=False)
        start = next((at for at, (one, other) in enumerate(shared) if one != other), len(served))
        upto = bisect_left([begin for begin, _ in draft.places], answer.start)
        rest = draft.whole[answer.start : draft.places[upto - 1][1]] if upto else ""
        ids = [*served[start:], *(self._tokenizer.ids([rest])[0] if rest else [])]
        same = self._tokenizer.text(ids) == self._tokenizer.text(draft.ids[start:upto])
        if start < before or not same:
            return None
        return _Border(start, upto, ids, first=len(served))

    def _problems(self, draft: _Draft, hows: Sequence[str]) -> list[Found]:
        """What is wrong with finding the answers, and with how they end."""
        problems: list[Found] = []
        if self._masking is not Masking.NONE:
            if hows:
                problems.append((RowProblemKind.NO_PREFIX, "; ".join(hows)))
            if draft.unfound:
                turns = ", ".join(str(at + 1) for at in draft.unfound)
                what = f"the template gives no way to find the answer of turn {turns}"
                problems.append((RowProblemKind.NO_TARGET, what))
            elif not draft.answers:
                problems.append((RowProblemKind.NO_TARGET, "it has no assistant turn"))
            open_ended = [at for at, each in draft.answers.items() if each.text_end == each.end]
        else:
            open_ended = [] if self._tokenizer.ends & set(draft.ids) else [len(draft.turns) - 1]
        if open_ended:
            turns = ", ".join(str(at + 1) for at in open_ended)
            what = f"no end-of-turn token after turn {turns}: the model would not learn to stop"
            problems.append((RowProblemKind.LOST_END, what))
        return problems

    def _read_calls(self, draft: _Draft, row: EncodedRow) -> None:
        """Have the tool calls of the answers come back from the server's parser."""
        for at, answer in draft.answers.items():
            calls = draft.row.messages[at].tool_calls
            if not calls:
                continue
            text = draft.whole[answer.start : answer.text_end]
            if self._reader.name is None:
                row.unread.append((at, text[:UNREAD_LIMIT]))
            elif lost := self._reader.lost(calls, text, draft.whole[: answer.start], draft.tools):
                row.problems.append((RowProblemKind.LOST_CALL, f"turn {at + 1}: {lost}"))

    def _finished(
        self, ids: list[int], ranges: Sequence[Range], problems: list[Found]
    ) -> EncodedRow:
        """A row cut at the greatest length, with its mask. Nothing predicts the first token."""
        mask = bytearray(len(ids))
        for first, last in ranges:
            mask[max(first, 1) : last] = b"\x01" * max(0, last - max(first, 1))
        end = mask.rfind(1) + 1
        most = self._max_length
        if len(ids) > most:
            kind = RowProblemKind.CUT_ANSWER if end > most else RowProblemKind.CUT_PROMPT
            problems.append((kind, f"{len(ids)} tokens, {most} are kept"))
        if not any(mask[:most]) and all(
            kind is not RowProblemKind.NO_TARGET for kind, _ in problems
        ):
            problems.append((RowProblemKind.NO_TARGET, "no token of it would be trained"))
        if self._tokenizer.start is not None and ids[:2] == [self._tokenizer.start] * 2:
            problems.append(
                (RowProblemKind.DOUBLE_START, "it begins with two start-of-text tokens")
            )
        return EncodedRow(ids[:most], mask[:most], len(ids), problems)


def _tokens_of(places: Sequence[Range], answer: Answer) -> Range:
    """The tokens that hold any character of the answer."""
    first = bisect_right([end for _, end in places], answer.start)
    return first, max(first, bisect_left([begin for begin, _ in places], answer.end))


def _runs(mask: Sequence[int]) -> list[Range]:
    """Where the mask is on, as ranges."""
    runs: list[Range] = []
    at = 0
    for on, group in groupby(mask):
        length = len(list(group))
        if on:
            runs.append((at, at + length))
        at += length
    return runs
