"""Where in a rendered chat an assistant's turn begins and ends, whatever the template.

As a rule the prompt that a server makes of the turns before is the beginning of the whole chat, and
the answer is what follows. Templates break that rule: the generation prompt opens a reasoning block
that the row does not have; earlier turns lose their reasoning once they are history; a part of a
chat is refused. Then the answer is found by rendering the chat once more with a word that stands
for the answer: whatever differs is the answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Turns = list[dict[str, Any]]
Range = tuple[int, int]
STAND_IN = "zqstandsforananswerzq"
"""What no chat contains."""


class Render(Protocol):
    """Gives the text of a chat, or None where the template refuses it."""

    def __call__(self, turns: Turns, *, ask: bool) -> str | None:
        """`ask` adds the prompt for the next answer."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """An assistant's turn as characters `start` to `end` of the whole chat, end marker included."""

    start: int
    end: int
    text_end: int
    """Before the end marker; as `end` where there is none."""
    prompt: str | None = None
    """What a server is given before it, where the chat begins with exactly that."""
    how: str = ""
    """How it was found, where the prompt did not tell."""


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat as one text: `whole` is all of `turns`, `markers` the end-of-turn tokens in it."""

    render: Render
    turns: Turns
    whole: str
    markers: Sequence[Range]

    def answer(self, at: int, after: int) -> Answer | None:
        """The assistant's turn at position `at`; None where it cannot be found.

        `after` is where the assistant's turn before it ended. The turn ends with its end-of-turn
        token. The line break that many templates write behind it is left out: a server stops at the
        token, so no model is ever asked for it.
        """
        prompt = self.render(self.turns[:at], ask=True) if at else None
        if prompt is None or not self.whole.startswith(prompt):
            return self._found_otherwise(at, after, prompt)
        upto = self._upto(at)
        if upto is not None and upto >= len(prompt):
            text_end, end = self._last_marker(len(prompt), upto)
            return Answer(len(prompt), end, text_end, prompt)
        found = self._around(at)
        if found is None:
            return None
        how = "once it is history the turn is rendered otherwise; its end was found by a stand-in"
        return Answer(len(prompt), found.end, found.text_end, prompt, how)

    def marked(self, start: int, end: int) -> Answer:
        """The answer that a template's own marks put between `start` and `end`."""
        how = "found by the template's own {% generation %} marks"
        text_end, closed = self._last_marker(start, end)
        if text_end == closed:
            text_end, closed = self._next_marker(end)
        return Answer(start, closed, text_end, None, how)

    def _found_otherwise(self, at: int, after: int, prompt: str | None) -> Answer | None:
        found = self._around(at)
        if found is None:
            return None
        start, how = self._as_served(at, Range((after, found.start)), prompt)
        return Answer(start, found.end, found.text_end, None, how)

    def _upto(self, at: int) -> int | None:
        """Where the turn ends in the whole text, if the turns up to it are its beginning."""
        if at == len(self.turns) - 1:
            return len(self.whole)
        upto = self.render(self.turns[: at + 1], ask=False)
        return len(upto) if upto is not None and self.whole.startswith(upto) else None

    def _last_marker(self, start: int, upto: int) -> Range:
        """The last marker of a turn that ends at `upto`, if only white space follows it."""
        for marker in reversed(self.markers):
            if start <= marker[0] and marker[1] <= upto:
                return marker if not self.whole[marker[1] : upto].strip() else (upto, upto)
        return upto, upto

    def _next_marker(self, end: int, *, beyond_calls: bool = False) -> Range:
        """The first marker from `end` on, with only white space before it, or calls."""
        for marker in self.markers:
            if marker[0] >= end:
                near = beyond_calls or not self.whole[end : marker[0]].strip()
                return marker if near else (end, end)
        return end, end

    def _around(self, at: int) -> Answer | None:
        """The turn's own text: what changes when a word stands for it."""
        turn = self.turns[at]
        without = {name: value for name, value in turn.items() if name != "tool_calls"}
        # A template may insist on the calls that the results after them answer.
        for stand_in in (without, turn) if "tool_calls" in turn else (turn,):
            parts = self._parted_by(at, stand_in)
            if parts is None:
                continue
            before, after = parts
            start, end = _common(self.whole, before), len(self.whole) - len(after)
            if start <= end and self.whole.endswith(after):
                with_calls = stand_in is turn and "tool_calls" in turn
                text_end, closed = self._next_marker(end, beyond_calls=with_calls)
                return Answer(start, closed, text_end)
        return None

    def _parted_by(self, at: int, stand_in: Mapping[str, Any]) -> tuple[str, str] | None:
        """The texts before and after a turn whose text is the stand-in."""
        changed = [*self.turns[:at], {**stand_in, "content": STAND_IN}, *self.turns[at + 1 :]]
        text = self.render(changed, ask=False)
        if text is None or text.count(STAND_IN) != 1:
            return None
        before, _, after = text.partition(STAND_IN)
        return before, after

    def _as_served(self, at: int, between: Range, prompt: str | None) -> tuple[int, str]:
        """Where a server's prompt leaves off and the answer begins, and how that was found.

        `between` is where the turn before ended and where this one's own text begins.
        """
        after, content = between
        if prompt is None:
            return content, "the template refuses the turns before it alone; found by a stand-in"
        before = self.render(self.turns[:at], ask=False)
        if before is not None and self.whole.startswith(before):
            start = min(content, max(len(before), _common(prompt, self.whole)))
            return start, f"a server's prompt goes on with {prompt[start:][:40]!r} there"
        if before is not None and prompt.startswith(before):
            opening = prompt[len(before) :]
            found = self.whole.rfind(opening, after, content) if opening.strip() else -1
            if found >= 0:
                how = "the turns before it are rendered otherwise as history; found by a stand-in"
                return found + len(opening), how
        return content, "a server's prompt is no beginning of the chat; found by a stand-in"


def _common(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    shorter = min(len(one), len(other))
    return next((at for at in range(shorter) if one[at] != other[at]), shorter)
