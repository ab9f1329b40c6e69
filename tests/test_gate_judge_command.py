"""A gate that asks for a judge's word, from the labels to the exit code and the journal."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from answered_runs import BASE, TUNED, prompt, two_runs
from in_process import Command, Ended, command_in
from punie.journal.comparison import COMPARISON_KIND, ComparisonRecord
from punie.judging.label_file import LabelFile
from punie.records.base import digest
from punie.records.duel import DuelOutcome
from punie.records.labels import Label
from synthetic_judgement import RUBRIC
from test_calibration import judge

PAIRS = 60
WON = 48
"""Of the pairs: 80 %, with an interval of 68.2 to 88.2 %."""


def texts(number: int) -> tuple[str, str]:
    """Two answers worth the same; the tuned run's is the longer one in the first pairs."""
    worth = f"worth {1 + number % 5}"
    return (worth, f"{worth}, at length") if number < WON else (f"{worth}, at length", worth)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    two_runs(tmp_path, [texts(number) for number in range(PAIRS)])
    return tmp_path


@pytest.fixture
def punie(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    return command_in(project, monkeypatch, capsys)


def gate(project: Path, **bounds: float) -> str:
    (project / "gates.yaml").write_text(json.dumps({"judge": bounds}))
    return "./gates.yaml"


def label(project: Path, **said: Callable[[int], object]) -> None:
    """A person's labels of all answers of the tuned run; `said` is what they hold by number."""
    with LabelFile(project / "labels.jsonl") as file:
        for number in range(PAIRS):
            place = {
                "run": TUNED,
                "prompt_id": prompt(number).id,
                "prompt_hash": prompt(number).hash,
                "at": "2026-11-21T10:00:00+00:00",
                "answer_hash": digest(texts(number)[1]),
            }
            told = {key: value(number) for key, value in said.items()}
            file.add(Label.model_validate(place | told))


def label_pairs(project: Path) -> None:
    """A person who prefers the longer answer, as the judge does."""
    label(
        project,
        against=lambda _: BASE,
        against_hash=lambda number: digest(texts(number)[0]),
        outcome=lambda number: DuelOutcome.WIN if number < WON else DuelOutcome.LOSS,
    )


def label_marks(project: Path) -> None:
    """A person who gives the marks that answers say they are worth, as the judge does."""
    label(
        project,
        rubric_hash=lambda _: RUBRIC.hash,
        marks=lambda number: {each.name: 1 + number % 5 for each in RUBRIC.dimensions},
    )


def result_in(ended: Ended) -> dict[str, Any]:
    (result,) = ended.data["compared"][0]["gate"]["results"]
    return result


def test_a_win_rate_from_the_labels_to_the_exit_code(project: Path, punie: Command) -> None:
    label_pairs(project)
    with judge("longer") as url:
        who = ("--judge", url, "--judge-model", "m")
        asked = ("compare", BASE, TUNED, *who, "--json", "--gate")
        unknown = punie(*asked, gate(project, win_rate_percent=50))
        assert punie("judge", "calibrate", "labels.jsonl", *who).code == 0
        ended = {at: punie(*asked, gate(project, win_rate_percent=at)) for at in (50, 75, 95)}
        shown = punie("compare", BASE, TUNED, *who, "--gate", gate(project, win_rate_percent=50))
    without = punie("compare", BASE, TUNED, "--gate", "./gates.yaml", "--json")

    assert unknown.code == 4
    assert "nobody compared this judge with people on pairs" in result_in(unknown)["why"]
    assert f"punie label {TUNED} --against {BASE}" in result_in(unknown)["why"]
    assert {at: each.code for at, each in ended.items()} == {50: 0, 75: 4, 95: 3}
    assert result_in(ended[95])["found"].endswith("48 won, 12 lost, 0 tied")
    assert ended[95].data["compared"][0]["decision"]["action"] == "look at data and settings"
    assert shown.code == 0
    assert "judge: win rate" in " ".join(shown.out.split())
    assert without.code == 4
    command = f"punie compare {BASE} {TUNED} --gate gates.yaml --judge …"
    assert command in result_in(without)["why"]


def test_a_judge_that_answers_prose_leaves_it_open(project: Path, punie: Command) -> None:
    with judge("prose") as url:
        asked = ("compare", BASE, TUNED, "--judge", url, "--judge-model", "m", "--json")
        ended = punie(*asked, "--gate", gate(project, win_rate_percent=50))

    assert ended.code == 5  # nothing was judged
    assert result_in(ended)["why"] == "the judge gave no usable word on any pair"


def test_marks_from_the_labels_to_the_exit_code(project: Path, punie: Command) -> None:
    """The digits that the answers are worth are marks from 1 to 5, each as often: 50 %."""
    with judge("marks") as url:
        who = ("--judge", url, "--judge-model", "m")
        assert punie("judge", "run", TUNED, *who).code == 0
        asked = ("compare", BASE, TUNED, "--json", "--gate")
        unknown = punie(*asked, gate(project, score_percent=30))
        label_marks(project)
        assert punie("judge", "calibrate", "labels.jsonl", *who).code == 0
    ended = {at: punie(*asked, gate(project, score_percent=at)) for at in (30, 50, 70)}

    assert unknown.code == 4
    assert "nobody compared this judge with people on marks" in result_in(unknown)["why"]
    assert {at: each.code for at, each in ended.items()} == {30: 0, 50: 4, 70: 3}


@pytest.fixture
def entry(project: Path, punie: Command) -> Path:
    """The entry of a comparison that passes on a judge's word."""
    label_pairs(project)
    with judge("longer") as url:
        who = ("--judge", url, "--judge-model", "m")
        assert punie("judge", "calibrate", "labels.jsonl", *who).code == 0
        asked = ("compare", BASE, TUNED, *who, "--gate", gate(project, win_rate_percent=50))
        assert punie(*asked, "--journal", "Do they like it?").code == 0
    (found,) = (project / "journal").glob("*/*/*")
    return found


def test_the_verdict_is_made_anew_from_the_entry(
    entry: Path, project: Path, punie: Command
) -> None:
    for path in (project / "data/labels/calibrations").iterdir():
        path.unlink()  # what is known of the judge is in the record
    assert punie("journal", "check").code == 0
    text = (entry / "comparison.json").read_text("utf-8")
    assert "127.0.0.1" not in text
    record = ComparisonRecord.model_validate_json(text)
    assert [each.usable for each in record.calibrations] == [True]
    assert record.compared.gate is not None
    assert record.compared.gate.verdict == "pass"
    assert "judge: win rate" in (entry / "entry.md").read_text("utf-8")


def forgotten(data: dict[str, Any]) -> None:
    data["calibrations"] = []


def better_kappa(data: dict[str, Any]) -> None:
    data["calibrations"][0]["agreements"][0]["table"][0][2] += 5
    data["calibrations"][0]["agreements"][0]["n"] += 5


def not_usable(data: dict[str, Any]) -> None:
    data["calibrations"][0]["usable"] = False


def other_bound(data: dict[str, Any]) -> None:
    data["gates"]["judge"]["win_rate_percent"] = 80


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (forgotten, "comparison.json gives"),
        (better_kappa, "kappa of which is better does not follow"),
        (not_usable, "usable is False, its numbers give True"),
        (other_bound, "comparison.json gives"),
    ],
)
def test_what_does_not_follow_is_found(
    entry: Path, punie: Command, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    path = entry / "comparison.json"
    data = json.loads(path.read_text("utf-8"))
    change(data)
    path.write_bytes(COMPARISON_KIND.encode(ComparisonRecord.model_validate(data)))
    ended = punie("journal", "check")
    assert ended.code == 3
    assert said in " ".join((ended.out + ended.err).split())
