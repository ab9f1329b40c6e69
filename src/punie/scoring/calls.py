"""Reading tool calls from a completion, in whichever form the model wrote them.

The forms are tried in the order of `CallForm`; the first that gives a call is the one. Calls that
were attempted and cannot be read are given too, with `arguments` None.
"""

import re
from collections.abc import Iterable, Sequence

from pydantic import JsonValue

from punie.records.result import CallForm, Completion, ToolCall
from punie.records.suite import Tool
from punie.scoring.json_text import find_json, is_array, is_object, parse_json
from punie.scoring.python_calls import Offered, broken, line_calls, whole_calls
from punie.scoring.text import answer_text, fenced_blocks, without_blocks

TEXT_LIMIT = 100_000
"""Characters of an answer that are searched for calls."""
_TAG, _END_TAG = "<tool_call>", "</tool_call>"
_ARGUMENTS = ("arguments", "parameters", "args")
_AROUND = {"name", "function", "type", "id", *_ARGUMENTS}
_JSON_LANGUAGES = ("json", "tool")
_NAMED = re.compile(r"""\{\s*["']?(?:name|function)["']?\s*:\s*["']([^"']{1,64})["']""")


def read_calls(completion: Completion, offered: Offered) -> tuple[ToolCall, ...]:
    """The calls of an answer, in order, each with its form.

    Text is searched only where the structured field is empty and tools were offered: without any,
    JSON in an answer is just JSON.
    """
    if completion.tool_calls or not offered:
        return completion.tool_calls
    text = answer_text(completion)[:TEXT_LIMIT]
    calls = _tagged(text, offered) or _fenced(text, offered)
    if not calls:
        prose = without_blocks(text)  # code that shows a call does not make it
        calls = _bare(prose, offered) or _python(prose, offered)
    return tuple(calls)


def offer(tools: Iterable[Tool], names: Iterable[str] = ()) -> Offered:
    """What a reader must know of the tools; `names` are further ones, without parameters."""
    offered: dict[str, dict[str, JsonValue]] = {name: {} for name in names}
    for tool in tools:
        properties = tool.parameters.get("properties")
        offered[tool.name] = properties if is_object(properties) else {}
    return offered


def structured_calls(items: Sequence[JsonValue]) -> tuple[ToolCall, ...]:
    """Calls given as data: `{name, arguments}` each, or as OpenAI's `{function: {...}}`.

    Raises ValueError for an item that is neither.
    """
    calls = [_json_call(item, {}, CallForm.STRUCTURED) for item in items]
    if not all(calls):
        raise ValueError("a call needs a name, and its arguments under `arguments`")
    return tuple(call for call in calls if call)


def _tagged(text: str, offered: Offered) -> list[ToolCall]:
    """Calls between `<tool_call>` tags; the last may be unclosed.

    An unclosed tag with nothing like a call behind it is a mention of the tag.
    """
    calls: list[ToolCall] = []
    for part in text.split(_TAG)[1:]:
        body, closed, _ = part.partition(_END_TAG)
        body = body.strip()
        if not closed and "{" not in body and not any(name in body for name in offered):
            continue
        calls.extend(
            _json_calls_in(body, offered, CallForm.TAGGED)
            or _element_calls(body, offered)
            or [
                call.model_copy(update={"form": CallForm.TAGGED}) for call in _python(body, offered)
            ]
            or [broken(_mentioned(body, offered), body, CallForm.TAGGED)]
        )
    return calls


def _fenced(text: str, offered: Offered) -> list[ToolCall]:
    calls: list[ToolCall] = []
    for block in fenced_blocks(text):
        found = _json_calls_in(block.content, offered, CallForm.FENCED)
        found = found or whole_calls(block.content, offered, known_only=True)
        if not found and (not block.language or block.language.startswith(_JSON_LANGUAGES)):
            found = _json_calls_among(block.content, offered, CallForm.FENCED)
        calls.extend(found)
    return calls


def _bare(text: str, offered: Offered) -> list[ToolCall]:
    return _json_calls_among(text, offered, CallForm.BARE)


def _json_calls_among(text: str, offered: Offered, form: CallForm) -> list[ToolCall]:
    """Calls anywhere in a text, and after them an attempt that does not parse."""
    values = list(find_json(text))
    calls = [call for value, _, _ in values for call in _json_calls(value, offered, form)]
    parsed = [range(start, end) for _, start, end in values]
    for attempt in _NAMED.finditer(text):
        if attempt[1] in offered and not any(attempt.start() in span for span in parsed):
            return [*calls, broken(attempt[1], text[attempt.start() :], form)]
    return calls


def _python(text: str, offered: Offered) -> list[ToolCall]:
    return whole_calls(text, offered) or line_calls(text, offered)


def _json_calls_in(text: str, offered: Offered, form: CallForm) -> list[ToolCall]:
    """Calls of a text that is one JSON value, or several one after the other."""
    try:
        values = [parse_json(text)]
    except ValueError:
        values: list[JsonValue] = []
        position = 0
        for value, start, end in find_json(text):
            if text[position:start].strip(" \t\r\n,;"):
                return []
            values.append(value)
            position = end
        if text[position:].strip(" \t\r\n,;"):
            return []
    return [call for value in values for call in _json_calls(value, offered, form)]


def _json_calls(value: JsonValue, offered: Offered, form: CallForm) -> list[ToolCall]:
    """The calls that a JSON value is: one, a list, or a list under `tool_calls`; else none."""
    if is_object(value) and is_array(value.get("tool_calls")):
        value = value["tool_calls"]
    items = value if is_array(value) else [value]
    calls = [_json_call(item, offered, form) for item in items]
    return [call for call in calls if call] if all(calls) else []


def _json_call(item: JsonValue, offered: Offered, form: CallForm) -> ToolCall | None:
    """A JSON object as a call, or None if it is not one."""
    if not is_object(item):
        return None
    inner = item["function"] if is_object(item.get("function")) else item
    name = inner.get("name") or inner.get("function")
    if not isinstance(name, str) or not name:
        return None
    key = next((key for key in _ARGUMENTS if key in inner), None)
    said_to_be = form in (CallForm.STRUCTURED, CallForm.TAGGED)
    if not said_to_be and not _reads_as_call(inner, name, key, offered):
        return None
    arguments = _arguments(inner.get(key) if key else None)
    raw = "" if arguments is not None else str(inner.get(key or ""))[:1000]
    return ToolCall(name=name, arguments=arguments, form=form, raw=raw)


def _reads_as_call(
    inner: dict[str, JsonValue], name: str, key: str | None, offered: Offered
) -> bool:
    """Whether an untagged JSON object is a call, and no other object that has a name.

    `arguments` beside a name says so, even under a name that was not offered. Otherwise the name
    must be an offered one, nothing foreign may stand beside it, and `parameters` must not be a
    schema: that is a tool's signature, quoted.
    """
    foreign = not inner.keys() <= _AROUND
    if key == "arguments":
        return name in offered or not foreign
    given = inner.get(key) if key else None
    is_signature = is_object(given) and "properties" in given
    return name in offered and not foreign and not is_signature


def _arguments(given: JsonValue) -> dict[str, JsonValue] | None:
    """Arguments as an object, which some models write as JSON text; None if they are no object."""
    if given is None:
        return {}
    if isinstance(given, str):
        try:
            given = parse_json(given) if given.strip() else {}
        except ValueError:
            return None
    return given if is_object(given) else None


def _element_calls(body: str, offered: Offered) -> list[ToolCall]:
    """Calls as `<function=f><parameter=a>1</parameter></function>`, as Qwen3-Coder writes them.

    A value is JSON where it reads as JSON and the tool does not ask for a text.
    """
    calls: list[ToolCall] = []
    for part in body.split("<function=")[1:]:
        name, _, inner = part.partition("</function>")[0].partition(">")
        properties = offered.get(name.strip(), {})
        arguments: dict[str, JsonValue] = {}
        for parameter in inner.split("<parameter=")[1:]:
            key, _, value = parameter.partition("</parameter>")[0].partition(">")
            arguments[key.strip()] = _element_value(value, properties.get(key.strip()))
        calls.append(ToolCall(name=name.strip(), arguments=arguments, form=CallForm.TAGGED))
    return calls


def _element_value(text: str, schema: JsonValue) -> JsonValue:
    text = text.strip("\r\n")
    if is_object(schema) and schema.get("type") == "string":
        return text
    try:
        return parse_json(text)
    except ValueError:
        return text


def _mentioned(body: str, offered: Offered) -> str:
    """The offered tool that an unreadable call names, as far as can be seen."""
    named = _NAMED.search(body)
    if named:
        return named[1]
    return next((name for name in offered if name in body), "")
