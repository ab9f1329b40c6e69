"""`punie compare --judge`: served over HTTP, in every report."""

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from answered_runs import BASE, TUNED, answer, prompt, store_run, two_runs
from fake_judge import TONE
from punie.judging.rubric import read_rubric
from punie.records.duel import DuelSummary
from test_calibration import judge
from test_eval_command import PUNIE, environment, punie

OTHER = "20261103-1000-other-cccc"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """24 prompts in two categories: four equal answers, the others longer in the tuned run."""
    answers = [(f"Fact {n}", f"Fact {n}" if n < 4 else f"Fact {n}, at length") for n in range(24)]
    two_runs(tmp_path, answers, categories=2)
    return tmp_path


def compared(folder: Path, url: str, *words: str) -> tuple[int, dict[str, Any]]:
    asked = ("compare", BASE, TUNED, "--judge", url, "--judge-model", "m")
    done = punie(folder, *asked, "--json", *words)
    return done.returncode, json.loads(done.stdout)


def duel_in(said: dict[str, Any]) -> DuelSummary:
    return DuelSummary.model_validate(said["data"]["compared"][0]["duel"])


def test_wins_losses_and_ties_stand_in_every_report(folder: Path):
    with judge("longer") as url:
        code, said = compared(folder, url)
        asked = ("compare", BASE, TUNED, "--judge", url, "--judge-model", "m")
        shown = punie(folder, *asked)
        narrow = punie(folder, *asked, env={"COLUMNS": "40"})
        markdown = punie(folder, *asked, "--format", "markdown")
        page = punie(folder, *asked, "--format", "html")

    duel = duel_in(said)
    assert code == 0
    assert (duel.overall.wins, duel.overall.losses, duel.overall.ties) == (20, 0, 4)
    assert (duel.equal, duel.asked, duel.cached) == (4, 40, 0)
    assert [each.name for each in duel.categories] == ["category-0", "category-1"]
    assert all(each.too_small for each in duel.categories)
    assert duel.consistency is not None
    assert duel.consistency.value == 1
    assert duel.length.longer_wins is not None
    assert duel.length.longer_wins.value == 1
    for done in (shown, narrow, markdown, page):
        assert done.returncode == 0, done.stderr
        assert "20/0/4" in done.stdout or ">20<" in done.stdout
        assert "Not calibrated" in done.stdout
        assert "Position consistency" in " ".join(done.stdout.split())
    assert "40 judgements known from before" in shown.stdout
    assert "### What a judge prefers" in markdown.stdout


def test_an_entry_keeps_the_duels_and_its_numbers_follow_from_them(folder: Path):
    with judge("longer") as url:
        done = punie(
            folder, "compare", BASE, TUNED, "--judge", url, "--judge-model", "m",
            "--journal", "longer answers",
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (record,) = (folder / "journal").rglob("comparison.json")
    assert "What a judge prefers" in record.with_name("entry.md").read_text()
    assert url not in record.read_text()
    assert "I say" not in record.read_text()  # the judge's words
    assert punie(folder, "journal", "check").returncode == 0

    changed = record.read_text().replace('"wins":20', '"wins":21')
    assert changed != record.read_text()
    record.write_text(changed)
    assert punie(folder, "journal", "check").returncode == 3


def test_a_judge_of_places_makes_ties_and_is_told_off(folder: Path):
    with judge("first") as url:
        code, said = compared(folder, url)

    duel = duel_in(said)
    assert code == 0
    assert (duel.overall.wins, duel.overall.losses, duel.overall.ties) == (0, 0, 24)
    assert any("first place" in line for line in duel.warnings)


def test_a_judge_that_answers_prose_leaves_the_comparison_as_it_is(folder: Path):
    with judge("prose") as url:
        code, said = compared(folder, url)

    duel = duel_in(said)
    assert code == 5
    assert (duel.overall.judged, duel.overall.faults) == (4, 20)  # four are equal answers
    assert said["data"]["compared"][0]["comparisons"][0]["score"] is not None


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--judge-model", "m"), 2, "--judge-model is for a judge"),
        (("--judge", "http://127.0.0.1:9/v1"), 2, "which model"),
        (("--judge", "http://127.0.0.1:9/v1", "--judge-model", "m"), 5, "cannot connect"),
        (("--judge", "x", "--rubric", "none.yaml"), 2, "none.yaml"),
        (("--judge", "no/such/folder"), 5, "no/such/folder"),
    ],
)
def test_what_cannot_judge_is_a_message(folder: Path, words: tuple[str, ...], code: int, said: str):
    done = punie(folder, "compare", BASE, TUNED, *words, env={"HF_HUB_OFFLINE": "1"})

    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_an_interrupted_judging_goes_on_where_it_was(folder: Path, tmp_path: Path):
    log = tmp_path / "requests.jsonl"
    flags = ("--first-token-s", "0.3", "--log", str(log))
    with judge("longer", *flags) as url:
        asked = [*PUNIE, "compare", BASE, TUNED, "--judge", url, "--judge-model", "m", "--json"]
        process = subprocess.Popen(
            asked, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        while not log.exists() or log.read_text().count("chat/completions") < 12:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
        code, again = compared(folder, url)

    first, second = duel_in(json.loads(out)), duel_in(again)
    assert process.returncode == 130
    assert 0 < first.overall.wins < 20
    assert any("were not judged; the same command goes on" in line for line in first.warnings)
    assert code == 0
    assert second.overall.wins == 20
    assert second.cached >= 2 * first.overall.wins


def test_one_judge_is_served_for_all_runs(folder: Path, tmp_path: Path):
    rows = [prompt(number, category=f"category-{number % 2}") for number in range(24)]
    store_run(folder, OTHER, rows, [answer(each, "At greater length yet") for each in rows])
    log = tmp_path / "requests.jsonl"

    def greetings() -> int:
        """Requests that are no question to a judge: those of whoever connects."""
        return sum("[[FIRST" not in line for line in log.read_text().splitlines())

    with judge("longer", "--log", str(log)) as url:
        compared(folder, url)
        once = greetings()
        code, said = compared(folder, url, OTHER)

    first, second = (DuelSummary.model_validate(e["duel"]) for e in said["data"]["compared"])
    assert code == 0
    assert (first.overall.wins, second.overall.wins) == (20, 24)
    assert (first.cached, second.asked) == (40, 48)
    assert greetings() == 2 * once > 0


def test_another_rubric_is_what_the_judge_decides_by(folder: Path):
    (folder / "tone.yaml").write_text(TONE)
    with judge("longer") as url:
        _, plain = compared(folder, url)
        code, said = compared(folder, url, "--rubric", "tone.yaml")

    duel = duel_in(said)
    assert code == 0
    assert duel.judge.rubric_hash == read_rubric(folder / "tone.yaml").hash
    assert duel.judge.rubric_hash != duel_in(plain).judge.rubric_hash
    assert (duel.asked, duel.cached) == (40, 0)  # another rubric is another question
