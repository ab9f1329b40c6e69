"""One prompt in words: what was expected, what came, and how it ended."""

import json
from collections.abc import Mapping
from typing import Any, Literal, TypeGuard

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
from punie.records.result import EvalFault, Outcome, ToolCall
from punie.text import one_line, visible

Status = Literal["pass", "partial", "fail", "unscored", "fault"]
_WIDE = 56
"""A call longer than this is broken over lines, one argument each."""


def _is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_array(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def status(outcome: Outcome) -> Status:
    """How a prompt ended. Partial is not passed, yet worth some points."""
    if isinstance(outcome, EvalFault):
        return "fault"
    if outcome.passed is None:
        return "unscored"
    if outcome.passed:
        return "pass"
    return "partial" if outcome.score else "fail"


def literal(value: Any) -> str:
    """A JSON value on one line, its characters visible."""
    return visible(json.dumps(value, ensure_ascii=False))


def pretty(value: Any) -> str:
    """A JSON value over several lines, its characters visible."""
    return visible(json.dumps(value, ensure_ascii=False, indent=2))


def pattern(value: Any) -> str:
    """An argument's pattern: `"c" | "celsius"`, and `(optional)` where it may be left out."""
    if _is_object(value):
        if "any_of" in value:
            accepted = " | ".join(pattern(each) for each in value["any_of"])
            return f"{accepted} (optional)" if value.get("optional") else accepted
        return "{" + ", ".join(f"{literal(k)}: {pattern(v)}" for k, v in value.items()) + "}"
    if _is_array(value):
        return "[" + ", ".join(pattern(each) for each in value) + "]"
    return literal(value)


def call(name: str, arguments: Mapping[str, Any], *, multiline: bool = False) -> str:
    """A tool call as people read it: `get_weather(city="Paris")`."""
    written = [f"{visible(key)}={pattern(value)}" for key, value in arguments.items()]
    flat = f"{visible(name)}({', '.join(written)})"
    if not multiline or len(flat) <= _WIDE:
        return flat
    return "\n".join([f"{visible(name)}(", *(f"    {each}," for each in written), ")"])


def made_call(made: ToolCall, *, multiline: bool = False) -> str:
    """A call that the model made; its own text where the arguments could not be parsed."""
    if made.arguments is None:
        return f"{visible(made.name)}({visible(made.raw) or '…'})"
    return call(made.name, made.arguments, multiline=multiline)


def expectation(expected: Expectation, *, multiline: bool = False) -> str:  # noqa: PLR0911 - one line a kind
    """What one scorer looks for, in words."""
    match expected:
        case ToolCalls():
            if not expected.calls:
                return "no tool call"
            calls = (call(c.name, c.arguments, multiline=multiline) for c in expected.calls)
            return ("\n" if multiline else ", then " if expected.ordered else " + ").join(calls)
        case Keywords():
            parts = [
                ("all of", expected.all),
                ("any of", expected.any),
                ("none of", expected.none),
            ]
            # A regular expression is shown as it stands in the suite, without JSON's escapes.
            shown = visible if expected.match == "regex" else literal
            how_many = len(expected.all) + len(expected.any) + len(expected.none)
            kind = ("pattern " if how_many == 1 else "patterns ") if shown is visible else ""
            said = [f"{how} {kind}{'  '.join(map(shown, words))}" for how, words in parts if words]
            return ("\n" if multiline else "; ").join(said)
        case Exact():
            return " | ".join(map(literal, expected.values))
        case Number():
            slack = max(expected.tolerance, expected.relative * abs(expected.value))
            return f"{expected.value:g}" + (f" ± {slack:g}" if slack > 1e-6 else "")
        case Json():
            if expected.gold is not None:
                return pretty(expected.gold) if multiline else literal(expected.gold)
            if expected.schema is None:
                return "JSON"
            schema = pretty(expected.schema) if multiline else ""
            return f"JSON that fits the schema\n{schema}".rstrip()
        case Python():
            names = ", ".join(visible(name) for name in expected.defines)
            return f"Python that defines {names}" if names else "Python that parses"


def expected_line(expect: Expect, limit: int = 160) -> str:
    """Everything that a prompt expects, on one line."""
    return one_line(" · ".join(expectation(each) for each in expect), limit)


def got_line(outcome: Outcome, limit: int = 160) -> str:
    """What came back, on one line: the calls, else the answer's beginning, else the fault."""
    if isinstance(outcome, EvalFault):
        return one_line(f"{outcome.kind}: {outcome.message}", limit)
    answer = outcome.completion
    if answer.tool_calls:
        return one_line(" + ".join(made_call(each) for each in answer.tool_calls), limit)
    filtered = answer.finish_reason == "content_filter"
    return one_line(answer.text, limit) or (
        "(stopped by a content filter)" if filtered else "(empty answer)"
    )
