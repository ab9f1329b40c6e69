"""Rows as they are rendered: tools as text where the model's template cannot render them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from punie.models.tools_prompt import tools_in_system_prompt
from punie.records.dataset import Row
from punie.scoring.written_calls import lost_calls


def rows_for_template(rows: Iterable[Row], *, renders_tools: bool) -> Iterator[Row]:
    """The rows as the template is given them, exactly as `punie eval` gives it a suite's prompts.

    A template that renders tools gets them as they are; else tools and calls become text.
    """
    for row in rows:
        yield row if renders_tools or not row.messages else _as_text(row)


def calls_lost_as_text(rows: Sequence[Row]) -> Iterator[tuple[int, str]]:
    """Rows (by position) whose calls, written as text, do not come back as they were; and why."""
    for position, row in enumerate(rows):
        for turn in row.messages:
            if turn.tool_calls:
                (alone,) = tools_in_system_prompt([turn], ())
                if lost := lost_calls(alone.content or "", turn.tool_calls, row.tools):
                    yield position, lost


def _as_text(row: Row) -> Row:
    return replace(row, messages=tools_in_system_prompt(row.messages, row.tools), tools=())
