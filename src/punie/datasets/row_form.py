"""A `Row` in the form in which mlx_lm, punie and others read it, as JSON data."""

from typing import Any

from punie.records.dataset import Row, RowForm
from punie.records.suite import Message, Tool


def row_data(row: Row) -> dict[str, Any]:
    """Give a row in its own form, with its labels; reading it again gives an equal row."""
    data: dict[str, Any] = {}
    if row.form is RowForm.TEXT:
        data["text"] = row.text
    elif row.form is RowForm.COMPLETION:
        data["prompt"], data["completion"] = (turn.content for turn in row.messages)
    else:
        data["messages"] = [turn_data(turn) for turn in row.messages]
    if row.tools:
        data["tools"] = [tool_data(tool) for tool in row.tools]
    labels = {"category": row.category, "role": row.role, "group": row.group}
    return data | {name: value for name, value in labels.items() if value is not None}


def turn_data(turn: Message) -> dict[str, Any]:
    """Give a turn as OpenAI's API takes it.

    Beside calls, absent content is written as "": templates that join texts fail on null.
    """
    data: dict[str, Any] = {"role": turn.role, "content": turn.content or ""}
    if turn.tool_calls:
        data["tool_calls"] = [
            {
                "id": call.id,
                "type": call.type,
                "function": {"name": call.function.name, "arguments": call.function.arguments},
            }
            for call in turn.tool_calls
        ]
    if turn.tool_call_id is not None:
        data["tool_call_id"] = turn.tool_call_id
    if turn.name is not None:
        data["name"] = turn.name
    return data


def tool_data(tool: Tool) -> dict[str, Any]:
    """Give a tool as OpenAI's API takes it."""
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}
