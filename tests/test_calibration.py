"""A judge held against labels: kappa by hand, the bounds of a gate, and the whole way over HTTP."""

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from answered_runs import BASE, TUNED, prompt, two_runs
from fake_judge import TONE, replies_of
from fake_server import Behaviour, FakeServer
from punie.analysis.calibration import MIN_LABELS, of_duels, of_marks, of_right, why_not
from punie.judging.calibration_file import find_calibration, told, write_calibration
from punie.judging.label_file import LabelFile, labels_hash, read_labels
from punie.judging.rubric import default_rubric, read_rubric
from punie.records.base import digest
from punie.records.duel import DuelOutcome
from punie.records.labels import Calibration, Label, LabelKind
from punie.reporting.calibration import calibration_view
from synthetic_judgement import JUDGE
from test_eval_command import FAKE, punie

RUBRIC = default_rubric()
WIN, LOSS, TIE = DuelOutcome.WIN, DuelOutcome.LOSS, DuelOutcome.TIE


def all_of(mark: int) -> dict[str, int]:
    return dict.fromkeys(("correctness", "completeness", "format"), mark)


def noisy(count: int, noise: float, seed: int = 1) -> list[tuple[dict[str, int], dict[str, int]]]:
    """Marks of a person, and of a judge that says something else in a share of `noise`."""
    draw = random.Random(seed)
    pairs: list[tuple[dict[str, int], dict[str, int]]] = []
    for _ in range(count):
        said = draw.randint(1, 5)
        judged = draw.randint(1, 5) if draw.random() < noise else said
        pairs.append((all_of(said), all_of(judged)))
    return pairs


def test_duels_by_hand():
    # 10 of 16 the same; by chance (6*5 + 5*6 + 5*5) / 256 = 85/256.
    cells = {
        (LOSS, LOSS): 3, (LOSS, TIE): 1, (LOSS, WIN): 1,
        (TIE, LOSS): 1, (TIE, TIE): 3, (TIE, WIN): 1,
        (WIN, LOSS): 1, (WIN, TIE): 1, (WIN, WIN): 4,
    }  # fmt: skip
    pairs = [pair for pair, count in cells.items() for _ in range(count)]

    (found,) = of_duels(pairs, seed=0)

    chance = (5 * 5 + 5 * 5 + 6 * 6) / 256
    assert found.kappa == pytest.approx((10 / 16 - chance) / (1 - chance))
    assert found.agreed == pytest.approx(10 / 16)
    assert found.levels == ("loss", "tie", "win")
    assert found.table == ((3, 1, 1), (1, 3, 1), (1, 1, 4))
    assert not found.quadratic


def test_a_mark_that_is_one_off_weighs_less_than_one_that_is_four_off():
    near = [(all_of(mark), all_of(min(5, mark + 1))) for mark in range(1, 6)] * 10
    far = [(all_of(mark), all_of(6 - mark)) for mark in range(1, 6)] * 10

    one, other = of_marks(RUBRIC, near, seed=0)[0], of_marks(RUBRIC, far, seed=0)[0]

    assert one.quadratic
    assert one.kappa is not None
    assert other.kappa is not None
    assert one.kappa > 0.7
    assert other.kappa < -0.5


def test_the_whole_rubric_comes_first_and_then_each_dimension():
    found = of_marks(RUBRIC, noisy(60, 0.1), seed=0)

    assert [each.name for each in found] == ["overall", "correctness", "completeness", "format"]
    assert found[0].table == found[1].table
    assert sum(map(sum, found[0].table)) == 60


def test_right_is_a_mean_mark_of_four():
    marks = [(True, all_of(4)), (True, all_of(5)), (False, all_of(3)), (False, all_of(4))]

    (found,) = of_right(RUBRIC, marks, seed=0)

    assert found.levels == ("wrong", "right")
    assert found.table == ((1, 1), (0, 2))


@pytest.mark.parametrize(
    ("count", "noise", "said"),
    [
        (MIN_LABELS, 0.1, ""),
        (MIN_LABELS - 1, 0.0, "49 labels are too few to gate: 50 are needed"),
        (MIN_LABELS, 0.9, "lower bound"),
    ],
)
def test_a_gate_rests_on_fifty_labels_and_a_bound(count: int, noise: float, said: str):
    reason = why_not(of_marks(RUBRIC, noisy(count, noise), seed=0))

    assert said in reason
    assert bool(said) == bool(reason)


def test_who_always_says_the_same_proves_nothing():
    found = of_duels([(TIE, TIE)] * 60, seed=0)

    assert found[0].kappa is None
    assert "chance" in why_not(found)
    assert "no usable word" in why_not(())


def test_a_calibration_is_found_by_its_very_judge(tmp_path: Path):
    marks = calibration(noisy(60, 0.1), LabelKind.MARKS)
    right = calibration(noisy(20, 0.1), LabelKind.RIGHT)
    write_calibration(tmp_path, marks)
    write_calibration(tmp_path, right)
    (tmp_path / "labels.jsonl").touch()

    assert find_calibration(tmp_path, JUDGE) == marks  # usable, and the other is not
    assert find_calibration(tmp_path, JUDGE.model_copy(update={"model": "other"})) is None
    assert find_calibration(tmp_path, JUDGE.model_copy(update={"rubric_hash": "r"})) is None
    assert "a gate may rest on it" in told(marks)
    assert "it gates nothing: 20 labels" in told(right)
    assert told(None) == ""


def calibration(pairs: list[tuple[dict[str, int], dict[str, int]]], kind: LabelKind) -> Calibration:
    found = of_marks(RUBRIC, pairs, seed=0)
    reason = why_not(found)
    return Calibration(
        judge=JUDGE,
        kind=kind,
        made_at="2026-11-21T10:00:00+00:00",
        labels_file="labels.jsonl",
        labels_hash=labels_hash([]),
        labels=len(pairs),
        compared=len(pairs),
        agreements=found,
        usable=not reason,
        why_not=reason,
    )


@pytest.mark.parametrize("width", [40, 100])
def test_the_table_fits_its_window(width: int):
    console = Console(width=width, no_color=True)
    with console.capture() as capture:
        console.print(calibration_view(calibration(noisy(60, 0.1), LabelKind.MARKS)))
    shown = capture.get()

    assert max(map(len, shown.splitlines())) <= width
    assert "A gate may rest on this judge." in shown


def labelled(folder: Path, worth: list[int], **more: Any) -> Path:
    """A file of labels for the tuned run's answers, which say what they are worth."""
    path = folder / "labels.jsonl"
    with LabelFile(path) as file:
        for number, mark in enumerate(worth):
            asked = prompt(number)
            file.add(
                Label.model_validate(
                    {
                        "run": TUNED,
                        "prompt_id": asked.id,
                        "prompt_hash": asked.hash,
                        "at": datetime.now(UTC).isoformat(),
                        "answer_hash": digest(f"worth {1 + number % 5}"),
                        "marks": all_of(mark),
                        "rubric_hash": RUBRIC.hash,
                        **more,
                    }
                )
            )
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    two_runs(tmp_path, [(f"base {n}", f"worth {1 + n % 5}") for n in range(60)])
    return tmp_path


@contextmanager
def judge(name: str, *flags: str) -> Generator[str]:
    """The URL of a judge of fake_judge.py, in a process of its own."""
    argv = [sys.executable, str(FAKE), "--port", "0", "--judge", name, *flags]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield f"http://127.0.0.1:{json.loads(server.stdout.readline())['port']}/v1"
        server.kill()


def calibrated(folder: Path, url: str, *words: str) -> tuple[int, dict[str, Any]]:
    asked = ("judge", "calibrate", "labels.jsonl", "--judge", url, "--judge-model", "m")
    done = punie(folder, *asked, "--json", *words)
    return done.returncode, json.loads(done.stdout)


def test_a_judge_that_agrees_may_gate(folder: Path):
    labelled(folder, [1 + n % 5 for n in range(60)])
    with judge("marks") as url:
        code, told_once = calibrated(folder, url)
        _, again = calibrated(folder, url)

    found = Calibration.model_validate(told_once["data"]["calibration"])
    assert code == 0
    assert found.usable
    assert (found.compared, found.labels, found.faults) == (60, 60, 0)
    assert [each.kappa for each in found.agreements] == [1.0] * 4
    assert find_calibration(folder / "data" / "labels", found.judge) is not None
    assert Path(told_once["data"]["file"]).is_file()
    assert again["data"]["calibration"]["agreements"] == [
        each.model_dump(mode="json") for each in found.agreements
    ]


def test_a_calibration_whose_labels_have_changed_gates_nothing(folder: Path):
    path = labelled(folder, [1 + n % 5 for n in range(60)])
    kept = folder / "data" / "labels"
    with judge("marks") as url:
        _, said = calibrated(folder, url)
        asked = ("judge", "run", TUNED, "--judge", url, "--judge-model", "m", "--json")
        before = json.loads(punie(folder, *asked).stdout)["data"]["judged"]["calibrated"]
        with LabelFile(path) as file:
            file.add(read_labels(path)[0].model_copy(update={"marks": all_of(5)}))
        after = json.loads(punie(folder, *asked).stdout)["data"]["judged"]["calibrated"]
        again = Calibration.model_validate(calibrated(folder, url)[1]["data"]["calibration"])

    found = Calibration.model_validate(said["data"]["calibration"])
    assert before.endswith("a gate may rest on it.")
    day = found.made_at[:10]
    assert after.endswith(
        f"it gates nothing: its labels are no longer those of {day}, so calibrate it again."
    )
    assert find_calibration(kept, again.judge) == again
    path.unlink()
    gone = find_calibration(kept, again.judge)
    assert gone is not None
    assert gone.stale


def test_a_judge_that_disagrees_is_said_to(folder: Path):
    labelled(folder, [5 - n % 5 for n in range(60)])
    with judge("marks") as url:
        code, said = calibrated(folder, url)
        shown = punie(folder, "judge", "calibrate", "labels.jsonl", "--judge", url,
                      "--judge-model", "m")  # fmt: skip

    found = said["data"]["calibration"]
    assert (code, found["usable"]) == (0, False)
    assert "lower bound" in found["why_not"]
    assert shown.returncode == 0
    assert "No gate may rest on this judge" in shown.stdout
    assert "person down, judge across" in shown.stdout


def test_marks_by_a_rubric_of_ones_own_are_compared_by_its_dimensions(folder: Path):
    (folder / "tone.yaml").write_text(TONE)
    tone = read_rubric(folder / "tone.yaml")
    marks = {"marks": {"tone": 3}, "rubric_hash": tone.hash}
    labelled(folder, [3] * 12, **marks)
    log = folder / "requests.jsonl"
    with judge("tone", "--log", str(log)) as url:
        code, said = calibrated(folder, url, "--rubric", "tone.yaml")

    found = Calibration.model_validate(said["data"]["calibration"])
    assert code == 0, said
    assert found.judge.rubric_hash == tone.hash
    assert [each.name for each in found.agreements] == ["overall", "tone"]
    assert "Is it friendly?" in log.read_text()


@pytest.mark.parametrize("words", [("calibrate", "labels.jsonl"), ("run", TUNED)])
async def test_no_more_answers_are_in_flight_than_asked_for(folder: Path, words: tuple[str, ...]):
    labelled(folder, [1 + n % 5 for n in range(30)])
    mark, most = replies_of("marks"), 0

    def reply(question: str) -> str | None:
        nonlocal most
        most = max(most, server.waiting + 1)
        return mark(question)

    async with FakeServer(Behaviour(first_token_s=0.2), replies=reply) as server:
        asked = ("judge", *words, "--judge", server.url, "--judge-model", "m")
        done = await asyncio.to_thread(punie, folder, *asked, "--concurrency", "3")

    assert done.returncode == 0, done.stderr
    assert most == 3


def test_too_few_labels_and_changed_answers_are_said(folder: Path):
    labelled(folder, [1 + n % 5 for n in range(10)])
    with (folder / "labels.jsonl").open("a") as file:
        changed = json.loads((folder / "labels.jsonl").read_text().splitlines()[0])
        file.write(json.dumps(changed | {"prompt_id": "p20", "answer_hash": "0" * 64}) + "\n")
    with judge("marks") as url:
        code, said = calibrated(folder, url)

    assert code == 0
    assert said["data"]["calibration"]["why_not"] == "10 labels are too few to gate: 50 are needed"
    assert said["warnings"] == ["left out, because its answer is gone or another: 1 label"]


def test_a_judge_that_answers_prose_is_not_calibrated(folder: Path):
    labelled(folder, [3] * 12)
    with judge("prose") as url:
        code, said = calibrated(folder, url)

    found = said["data"]["calibration"]
    assert code == 5
    assert (found["compared"], found["faults"], found["usable"]) == (0, 12, False)
    assert found["agreements"] == []


def test_duels_are_calibrated_in_both_orders(tmp_path: Path):
    draw = random.Random(5)
    texts = [(f"b{'o' * draw.randint(1, 9)}", f"t{'o' * draw.randint(10, 19)}") for _ in range(55)]
    two_runs(tmp_path, texts)
    with LabelFile(tmp_path / "labels.jsonl") as file:
        for number, (base, tuned) in enumerate(texts):
            asked = prompt(number)
            file.add(
                Label(
                    run=TUNED,
                    against=BASE,
                    prompt_id=asked.id,
                    prompt_hash=asked.hash,
                    at="2026-11-21T10:00:00+00:00",
                    answer_hash=digest(tuned),
                    against_hash=digest(base),
                    outcome=LOSS if number < 5 else WIN,
                )
            )
    with judge("longer") as url:
        code, said = calibrated(tmp_path, url)
        asked = ("compare", BASE, TUNED, "--judge", url, "--judge-model", "m", "--json")
        compared = json.loads(punie(tmp_path, *asked).stdout)

    found = said["data"]["calibration"]
    assert code == 0
    assert found["kind"] == "duel"
    duel = compared["data"]["compared"][0]["duel"]
    assert duel["cached"] == 110  # what was asked for the calibration is not asked again
    assert duel["calibrated"].startswith("Compared with people on 55 answers (which is better)")
    assert "it gates nothing" in duel["calibrated"]
    assert found["agreements"][0]["table"] == [[0, 0, 5], [0, 0, 0], [0, 0, 50]]
    assert not found["usable"]  # the judge never says anything else


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("", "has no label"),
        ("{}\n", "labels.jsonl:1"),
        ("not json\n", "labels.jsonl:1"),
        (None, "labels.jsonl: "),
    ],
)
def test_labels_that_are_none_are_refused(folder: Path, lines: str | None, said: str):
    if lines is not None:
        (folder / "labels.jsonl").write_text(lines)
    code, told = calibrated(folder, "http://127.0.0.1:9/v1")

    assert code == 2
    assert said in told["error"]["message"]


def test_labels_by_another_rubric_of_another_kind_or_run_are_refused(folder: Path):
    labelled(folder, [3, 3], rubric_hash="other")
    assert "another rubric" in calibrated(folder, "http://127.0.0.1:9/v1")[1]["error"]["message"]
    labelled(folder, [3], marks=None, rubric_hash=None, right=True)
    assert "several kinds" in calibrated(folder, "http://127.0.0.1:9/v1")[1]["error"]["message"]
    (folder / "labels.jsonl").unlink()
    labelled(folder, [3], run="elsewhere")
    assert "no run here" in calibrated(folder, "http://127.0.0.1:9/v1")[1]["error"]["message"]
