"""The tool-call scorer on real rows of the Berkeley Function-Calling Leaderboard."""

import json
from pathlib import Path
from typing import Any, cast

import pytest

from call_forms import WRITERS
from punie.records.result import Culprit
from punie.records.suite import Tool
from punie.scoring.score import score_tool_calling

BFCL = Path(__file__).parents[2] / "shared/data/bfcl"
_TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": None}


def _rows(name: str) -> list[tuple[list[Any], tuple[Tool, ...]]]:
    """Each row's accepted calls (None where it should abstain) and tools."""
    questions = BFCL / f"BFCL_v4_{name}.json"
    if not questions.exists():
        pytest.skip("the BFCL sample is not here")
    answers: dict[str, Any] = {}
    solutions = BFCL / "possible_answer" / questions.name
    if solutions.exists():
        for line in solutions.read_text().splitlines():
            row = json.loads(line)
            answers[row["id"]] = row["ground_truth"]
    rows: list[tuple[list[Any], tuple[Tool, ...]]] = []
    for line in questions.read_text().splitlines():
        row = json.loads(line)
        tools = tuple(
            Tool(name=f["name"], parameters=_as_schema(f["parameters"])) for f in row["function"]
        )
        rows.append((answers.get(row["id"], []), tools))
    return rows


def _as_schema(node: Any) -> Any:
    """BFCL's Python type names as JSON Schema's."""
    if isinstance(node, list):
        return [_as_schema(each) for each in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    members = cast("dict[str, Any]", node)
    schema = {key: _as_schema(each) for key, each in members.items() if key != "optional"}
    kind = members.get("type")
    if isinstance(kind, str) and kind in _TYPES:
        schema["type"] = _TYPES[kind]
    return {key: each for key, each in schema.items() if each is not None}


def _expected(call: dict[str, Any]) -> dict[str, Any]:
    """A possible answer as an expected call: `""` among the accepted values means optional."""
    ((name, accepted),) = call.items()
    return {"name": name, "arguments": {key: _pattern(v) for key, v in accepted.items()}}


def _pattern(accepted: list[Any]) -> dict[str, Any]:
    choices: list[Any] = []
    for each in accepted:
        if isinstance(each, dict):
            members = cast("dict[str, list[Any]]", each)
            choices.append({key: _pattern(value) for key, value in members.items()})
        elif each != "":
            choices.append(each)
    return {"any_of": choices, **({"optional": True} if "" in accepted else {})}


def _gold(call: dict[str, Any], which: int = 0) -> dict[str, Any]:
    """One of the accepted answers; arguments that may be left out are."""
    ((name, accepted),) = call.items()
    return {"name": name, "arguments": _gold_arguments(accepted, which)}


def _gold_arguments(accepted: dict[str, Any], which: int) -> dict[str, Any]:
    return {
        key: _gold_arguments(v[which % len(v)], which)
        if isinstance(v[which % len(v)], dict)
        else v[which % len(v)]
        for key, v in accepted.items()
        if "" not in v
    }


BFCL_SETS = ["simple_python", "multiple", "parallel", "parallel_multiple"]


@pytest.mark.parametrize("name", BFCL_SETS)
@pytest.mark.parametrize("strict", [True, False])
def test_gold_scores_one_in_every_form(name: str, *, strict: bool):
    for accepted, tools in _rows(name):
        expected = [_expected(each) for each in accepted]
        for which in range(3):
            gold = [_gold(each, which) for each in accepted]
            answers: list[Any] = [gold, gold[::-1], *(write(gold) for write in WRITERS.values())]
            for answer in answers:
                found = score_tool_calling(answer, expected, tools=tools, strict=strict)
                assert found.value == 1, (answer, found)


@pytest.mark.parametrize("name", BFCL_SETS)
def test_mutations_are_named_rightly(name: str):
    for accepted, tools in _rows(name):
        expected = [_expected(each) for each in accepted]
        gold = [_gold(each) for each in accepted]
        first, rest = gold[0], gold[1:]
        given: dict[str, Any] = first["arguments"]
        mutations: list[tuple[Culprit, list[Any]]] = [
            (Culprit.WRONG_NAME, [{**first, "name": "no_such_tool"}, *rest]),
            (Culprit.UNKNOWN_ARGUMENT, [{**first, "arguments": {**given, "zz": 1}}, *rest]),
            (Culprit.EXTRA_CALL, [*gold, first]),
            (Culprit.NOT_CALLED, rest),
        ]
        for key, value in given.items():
            other = "text" if isinstance(value, dict) else {"q": 1}
            less = {k: v for k, v in given.items() if k != key}
            mutations += [
                (Culprit.MISSING_ARGUMENT, [{**first, "arguments": less}, *rest]),
                (Culprit.WRONG_TYPE, [{**first, "arguments": {**given, key: other}}, *rest]),
            ]
            if isinstance(value, int | float) and not isinstance(value, bool):
                wrong = {**given, key: value + 1234}
                mutations.append((Culprit.WRONG_VALUE, [{**first, "arguments": wrong}, *rest]))
        for culprit, answer in mutations:
            found = score_tool_calling(answer, expected, tools=tools)
            right = len(expected) - (culprit is not Culprit.EXTRA_CALL)
            assert found.value == pytest.approx(right / max(len(expected), len(answer)))
            assert found.culprit is culprit, (answer, found)


def test_irrelevant_tools_ask_for_no_call():
    for accepted, tools in _rows("irrelevance"):
        assert accepted == []
        assert score_tool_calling("I have no tool for that.", [], tools=tools).value == 1
        made = f"<tool_call>{json.dumps({'name': tools[0].name, 'arguments': {}})}</tool_call>"
        found = score_tool_calling(made, [], tools=tools)
        assert (found.value, found.culprit) == (0, Culprit.SHOULD_ABSTAIN)
