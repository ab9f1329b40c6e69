"""A prompt, what it expects and what was answered, as plain text for a judge."""

import json

from pydantic import TypeAdapter

from punie.records.expect import (
    Exact,
    Expect,
    Expectation,
    Json,
    Keywords,
    Number,
    Python,
    ToolCalls,
)
from punie.records.result import Completion, ToolCall
from punie.records.suite import EvalPrompt, Message, Tool
from punie.scoring.text import answer_text

_TOOL: TypeAdapter[Tool] = TypeAdapter(Tool)
_CALLS: TypeAdapter[ToolCalls] = TypeAdapter(ToolCalls)


def question_of(prompt: EvalPrompt) -> str:
    """The turns of a prompt, each under its role where there are several, and its tools."""
    turns = prompt.messages
    if len(turns) == 1 and turns[0].role == "user":
        parts = [turns[0].content or ""]
    else:
        parts = [f"({turn.role})\n{_said(turn)}" for turn in turns]
    if prompt.tools:
        parts.append("(tools that may be called)")
        parts += [_json(_TOOL.dump_python(tool, mode="json")) for tool in prompt.tools]
    return "\n\n".join(parts)


def answer_of(completion: Completion) -> str:
    """What was answered, without thinking aloud: the text, then each call on a line."""
    parts = [answer_text(completion).strip("\n"), *(_call(each) for each in completion.tool_calls)]
    return "\n".join(part for part in parts if part)


def reference_of(expect: Expect) -> str:
    """What a right answer has, as the prompt's scorers look for it; empty where nobody does."""
    return "\n".join(_wanted(each) for each in expect)


def _wanted(expectation: Expectation) -> str:  # noqa: PLR0911 - one for each kind of scorer
    match expectation:
        case Exact(values=values):
            return "The answer is " + " or ".join(_json(value) for value in values) + "."
        case Number(value=value):
            return f"The answer is the number {value:g}."
        case Keywords():
            return "; ".join(_keywords(expectation)) + "."
        case Json(gold=gold, schema=schema):
            gold_text = f"JSON with these values: {_json(gold)}" if gold is not None else "JSON"
            return gold_text + (f" that fits the schema {_json(schema)}" if schema else "")
        case ToolCalls(calls=calls):
            if not calls:
                return "No tool is called."
            written = _CALLS.dump_python(expectation, mode="json", include={"calls"})["calls"]
            order = " in this order" if expectation.ordered else ""
            return f"These calls{order}: {_json(written)}"
        case Python(defines=defines):
            return "Python source" + (f" that defines {', '.join(defines)}." if defines else ".")


def _keywords(expectation: Keywords) -> list[str]:
    what = "patterns" if expectation.match == "regex" else "words"
    groups = (
        (f"It has all of the {what}", expectation.all),
        (f"it has one of the {what}", expectation.any),
        (f"it has none of the {what}", expectation.none),
    )
    return [f"{says} {_json(list(words))}" for says, words in groups if words]


def _said(turn: Message) -> str:
    calls = [f"calls {each.function.name}({each.function.arguments})" for each in turn.tool_calls]
    return "\n".join([turn.content or "", *calls]).strip("\n")


def _call(call: ToolCall) -> str:
    return f"calls {call.name}({call.raw if call.arguments is None else _json(call.arguments)})"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
