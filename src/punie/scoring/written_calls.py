"""Whether tool calls that stand in a text come back from it as they were written."""

import json
from collections.abc import Sequence

from pydantic import JsonValue

from punie.records.base import canonical_json
from punie.records.result import Completion
from punie.records.suite import HistoryCall, Tool
from punie.scoring.calls import offer, read_calls


def lost_calls(text: str, calls: Sequence[HistoryCall], tools: Sequence[Tool]) -> str:
    """What does not come back of the calls that `text` makes, in short; "" where all of it does.

    `tools` are those that were offered. Arguments are compared as JSON: order does not count.
    """
    offered = offer(tools, names=[call.function.name for call in calls])
    read = [
        _spelled(call.name, call.arguments) for call in read_calls(Completion(text=text), offered)
    ]
    written = [_spelled(call.function.name, _arguments(call)) for call in calls]
    if read == written:
        return ""
    if len(read) != len(written):
        return f"{len(written)} written, {len(read)} read back"
    wrote, came = next(pair for pair in zip(written, read, strict=True) if pair[0] != pair[1])
    return f"{wrote[:120]} comes back as {came[:120]}"


def _arguments(call: HistoryCall) -> JsonValue:
    """The arguments as JSON; a text that is none cannot come back as an object."""
    try:
        return json.loads(call.function.arguments or "{}")
    except (ValueError, RecursionError):
        return call.function.arguments


def _spelled(name: str, arguments: JsonValue) -> str:
    return f"{name}({canonical_json(arguments)})"
