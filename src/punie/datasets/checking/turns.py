"""Rows whose turns leave nothing to learn, or something unlearned."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from punie.datasets.checking.texts import place_of
from punie.records.datacheck import SHOWN_PLACES, DataFinding, Severity
from punie.records.dataset import Row, Split


def find_odd_turns(rows: Mapping[Split, Sequence[Row]]) -> Iterator[DataFinding]:
    """Find rows that end with somebody else than the assistant, and turns that say nothing."""
    for split, each in rows.items():
        for what, hint, is_odd in _ODD:
            found = [row for row in each if row.messages and is_odd(row)]
            if found:
                yield DataFinding(
                    check="turns",
                    severity=Severity.WARNING,
                    what=f"{len(found):,} of {len(each):,} rows of {split} {what}",
                    places=tuple(place_of(row) for row in found[:SHOWN_PLACES]),
                    count=len(found),
                    hint=hint,
                )


def _ends_otherwise(row: Row) -> bool:
    return row.messages[-1].role != "assistant"


def _answers_nothing(row: Row) -> bool:
    return any(
        turn.role == "assistant" and not turn.tool_calls and not (turn.content or "").strip()
        for turn in row.messages
    )


def _asks_nothing(row: Row) -> bool:
    return any(turn.role == "user" and not (turn.content or "").strip() for turn in row.messages)


_ODD: tuple[tuple[str, str, Callable[[Row], bool]], ...] = (
    (
        "do not end with the assistant",
        "what comes after the last answer is never trained: cut it",
        _ends_otherwise,
    ),
    ("have an empty answer", "the model would learn to say nothing: take it out", _answers_nothing),
    ("have an empty question", "say what is asked, or take the row out", _asks_nothing),
)
