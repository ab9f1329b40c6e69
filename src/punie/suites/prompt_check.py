"""What a prompt's form cannot say: that its parts agree with each other."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from punie.records.base import canonical_json
from punie.records.expect import Expect, Keywords, ToolCalls
from punie.records.suite import Message, Tool
from punie.scoring.expressions import expression_fault
from punie.scoring.json_schema import schema_fault
from punie.scoring.json_text import is_array, is_object
from punie.sources.faults import FormError, nearest
from punie.sources.json_rows import json_inside
from punie.sources.yaml_source import DataPath


def conversation_errors(prompt: str | None, messages: Sequence[Any] | None) -> Iterator[FormError]:
    """Exactly one of `prompt` and `messages`, and something in it."""
    if prompt is not None and messages is not None:
        yield FormError(("messages",), "stands beside prompt: keep one of the two", key=True)
    elif prompt is None and messages is None:
        yield FormError((), "needs a prompt (one text) or messages (a chat)")
    elif prompt is not None and not prompt.strip():
        yield FormError(("prompt",), "is empty")
    elif messages is not None and not messages:
        yield FormError(("messages",), "is empty")


def message_errors(messages: Sequence[Message], *, open_end: bool = True) -> Iterator[FormError]:
    """A chat that a model can answer: each turn says something, the last one is not its own.

    `open_end=False` is for a chat whose last turn is the expected answer.
    """
    for i, message in enumerate(messages):
        here: DataPath = ("messages", i)
        if message.role == "system" and i > 0:
            yield FormError((*here, "role"), "a system message can only be the first")
        if message.tool_calls and message.role != "assistant":
            yield FormError((*here, "tool_calls"), "only an assistant turn makes calls", key=True)
        if message.content is None and not message.tool_calls:
            yield FormError(here, "has no content")
        elif message.role == "user" and not (message.content or "").strip():
            yield FormError((*here, "content"), "is empty")
        for j, call in enumerate(message.tool_calls):
            if not call.function.name:
                yield FormError((*here, "tool_calls", j, "function", "name"), "is empty")
            if not is_object(json_inside(call.function.arguments)):
                place = (*here, "tool_calls", j, "function", "arguments")
                yield FormError(place, "should be the JSON text of an object")
    if open_end and messages and messages[-1].role not in {"user", "tool"}:
        what = "the last turn should be a user's or a tool's: what the model answers is expected"
        yield FormError(("messages", len(messages) - 1, "role"), what)


def tool_errors(tool: Tool) -> Iterator[FormError]:
    """`parameters` is the JSON Schema of an object; checked as far as templates rely on it."""
    parameters = tool.parameters
    if parameters.get("type", "object") != "object":
        yield FormError(("parameters", "type"), "should be object")
    properties = parameters.get("properties", {})
    if not is_object(properties):
        yield FormError(("parameters", "properties"), "should be a mapping of names to schemas")
        return
    for name, schema in properties.items():
        if not isinstance(schema, dict | bool):
            yield FormError(("parameters", "properties", name), "should be a JSON Schema")
    required = parameters.get("required", [])
    if not is_array(required):
        yield FormError(("parameters", "required"), "should be a list of names")
        return
    for i, name in enumerate(required):
        if not isinstance(name, str) or name not in properties:
            what = f"{name!r} is required but no property{nearest(str(name), list(properties))}"
            yield FormError(("parameters", "required", i), what)


def expect_errors(
    expect: Expect, tools: Sequence[Tool] | None, is_schema: Callable[[Any], str]
) -> Iterator[FormError]:
    """What is expected can be met: patterns compile, schemas are schemas, called tools exist.

    `tools` is None where the prompt's tools are in error themselves. `is_schema` gives the reason
    why a value is no JSON Schema, or nothing.
    """
    if expect.keywords is not None and expect.keywords.match == "regex":
        yield from _pattern_errors(expect.keywords)
    if expect.json is not None and expect.json.schema is not None:
        reason = is_schema(expect.json.schema)
        if reason:
            yield FormError(("expect", "json", "schema"), reason)
    if expect.tool_calls is not None and tools is not None:
        yield from _call_errors(expect.tool_calls, tools)


class SchemaCheck:
    """Says why a value cannot be used as a JSON Schema; remembers, since suites repeat schemas."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}

    def __call__(self, schema: Any) -> str:
        """Give the reason, or an empty text for a valid schema."""
        key = canonical_json(schema)
        if key not in self._reasons:
            self._reasons[key] = schema_fault(schema)
        return self._reasons[key]


def _pattern_errors(keywords: Keywords) -> Iterator[FormError]:
    for name, patterns in (("all", keywords.all), ("any", keywords.any), ("none", keywords.none)):
        for i, pattern in enumerate(patterns):
            if fault := expression_fault(pattern, case=keywords.case):
                yield FormError(("expect", "keywords", name, i), fault)


def _call_errors(expected: ToolCalls, tools: Sequence[Tool]) -> Iterator[FormError]:
    here: DataPath = ("expect", "tool_calls")
    if not tools:
        yield FormError(here, "is expected, but the prompt has no tools", key=True)
        return
    by_name = {tool.name: tool for tool in tools}
    for i, call in enumerate(expected.calls):
        tool = by_name.get(call.name)
        if tool is None:
            what = f"the prompt has no tool {call.name!r}{nearest(call.name, list(by_name))}"
            yield FormError((*here, "calls", i, "name"), what)
            continue
        properties = tool.parameters.get("properties")
        known = list(properties) if is_object(properties) else []
        open_ended = tool.parameters.get("additionalProperties", False) is not False
        for name, pattern in call.arguments.items():
            path = (*here, "calls", i, "arguments", name)
            if name not in known and not open_ended:
                what = f"{call.name} has no argument {name!r}{nearest(name, known)}"
                yield FormError(path, what, key=True)
            yield from _argument_errors(pattern, path)


def _argument_errors(pattern: Any, path: DataPath) -> Iterator[FormError]:
    """A mapping with `any_of` accepts any of a list; everything else is a value."""
    if is_array(pattern):
        for i, each in enumerate(pattern):
            yield from _argument_errors(each, (*path, i))
    elif is_object(pattern) and "any_of" in pattern:
        accepted = pattern["any_of"]
        if not is_array(accepted) or not accepted:
            yield FormError((*path, "any_of"), "should be a list of accepted values")
        else:
            yield from _argument_errors(accepted, (*path, "any_of"))
        for key in sorted(set(pattern) - {"any_of", "optional"}):
            what = f"unknown key beside any_of{nearest(key, ['optional'])}"
            yield FormError((*path, key), what, key=True)
        if not isinstance(pattern.get("optional", False), bool):
            yield FormError((*path, "optional"), "should be true or false")
    elif is_object(pattern):
        for key in pattern:
            if key.lower().replace("-", "").replace("_", "") == "anyof":
                yield FormError((*path, key), "unknown key; did you mean any_of?", key=True)
        for key, each in pattern.items():
            yield from _argument_errors(each, (*path, key))
