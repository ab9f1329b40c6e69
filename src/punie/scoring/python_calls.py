"""Tool calls written as Python calls: `[f(a=1), g(b="x")]`, one or many, alone or on their lines.

The source is read as a syntax tree and never run.
"""

import ast
import re
from collections.abc import Mapping

from pydantic import JsonValue

from punie.records.result import CallForm, ToolCall
from punie.scoring.json_text import as_json
from punie.scoring.python_source import parse_python

Offered = Mapping[str, Mapping[str, JsonValue]]
"""The tools that were offered: name → its parameters in order, each with its schema."""

_CANDIDATES = 64
_CALL_LIMIT = 10_000
"""Characters that one call may span."""
_LINE_START = re.compile(
    r"^[ \t]*+(?:(?:[-*>]|[0-9]++[.)])[ \t]*+)?`{0,3}+(\[[ \t]*+)?([A-Za-z_][\w.]*+)\(",
    re.MULTILINE,
)
_WORDS: dict[str, JsonValue] = {"true": True, "false": False, "null": None}


def whole_calls(text: str, offered: Offered, *, known_only: bool = False) -> list[ToolCall]:
    """The calls of a text that is nothing but calls; empty if it is anything else.

    A name that was not offered counts where its arguments are keywords: prose and code rarely look
    like that, a call with a wrong name does. `known_only` refuses it too.
    """
    try:
        module = parse_python(text.strip().strip("`").strip(), "exec")
    except SyntaxError:
        return []
    calls: list[ToolCall] = []
    for statement in module.body:
        if not isinstance(statement, ast.Expr):
            return []
        found = _expression_calls(statement.value, offered, known_only=known_only)
        if not found:
            return []
        calls.extend(found)
    return calls


def line_calls(text: str, offered: Offered) -> list[ToolCall]:
    """Calls of offered tools that begin a line and end one, with prose on the lines around them.

    One that never closes, or that is no Python, is given with `arguments` None.
    """
    calls: list[ToolCall] = []
    position = 0
    for _ in range(_CANDIDATES):
        start = _LINE_START.search(text, position)
        if start is None:
            break
        position = start.end()
        if start[2] not in offered:
            continue
        begin = start.start(1) if start[1] else start.start(2)
        end = _closing(text, begin)
        if end is None:
            calls.append(broken(start[2], text[begin:], CallForm.PYTHON))
            break
        if not _line_ends(text, end):
            continue
        source, position = text[begin:end], end
        found = whole_calls(source, offered, known_only=True)
        calls.extend(found or [broken(start[2], source, CallForm.PYTHON)])
    return calls


def broken(name: str, raw: str, form: CallForm) -> ToolCall:
    """A call that was attempted and cannot be read."""
    return ToolCall(name=name, arguments=None, form=form, raw=raw[:1000])


def _expression_calls(node: ast.expr, offered: Offered, *, known_only: bool) -> list[ToolCall]:
    nodes = node.elts if isinstance(node, ast.List | ast.Tuple) else [node]
    calls = [_call(each, offered, known_only=known_only) for each in nodes]
    return [call for call in calls if call] if all(calls) else []


def _call(node: ast.expr, offered: Offered, *, known_only: bool) -> ToolCall | None:
    if not isinstance(node, ast.Call):
        return None
    name = _dotted(node.func)
    if name not in offered and (known_only or not name or node.args or not node.keywords):
        return None
    try:
        return ToolCall(
            name=name, arguments=_arguments(node, tuple(offered.get(name, ()))), form=_FORM
        )
    except (ValueError, RecursionError):
        return broken(name, f"{name}(…)", _FORM)


def _arguments(node: ast.Call, parameters: tuple[str, ...]) -> dict[str, JsonValue]:
    """Arguments by name; positional ones get the names of the tool's parameters in order."""
    if len(node.args) > len(parameters):
        raise ValueError("more arguments than parameters")
    arguments = {key: _value(each) for key, each in zip(parameters, node.args, strict=False)}
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg in arguments:
            raise ValueError("an argument without a name, or twice")
        arguments[keyword.arg] = _value(keyword.value)
    return arguments


def _value(node: ast.expr) -> JsonValue:
    """A literal as JSON; `true`, `false` and `null` are understood. Raises ValueError otherwise."""
    match node:
        case ast.Constant():
            return as_json(node.value)
        case ast.Name() if node.id in _WORDS:
            return _WORDS[node.id]
        case ast.List() | ast.Tuple():
            return as_json([_value(each) for each in node.elts])
        case ast.Dict():
            keys = [_value(key) if key else None for key in node.keys]
            return as_json(dict(zip(map(_text, keys), map(_value, node.values), strict=True)))
        case ast.UnaryOp(op=ast.USub()):
            number = _value(node.operand)
            if isinstance(number, int | float) and not isinstance(number, bool):
                return -number
        case _:
            pass
    raise ValueError("not a literal")


def _text(key: JsonValue) -> str:
    if isinstance(key, str):
        return key
    raise ValueError("a key is not a text")


def _dotted(node: ast.expr) -> str:
    """`a.b.c` of a function's node, or nothing for anything that is no name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def _closing(text: str, start: int) -> int | None:
    """Where the bracket that opens first after `start` is closed, outside of quotes."""
    depth, quote, escaped = 0, "", False
    for index in range(start, min(len(text), start + _CALL_LIMIT)):
        char = text[index]
        if escaped:
            escaped = False
        elif quote:
            escaped = char == "\\"
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
            if depth == 0:
                return index + 1
    return None


def _line_ends(text: str, position: int) -> bool:
    end = text.find("\n", position)
    return not text[position : end if end >= 0 else len(text)].strip(" \t\r`;,.]")


_FORM = CallForm.PYTHON
