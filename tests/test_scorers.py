"""The scorers of texts: keywords, exact, number, json, python; and what is the answer's text."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from punie.errors import InputError
from punie.records.expect import Exact, Expect
from punie.records.result import Completion, Culprit, Score, ToolCall
from punie.records.suite import EvalPrompt, Message
from punie.scoring.answers import find_number
from punie.scoring.grade import grade, unanswered
from punie.scoring.score import overall, score_keyword_presence, score_prompt
from punie.scoring.text import answer_text, fenced_blocks

GSM8K = Path(__file__).parents[2] / "shared/data/gsm8k_test_20.jsonl"
EXPECT: TypeAdapter[Expect] = TypeAdapter(Expect)


def score(expect: dict[str, Any], answer: str | Completion) -> Score:
    completion = Completion(text=answer) if isinstance(answer, str) else answer
    prompt = EvalPrompt(
        id="p",
        messages=(Message(role="user", content="?"),),
        expect=EXPECT.validate_python(expect),
    )
    (only,) = score_prompt(prompt, completion)
    return only


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("plain", "plain"),
        ("<think>hm 7</think>8", "8"),
        ("hm 7</think>8", "8"),
        ("<think>hm 7", ""),
        ("  <think>a</think>b<think>c</think>d", "  bd"),
        ("write <think> first", "write <think> first"),
        ("<think>a</think>b\n<think>c", "b\n<think>c"),
    ],
)
def test_what_is_thought_aloud_is_no_answer(text: str, answer: str):
    assert answer_text(Completion(text=text)) == answer


def test_fenced_blocks_know_their_language_and_whether_they_end():
    text = "a\n```Python x=1\nA\n```\nb\n````\n```\nB\n````\n  ~~~json\n{}\n"
    assert [(b.language, b.content, b.closed) for b in fenced_blocks(text)] == [
        ("python", "A\n", True),
        ("", "```\nB\n", True),
        ("json", "{}\n", False),
    ]
    assert fenced_blocks("inline ```code``` only") == []


@pytest.mark.parametrize(
    ("expect", "answer", "value", "culprit"),
    [
        ({"all": ["Paris"]}, "It is paris.", 1, None),
        ({"all": ["Paris"]}, "Parisian", 0, Culprit.MISSING_KEYWORD),
        ({"all": ["Paris"], "match": "substring"}, "Parisian", 1, None),
        ({"all": ["Paris"], "case": True}, "paris", 0, Culprit.MISSING_KEYWORD),
        ({"all": ["paris", "lyon"]}, "Paris", 0.5, Culprit.MISSING_KEYWORD),
        ({"any": ["lyon", "paris"]}, "Paris", 1, None),
        ({"all": ["a"], "any": ["b", "c"], "none": ["d"]}, "a d", 1 / 3, Culprit.MISSING_KEYWORD),
        ({"all": ["a"], "none": ["d", "e"]}, "a d", 2 / 3, Culprit.FORBIDDEN_KEYWORD),
        ({"none": ["sorry"]}, "", 0, Culprit.EMPTY),
        ({"none": ["sorry"]}, "Here.", 1, None),
        ({"all": ["C++"]}, "use C++.", 1, None),
        ({"all": ["New York"]}, "New\n York", 1, None),
        ({"all": ["don't"]}, "I don\u2019t", 1, None),
        ({"all": ["STRASSE"]}, "Straße", 1, None),
        ({"all": ["caf\u00e9"]}, "cafe\u0301", 1, None),
        ({"all": [r"\bdef \w+\("], "match": "regex"}, "def f(x):", 1, None),
        ({"all": ["DEF"], "match": "regex", "case": True}, "def", 0, Culprit.MISSING_KEYWORD),
        ({"all": ["x"], "match": "regex"}, "y" * 10_000 + "x", 0, Culprit.MISSING_KEYWORD),
    ],
)
def test_keywords(expect: dict[str, Any], answer: str, value: float, culprit: Culprit | None):
    found = score({"keywords": expect}, answer)
    assert (found.value, found.culprit) == (pytest.approx(value), culprit)
    assert bool(found.note) is (culprit is not None)


def test_a_call_alone_is_not_an_empty_answer():
    called = Completion(tool_calls=(ToolCall(name="f", arguments={}),))
    assert score({"keywords": {"none": ["sorry"]}}, called).passed


def test_a_cut_answer_is_named_so_unless_more_text_could_not_help():
    cut = Completion(text="so 3 + 4", finish_reason="length")
    assert score({"keywords": ["7"]}, cut).culprit is Culprit.TRUNCATED
    assert score({"keywords": {"none": ["3"]}}, cut).culprit is Culprit.FORBIDDEN_KEYWORD
    assert score({"number": 7}, cut).culprit is Culprit.TRUNCATED
    assert score({"exact": "7"}, cut).culprit is Culprit.WRONG_ANSWER
    assert score({"json": {}}, cut).culprit is Culprit.TRUNCATED
    assert score({"python": True}, cut).culprit is Culprit.TRUNCATED
    thinking = Completion(text="<think>so 3 + 4", finish_reason="length")
    assert score({"exact": "7"}, thinking).culprit is Culprit.TRUNCATED


def test_a_broken_expression_is_the_suites_fault_and_said_so():
    with pytest.raises(InputError, match=r"regular expression '\('"):
        score({"keywords": {"all": ["("], "match": "regex"}}, "x")


@pytest.mark.parametrize(
    ("values", "answer", "passed"),
    [
        ("Paris", " paris.\n", True),
        ("Paris", '"Paris".', True),
        ("Paris", "**Paris**", True),
        ("Paris", "Paris is it", False),
        (["yes", "no"], "No", True),
        ("a b", "a\n  b", True),
        ({"values": ["Paris"], "case": True}, "paris", False),
        ("*", "*", True),
        ("*", "-", False),
        ("don't", "don\u2019t", True),
        ("Paris", "", False),
    ],
)
def test_exact(values: Any, answer: str, *, passed: bool):
    found = score({"exact": values}, answer)
    assert found.passed is passed
    assert found.value == float(passed)
    wrong = Culprit.WRONG_ANSWER if answer else Culprit.EMPTY
    assert found.culprit is (None if passed else wrong)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("18", 18),
        ("She makes $18.", 18),
        ("5 + 7 = 12 apples", 12),
        ("1,234,567.5 people", 1234567.5),
        ("1{,}234", 1234),
        ("1\u202f234 or 1_000", 1000),
        ("3-5", 5),
        ("it is -5", -5),
        ("it is \u22125", -5),
        ("-$5.50", -5.5),
        (".5", 0.5),
        ("2.5e-3", 0.0025),
        ("H2O has no number of its own", None),
        ("none", None),
        ("", None),
        (r"so \boxed{42}, found in step 3", 42),
        ("#### 18\n(checked 2 times)", 18),
        ("12,34", 34),
        ("version 1.2.3", 1.2),
        ("9" * 400, float("inf")),
        ("1e999", float("inf")),
    ],
)
def test_the_number_of_an_answer(text: str, number: float | None):
    assert find_number(text) == number


@pytest.mark.parametrize(
    ("expect", "answer", "culprit"),
    [
        (18, "18", None),
        (18, "17", Culprit.WRONG_ANSWER),
        (18, "eighteen", Culprit.NO_NUMBER),
        (18, " ", Culprit.EMPTY),
        (18, "9" * 10_000, Culprit.WRONG_ANSWER),
        ({"value": 3.14159, "tolerance": 0.01}, "3.14", None),
        ({"value": 200, "relative": 0.01}, "about 198", None),
        ({"value": 200, "relative": 0.001}, "about 198", Culprit.WRONG_ANSWER),
        (0.3, "0.30000000000000004", None),
    ],
)
def test_number(expect: Any, answer: str, culprit: Culprit | None):
    found = score({"number": expect}, answer)
    assert (found.value, found.culprit) == (float(culprit is None), culprit)


def test_gsm8k_solutions_score_one_and_their_neighbours_zero():
    if not GSM8K.exists():
        pytest.skip("the GSM8K sample is not here")
    for line in GSM8K.read_text().splitlines():
        answer: str = json.loads(line)["answer"]
        gold = float(answer.rpartition("####")[2].replace(",", ""))
        prose = answer.rpartition("####")[0] + f"So the answer is {gold:,.0f}."
        for text in (answer, prose):
            assert score({"number": gold}, text).value == 1
            assert score({"number": gold + 1}, text).culprit is Culprit.WRONG_ANSWER


GOLD = {"name": "Ada", "tags": ["a", "b"], "age": 36, "empty": []}


@pytest.mark.parametrize(
    ("expect", "answer", "value", "culprit"),
    [
        ({}, '{"a": 1}', 1, None),
        ({}, "Sure:\n```json\n[1]\n```\nDone.", 1, None),
        ({}, "```\nx\n```\n```json\n1\n```", 1, None),
        ({}, "", 0, Culprit.EMPTY),
        ({}, "no idea", 0, Culprit.INVALID_JSON),
        ({}, "{'a': 1,}", 0, Culprit.REPAIRED_JSON),
        ({}, 'Here you are: {"a": 1}', 0, Culprit.REPAIRED_JSON),
        ({}, '{"a": NaN}', 0, Culprit.REPAIRED_JSON),
        ({}, "[" * 100_000, 0, Culprit.INVALID_JSON),
        ({}, "9" * 10_000, 0, Culprit.INVALID_JSON),
        ({"schema": {"type": "object", "required": ["a"]}}, '{"a": 1}', 1, None),
        ({"schema": {"type": "object", "required": ["a"]}}, "{}", 0, Culprit.SCHEMA_MISMATCH),
        ({"gold": GOLD}, json.dumps(GOLD), 1, None),
        ({"gold": GOLD}, json.dumps({**GOLD, "age": 36.0}), 1, None),
        ({"gold": GOLD}, json.dumps({**GOLD, "age": "36"}), 0.8, Culprit.WRONG_FIELD),
        ({"gold": GOLD}, json.dumps({**GOLD, "x": 1}), 10 / 11, Culprit.WRONG_FIELD),
        ({"gold": GOLD}, '{"name": "Ada"}', 2 / 6, Culprit.WRONG_FIELD),
        ({"gold": {"a": True}}, '{"a": 1}', 0, Culprit.WRONG_FIELD),
        ({"gold": [1], "schema": {"type": "object"}}, "[1]", 0, Culprit.SCHEMA_MISMATCH),
    ],
)
def test_json(expect: dict[str, Any], answer: str, value: float, culprit: Culprit | None):
    found = score({"json": expect}, answer)
    assert (found.value, found.culprit) == (pytest.approx(value), culprit)


def test_json_details_tell_precision_from_recall_and_what_repair_would_have_scored():
    found = score({"json": {"gold": GOLD}}, '{"name": "Ada", "age": 37, "x": 1, "y": 2}')
    assert found.details == {
        "precision": 0.25,
        "recall": 0.2,
        "f1": pytest.approx(2 / 9),
    }
    assert found.note == 'expected tags[0] "a", got no such field'
    repaired = score({"json": {"gold": {"a": 1, "b": 2}}}, "{'a': 1, 'b': 3}")
    assert (repaired.value, repaired.details) == (0, {"repaired": 0.5})


def test_a_schema_that_cannot_be_used_is_the_suites_fault_and_nothing_is_fetched():
    for schema in (
        {"type": 5},
        {"pattern": "("},
        {"$ref": "https://example.org/schema.json"},
    ):
        with pytest.raises(InputError, match="JSON Schema"):
            score({"json": {"schema": schema}}, '"x"')


@pytest.mark.parametrize(
    ("defines", "answer", "value", "culprit"),
    [
        (True, "x = 1", 1, None),
        (True, "Paris", 0, Culprit.NO_CODE),
        (True, "I cannot do that.", 0, Culprit.NO_CODE),
        (True, "```python\n# nothing\n```", 0, Culprit.NO_CODE),
        (True, "", 0, Culprit.EMPTY),
        (True, "def f(:\n  pass", 0, Culprit.SYNTAX_ERROR),
        (True, "```python\ndef f(:\n```", 0, Culprit.SYNTAX_ERROR),
        (["f"], "Run it:\n```bash\nls -l\n```\n```py\ndef f(): ...\n```", 1, None),
        (["f"], "- so:\n    ```python\n    def f(): ...\n    ```", 1, None),
        (["f", "g"], "def f(): ...", 0.5, Culprit.MISSING_DEFINITION),
        (["S", "S.push"], "class S:\n  def push(self): ...", 1, None),
        (["f"], "try:\n  import x\nexcept ImportError:\n  async def f(): ...", 1, None),
        (["f"], "f = lambda x: x", 1, None),
        (["g"], "def f():\n  def g(): ...", 0, Culprit.MISSING_DEFINITION),
        (["f"], r"def f(): return '\d'", 1, None),
    ],
)
def test_python(defines: Any, answer: str, value: float, culprit: Culprit | None):
    found = score({"python": defines}, answer)
    assert (found.value, found.culprit) == (value, culprit)


def test_overall_is_the_weighted_mean_and_passes_when_each_scorer_does():
    expect = {"keywords": {"all": ["a", "b"], "pass_at": 0.5, "weight": 3}, "exact": "a"}
    prompt = EvalPrompt(id="p", messages=(), expect=EXPECT.validate_python(expect))
    assert overall(score_prompt(prompt, Completion(text="a"))) == (pytest.approx(2.5 / 4), True)
    assert overall(score_prompt(prompt, Completion(text="a b"))) == (pytest.approx(0.75), False)
    assert overall(()) is None


def test_score_keyword_presence_is_simple_to_call():
    assert score_keyword_presence("def add(a, b): return a", ["def", "return"]).value == 1
    half = score_keyword_presence("def add", ["def", "return"])
    assert (half.value, half.passed) == (0.5, False)
    assert half.note == 'expected "return", got "def add"'
    assert not score_keyword_presence("I am sorry", none_of=["sorry"]).passed
    assert score_keyword_presence("yes", any_of=["yes", "no"]).passed


def test_a_note_is_one_printable_line():
    note = grade(Exact(values=("x",)), 0.0, note="a\nb\x00\ud800\x1b[31m" + "c" * 500).note
    assert note.startswith("a b␀⟨U+D800⟩␛[31mccc")
    assert len(note) == 300


def test_an_answer_that_a_filter_stopped_is_no_empty_answer():
    stopped = Completion(text="", finish_reason="content_filter")
    assert unanswered("", stopped) is Culprit.FILTERED
    assert unanswered("", Completion()) is Culprit.EMPTY
    assert unanswered("Par", stopped) is None
