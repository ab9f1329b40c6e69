"""Tool calls: the forms they are read in, how they are matched, what is blamed for a miss."""

import itertools
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from call_forms import WRITERS
from punie.records.expect import ExpectedCall, ToolCalls
from punie.records.result import CallForm, Completion, Culprit, Score, ToolCall
from punie.records.suite import Tool
from punie.scoring.calls import offer, read_calls
from punie.scoring.matching import assign, assign_in_order
from punie.scoring.score import score_tool_calling
from punie.scoring.text import answer_text
from punie.scoring.tool_calls import score_tool_calls

TOOL_CALLS: TypeAdapter[ToolCalls] = TypeAdapter(ToolCalls)

WEATHER = Tool(
    name="get_weather",
    parameters={
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer"},
            "unit": {"type": "string", "enum": ["C", "F"], "default": "C"},
        },
        "required": ["city"],
    },
)
ADD = Tool(
    name="math.add",
    parameters={
        "type": "object",
        "properties": {"a": {"type": "number"}, "b": {"anyOf": [{"type": "number"}]}},
    },
)
ORDER = Tool(
    name="order",
    parameters={
        "type": "object",
        "$defs": {"item": {"type": "object", "properties": {"n": {"type": "integer"}}}},
        "properties": {"items": {"type": "array", "items": {"$ref": "#/$defs/item"}}, "to": {}},
    },
)
TOOLS = (WEATHER, ADD, ORDER)
OFFERED = offer(TOOLS)
PARIS = {"name": "get_weather", "arguments": {"city": "Paris"}}
ROME = {"name": "get_weather", "arguments": {"city": "Rome"}}
SUM = {"name": "math.add", "arguments": {"a": 1, "b": 2}}


def read(text: str, **more: Any) -> list[tuple[str, Any, CallForm]]:
    calls = read_calls(Completion(text=text, **more), OFFERED)
    return [(call.name, call.arguments, call.form) for call in calls]


def score(
    expected: Any, answer: Any, *, finish: str = "stop", recovered: bool = False, **more: Any
) -> Score:
    """The score of an answer given as text, or as data for the structured field."""
    calls = ()
    if not isinstance(answer, str):
        calls = tuple(ToolCall(**call) for call in answer)
        answer = ""
    completion = Completion(
        text=answer, tool_calls=calls, finish_reason=finish, recovered=recovered
    )
    expectation = TOOL_CALLS.validate_python({"calls": expected, **more})
    return score_tool_calls(expectation, completion, answer_text(completion), TOOLS)


CITY = ("get_weather", {"city": "Paris"})
WRITTEN = 'get_weather(city="Paris")'
UNREADABLE = ("get_weather", None)
TAGGED, FENCED, BARE, PYTHON = list(CallForm)[1:]
QUOTED = json.dumps(PARIS)
READINGS: list[tuple[str, list[Any]]] = [
        # <tool_call> text
        (f"<tool_call>{QUOTED}</tool_call>", [(*CITY, TAGGED)]),
        (f"Sure.\n<tool_call>\n{QUOTED}\n</tool_call><|im_end|>", [(*CITY, TAGGED)]),
        (f"<tool_call>{QUOTED}", [(*CITY, TAGGED)]),
        (f"<tool_call>[{QUOTED}]</tool_call>", [(*CITY, TAGGED)]),
        (f"<tool_call>{QUOTED}\n{QUOTED}</tool_call>", [(*CITY, TAGGED)] * 2),
        ('<tool_call>{"name": "get_weather"}</tool_call>', [("get_weather", {}, TAGGED)]),
        ('<tool_call>get_weather(city="Paris")</tool_call>', [(*CITY, TAGGED)]),
        (
            """<tool_call>
<function=get_weather>
<parameter=city>
12
</parameter>
<parameter=days>3</parameter></function></tool_call>""",
            [("get_weather", {"city": "12", "days": 3}, TAGGED)],
        ),
        ("<tool_call>get_weather: Paris</tool_call>", [(*UNREADABLE, TAGGED)]),
        ("<think><tool_call>no</tool_call></think>Hello", []),
        # fenced JSON
        (f"I will:\n```json\n{QUOTED}\n```\nok", [(*CITY, FENCED)]),
        (f"```\n{json.dumps({'tool_calls': [PARIS, PARIS]})}\n```", [(*CITY, FENCED)] * 2),
        ("```json\n{'name': 'get_weather', 'arguments': {}}\n```", [(*UNREADABLE, FENCED)]),
        (f"```\nCall: {QUOTED}\n```", [(*CITY, FENCED)]),
        (f"```json\n{QUOTED}\n{QUOTED[:30]}\n```", [(*CITY, FENCED), (*UNREADABLE, FENCED)]),
        # bare JSON
        (f"{QUOTED}\n{QUOTED[:30]}", [(*CITY, BARE), (*UNREADABLE, BARE)]),
        (QUOTED, [(*CITY, BARE)]),
        (f"I call {QUOTED} now.", [(*CITY, BARE)]),
        (json.dumps({"type": "function", "function": PARIS}), [(*CITY, BARE)]),
        (json.dumps({"name": "get_weather", "parameters": {"city": "Paris"}}), [(*CITY, BARE)]),
        (json.dumps({"name": "get_weather", "arguments": '{"city": "Paris"}'}), [(*CITY, BARE)]),
        (json.dumps({"name": "get_weather", "arguments": "Paris"}), [(*UNREADABLE, BARE)]),
        (json.dumps({"name": "weather", "arguments": {}}), [("weather", {}, BARE)]),
        ('{"name": "get_weather", "arguments": {"city": "Pa', [(*UNREADABLE, BARE)]),
        # Python calls
        ("[get_weather(city='Paris'), math.add(a=1, b=-2.5)]",
         [(*CITY, PYTHON), ("math.add", {"a": 1, "b": -2.5}, PYTHON)]),
        ('get_weather("Paris", 3)', [("get_weather", {"city": "Paris", "days": 3}, PYTHON)]),
        ("```py\nget_weather(city='Paris')\nget_weather(city='Paris')\n```", [(*CITY, PYTHON)] * 2),
        ("Let me see:\n- `get_weather(city='Paris')`\nDone.", [(*CITY, PYTHON)]),
        ("First\n[get_weather(\n  city='Paris',\n)]\nthen", [(*CITY, PYTHON)]),
        ("order(items=[{'n': 1}], to=null)",
         [("order", {"items": [{"n": 1}], "to": None}, PYTHON)]),
        ("weather(city='Paris')", [("weather", {"city": "Paris"}, PYTHON)]),
        ("get_weather(city=capital)", [(*UNREADABLE, PYTHON)]),
        ("get_weather(city='Pa", [(*UNREADABLE, PYTHON)]),
        # no calls at all
        ("Use the <tool_call> tag for that.", []),
        (f"```python\nrequest = {QUOTED}\n```", []),
        ("", []),
        ("[]", []),
        ('The record is {"name": "Ada", "age": 36}.', []),
        ('{"city": "Paris"}', []),
        (json.dumps({"name": "get_weather", "description": "d", "parameters": {}}), []),
        (json.dumps({"name": "get_weather", "parameters": WEATHER.parameters}), []),
        ("get_weather(city) is a function that I have.", []),
        ("You can use get_weather(city='Paris') for that.", []),
        ("```python\nprint('hi')\n```", []),
        ("```python\nimport weather\nget_weather(city='Paris')\n```", []),
        ("```python\ndef f():\n    get_weather(city='Paris')\n```", []),
]  # fmt: skip


@pytest.mark.parametrize(("text", "calls"), READINGS)
def test_calls_are_read_in_each_form(text: str, calls: list[Any]):
    assert read(text) == calls


def test_the_structured_field_goes_first_and_without_tools_nothing_else_is_read():
    structured = ToolCall(name="f", arguments={})
    both = Completion(text=json.dumps(PARIS), tool_calls=(structured,))
    assert read_calls(both, OFFERED) == (structured,)
    assert read_calls(Completion(text=json.dumps(PARIS)), {}) == ()


def call(name: str, given: dict[str, Any] | None = None, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": given or arguments}


@pytest.mark.parametrize(
    ("expected", "answer", "value", "culprit", "note"),
    [
        ([PARIS], [PARIS], 1, None, ""),
        ([PARIS], "It is sunny.", 0, Culprit.NOT_CALLED,
         f'expected {WRITTEN}, got "It is sunny."'),
        ([PARIS], "", 0, Culprit.NOT_CALLED, 'expected get_weather(city="Paris"), got no answer'),
        ([PARIS, ROME], [ROME], 0.5, Culprit.NOT_CALLED,
         'expected get_weather(city="Paris") too, got no such call'),
        ([PARIS], [call("weather", city="Paris")], 0, Culprit.WRONG_NAME,
         'expected get_weather(city="Paris"), got weather(city="Paris")'),
        ([PARIS], [call("get_weather")], 0, Culprit.MISSING_ARGUMENT,
         'expected get_weather.city = "Paris", got nothing'),
        ([PARIS], [call("get_weather", city="Lyon")], 0, Culprit.WRONG_VALUE,
         'expected get_weather.city = "Paris", got "Lyon"'),
        ([PARIS], [call("get_weather", city=["Paris"])], 0, Culprit.WRONG_TYPE,
         'expected get_weather.city = "Paris", got ["Paris"]'),
        ([PARIS], [call("get_weather", city="Paris", zip=1)], 0, Culprit.UNKNOWN_ARGUMENT,
         "expected no argument get_weather.zip, got 1"),
        ([PARIS], [PARIS, SUM], 0.5, Culprit.EXTRA_CALL,
         "expected no further call, got math.add(a=1, b=2)"),
        ([], [PARIS], 0, Culprit.SHOULD_ABSTAIN,
         'expected no call, got get_weather(city="Paris")'),
        ([], "I cannot know that.", 1, None, ""),
        ([PARIS], '<tool_call>{"name": "get_weather", </tool_call>', 0, Culprit.UNPARSABLE,
         f'expected {WRITTEN}, got an unreadable call "{{"name": "get_weather","'),
    ],
)  # fmt: skip
def test_culprits(expected: Any, answer: Any, value: float, culprit: Culprit | None, note: str):
    found = score(expected, answer)
    assert (found.value, found.culprit, found.note) == (value, culprit, note)
    assert found.passed is (culprit is None)


def test_wrong_order_is_blamed_only_where_the_order_counts():
    found = score([PARIS, SUM], [SUM, PARIS], ordered=True)
    assert (found.value, found.culprit) == (0.5, Culprit.WRONG_ORDER)
    assert found.note == "expected the order get_weather, math.add, got math.add, get_weather"
    assert score([PARIS, SUM], [SUM, PARIS]).value == 1
    missing = score([PARIS, ROME, SUM], [ROME, SUM], ordered=True)
    assert (missing.value, missing.culprit) == (pytest.approx(2 / 3), Culprit.NOT_CALLED)


def test_a_cut_answer_is_truncated():
    begun = '<tool_call>{"name": "get_weather", "argu'
    assert score([PARIS], begun, finish="length").culprit is Culprit.TRUNCATED
    assert score([PARIS], begun).culprit is Culprit.UNPARSABLE
    assert score([PARIS], "", finish="length").culprit is Culprit.TRUNCATED
    prose = score([PARIS], "You could look out of the window and", finish="length")
    assert prose.culprit is Culprit.NOT_CALLED
    assert "cut at the token limit" in prose.note
    assert score([PARIS, ROME], [PARIS], finish="length").culprit is Culprit.TRUNCATED
    assert score([PARIS], [PARIS], finish="length").value == 1
    assert score([PARIS], [ROME], finish="length").culprit is Culprit.WRONG_VALUE


def test_what_the_server_lost_is_the_servers_and_what_came_back_is_scored():
    lost = score([PARIS], "", finish="tool_calls")
    assert (lost.value, lost.culprit) == (0, Culprit.LOST_BY_SERVER)
    broken = score([PARIS], '<tool_call>{"name": "get_weather", ]</tool_call>', recovered=True)
    assert (broken.value, broken.culprit) == (0, Culprit.LOST_BY_SERVER)
    assert '"name"' in broken.note
    readable = score([PARIS], json.dumps(PARIS), recovered=True)
    assert (readable.value, readable.culprit) == (1, None)
    assert readable.details["recovered"] is True
    assert score([PARIS], json.dumps(ROME), recovered=True).culprit is Culprit.WRONG_VALUE
    assert score([], "", finish="tool_calls").culprit is Culprit.SHOULD_ABSTAIN


@pytest.mark.parametrize(
    ("pattern", "value", "strict", "lenient"),
    [
        (5, 5, None, None),
        (5, 5.0, None, None),
        (5, "5", Culprit.WRONG_TYPE, None),
        (5, "five", Culprit.WRONG_TYPE, Culprit.WRONG_TYPE),
        (5, 6, Culprit.WRONG_VALUE, Culprit.WRONG_VALUE),
        (1, True, Culprit.WRONG_TYPE, Culprit.WRONG_TYPE),
        (True, "True", Culprit.WRONG_TYPE, None),
        ("5", 5, Culprit.WRONG_TYPE, None),
        ("New York", "new-york", Culprit.WRONG_VALUE, None),
        ("-", "/", Culprit.WRONG_VALUE, Culprit.WRONG_VALUE),
        (None, None, None, None),
        ([1, 2], [1, 2], None, None),
        ([1, 2], "[1, 2]", Culprit.WRONG_TYPE, None),
        ([1, 2], [2, 1], Culprit.WRONG_VALUE, Culprit.WRONG_VALUE),
        ([1, 2], [1], Culprit.WRONG_VALUE, Culprit.WRONG_VALUE),
        ({"any_of": ["a", "b"]}, "b", None, None),
        ({"any_of": ["a", "b"]}, "c", Culprit.WRONG_VALUE, Culprit.WRONG_VALUE),
        ({"any_of": ["a", "b"]}, ["a"], Culprit.WRONG_TYPE, Culprit.WRONG_TYPE),
        ({"any_of": ["5", 5]}, 5, None, None),
        ({"a": {"any_of": [1, 2]}}, {"a": 2}, None, None),
        ({"a": {"any_of": [1], "optional": True}}, {}, None, None),
        ({"a": 1}, {}, Culprit.MISSING_ARGUMENT, Culprit.MISSING_ARGUMENT),
        ({"a": 1}, {"a": 1, "b": 2}, Culprit.UNKNOWN_ARGUMENT, Culprit.UNKNOWN_ARGUMENT),
        ([{"any_of": [{"n": 1}, {"n": 2}]}, 3], [{"n": 2}, 3], None, None),
        ({"any_of": [1], "extra": 2}, {"any_of": [1], "extra": 2}, None, None),
    ],
)
def test_patterns(pattern: Any, value: Any, strict: Culprit | None, lenient: Culprit | None):
    for is_strict, culprit in ((True, strict), (False, lenient)):
        found = score([call("order", to=pattern)], [call("order", to=value)], strict=is_strict)
        assert (found.culprit, found.passed) == (culprit, culprit is None), is_strict


def test_optional_arguments_and_defaults_may_be_left_out_or_written_out():
    optional = call("get_weather", city="Paris", days={"any_of": [1, 2], "optional": True})
    assert score([optional], [PARIS]).value == 1
    assert score([optional], [call("get_weather", city="Paris", days=2)]).value == 1
    assert score([optional], [call("get_weather", city="Paris", days=3)]).value == 0
    assert score([PARIS], [call("get_weather", city="Paris", unit="C")]).value == 1
    assert score([call("get_weather", city="Paris", unit="C")], [PARIS]).value == 1
    unexpected = score([PARIS], [call("get_weather", city="Paris", unit="F")])
    assert unexpected.culprit is Culprit.UNKNOWN_ARGUMENT


def test_the_tools_schema_tells_a_wrong_type_from_a_wrong_value():
    def culprit(expected: dict[str, Any], made: dict[str, Any]) -> Culprit | None:
        return score([expected], [made]).culprit

    assert culprit(call("math.add", a=1, b=2), call("math.add", a=1, b="2")) is Culprit.WRONG_TYPE
    assert culprit(call("math.add", a=1, b=2), call("math.add", a=1, b=3)) is Culprit.WRONG_VALUE
    items = call("order", items=[{"n": 1}])
    assert culprit(items, call("order", items=[{"n": "1"}])) is Culprit.WRONG_TYPE
    assert culprit(items, call("order", items=[{"n": 2}])) is Culprit.WRONG_VALUE
    # The suite expects a number where the tool says string: what the model did fits the tool.
    assert culprit(call("get_weather", city=5), PARIS) is Culprit.WRONG_VALUE


def test_a_tool_with_a_broken_schema_still_gets_its_calls_scored():
    broken = Tool(name="f", parameters={"type": "dict", "properties": {"a": {"type": "float"}}})
    found = score_tool_calling([call("f", a="1")], [call("f", a=1)], tools=[broken])
    assert found.culprit is Culprit.WRONG_TYPE


def test_overlapping_accepted_values_do_not_starve_a_call():
    either = call("get_weather", city={"any_of": ["Paris", "Rome"]})
    assert score([either, PARIS], [PARIS, ROME]).value == 1


def test_many_calls_are_counted_and_not_compared_without_end():
    found = score([PARIS], [ROME] * 5000 + [PARIS])
    assert (found.value, found.details["made"]) == (0, 5001)
    assert score([PARIS], [PARIS] * 5000).culprit is Culprit.EXTRA_CALL


@given(
    st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=4),
)
def test_pairings_are_the_largest(right: list[list[bool]]):
    rows = range(len(right))
    ways = list(itertools.permutations(range(4), len(right)))
    largest = max(sum(right[i][way[i]] for i in rows) for way in ways)
    assert len(assign(right)) == largest
    ordered = assign_in_order(right)
    assert all(right[row][column] for row, column in ordered.items())
    assert list(ordered.values()) == sorted(set(ordered.values()))
    in_order = max(
        size
        for size in range(len(right) + 1)
        for some in itertools.combinations(rows, size)
        for columns in itertools.combinations(range(4), size)
        if all(right[i][j] for i, j in zip(some, columns, strict=True))
    )
    assert len(ordered) == in_order


words = st.text(max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | words
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
arguments = st.dictionaries(st.from_regex(r"[a-z]{3,8}_x", fullmatch=True), values, max_size=4)
made_calls = st.lists(
    st.builds(call, st.sampled_from([tool.name for tool in TOOLS]), arguments),
    min_size=1,
    max_size=4,
)


@given(gold=made_calls, chance=st.randoms(use_true_random=False), strict=st.booleans())
def test_the_gold_calls_score_one_in_every_form_and_in_any_order(
    *, gold: list[dict[str, Any]], chance: random.Random, strict: bool
):
    shuffled = chance.sample(gold, len(gold))
    expected = [
        {**c, "arguments": {k: {"any_of": [v, "?"]} for k, v in c["arguments"].items()}}
        for c in gold
    ]
    structured = score(expected, shuffled, strict=strict)
    assert (structured.value, structured.details["form"]) == (1, "structured field")
    for form, write in WRITERS.items():
        found = score(expected, write(shuffled), strict=strict)
        assert (found.value, found.details["form"]) == (1, form), write(shuffled)
        assert score(expected, write(gold), ordered=True, strict=strict).value == 1


def test_score_tool_calling_takes_what_people_have():
    expected = [PARIS]
    openai = [
        {"id": "1", "type": "function",
         "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
    ]  # fmt: skip
    for answer in ([PARIS], openai, json.dumps(PARIS), Completion(text=json.dumps(PARIS))):
        assert score_tool_calling(answer, expected).passed
    assert score_tool_calling("Paris is nice.", [ExpectedCall(name="f")]).culprit == "not called"
    assert score_tool_calling("No need.", []).passed
    with pytest.raises(ValueError, match="a call needs a name"):
        score_tool_calling([{"city": "Paris"}], expected)
