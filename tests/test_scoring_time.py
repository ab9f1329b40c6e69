"""Scoring comes to an end: a pattern or schema without one is the suite's fault, said so."""

import json
from pathlib import Path
from typing import Any

import pytest

from fake_server import FakeServer
from punie.errors import InputError, SuiteError
from punie.evaluation.run import run_evaluation
from punie.records.expect import Expect, Json, Keywords
from punie.records.result import Completion, Culprit, EvalFault, FaultKind
from punie.records.run import ModelIdentity, RunStatus
from punie.records.suite import EvalPrompt, EvalSuite, Message
from punie.scoring import expressions, json_schema
from punie.scoring.expressions import MAX_LENGTH, UnscorableError, expression_fault, finds
from punie.scoring.json_schema import misfits, schema_fault
from punie.scoring.keywords import score_keywords
from punie.scoring.structured import score_json
from punie.serving.endpoint import Endpoint
from punie.suites.load import load_suite

SLOW = [r"(a|aa)+$", r"^(([a-z])+.)+[A-Z]([a-z])+$"]
NEEDLE = "a" * 5_000 + "\0"


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A twentieth of a second is as good as one to show that a search has an end."""
    monkeypatch.setattr(expressions, "SECONDS", 0.05)
    monkeypatch.setattr(json_schema, "SECONDS", 0.05)


@pytest.mark.usefixtures("short_patience")
@pytest.mark.parametrize("pattern", SLOW)
def test_a_slow_pattern_is_not_a_wrong_answer(pattern: str):
    with pytest.raises(UnscorableError) as caught:
        finds(pattern, NEEDLE)
    assert pattern in caught.value.message
    assert caught.value.hint
    completion = Completion(text=NEEDLE)
    with pytest.raises(UnscorableError):
        score_keywords(Keywords(all=(pattern,), match="regex", case=True), completion, NEEDLE)
    schemas: list[dict[str, Any]] = [
        {"type": "string", "pattern": pattern},
        {"patternProperties": {pattern: {"type": "string"}}},
        {"patternProperties": {pattern: True}, "additionalProperties": False},
        {"propertyNames": {"pattern": pattern}},
    ]
    for schema in schemas:
        value = NEEDLE if "type" in schema else {NEEDLE: 1}
        answer = json.dumps(value)
        with pytest.raises(UnscorableError):
            score_json(Json(schema=schema), Completion(text=answer), answer)


@pytest.mark.parametrize("pattern", [SLOW[0], r"(x|a|aa)+$"])
def test_a_slow_pattern_is_found_when_the_suite_is_checked(pattern: str, tmp_path: Path):
    suite = {
        "name": "s",
        "prompts": [
            {
                "id": "a",
                "prompt": "x",
                "expect": {"keywords": {"all": [pattern], "match": "regex"}},
            },
            {"id": "b", "prompt": "x", "expect": {"json": {"schema": {"pattern": pattern}}}},
        ],
    }
    path = tmp_path / "s.yaml"
    path.write_text(json.dumps(suite, indent=1))
    with pytest.raises(SuiteError) as caught:
        load_suite(path)
    assert [p.path for p in caught.value.problems] == [
        "prompts[0].expect.keywords.all[0]",
        "prompts[1].expect.json.schema",
    ]
    assert all("overlap" in p.what for p in caught.value.problems)


def test_patterns_mean_what_they_mean_in_re():
    assert finds(r"\bParis\b", "in Paris.")
    assert not finds("paris", "Paris")
    assert finds("paris", "Paris", case=False)
    assert finds(r"^b$", "a\nb\nc") is False
    assert finds(r"(?m)^b$", "a\nb\nc")
    assert finds(r"\d{3}-\d{4}", "call 555-0199")
    assert finds(r"\w++\s", "possessive one")
    assert not finds(r"[[]", "x")


@pytest.mark.parametrize(
    ("pattern", "what"),
    [("a(", "missing"), ("(" * 5_000, "recursion"), ("x" * (MAX_LENGTH + 1), "longer"),
     ("a{99999999999}", "too big"), (r"\N{NO SUCH NAME}", "undefined"), ("*", "nothing to repeat")],
)  # fmt: skip
def test_a_broken_pattern_has_a_reason(pattern: str, what: str):
    assert what in expression_fault(pattern)
    with pytest.raises(InputError, match="regular expression"):
        finds(pattern, "x")


def bomb(levels: int) -> dict[str, Any]:
    """Two ways at each level: the time doubles with each of them."""
    parts: dict[str, Any] = {
        f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}, {"$ref": f"#/$defs/d{i + 1}"}]}
        for i in range(levels)
    }
    return {"$ref": "#/$defs/d0", "$defs": {**parts, f"d{levels}": {"type": "integer"}}}


@pytest.mark.usefixtures("short_patience")
def test_a_schema_that_doubles_at_each_reference_is_bounded():
    with pytest.raises(UnscorableError, match="JSON Schema"):
        list(misfits(bomb(40), 1))
    assert "takes more than" in schema_fault(bomb(40))


@pytest.mark.parametrize(
    ("schema", "what"),
    [
        ({"$ref": "#"}, "without end"),
        ({"anyOf": [{"$ref": "#"}]}, "without end"),
        ({"$ref": "#/$defs/nothing"}, "leads nowhere"),
        ({"$ref": "http://127.0.0.1:9/schema.json"}, "leads nowhere"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "leads nowhere"),
        ({"items": {"$dynamicRef": "https://example.invalid/x#y"}}, "leads nowhere"),
        ({"pattern": "("}, "JSON Schema"),
        ({"type": "strin"}, "no valid JSON Schema"),
        ({"patternProperties": {"(a|aa)+$": {}}}, "overlap"),
        ({"patternProperties": {"a": {}}, "unevaluatedProperties": False}, "not supported"),
    ],
)
def test_a_schema_without_an_end_or_a_target_is_refused(schema: dict[str, Any], what: str):
    assert what in schema_fault(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/a", "$defs": {"a": {"type": "object"}}},
        {"$id": "https://example.com/s", "$defs": {"a": {"$anchor": "x"}}, "$ref": "#x"},
        {"properties": {"tree": {"$ref": "#"}}},
        {"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"a": {}},
         "properties": {"b": {"$ref": "#/definitions/a"}}},
        {"$ref": "https://json-schema.org/draft/2020-12/schema"},
        {"properties": {"$ref": {"type": "string"}, "pattern": {"type": "string"}}},
        True,
    ],
)  # fmt: skip
def test_schemas_in_use_are_fine(schema: Any):
    fault = schema_fault(schema)
    outside = "json-schema.org/draft/2020" in str(schema)
    assert bool(fault) == outside, fault


def test_unique_items_are_found_in_one_pass():
    schema: dict[str, Any] = {"uniqueItems": True}
    mixed: list[Any] = [
        *range(30_000),
        *({"k": str(i)} for i in range(30_000)),
        "1",
        True,
        None,
        [1],
        [True],
    ]
    assert not list(misfits(schema, mixed))
    repeated: list[Any] = [[1, 1.0], [{"a": [1]}, {"a": [1.0]}], ["x", 1, "x"], [None, None]]
    for twice in repeated:
        assert list(misfits(schema, twice)), twice
    different: list[Any] = [[1, True], [0, False], [[], {}], ["1", 1], [[1], 1]]
    for apart in different:
        assert not list(misfits(schema, apart)), apart


def test_additional_properties_keep_their_meaning():
    schema: dict[str, Any] = {
        "properties": {"a": {}},
        "patternProperties": {"^x-": {"type": "string"}},
        "additionalProperties": {"type": "integer"},
    }
    assert not list(misfits(schema, {"a": None, "x-b": "c", "d": 4}))
    assert [m.path for m in misfits(schema, {"x-b": 1, "d": "e"})] == ["$['x-b']", "$.d"]
    closed = {**schema, "additionalProperties": False}
    (misfit,) = misfits(closed, {"a": 1, "z": 2})
    assert "'z' was unexpected" in misfit.what


@pytest.mark.parametrize(
    "text",
    ["[" * 2**20, '{"a":' * 2**17, "[" * 2**19 + "]" * 2**19, '{"{"' * 2**18, "[1," * 2**18],
    ids=["lists", "objects", "closed", "braces", "commas"],
)
def test_a_megabyte_of_brackets_is_scored(text: str):
    score = score_json(Json(gold={"a": 1}), Completion(text=text), text)
    assert score.value == 0
    assert score.culprit in {Culprit.INVALID_JSON, Culprit.TRUNCATED}


@pytest.mark.usefixtures("short_patience")
async def test_an_answer_that_cannot_be_scored_is_a_fault_and_the_run_goes_on():
    def prompt(name: str, said: str) -> EvalPrompt:
        return EvalPrompt(
            id=name,
            hash=name,
            messages=(Message(role="user", content=said),),
            expect=Expect(keywords=Keywords(all=(SLOW[0],), match="regex", case=True)),
        )

    suite = EvalSuite(name="s", hash="h", prompts=(prompt("slow", NEEDLE), prompt("fast", "aa")))
    async with FakeServer() as server:
        identity = ModelIdentity(name="m", backend="endpoint")
        endpoint = Endpoint(base_url=server.url, model="m", identity=identity, timeout_s=5)
        report = await run_evaluation(suite, endpoint, concurrency=1)
    assert report.run.status is RunStatus.DONE
    slow, fast = sorted(report.outcomes, key=lambda each: each.prompt_id, reverse=True)
    assert isinstance(slow, EvalFault)
    assert slow.kind is FaultKind.UNSCORABLE
    assert SLOW[0] in slow.message
    assert not isinstance(fast, EvalFault)
    assert fast.passed
    assert report.summary.score is not None
    assert report.summary.score.n == 1
