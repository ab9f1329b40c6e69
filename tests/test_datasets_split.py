"""Splitting by a seed: shares, strata, units that stay together, and the same on every machine."""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.datasets.checks import check_dataset
from punie.datasets.split import parse_shares, prompt_key, split_rows
from punie.errors import InputError
from punie.records.dataset import Row, RowForm, Split
from punie.records.suite import Message

GLAIVE = Path(__file__).parents[2] / "shared/data/glaive_toolcall_300.json"


def row(prompt: str, answer: str = "yes", **labels: Any) -> Row:
    asked = Message(role="user", content=prompt)
    return Row(messages=(asked, Message(role="assistant", content=answer)), **labels)


def rows(count: int, **labels: Any) -> list[Row]:
    return [row(f"question {i}", **labels) for i in range(count)]


def counts(parts: dict[Split, tuple[Row, ...]]) -> dict[str, int]:
    return {split.value: len(each) for split, each in parts.items()}


@pytest.mark.parametrize(
    ("count", "shares", "expected"),
    [
        (100, "80/10/10", {"train": 80, "valid": 10, "test": 10}),
        (100, "80/20", {"train": 80, "valid": 20}),
        (10, "80/10/10", {"train": 8, "valid": 1, "test": 1}),
        (3, "80/10/10", {"train": 1, "valid": 1, "test": 1}),
        (2, "80/10/10", {"train": 1, "valid": 1}),
        (1, "80/10/10", {"train": 1}),
        (50, "100/0/0", {"train": 50}),
    ],
)
def test_shares(count: int, shares: str, expected: dict[str, int]):
    split = split_rows(rows(count), 0, parse_shares(shares))
    assert counts(dict(split.parts)) == expected
    missing = {"valid", "test"} - set(expected) if shares == "80/10/10" else set[str]()
    assert {note.split()[5].rstrip(":") for note in split.notes} == missing


def test_every_category_has_its_share():
    mixed = rows(60, category="a") + [row(f"other {i}", category="b") for i in range(30)]
    split = split_rows(mixed, 1)
    for part, expected in ((Split.TRAIN, (48, 24)), (Split.VALID, (6, 3)), (Split.TEST, (6, 3))):
        shares = Counter(each.category for each in split.parts[part])
        assert (shares["a"], shares["b"]) == pytest.approx(expected, abs=1)


def test_roles_are_the_strata_where_there_are_no_categories():
    mixed = [row(f"q {i}", role="coder" if i % 10 else "tester") for i in range(100)]
    split = split_rows(mixed, 4)
    assert {each.role for each in split.parts[Split.TEST]} == {"coder", "tester"}


def test_the_split_is_the_same_in_any_order_and_on_any_machine():
    ordered = rows(40)
    shuffled = random.Random(7).sample(ordered, 40)
    first, second = split_rows(ordered, 5), split_rows(shuffled, 5)
    for part in Split:
        assert set(first.parts[part]) == set(second.parts[part])
    asked = [each.messages[0].content for each in first.parts[Split.TEST]]
    assert asked == ["question 1", "question 16", "question 33", "question 38"]


def test_another_seed_gives_another_split():
    assert split_rows(rows(40), 1).parts != split_rows(rows(40), 2).parts


def test_rows_keep_the_order_of_their_file():
    for part in split_rows(rows(40), 0).parts.values():
        numbers = [int(str(each.messages[0].content).split()[1]) for each in part]
        assert numbers == sorted(numbers)


def test_the_same_question_in_other_letters_stays_together():
    assert prompt_key(row("Wo  ist\n Halle 3?", "dort")) == prompt_key(row("wo ist halle \uff13?"))
    assert prompt_key(row("Wo ist Halle 3?")) != prompt_key(row("Wo ist Halle 4?"))
    text = Row(text="Halle", form=RowForm.TEXT)
    assert prompt_key(text) == prompt_key(Row(text=" halle", form=RowForm.TEXT))


ROW = st.builds(
    row,
    st.sampled_from([f"q{i}" for i in range(12)]),
    st.sampled_from("abc"),
    group=st.none() | st.sampled_from([f"g{i}" for i in range(6)]),
    category=st.none() | st.sampled_from(["x", "y"]),
)


@given(given_rows=st.lists(ROW, min_size=1, max_size=60), seed=st.integers(0, 5))
def test_nothing_is_lost_and_no_unit_is_parted(given_rows: list[Row], seed: int):
    split = split_rows(given_rows, seed)
    parts = list(split.parts.values())
    assert Counter(each for part in parts for each in part) == Counter(given_rows)
    for keys in (
        [{each.group for each in part if each.group} for part in parts],
        [{prompt_key(each) for each in part} for part in parts],
    ):
        assert sum(map(len, keys)) == len(set[str]().union(*keys))
    assert split.parts[Split.TRAIN]
    assert Split.VALID in split.parts or any("valid" in note for note in split.notes)


def sentence(chance: random.Random) -> list[str]:
    return [chance.choice(WORDS) + chance.choice(WORDS) for _ in range(24)]


WORDS = ["am", "bir", "ce", "del", "em", "fli", "gro", "hea", "ivo", "ja", "ki", "lum"]


@pytest.mark.parametrize("seed", range(5))
def test_what_it_splits_passes_the_check_of_leakage(seed: int):
    chance = random.Random(seed)
    asked: list[Row] = []
    for _ in range(40):
        words = sentence(chance)
        asked.append(row(" ".join(words)))
        for _ in range(chance.randrange(4)):
            words[chance.randrange(24)] = "other"
            asked.append(row(" ".join(words)))
    split = split_rows(asked, seed)
    assert [each for each in check_dataset(split.parts).findings if each.check == "leakage"] == []
    assert counts(dict(split.parts))["test"] == pytest.approx(len(asked) / 10, abs=4)


@pytest.mark.skipif(not GLAIVE.exists(), reason="needs the real data")
def test_real_chats_pass_it_too():
    chats = json.loads(GLAIVE.read_text(encoding="utf-8"))
    asked = [
        row("\n".join(turn["value"] for turn in chat["conversations"] if turn["from"] == "human"))
        for chat in chats
    ]
    split = split_rows(asked, 0)
    assert counts(dict(split.parts)) == {"train": 240, "valid": 30, "test": 30}
    assert check_dataset(split.parts).errors == ()


def test_too_many_rows_are_not_compared(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("punie.datasets.split.MOST_ROWS", 30)
    split = split_rows(rows(40), 5)
    assert split.notes == ("of more than 30 rows only equal prompts are kept together",)
    assert counts(dict(split.parts)) == {"train": 32, "valid": 4, "test": 4}


def test_a_dataset_of_one_group_cannot_be_split_and_says_so():
    split = split_rows(rows(9, group="one"), 0)
    assert counts(dict(split.parts)) == {"train": 9}
    assert len(split.notes) == 2
    assert "too few such units" in split.notes[0]


@pytest.mark.parametrize("shares", ["80", "80/10", "a/b", "", "120/-20", "0/50/50", "25/25/25/25"])
def test_shares_that_are_none(shares: str):
    with pytest.raises(InputError):
        parse_shares(shares)
