"""When two answers to a prompt are the same one: each read as the prompt's own scorers read it.

Of a number only the number counts, of JSON the value, of tool calls the calls, of Python source the
program; every other answer is its folded text. So a model that writes "about 42 km" and "It is 42"
says one thing where a number is asked for, and two things where nothing is.
"""

import ast
import math

from pydantic import JsonValue

from punie.records.base import canonical_json
from punie.records.expect import Exact, Expectation, Json, Keywords, Number, Python, ToolCalls
from punie.records.result import Completion, ToolCall
from punie.records.suite import EvalPrompt
from punie.scoring.answers import find_number
from punie.scoring.calls import offer, read_calls
from punie.scoring.json_text import is_array, is_object, parse_json
from punie.scoring.python_source import parse_python, python_part
from punie.scoring.structured import json_part
from punie.scoring.text import answer_text, fold_answer

NO_CALL = "no call"


def normal_answer(prompt: EvalPrompt, completion: Completion) -> str:
    """What an answer says, in a form in which equal answers are equal texts.

    - number: the number; all within the tolerance are the expected one. Without any: the text.
    - exact: the folded text; all accepted values are the first one.
    - json: the value, keys in order. Where it does not parse: the text.
    - tool_calls: names and arguments, in any order unless the order counts. None made: `no call`.
    - python: the program, without comments and layout. Where it does not parse: the text.
    - keywords, or nothing: the folded text, or the calls of an answer that has no text.

    The text is without thinking aloud, its white space single, its letters folded unless the
    scorer tells them apart, without quotes around it or a final full stop. Of a prompt with several
    expectations the parts stand side by side: answers are the same where all of them are.
    """
    text = answer_text(completion)
    parts = [_part(each, prompt, completion, text) for each in prompt.expect]
    return "\n".join(dict.fromkeys(parts)) if parts else _plain_text(completion, text)


def _part(expectation: Expectation, prompt: EvalPrompt, completion: Completion, text: str) -> str:
    match expectation:
        case Number():
            return _number(expectation, text)
        case Exact():
            return _exact(expectation, text)
        case Json():
            return _json(text)
        case ToolCalls():
            return _calls(expectation, prompt, completion)
        case Python():
            return _program(text)
        case Keywords():
            return _plain_text(completion, text, case=expectation.case)


def _plain_text(completion: Completion, text: str, *, case: bool = False) -> str:
    if completion.tool_calls and not text.strip():
        return "; ".join(map(_call, completion.tool_calls))
    return fold_answer(text, case=case)


def _number(expectation: Number, text: str) -> str:
    found = find_number(text)
    if found is None:
        return fold_answer(text, case=False)
    margin = max(expectation.tolerance, expectation.relative * abs(expectation.value))
    right = abs(found - expectation.value) <= margin
    return f"{expectation.value if right else found:.15g}"


def _exact(expectation: Exact, text: str) -> str:
    folded = fold_answer(text, case=expectation.case)
    accepted = [fold_answer(value, case=expectation.case) for value in expectation.values]
    return accepted[0] if folded in accepted else folded


def _json(text: str) -> str:
    try:
        return canonical_json(_same_numbers(parse_json(json_part(text))))
    except ValueError:
        return fold_answer(text, case=True)


def _calls(expectation: ToolCalls, prompt: EvalPrompt, completion: Completion) -> str:
    offered = offer(prompt.tools, (call.name for call in expectation.calls))
    made = [_call(call) for call in read_calls(completion, offered)]
    return "; ".join(made if expectation.ordered else sorted(made)) or NO_CALL


def _call(call: ToolCall) -> str:
    if call.arguments is None:
        return f"{call.name}({call.raw.strip()}"
    return f"{call.name}({canonical_json(_same_numbers(call.arguments))})"


def _program(text: str) -> str:
    source, _ = python_part(text)
    try:
        return ast.unparse(parse_python(source, "exec"))
    except (SyntaxError, RecursionError, ValueError):
        return fold_answer(text, case=True)


def _same_numbers(value: JsonValue) -> JsonValue:
    """The value with 5.0 as 5, which JSON does not tell apart."""
    if is_object(value):
        return {key: _same_numbers(each) for key, each in value.items()}
    if is_array(value):
        return [_same_numbers(each) for each in value]
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return int(value)
    return value
