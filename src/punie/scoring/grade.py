"""From a scorer's finding to its `Score`: the one place that applies weight and `pass_at`."""

from pydantic import JsonValue

from punie.records.expect import Expectation
from punie.records.result import Completion, Culprit, Score

NOTE_LIMIT = 300
"""Characters of a note; what a model wrote can be long, a line of a report cannot."""


def grade(
    expectation: Expectation,
    value: float,
    culprit: Culprit | None = None,
    note: str = "",
    details: dict[str, JsonValue] | None = None,
) -> Score:
    """The score of one scorer; `note` is made one clean line."""
    return Score(
        scorer=expectation.kind,
        value=value,
        passed=value >= expectation.pass_at,
        weight=expectation.weight,
        culprit=culprit,
        note=one_line(note) if note else "",
        details=details or {},
    )


def one_line(text: str, limit: int = NOTE_LIMIT) -> str:
    """Text for a single line: printable, without lone surrogates, cut with an ellipsis."""
    text = " ".join(text[: limit * 4].encode("utf-8", "replace").decode("utf-8").split())
    text = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def quote(text: str, limit: int = 80) -> str:
    """What a model wrote, in quotes and cut, for a note."""
    return f'"{one_line(text, limit)}"'


def unanswered(text: str, completion: Completion) -> Culprit | None:
    """Why there is no answer to look at: cut off while still thinking, or nothing said at all."""
    if completion.tool_calls or (text and not text.isspace()):
        return None
    return Culprit.TRUNCATED if was_cut(completion) else Culprit.EMPTY


def was_cut(completion: Completion) -> bool:
    """Whether the answer ended at its token limit and not of itself."""
    return completion.finish_reason == "length" or completion.clipped
