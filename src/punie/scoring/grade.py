"""From a scorer's finding to its `Score`: the one place that applies weight and `pass_at`."""

from pydantic import JsonValue

from punie.records.expect import Expectation
from punie.records.result import Completion, Culprit, Score
from punie.text import one_line

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
        note=one_line(note, NOTE_LIMIT),
        details=details or {},
    )


def quote(text: str, limit: int = 80) -> str:
    """What a model wrote, in quotes and cut, for a note."""
    return f'"{one_line(text, limit)}"'


def unanswered(text: str, completion: Completion) -> Culprit | None:
    """Why there is no answer to look at: cut off while thinking, filtered, or nothing said."""
    if completion.tool_calls or (text and not text.isspace()):
        return None
    if completion.finish_reason == "content_filter":
        return Culprit.FILTERED
    return Culprit.TRUNCATED if was_cut(completion) else Culprit.EMPTY


def was_cut(completion: Completion) -> bool:
    """Whether the answer ended at its token limit and not of itself."""
    return completion.finish_reason == "length" or completion.clipped
