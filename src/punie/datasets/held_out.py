"""Held-out rows as a suite: what the model is asked, and what the row's last turn says is right."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from punie.datasets.row_form import tool_data, turn_data
from punie.records.dataset import Row
from punie.records.suite import HistoryCall, Message, Tool
from punie.scoring.json_text import is_array, is_object, parse_json

SHORT = 80
"""Longest answer, in characters, that is expected word by word; longer ones have no one wording."""
_MOST_TOKENS = 4096


def suite_of_rows(rows: Sequence[Row], name: str) -> str:
    """Write a suite, as JSON lines, that asks for the last assistant turn of each row.

    Calls are expected exactly; where there are tools and the row calls none, calling none is; a
    JSON object or list is expected field by field, one short line as it is. Rows with any other
    answer are asked too, and count for the answered rate and the times alone. A row that cannot be
    asked (plain text, an answer to nothing, a call that its tools do not have) is left out, so the
    text may be empty. Every prompt may take as many tokens as the longest answer needs.
    """
    asked = [(i, row) for i, row in enumerate(rows, start=1) if _can_be_asked(row)]
    tokens = _tokens(row for _, row in asked)
    lines = (
        json.dumps(_prompt(row, f"{name[:54]}-{i:05d}", tokens), ensure_ascii=False)
        for i, row in asked
    )
    return "".join(f"{line}\n" for line in lines)


def call_fault(row: Row) -> str:
    """Say why a call of the last turn does not fit the row's tools; nothing where all fit."""
    tools = {tool.name: tool for tool in row.tools}
    for call in row.messages[-1].tool_calls if row.messages else ():
        name = call.function.name
        if name not in tools:
            return f"calls {name}, which is not among its tools"
        for argument in _arguments(call):
            if not _takes(tools[name], argument):
                return f"calls {name} with {argument}, an argument that it does not have"
    return ""


def _can_be_asked(row: Row) -> bool:
    asked = row.messages[:-1]
    if not any(turn.role in {"user", "tool"} for turn in asked):
        return False
    if asked[-1].role not in {"user", "tool"}:
        return False
    calls = row.messages[-1].tool_calls
    return not call_fault(row) and not any(_looks_like_a_pattern(_arguments(c)) for c in calls)


def _prompt(row: Row, prompt_id: str, tokens: int) -> dict[str, Any]:
    prompt: dict[str, Any] = {"id": prompt_id}
    for label in ("category", "role", "group"):
        value = getattr(row, label)
        if value is not None:
            prompt[label] = value
    if row.category is None and row.tools:
        prompt["category"] = "tool_calling"
    prompt["messages"] = [turn_data(turn) for turn in row.messages[:-1]]
    if row.tools:
        prompt["tools"] = [tool_data(tool) for tool in row.tools]
    prompt["expect"] = _expected(row)
    prompt["max_tokens"] = tokens
    return prompt


def _expected(row: Row) -> dict[str, Any]:
    answer = row.messages[-1]
    if row.tools:
        return {
            "tool_calls": [
                {"name": call.function.name, "arguments": _arguments(call)}
                for call in answer.tool_calls
            ]
        }
    text = (answer.content or "").strip()
    if text[:1] in {"{", "["}:
        try:
            return {"json": {"gold": parse_json(text)}}
        except ValueError:
            return {}
    if text and len(text) <= SHORT and "\n" not in text:
        return {"exact": text}
    return {}


def _tokens(rows: Iterable[Row]) -> int:
    """Tokens for the longest answer: one for two of its bytes, where text takes three to five.

    A call is counted with its name and its tags; 96 tokens come on top, in steps of 32.
    """
    longest = max((_answer_length(row.messages[-1]) for row in rows), default=0)
    tokens = 96 + -(-longest // 2)
    return min(-(-tokens // 32) * 32, _MOST_TOKENS)


def _answer_length(turn: Message) -> int:
    calls = sum(
        len((call.function.name + call.function.arguments).encode()) + 64
        for call in turn.tool_calls
    )
    return len((turn.content or "").encode()) + calls


def _arguments(call: HistoryCall) -> dict[str, Any]:
    arguments = parse_json(call.function.arguments)
    return arguments if is_object(arguments) else {}


def _takes(tool: Tool, argument: str) -> bool:
    """Whether a suite lets this argument be expected of the tool."""
    properties = tool.parameters.get("properties")
    known = is_object(properties) and argument in properties
    return known or tool.parameters.get("additionalProperties", False) is not False


def _looks_like_a_pattern(value: Any) -> bool:
    """Whether a suite would take an argument's value for a pattern of accepted ones."""
    if is_array(value):
        return any(map(_looks_like_a_pattern, value))
    if is_object(value):
        keys = {key.lower().replace("-", "").replace("_", "") for key in value}
        return "anyof" in keys or any(map(_looks_like_a_pattern, value.values()))
    return False
