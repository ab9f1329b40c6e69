"""Writes given calls in each form that a model may choose."""

import json
from collections.abc import Callable
from typing import Any

from punie.records.result import CallForm

Calls = list[dict[str, Any]]


def _tagged(calls: Calls) -> str:
    return "\n".join(f"<tool_call>\n{json.dumps(each)}\n</tool_call>" for each in calls)


def _fenced(calls: Calls) -> str:
    return f"```json\n{json.dumps(calls)}\n```"


def _python(calls: Calls) -> str:
    return f"[{', '.join(map(_python_call, calls))}]"


def _python_call(call: dict[str, Any]) -> str:
    arguments = (f"{key}={value!r}" for key, value in call["arguments"].items())
    return f"{call['name']}({', '.join(arguments)})"


WRITERS: dict[CallForm, Callable[[Calls], str]] = {
    CallForm.TAGGED: _tagged,
    CallForm.FENCED: _fenced,
    CallForm.BARE: json.dumps,
    CallForm.PYTHON: _python,
}
