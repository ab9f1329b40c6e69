"""Rubric files: what they may say, and where they are wrong."""

from pathlib import Path

import pytest

from punie.errors import InputError
from punie.judging.rubric import default_rubric, default_text, read_rubric

GOOD = """
name: letters
about: Letters to customers.
max_tokens: 300
dimensions:
  tone:
    question: Is it polite?
    weight: 2
    levels: {1: rude, 3: plain, 5: polite}
  facts:
    question: Is it true?
    levels:
      0: no
      10: yes
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "rubric.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_rubric_is_read_as_it_stands(tmp_path: Path) -> None:
    rubric = read_rubric(written(tmp_path, GOOD))
    assert (rubric.name, rubric.about, rubric.max_tokens) == (
        "letters",
        "Letters to customers.",
        300,
    )
    tone, facts = rubric.dimensions
    assert (tone.name, tone.weight, tone.lowest, tone.highest) == ("tone", 2.0, 1, 5)
    assert facts.levels == {0: "no", 10: "yes"}
    assert rubric.source == str(tmp_path / "rubric.yaml")


def test_the_hash_is_of_what_the_judge_is_told(tmp_path: Path) -> None:
    here = read_rubric(written(tmp_path, GOOD))
    (tmp_path / "elsewhere").mkdir()
    assert read_rubric(written(tmp_path / "elsewhere", f"# a remark\n{GOOD}")).hash == here.hash
    assert read_rubric(written(tmp_path, GOOD.replace("polite?", "kind?"))).hash != here.hash
    assert read_rubric(written(tmp_path, GOOD.replace("weight: 2", "weight: 3"))).hash != here.hash


def test_the_built_in_rubric_has_three_dimensions(tmp_path: Path) -> None:
    rubric = default_rubric()
    assert [(d.name, d.lowest, d.highest, d.weight) for d in rubric.dimensions] == [
        ("correctness", 1, 5, 1.0),
        ("completeness", 1, 5, 1.0),
        ("format", 1, 5, 1.0),
    ]
    assert read_rubric(written(tmp_path, default_text())).hash == rubric.hash


WRONG = {
    "nothing": ("", "rubric.yaml:1:1: the file is empty"),
    "a list": ("- a\n", "rubric.yaml:1:1: should be a mapping of keys"),
    "no dimension": ("name: x\n", "rubric.yaml:1:1 dimensions: is missing"),
    "an empty list of them": (
        "dimensions: {}\n",
        "rubric.yaml:1:13 dimensions: should be one dimension to twelve",
    ),
    "a list of dimensions": (
        "dimensions: [a]\n",
        "rubric.yaml:1:13 dimensions: should be a mapping of names",
    ),
    "an unknown key": (
        f"{GOOD}dimension: 1\n",
        "rubric.yaml:15:1 dimension: unknown key; did you mean dimensions?",
    ),
    "an unknown key inside": (
        GOOD.replace("weight: 2", "wieght: 2"),
        "rubric.yaml:8:5 dimensions.tone.wieght: unknown key; did you mean weight?",
    ),
    "a bad name": (GOOD.replace("tone:", "Tone of voice:"), "rubric.yaml:6:3 dimensions.Tone of"),
    "no question": (
        GOOD.replace("    question: Is it polite?\n", ""),
        "rubric.yaml:7:5 dimensions.tone.question: is missing",
    ),
    "a text for a weight": (
        GOOD.replace("weight: 2", "weight: heavy"),
        "rubric.yaml:8:13 dimensions.tone.weight: should be a valid number, not 'heavy'",
    ),
    "no weight at all": (
        GOOD.replace("weight: 2", "weight: 0"),
        "rubric.yaml:8:13 dimensions.tone.weight: should be greater than 0, not 0",
    ),
    "one level": (
        GOOD.replace("{1: rude, 3: plain, 5: polite}", "{1: rude}"),
        "rubric.yaml:9:13 dimensions.tone.levels: needs the lowest and the highest mark at least",
    ),
    "a mark that is a word": (
        GOOD.replace("1: rude", "low: rude"),
        "rubric.yaml:9:14 dimensions.tone.levels.low: should be a valid integer",
    ),
    "a mark below 0": (
        GOOD.replace("1: rude", "-1: rude"),
        "rubric.yaml:9:14 dimensions.tone.levels.-1: should be greater than or equal to 0",
    ),
    "a level without words": (
        GOOD.replace("1: rude", "1: ''"),
        "rubric.yaml:9:17 dimensions.tone.levels.1: ",
    ),
    "a key twice": (
        GOOD.replace("    weight: 2\n", "    weight: 2\n    weight: 3\n"),
        "rubric.yaml:9:5 dimensions.tone.weight: this key stands here a second time",
    ),
    "too short judgements": (
        GOOD.replace("max_tokens: 300", "max_tokens: 3"),
        "rubric.yaml:4:13 max_tokens: should be greater than or equal to 64, not 3",
    ),
    "a tab": ("dimensions:\n\tx: 1\n", "rubric.yaml:2:1: "),
}


@pytest.mark.parametrize(("text", "says"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_has_its_place(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        read_rubric(written(tmp_path, text))
    assert caught.value.message.startswith(f"{tmp_path}/{says}")
    assert "punie judge rubric" in caught.value.hint


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("weight: 2", "weight: -1").replace("10: yes", "1000: yes")
    with pytest.raises(InputError) as caught:
        read_rubric(written(tmp_path, text))
    assert len(caught.value.message.splitlines()) == 2


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_rubric(tmp_path / "none.yaml")
