"""Tool calls: were the right ones made, and if not, what is to blame."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from punie.errors import InputError
from punie.records.expect import ExpectedCall, ToolCalls
from punie.records.result import Completion, Culprit, Score, ToolCall
from punie.records.suite import Tool
from punie.scoring.calls import offer, read_calls
from punie.scoring.grade import NOTE_LIMIT, grade, quote, was_cut
from punie.scoring.json_schema import misfits
from punie.scoring.json_text import is_object, show
from punie.scoring.matching import assign, assign_in_order, nearest
from punie.scoring.patterns import Miss, describe, object_misses
from punie.text import one_line

_SPARE_CALLS = 64
"""Made calls beyond the expected ones that are looked at; further ones only count as extra."""
_ANOTHER_CALL = 1000
"""The distance to a call of another tool: farther than any call with wrong arguments."""


@dataclass(frozen=True, slots=True)
class _Blame:
    culprit: Culprit
    note: str


def score_tool_calls(
    expectation: ToolCalls, completion: Completion, text: str, tools: Sequence[Tool]
) -> Score:
    """The share of right calls among the larger of expected and made ones."""
    expected = expectation.calls
    offered = offer(tools, (call.name for call in expected))
    made = read_calls(completion, offered)
    details: dict[str, JsonValue] = {"expected": len(expected), "made": len(made)}
    if made:
        details["form"] = made[0].form.value
    if completion.recovered:
        details["recovered"] = True
    if not expected:
        return _score_abstaining(expectation, completion, made, details)
    if not made:
        blame = _none_made(completion, text, expected)
        return grade(expectation, 0.0, blame.culprit, blame.note, details)
    seen = made[: len(expected) + _SPARE_CALLS]
    by_name = {tool.name: tool for tool in tools}
    table = [
        [_call_misses(want, got, by_name.get(want.name), strict=expectation.strict) for got in seen]
        for want in expected
    ]
    right = [[not found for found in row] for row in table]
    pairs = assign_in_order(right) if expectation.ordered else assign(right)
    details["right"] = len(pairs)
    value = len(pairs) / max(len(expected), len(made))
    if value == 1:
        return grade(expectation, 1.0, details=details)
    if expectation.ordered and len(assign(right)) > len(pairs):
        names = [", ".join(call.name for call in calls) for calls in (expected, seen)]
        note = f"expected the order {names[0]}, got {names[1]}"
        return grade(expectation, value, Culprit.WRONG_ORDER, note, details)
    blames = _blames(expected, seen, table, pairs, completion)
    details["misses"] = [
        one_line(f"{each.culprit}: {each.note}", NOTE_LIMIT) for each in blames[:8]
    ]
    return grade(expectation, value, blames[0].culprit, blames[0].note, details)


def _score_abstaining(
    expectation: ToolCalls,
    completion: Completion,
    made: Sequence[ToolCall],
    details: dict[str, JsonValue],
) -> Score:
    """1 without a call; an attempt that cannot be read, or that the server lost, is one too."""
    if not made and completion.finish_reason != "tool_calls":
        return grade(expectation, 1.0, details=details)
    got = _written(made[0]) if made else "a call that the server's parser lost"
    note = f"expected no call, got {got}"
    return grade(expectation, 0.0, Culprit.SHOULD_ABSTAIN, note, details)


def _none_made(completion: Completion, text: str, expected: Sequence[ExpectedCall]) -> _Blame:
    silent = not text.strip()
    got = "no answer" if silent else quote(text)
    if completion.finish_reason == "tool_calls" and silent:
        culprit, got = Culprit.LOST_BY_SERVER, "a call whose text the server dropped"
    elif completion.finish_reason == "content_filter" and silent:
        culprit, got = Culprit.FILTERED, "nothing: a content filter stopped it"
    else:
        # Prose without the beginning of a call is no call, however long it might have gone on; only
        # where nothing was said yet (the model was still thinking) the limit is to blame.
        cut = was_cut(completion)
        culprit = Culprit.TRUNCATED if cut and silent else Culprit.NOT_CALLED
        got = f"{got}, cut at the token limit" if cut else got
    return _Blame(culprit, f"expected {_expected(expected[0])}, got {got}")


def _call_misses(
    want: ExpectedCall, got: ToolCall, tool: Tool | None, *, strict: bool
) -> list[Miss]:
    """Every way in which a made call misses an expected one; empty where it is right."""
    if got.arguments is None:
        return [Miss(Culprit.UNPARSABLE, (), _expected(want), _written(got))]
    if not _same_name(want.name, got.name, strict=strict):
        return [Miss(Culprit.WRONG_NAME, (), _expected(want), _written(got))]
    found = list(
        object_misses(want.arguments, got.arguments, strict=strict, defaults=_defaults(tool))
    )
    return _by_schema(found, got.arguments, tool) if found and tool else found


def _same_name(one: str, other: str, *, strict: bool) -> bool:
    """Whether two names are one; some models cannot write a dot, and BFCL takes `_` for it."""
    return one == other or (not strict and one.replace(".", "_") == other.replace(".", "_"))


def _defaults(tool: Tool | None) -> dict[str, JsonValue]:
    properties = tool.parameters.get("properties") if tool else None
    if not is_object(properties):
        return {}
    return {
        name: schema["default"]
        for name, schema in properties.items()
        if is_object(schema) and "default" in schema
    }


_TYPED = {"type", "anyOf", "oneOf", "allOf", "enum", "const", "$ref"}


def _by_schema(found: list[Miss], arguments: dict[str, JsonValue], tool: Tool) -> list[Miss]:
    """The misses with type told from value by the tool's schema, where it says what it wants."""
    of_value = (Culprit.WRONG_TYPE, Culprit.WRONG_VALUE)
    properties = tool.parameters.get("properties")
    if not is_object(properties) or not any(miss.culprit in of_value for miss in found):
        return found
    try:
        wrong = [each.keys for each in misfits(tool.parameters, arguments) if each.is_type]
    except InputError:
        return found  # an unusable schema decides nothing
    told: list[Miss] = []
    for miss in found:
        schema = properties.get(str(miss.path[0])) if miss.path else None
        if miss.culprit in of_value and is_object(schema) and schema.keys() & _TYPED:
            is_type = any(keys[: len(miss.path)] == miss.path for keys in wrong)
            culprit = Culprit.WRONG_TYPE if is_type else Culprit.WRONG_VALUE
            told.append(Miss(culprit, miss.path, miss.wanted, miss.got))
        else:
            told.append(miss)
    return told


def _blames(
    expected: Sequence[ExpectedCall],
    made: Sequence[ToolCall],
    table: list[list[list[Miss]]],
    pairs: dict[int, int],
    completion: Completion,
) -> list[_Blame]:
    """What went wrong: expected calls against the nearest made ones left, then what is left."""
    distances = [
        [
            _ANOTHER_CALL if want.name != got.name else len(missed)
            for got, missed in zip(made, row, strict=True)
        ]
        for want, row in zip(expected, table, strict=True)
    ]
    rest = nearest(
        distances,
        [i for i in range(len(expected)) if i not in pairs],
        [j for j in range(len(made)) if j not in pairs.values()],
    )
    blames: list[_Blame] = []
    for i, want in enumerate(expected):
        if i in pairs:
            continue
        if i in rest:
            is_last = rest[i] == len(made) - 1
            miss = table[i][rest[i]][0]
            blames.append(_blame(want.name, miss, completion, is_last=is_last))
        else:
            culprit = Culprit.TRUNCATED if was_cut(completion) else Culprit.NOT_CALLED
            blames.append(_Blame(culprit, f"expected {_expected(want)} too, got no such call"))
    used = {*pairs.values(), *rest.values()}
    extra = [call for j, call in enumerate(made) if j not in used]
    blames += [
        _Blame(Culprit.EXTRA_CALL, f"expected no further call, got {_written(call)}")
        for call in extra
    ]
    return blames or [_Blame(Culprit.EXTRA_CALL, "expected no further call, got many")]


def _blame(name: str, miss: Miss, completion: Completion, *, is_last: bool) -> _Blame:
    """One miss in words. What cannot be read was cut, or lost on the way, or written wrongly."""
    culprit = miss.culprit
    if culprit is Culprit.UNPARSABLE and was_cut(completion) and is_last:
        culprit = Culprit.TRUNCATED
    elif culprit is Culprit.UNPARSABLE and completion.recovered:
        culprit = Culprit.LOST_BY_SERVER
    keys = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in miss.path)
    place = f"{name}{keys} = " if miss.path else ""
    if culprit is Culprit.UNKNOWN_ARGUMENT:
        return _Blame(culprit, f"expected no argument {name}{keys}, got {miss.got}")
    return _Blame(culprit, f"expected {place}{miss.wanted}, got {miss.got}")


def _expected(call: ExpectedCall) -> str:
    arguments = ", ".join(f"{key}={describe(value)}" for key, value in call.arguments.items())
    return f"{call.name}({arguments})"


def _written(call: ToolCall) -> str:
    if call.arguments is None:
        return f"an unreadable call {quote(call.raw or call.name)}"
    arguments = ", ".join(f"{key}={show(value)}" for key, value in call.arguments.items())
    return one_line(f"{call.name}({arguments})", 120)
