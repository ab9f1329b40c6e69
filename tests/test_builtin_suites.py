# pyright: reportUnknownMemberType=false
# (the stubs of jsonschema leave a validator's registry untyped)
"""The suites that come with punie: their gold answers are right, and score as right."""

import ast
import json
from collections import Counter
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from punie.records.expect import ToolCalls
from punie.records.result import Completion, ToolCall
from punie.records.suite import EvalPrompt
from punie.scoring.json_text import is_array, is_object
from punie.scoring.score import overall, score_prompt
from punie.sources.yaml_source import YamlSource
from punie.suites.catalog import builtin_names, builtin_suite
from punie.suites.file_form import PromptForm
from punie.suites.schema import suite_schema

BASELINE = builtin_suite("baseline")
QUICK = builtin_suite("quick")

CODE = {
    "code-hello": "print('Hello, world!')",
    "code-add": "def add(a, b):\n    return a + b",
    "code-is-even": "def is_even(n):\n    return n % 2 == 0",
    "code-chunks": """
def chunks(items, size):
    for i in range(0, len(items), size):
        yield items[i:i + size]""",
    "code-reverse": "def reverse_string(text):\n    return text[::-1]",
    "code-test-add": "def test_add():\n    assert add(2, 3) == 5",
    "code-flatten": """
def flatten(nested):
    flat = []
    for item in nested:
        if isinstance(item, list):
            flat.extend(flatten(item))
        else:
            flat.append(item)
    return flat""",
    "code-count-vowels": """
def count_vowels(text):
    return sum(letter in "aeiou" for letter in text.lower())""",
    "code-largest": """
def largest(numbers):
    found = numbers[0]
    for number in numbers:
        if number > found:
            found = number
    return found""",
    "code-fizzbuzz": """
def fizzbuzz(n):
    if n % 15 == 0:
        return "FizzBuzz"
    if n % 3 == 0:
        return "Fizz"
    if n % 5 == 0:
        return "Buzz"
    return str(n)""",
    "code-even-squares": """
def even_squares(numbers):
    return [n ** 2 for n in numbers if n % 2 == 0]""",
    "code-slug": """
import re

def slug(title):
    return re.sub("[^a-z0-9]+", "-", title.lower()).strip("-")""",
    "code-frozen": """
from dataclasses import dataclass

@dataclass(frozen=True)
class Interval:
    start: int
    end: int

    def __post_init__(self):
        if self.end < self.start:
            raise ValueError("end before start")""",
    "code-test-raises": """
import pytest

def test_divide_by_zero():
    with pytest.raises(ZeroDivisionError):
        divide(1, 0)""",
    "code-fix-average": "def average(xs):\n    return sum(xs) / len(xs)",
    "code-mean-typed": """
def mean(values: list[float]) -> float:
    if not values:
        raise ValueError("no values")
    return sum(values) / len(values)""",
    "code-stack": """
class Stack:
    def __init__(self):
        self.items = []

    def push(self, item):
        self.items.append(item)

    def pop(self):
        return self.items.pop()

    def peek(self):
        return self.items[-1] if self.items else None""",
    "code-retry": """
def retry(times):
    def decorate(function):
        def wrapper(*args, **kwargs):
            for attempt in range(times):
                try:
                    return function(*args, **kwargs)
                except Exception:
                    if attempt == times - 1:
                        raise
        return wrapper
    return decorate""",
    "code-fibonacci-generator": """
def fibonacci():
    a, b = 0, 1
    while True:
        yield a
        a, b = b, a + b""",
    "code-timed": """
import time
from functools import wraps

def timed(function):
    @wraps(function)
    def wrapper(*args, **kwargs):
        start = time.perf_counter()
        result = function(*args, **kwargs)
        print(time.perf_counter() - start)
        return result
    return wrapper""",
    "code-fetch-all": """
import asyncio

async def fetch_all(urls):
    return await asyncio.gather(*(fetch(url) for url in urls))""",
    "code-test-parametrize": """
import pytest

@pytest.mark.parametrize("n, expected", [(0, True), (1, False), (2, True), (-3, False)])
def test_is_even(n, expected):
    assert is_even(n) == expected""",
    "code-fix-default": """
def collect(item, items=None):
    if items is None:
        items = []
    items.append(item)
    return items""",
    "code-merge-intervals": """
def merge(intervals):
    merged = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    return merged""",
}

ORDER: dict[str, Any] = {
    "order": 7314,
    "customer": "Otto Lindgren",
    "city": "Malmö",
    "items": [
        {"name": "desk", "quantity": 2, "price": 180},
        {"name": "lamp", "quantity": 1, "price": 35},
    ],
    "total": 2 * 180 + 35,
}

REASONING = {
    "reason-two-plus-two": f"2 + 2 is {2 + 2}.",
    "reason-capital": "The capital of France is Paris.",
    "reason-opposite": "Cold.",
    "reason-next-even": str(8 + 2),
    "reason-weeks": f"{2 * 7} days",
    "reason-passage": "Jonas",
    "reason-apples": f"She has {12 - 5 + 3} apples.",
    "reason-larger": str(max(9.8, 9.11)),
    "reason-odd-one-out": "hammer",
    "reason-shopping": f"12 + 3 = {3 * 4 + 2 * 1.5}",
    "reason-percent": f"{80 * 15 / 100}",
    "reason-arrival": "{:02}:{:02}".format(*divmod(14 * 60 + 35 + 2 * 60 + 50, 60)),
    "reason-shortest": "Bob",
    "reason-syllogism": "Yes, it follows.",
    "reason-extract-person": '{"name": "Ines Ortega", "age": 34, "city": "Porto"}',
    "reason-trace-loop": str(3 + sum(range(4))),
    "reason-average": f"65 / 5 = {sum([4, 8, 15, 16, 22]) / 5}",
    "reason-false-syllogism": "No. The black animals need not be cats.",
    "reason-extract-order": json.dumps(ORDER),
    "reason-machines": f"{24 // (3 * 4) * 6 * 6}",
    "reason-weekday": ["Tuesday", "Wednesday", "Thursday", "Friday"][(20 - 3) % 7],
    "reason-boxes": "mixed",
    "reason-task-order": '["lint", "build", "test", "deploy"]',
    "reason-trace-slices": "-".join(word[1:] for word in sorted(["tea", "salt", "oil"])),
}


def by_id(category: str) -> dict[str, EvalPrompt]:
    return {p.id: p for p in BASELINE.prompts if p.category == category}


def scored(prompt: EvalPrompt, completion: Completion) -> float:
    result = overall(score_prompt(prompt, completion))
    assert result is not None
    return result[0]


def accepted(pattern: Any, choice: int) -> Any:
    """One value that a pattern accepts: the first, or with choice -1 the last."""
    if is_object(pattern):
        if "any_of" in pattern:
            return accepted(pattern["any_of"][choice], choice)
        return {key: accepted(each, choice) for key, each in pattern.items()}
    if is_array(pattern):
        return [accepted(each, choice) for each in pattern]
    return pattern


def gold_calls(expected: ToolCalls, choice: int) -> tuple[ToolCall, ...]:
    return tuple(
        ToolCall(name=call.name, arguments=accepted(call.arguments, choice))
        for call in expected.calls
    )


def test_shape():
    assert builtin_names() == ["baseline", "quick"]
    assert BASELINE.source == "builtin"
    counts = Counter(prompt.category for prompt in BASELINE.prompts)
    assert counts == {"tool_calling": 24, "code_generation": 24, "reasoning": 24}
    for category in counts:
        levels = Counter(
            tag
            for p in by_id(category).values()
            for tag in p.tags
            if tag in {"easy", "medium", "hard"}
        )
        assert min(levels.values()) >= 4
        assert sum(levels.values()) == 24
    roles = {prompt.role for prompt in BASELINE.prompts}
    assert roles == {"coder", "tester", "researcher", "coordinator", "reviewer"}
    assert all(48 <= (prompt.max_tokens or 0) <= 160 for prompt in BASELINE.prompts)
    assert all(tuple(prompt.expect) for prompt in BASELINE.prompts)


def test_quick_is_a_part_of_baseline():
    whole = {prompt.id: prompt for prompt in BASELINE.prompts}
    assert len(QUICK.prompts) == 12
    assert all(whole[prompt.id] == prompt for prompt in QUICK.prompts)
    assert set(Counter(prompt.category for prompt in QUICK.prompts).values()) == {4}
    assert sum(prompt.max_tokens or 0 for prompt in QUICK.prompts) <= 800


@pytest.mark.parametrize("prompt", by_id("tool_calling").values(), ids=lambda p: p.id)
def test_gold_calls_score_one(prompt: EvalPrompt):
    expected = prompt.expect.tool_calls
    assert expected is not None
    for choice in (0, -1):
        calls = gold_calls(expected, choice)
        text = "" if calls else "It is 18 degrees in Lyon."
        assert scored(prompt, Completion(text=text, tool_calls=calls)) == 1
        for made in calls:
            tool = next(tool for tool in prompt.tools if tool.name == made.name)
            Draft202012Validator(tool.parameters).validate(made.arguments)


@pytest.mark.parametrize("prompt", by_id("tool_calling").values(), ids=lambda p: p.id)
def test_the_wrong_decision_about_calling_scores_no_one(prompt: EvalPrompt):
    expected = prompt.expect.tool_calls
    assert expected is not None
    if expected.calls:
        assert scored(prompt, Completion(text="I would call a tool now.")) == 0
    else:
        call = ToolCall(name=prompt.tools[0].name, arguments={})
        assert scored(prompt, Completion(tool_calls=(call,))) < 1


@pytest.mark.parametrize("prompt", by_id("code_generation").values(), ids=lambda p: p.id)
def test_gold_code_scores_one(prompt: EvalPrompt):
    code = CODE[prompt.id].strip()
    ast.parse(code)
    assert scored(prompt, Completion(text=f"Here it is:\n\n```python\n{code}\n```\n")) == 1
    assert scored(prompt, Completion(text=code)) == 1


@pytest.mark.parametrize("prompt", by_id("code_generation").values(), ids=lambda p: p.id)
def test_code_that_does_nothing_scores_below_half(prompt: EvalPrompt):
    names = prompt.expect.python.defines if prompt.expect.python else ()
    classes = [name for name in names if name[0].isupper() and "." not in name]
    code = "\n".join(
        [f"class {name}: pass" for name in classes] or [f"def {n}(): pass" for n in names]
    )
    assert scored(prompt, Completion(text=code or "x = 1")) <= 0.75
    assert scored(prompt, Completion(text="I cannot do that.")) <= 0.25


@pytest.mark.parametrize("prompt", by_id("reasoning").values(), ids=lambda p: p.id)
def test_gold_reasoning_scores_one(prompt: EvalPrompt):
    assert scored(prompt, Completion(text=REASONING[prompt.id])) == 1
    assert scored(prompt, Completion(text="I do not know that.")) == 0


def test_the_code_golds_are_right():
    space: dict[str, Any] = {"pytest": pytest}
    for name, code in CODE.items():
        if name not in {"code-hello", "code-fetch-all"}:
            exec(code, space)
    assert [space["fizzbuzz"](n) for n in (3, 5, 15, 7)] == ["Fizz", "Buzz", "FizzBuzz", "7"]
    assert space["merge"]([[3, 4], [1, 2], [2, 3], [6, 7]]) == [[1, 4], [6, 7]]
    assert list(space["chunks"]([1, 2, 3], 2)) == [[1, 2], [3]]
    assert space["flatten"]([1, [2, [3]], []]) == [1, 2, 3]
    assert space["slug"](" Hello,  World 2! ") == "hello-world-2"
    with pytest.raises(ValueError, match="before"):
        space["Interval"](2, 1)
    assert (space["count_vowels"]("Otto"), space["largest"]([1, 9, 2])) == (2, 9)
    space["test_add"]()


def test_every_builtin_suite_fits_the_schema():
    from importlib.resources import files

    check = Draft202012Validator(suite_schema())
    for name in builtin_names():
        text = (files("punie.suites") / "builtin" / f"{name}.yaml").read_text("utf-8")
        check.validate(YamlSource(name, text).data)
        assert text.isascii() or "Malmö" in text


@pytest.mark.parametrize(
    "change",
    [
        {"promt": "x"},
        {"prompt": None},
        {"weight": 0},
        {"expect": {"number": "four"}},
        {"expect": {"keywords": [4]}},
        {"expect": {"tool_calls": {"call": []}}},
        {"id": "not an id"},
        {"messages": [{"role": "human"}]},
        {"tools": [{"description": "no name"}]},
        {"max_tokens": 0},
    ],
    ids=str,
)
def test_the_schema_refuses_what_is_wrong(change: dict[str, Any]):
    check = Draft202012Validator(suite_schema())
    good = {"name": "x", "prompts": [{"id": "a", "prompt": "p", "expect": {"number": 4}}]}
    assert check.is_valid(good)
    bad = {"name": "x", "prompts": [{"id": "a", "prompt": "p"} | change]}
    assert not check.is_valid(bad)
    assert not check.is_valid({"name": "x", "prompts": []})
    assert not check.is_valid({"prompts": good["prompts"]})


def test_the_schema_takes_every_shorthand_that_the_loader_takes():
    check = Draft202012Validator(suite_schema())
    shorthands: list[dict[str, Any]] = [
        {"keywords": ["a"]},
        {"exact": "a"},
        {"exact": ["a", "b"]},
        {"number": 4.5},
        {"python": True},
        {"python": ["f"]},
        {"tool_calls": [{"name": "f"}]},
        {"json": {}},
    ]
    for expect in shorthands:
        prompt = {"id": "a", "prompt": "p", "expect": expect}
        assert PromptForm.model_validate(prompt)
        check.validate({"name": "x", "version": 2, "prompts": [prompt]})


def test_the_schema_describes_the_fields_of_the_file():
    schema = suite_schema()
    for name in ("PromptForm", "MessageForm", "DefaultsForm", "Keywords", "ToolCalls", "Json"):
        assert schema["$defs"][name]["description"]
    assert schema["$defs"]["PromptForm"]["properties"]["must_pass"]["description"]
