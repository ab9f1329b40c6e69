"""The generated tool-calling task: the same from the same seed, its splits share only the tools."""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from itertools import pairwise, product
from pathlib import Path

import pytest
from click.testing import CliRunner
from jsonschema import validate

from punie.cli.main import cli
from punie.datasets.generators.domain import (
    ABSTAIN,
    load_domain,
    properties_of,
    slots_of,
    split_of_number,
)
from punie.datasets.generators.project import MAX_TOKENS, tool_calls_suite
from punie.datasets.generators.tool_calls import Parts, generate_tool_calls
from punie.datasets.reading import read_dataset
from punie.errors import InputError
from punie.models.tools_prompt import tools_in_system_prompt
from punie.records.dataset import Row, Split
from punie.records.result import Completion
from punie.scoring.score import overall, score_prompt
from punie.suites.catalog import find_suite
from punie.suites.load import load_suite

DOMAIN = load_domain()
ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "data" / DOMAIN.name
SIZES = {"train": 320, "valid": 40, "test": 90}
PAIRS = [(a, b) for a, b in product(Split, Split) if a.value < b.value]


def made_from(seed: int) -> Parts:
    return generate_tool_calls(seed, train=320, valid=40, test=90)


@pytest.fixture(scope="module", params=[1, 2])
def parts(request: pytest.FixtureRequest) -> Parts:
    return made_from(request.param)


def asked(row: Row) -> str:
    return row.messages[1].content or ""


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", text.lower()))


def arguments(row: Row) -> dict[str, str | int]:
    (call,) = row.messages[-1].tool_calls
    return json.loads(call.function.arguments)


def test_sizes_and_categories(parts: Parts):
    assert {split.value: len(rows) for split, rows in parts.items()} == SIZES
    for rows in parts.values():
        counts = Counter(row.category for row in rows)
        assert set(counts) == {*(tool.name for tool in DOMAIN.tools), ABSTAIN}
        assert max(counts.values()) - min(counts.values()) <= 1


def test_every_phrasing_of_the_test_is_used_about_equally(parts: Parts):
    groups = Counter(row.group for row in parts[Split.TEST])
    assert len(groups) == sum(len(each[Split.TEST]) for each in DOMAIN.phrasings.values())
    assert set(groups.values()) <= {2, 3}


def test_no_prompt_occurs_twice(parts: Parts):
    prompts = [asked(row).lower() for rows in parts.values() for row in rows]
    assert len(set(prompts)) == len(prompts)


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_no_argument_of_one_split_occurs_in_another(parts: Parts, one: Split, other: Split):
    closed = {value for values in DOMAIN.closed_sets.values() for value in values}
    said = set[str]().union(*(words(asked(row)) for row in parts[other]))
    values = {
        str(value)
        for row in parts[one]
        if row.category != ABSTAIN
        for value in arguments(row).values()
    } - closed
    assert values
    for value in values:
        assert words(value).isdisjoint(said), value


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_no_fill_of_one_split_shares_a_word_with_another(one: Split, other: Split):
    plain = {"the", "mr", "mrs", "ms"}
    for slot, fills in DOMAIN.fills.items():
        first, second = (
            {word for fill in fills[split] for word in words(fill)} - plain
            for split in (one, other)
        )
        assert first, slot
        assert first.isdisjoint(second), slot
        spoken = {
            word
            for each in DOMAIN.phrasings.values()
            for text in each[other]
            for word in words(text)
        }
        assert first.isdisjoint(spoken - set(DOMAIN.fills)), slot


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_no_number_of_one_split_occurs_in_another(parts: Parts, one: Split, other: Split):
    first, second = (
        {word for row in parts[split] for word in words(asked(row)) if word.isdigit()}
        for split in (one, other)
    )
    assert first
    assert first.isdisjoint(second)
    assert all(split_of_number(int(number)) is one for number in first)


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_phrasings_of_two_splits_are_not_alike(one: Split, other: Split):
    for category, phrasings in DOMAIN.phrasings.items():
        for a, b in product(phrasings[one], phrasings[other]):
            alike = shared(shingles(a), shingles(b))
            assert alike < 0.5, f"{category}: {a!r} and {b!r} share {alike:.0%}"


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_no_prompt_is_nearly_one_of_another_split(parts: Parts, one: Split, other: Split):
    theirs = [shingles(asked(row)) for row in parts[other]]
    for row in parts[one]:
        mine = shingles(asked(row))
        assert max(shared(mine, each) for each in theirs) < 0.5, asked(row)


def shingles(text: str) -> set[tuple[str, ...]]:
    """Every two neighbouring words, the ends of the text included."""
    spoken = ["^", *re.findall(r"\{?\w+\}?", text.lower()), "$"]
    return set(pairwise(spoken))


def shared(a: set[tuple[str, ...]], b: set[tuple[str, ...]]) -> float:
    """Jaccard's similarity."""
    return len(a & b) / len(a | b)


def test_calls_are_valid_and_say_what_the_prompt_says(parts: Parts):
    for row in (row for rows in parts.values() for row in rows if row.category != ABSTAIN):
        (call,) = row.messages[-1].tool_calls
        tool = next(tool for tool in row.tools if tool.name == call.function.name)
        made = arguments(row)
        assert row.category == tool.name
        validate(made, {**tool.parameters, "additionalProperties": False})
        assert all(str(value).lower() in asked(row).lower() for value in made.values())


def test_abstaining_is_said_in_the_words_of_the_system_turn(parts: Parts):
    for rows in parts.values():
        declined = [row for row in rows if row.category == ABSTAIN]
        assert {row.messages[-1].content for row in declined} == {DOMAIN.decline}
        assert all(DOMAIN.decline in (row.messages[0].content or "") for row in declined)
        desks = {tuple(tool.name for tool in row.tools) for row in declined}
        assert desks == set(DOMAIN.desks)
        assert not any(row.messages[-1].tool_calls for row in declined)


def test_slots_are_arguments_of_their_tool():
    tools = {tool.name: set(properties_of(tool)) for tool in DOMAIN.tools}
    for category, phrasings in DOMAIN.phrasings.items():
        for phrasing in (each for split in phrasings.values() for each in split):
            assert category == ABSTAIN or set(slots_of(phrasing)) <= tools[category]
            assert not re.search(r"\d", phrasing)


def test_the_same_seed_gives_the_same_bytes_whatever_the_hash_order():
    program = (
        "import sys, hashlib, json\n"
        "from punie.datasets.generators.tool_calls import generate_tool_calls\n"
        "from punie.datasets.row_form import row_data\n"
        "parts = generate_tool_calls(1, train=320, valid=40, test=90)\n"
        "text = ''.join(json.dumps(row_data(r), ensure_ascii=False) + '\\n'"
        " for rows in parts.values() for r in rows)\n"
        "print(hashlib.sha256(text.encode()).hexdigest())\n"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("0", "1")
    }
    example = b"".join((EXAMPLE / f"{split}.jsonl").read_bytes() for split in Split)
    assert seen == {hashlib.sha256(example).hexdigest() + "\n"}


def test_another_seed_gives_other_rows():
    one, two = made_from(1), made_from(2)
    assert one[Split.TEST] != two[Split.TEST]


def test_the_size_of_one_split_leaves_the_others_alone():
    few = generate_tool_calls(1, train=10, valid=40, test=90)
    assert few[Split.TEST] == made_from(1)[Split.TEST]


def test_more_rows_than_there_are_different_prompts_are_refused_and_the_most_is_named():
    with pytest.raises(InputError, match=r"test\.jsonl, 9,999 are asked for") as refused:
        generate_tool_calls(1, train=1, valid=0, test=9_999)
    most = int(re.sub(r"\D", "", refused.value.hint))
    rows = generate_tool_calls(1, train=1, valid=0, test=most)[Split.TEST]
    assert len({asked(row) for row in rows}) == most


def test_the_suite_sends_what_a_model_learns_and_right_answers_pass(parts: Parts, tmp_path: Path):
    rows = parts[Split.TEST]
    path = tmp_path / "desk.jsonl"
    path.write_text(tool_calls_suite(rows, "desk"), encoding="utf-8")
    suite = load_suite(path)
    assert len(suite.prompts) == len(rows)
    for prompt, row in zip(suite.prompts, rows, strict=True):
        assert (prompt.messages, prompt.tools) == (row.messages[:-1], row.tools)
        assert (prompt.category, prompt.group) == (row.category, row.group)
        assert prompt.max_tokens == MAX_TOKENS
        gold = tools_in_system_prompt(row.messages, row.tools)[-1].content or ""
        assert overall(score_prompt(prompt, Completion(text=gold))) == (1.0, True)


def test_wrong_answers_score_nothing(parts: Parts, tmp_path: Path):
    path = tmp_path / "desk.jsonl"
    path.write_text(tool_calls_suite(parts[Split.TEST], "desk"), encoding="utf-8")
    suite = load_suite(path)
    golds = {
        row.category: tools_in_system_prompt(row.messages, row.tools)[-1].content or ""
        for row in parts[Split.TEST]
    }
    for prompt in suite.prompts:
        wrong = [text for category, text in golds.items() if category != prompt.category]
        for text in ("", "Sure, I can help you with that!", "I cannot do that.", *wrong):
            assert overall(score_prompt(prompt, Completion(text=text))) == (0.0, False), text


def run(*arguments: str):
    return CliRunner().invoke(cli, ["data", "generate", "tool-calls", *arguments])


def test_command_writes_the_dataset_and_its_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    ran = run("--name", "desk", "--seed", "3", "--train", "20", "--valid", "5", "--test", "10")
    assert ran.exit_code == 0, ran.output
    assert "data/desk: 20 train, 5 valid, 10 test" in ran.output
    dataset = read_dataset("desk", tmp_path)
    expected = generate_tool_calls(3, train=20, valid=5, test=10)
    for split, rows in expected.items():
        read = dataset.rows[split]
        assert [row.messages for row in read] == [row.messages for row in rows]
        assert [(row.category, row.group) for row in read] == [
            (row.category, row.group) for row in rows
        ]
    assert dataset.version.seed == 3
    assert dataset.version.origin == (
        "punie data generate tool-calls --seed 3 --train 20 --valid 5 --test 10"
    )
    assert len(find_suite("desk", tmp_path).prompts) == 10


def test_command_overwrites_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert run("--train", "5", "--json").exit_code == 0
    before = (tmp_path / "data/greenhouse/train.jsonl").read_bytes()
    again = run("--train", "9")
    assert isinstance(again.exception, InputError)
    assert (tmp_path / "data/greenhouse/train.jsonl").read_bytes() == before


def test_the_example_is_what_the_command_writes():
    version = read_dataset(DOMAIN.name, ROOT).version
    assert {split.value: part.rows for split, part in version.splits.items()} == SIZES
    suite = (ROOT / "data" / "suites" / f"{DOMAIN.name}.jsonl").read_text(encoding="utf-8")
    made = made_from(1)
    assert suite == tool_calls_suite(made[Split.TEST], DOMAIN.name)
