"""A dataset in numbers: what `punie data show` prints."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from punie.datasets.reading import Dataset
from punie.records.dataset import Row, Split
from punie.records.suite import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Of some texts, in characters. Tokens depend on the model; a training shows them."""

    shortest: int
    median: int
    p95: int
    longest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitNumbers:
    """One split. Each row is counted once in `forms`, and once in each of the shares."""

    rows: int
    forms: dict[str, int]
    categories: dict[str, int]
    """Rows by category; "" for those without one."""
    roles: dict[str, int]
    groups: int
    """Rows with the same group count once, rows without a group each."""
    turns: dict[str, int]
    """All turns by role."""
    tools: int
    """Tools by name, over all rows."""
    with_tools: int
    calling: int
    """Rows whose last turn makes calls."""
    prompt: Lengths
    """What stands before the last turn, all of it; of a plain text nothing does."""
    answer: Lengths
    """The last turn with its calls, or the plain text."""


def describe(dataset: Dataset) -> dict[Split, SplitNumbers]:
    """Count each split of a dataset that has rows."""
    return {split: _numbers(rows) for split, rows in dataset.rows.items() if rows}


def _numbers(rows: Sequence[Row]) -> SplitNumbers:
    return SplitNumbers(
        rows=len(rows),
        forms=_counted([row.form.value for row in rows]),
        categories=_counted([row.category or "" for row in rows]),
        roles=_counted([row.role or "" for row in rows]),
        groups=len({row.group or i for i, row in enumerate(rows)}),
        turns=_counted([turn.role for row in rows for turn in row.messages]),
        tools=len({tool.name for row in rows for tool in row.tools}),
        with_tools=sum(bool(row.tools) for row in rows),
        calling=sum(bool(row.messages and row.messages[-1].tool_calls) for row in rows),
        prompt=_lengths([sum(map(_turn_length, row.messages[:-1])) for row in rows]),
        answer=_lengths([_answer_length(row) for row in rows]),
    )


def _counted(values: list[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _lengths(lengths: list[int]) -> Lengths:
    lengths.sort()
    return Lengths(
        shortest=lengths[0],
        median=round(median(lengths)),
        p95=lengths[min(len(lengths) - 1, round(0.95 * len(lengths)))],
        longest=lengths[-1],
    )


def _answer_length(row: Row) -> int:
    return len(row.text) if row.text is not None else sum(map(_turn_length, row.messages[-1:]))


def _turn_length(turn: Message) -> int:
    calls = (call.function for call in turn.tool_calls)
    return len(turn.content or "") + sum(len(call.name) + len(call.arguments) for call in calls)
