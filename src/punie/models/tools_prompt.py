"""Tools as text, for chat templates that cannot render them.

The form is the one that Hermes and Qwen models were trained on and that small models copy best:
signatures as JSON between `<tools>` tags in the system turn, calls as JSON between `<tool_call>`
tags, results between `<tool_response>` tags in a user turn. `punie.scoring.calls` reads it back.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import groupby
from typing import Any

from punie.records.suite import HistoryCall, Message, Tool

_INSTRUCTION = """\
You may call functions to help with the request. Their signatures, one a line:
<tools>
{signatures}
</tools>
To call a function, answer with its name and arguments as a JSON object in <tool_call> tags, one \
pair of tags for each call:
<tool_call>
{{"name": "function_name", "arguments": {{"argument": "value"}}}}
</tool_call>
If no function fits the request, answer without a call."""


def tools_in_system_prompt(
    messages: Sequence[Message], tools: Sequence[Tool]
) -> tuple[Message, ...]:
    """The chat with nothing left that only a template with tools could render.

    The tools are appended to a leading system turn, or make one. Calls in assistant turns become
    `<tool_call>` text after what was said; a run of `tool` turns becomes one user turn, because
    many templates insist that users and assistants take turns.
    """
    turns = list(_plain_turns(messages))
    if not tools:
        return tuple(turns)
    instruction = _INSTRUCTION.format(signatures="\n".join(map(_signature, tools)))
    if turns and turns[0].role == "system":
        instruction = "\n\n".join(filter(None, (turns.pop(0).content, instruction)))
    return (Message(role="system", content=instruction), *turns)


def _plain_turns(messages: Sequence[Message]) -> Iterator[Message]:
    for is_result, turns in groupby(messages, key=lambda message: message.role == "tool"):
        if is_result:
            results = (f"<tool_response>\n{turn.content or ''}\n</tool_response>" for turn in turns)
            yield Message(role="user", content="\n".join(results))
        else:
            yield from (_with_calls_as_text(turn) if turn.tool_calls else turn for turn in turns)


def _with_calls_as_text(turn: Message) -> Message:
    calls = "\n".join(map(_call_text, turn.tool_calls))
    content = "\n".join(filter(None, (turn.content, calls)))
    return replace(turn, content=content, tool_calls=())


def _call_text(call: HistoryCall) -> str:
    arguments: Any = call.function.arguments
    with suppress(ValueError, RecursionError):  # a broken call is shown as it was, as a text
        arguments = json.loads(arguments) if arguments.strip() else {}
    body = {"name": call.function.name, "arguments": arguments}
    return f"<tool_call>\n{json.dumps(body, ensure_ascii=False)}\n</tool_call>"


def _signature(tool: Tool) -> str:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return json.dumps({"type": "function", "function": function}, ensure_ascii=False)
