"""`punie label` before a real terminal: a pseudo-terminal, key by key."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from answered_runs import BASE, TUNED, two_runs
from fake_judge import TONE
from punie.errors import InputError
from punie.judging.label_file import LabelFile, read_labels
from punie.judging.rubric import read_rubric
from punie.records.duel import DuelOutcome
from punie.records.labels import Label, LabelKind
from test_eval_command import PUNIE, environment, punie

LAST_DIMENSION = "format"
ANSI = "\x1b[2J\x1b]0;owned\x07evil\u202eright-to-left"


@dataclass
class Terminal:
    """A `punie label` at work, its screen so far, and its keyboard."""

    process: subprocess.Popen[bytes]
    master: int
    screen: str = ""
    seen: int = field(default=0)

    def until(self, words: str) -> str:
        """Read the screen until `words` stand on it, after all that was waited for before."""
        end = time.monotonic() + 60
        while (at := self.screen.find(words, self.seen)) < 0:
            ready, _, _ = select.select([self.master], [], [], 1.0)
            if ready:
                try:
                    self.screen += os.read(self.master, 65536).decode("utf-8", "replace")
                except OSError:
                    self.screen += "\n[closed]"
            if time.monotonic() > end or self.screen.endswith("[closed]"):
                assert words in self.screen[self.seen :], self.screen
        before, self.seen = self.screen[self.seen : at], at + len(words)
        return before

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def ended(self) -> int:
        """The exit code, with everything read that was written meanwhile."""
        while self.process.poll() is None:
            ready, _, _ = select.select([self.master], [], [], 0.2)
            if ready:
                try:
                    self.screen += os.read(self.master, 65536).decode("utf-8", "replace")
                except OSError:
                    break
        return self.process.wait(60)


@contextmanager
def labelling(folder: Path, *words: str, columns: int = 80) -> Generator[Terminal]:
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (40, columns))
    env = environment(NO_COLOR="1", TERM="xterm")
    env.pop("COLUMNS")
    process = subprocess.Popen(
        [*PUNIE, "label", *words],
        cwd=folder,
        env=env,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    before = termios.tcgetattr(slave)
    try:
        yield Terminal(process, master)
        assert termios.tcgetattr(slave)[3] == before[3]  # echo and lines are as they were
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(60)
        os.close(slave)
        os.close(master)


def plain(screen: str) -> str:
    """The text without what makes it bold."""
    return re.sub(r"\x1b\[[\d;]*m", "", screen)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    answers = [(f"base says {n}", f"tuned says {n}") for n in range(4)]
    two_runs(tmp_path, answers)
    return tmp_path


def labels_in(folder: Path, name: str = f"{TUNED}.jsonl") -> list[Label]:
    return read_labels(folder / "data" / "labels" / name)


def test_marks_are_given_key_by_key_and_kept_at_once(folder: Path):
    with labelling(folder, TUNED) as terminal:
        terminal.until("1 of 4")
        assert "tuned says" in terminal.until("correctness")
        terminal.until("quit")
        terminal.press("4")
        terminal.until("completeness")
        terminal.press("53")  # typed ahead
        terminal.until("2 of 4")
        assert len(labels_in(folder)) == 1  # before anything else is asked
        terminal.until("quit")
        terminal.press("q")
        assert terminal.ended() == 0
        assert "1 labelled now, 1 of 4" in terminal.screen
        assert "secret" not in terminal.screen  # the model's name

    (label,) = labels_in(folder)
    assert label.kind is LabelKind.MARKS
    assert label.marks == {"correctness": 4, "completeness": 5, "format": 3}
    assert label.run == TUNED
    assert label.rubric_hash


def test_a_later_sitting_asks_only_what_is_owed_in_the_same_order(folder: Path):
    shown: list[str] = []
    for sitting in range(2):
        with labelling(folder, TUNED, "--seed", "7", "--right-wrong") as terminal:
            for _ in range(2):
                shown += re.findall(r"says (\d)", terminal.until("quit"))
                terminal.press("r" if sitting else "w")
            if not sitting:
                terminal.until("quit")
                terminal.press("q")
            assert terminal.ended() == 0
    labels = labels_in(folder)
    assert [each.prompt_id for each in labels] == [f"p{n}" for n in shown]
    assert sorted(shown) == ["0", "1", "2", "3"]
    assert [each.right for each in labels] == [False, False, True, True]
    assert {each.seed for each in labels} == {7}

    done = punie_on_a_terminal(folder, TUNED, "--right-wrong")
    assert "0 labelled now, 4 of 4" in done


def punie_on_a_terminal(folder: Path, *words: str) -> str:
    with labelling(folder, *words) as terminal:
        terminal.ended()
        return terminal.screen


def test_a_smaller_sample_is_the_beginning_of_a_larger_one(folder: Path):
    with labelling(folder, TUNED, "--sample", "2", "--right-wrong") as terminal:
        terminal.until("1 of 2")
        terminal.press("rr")
        assert terminal.ended() == 0
    first = [each.prompt_id for each in labels_in(folder)]
    with labelling(folder, TUNED, "--sample", "3", "--right-wrong") as terminal:
        terminal.until("1 of 1")
        terminal.press("r")
        assert terminal.ended() == 0
    assert [each.prompt_id for each in labels_in(folder)][:2] == first


def test_two_runs_stand_side_by_side_without_their_names(folder: Path):
    left_of: dict[str, str] = {}
    with labelling(folder, TUNED, "--against", BASE, columns=120) as terminal:
        for _ in range(4):
            text = terminal.until("quit")
            row = next(line for line in text.splitlines() if " says " in line)
            number = re.search(r"says (\d)", row)
            assert number
            left_of[f"p{number[1]}"] = "tuned" if row.index("tuned") < row.index("base") else "base"
            terminal.press("l")
        assert terminal.ended() == 0
        assert "secret" not in terminal.screen

    labels = labels_in(folder, f"{TUNED}-against-{BASE}.jsonl")
    assert len(labels) == 4
    for each in labels:
        expected = DuelOutcome.WIN if left_of[each.prompt_id] == "tuned" else DuelOutcome.LOSS
        assert each.outcome is expected
        assert (each.run, each.against) == (TUNED, BASE)
        assert each.answer_hash != each.against_hash


def test_the_left_answer_is_now_the_one_and_now_the_other(tmp_path: Path):
    two_runs(tmp_path, [(f"base says {n}", f"tuned says {n}") for n in range(20)])
    with labelling(tmp_path, TUNED, "--against", BASE) as terminal:
        terminal.until("1 of 20")
        terminal.press("\x1b[D" * 19 + "t")
        assert terminal.ended() == 0
    outcomes = [each.outcome for each in labels_in(tmp_path, f"{TUNED}-against-{BASE}.jsonl")]
    assert outcomes.count(DuelOutcome.WIN) > 3
    assert outcomes.count(DuelOutcome.LOSS) > 3
    assert outcomes[-1] is DuelOutcome.TIE


def test_equal_answers_are_not_asked_about(tmp_path: Path):
    two_runs(tmp_path, [("same", "same"), ("one", "other")])
    with labelling(tmp_path, TUNED, "--against", BASE) as terminal:
        terminal.until("1 of 1")
        terminal.press("t")
        assert terminal.ended() == 0


def test_back_says_it_anew_and_skip_leaves_it_owed(folder: Path):
    with labelling(folder, TUNED) as terminal:
        terminal.until("1 of 4")
        terminal.press("1b2b345")  # twice taken back within the rubric, then 3, 4, 5
        terminal.until("2 of 4")
        terminal.press("b")
        terminal.until("1 of 4")
        terminal.press("111")
        terminal.until("2 of 4")
        terminal.press("s")
        terminal.until("3 of 4")
        terminal.press("\x04")
        assert terminal.ended() == 0
        assert "1 labelled now, 1 of 4" in terminal.screen
    (label,) = labels_in(folder)
    assert label.marks is not None
    assert set(label.marks.values()) == {1}
    written = (folder / "data" / "labels" / f"{TUNED}.jsonl").read_text().splitlines()
    assert len(written) == 2  # what was said first stays in the file
    assert list(json.loads(written[0])["marks"].values()) == [3, 4, 5]


def test_what_a_model_wrote_is_shown_and_not_obeyed(tmp_path: Path):
    two_runs(tmp_path, [("plain", ANSI)])
    with labelling(tmp_path, TUNED) as terminal:
        text = terminal.until("quit")
        terminal.press("q")
        assert terminal.ended() == 0
    assert "␛[2J␛]0;owned␇evil⟨U+202E⟩right-to-left" in text
    assert "\x1b[2J" not in terminal.screen
    assert "\u202e" not in terminal.screen


def test_forty_columns_are_enough(folder: Path):
    with labelling(folder, TUNED, "--against", BASE, columns=40) as terminal:
        text = terminal.until("quit")
        terminal.press("q")
        assert terminal.ended() == 0
    assert max(len(line) for line in plain(text).splitlines()) <= 40
    assert text.index("left") < text.index("right")


def test_an_interrupt_keeps_the_labels_and_gives_the_terminal_back(folder: Path):
    with labelling(folder, TUNED, "--right-wrong") as terminal:
        terminal.until("1 of 4")
        terminal.press("r")
        terminal.until("2 of 4")
        terminal.until("quit")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.ended() == 130
        assert "Traceback" not in terminal.screen
    assert len(labels_in(folder)) == 1


def test_a_torn_last_line_is_owed_again(folder: Path):
    path = folder / "data" / "labels" / f"{TUNED}.jsonl"
    with labelling(folder, TUNED, "--right-wrong") as terminal:
        terminal.until("1 of 4")
        terminal.press("rr")
        terminal.until("3 of 4")
        terminal.press("q")
        assert terminal.ended() == 0
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert len(read_labels(path)) == 1
    with labelling(folder, TUNED, "--right-wrong") as terminal:
        terminal.until("1 of 3")
        terminal.press("w")
        terminal.until("2 of 3")
        terminal.press("q")
        assert terminal.ended() == 0
    assert [each.right for each in read_labels(path)] == [True, False]


def test_a_last_label_without_its_newline_counts_and_stays(tmp_path: Path):
    path = tmp_path / "labels.jsonl"
    with LabelFile(path) as file:
        file.add(label_of())
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    kept = path.read_bytes()
    assert len(read_labels(path)) == 1
    with LabelFile(path):
        pass  # somebody looked, and left
    assert path.read_bytes() == kept
    with LabelFile(path) as file:
        file.add(label_of(prompt_id="p1"))
    assert [each.prompt_id for each in read_labels(path)] == ["p0", "p1"]


@pytest.mark.parametrize("text", ["call the dentist", '{"mine": 1', '{"mine": 1}', "  "])
def test_a_file_that_is_no_labels_is_never_cut(tmp_path: Path, text: str):
    path = tmp_path / "notes.txt"
    path.write_text(text)
    with LabelFile(path) as file:
        assert path.read_text() == text
        file.add(label_of())
    assert path.read_text().startswith(f"{text}\n")
    if text.strip():
        with pytest.raises(InputError, match=r"notes\.txt:1"):
            read_labels(path)


@pytest.mark.parametrize("cut", [1, 2, 3, 40, 150])
def test_a_torn_label_is_cut_only_before_the_next(tmp_path: Path, cut: int):
    path = tmp_path / "labels.jsonl"
    with LabelFile(path) as file:
        file.add(label_of())
        file.add(label_of(prompt_id="p1", right=None, marks={"format": 3}))
    torn = path.read_bytes()[:-cut]
    path.write_bytes(torn)
    whole = cut == 1
    assert len(read_labels(path)) == 1 + whole
    with LabelFile(path) as file:
        assert path.read_bytes() == torn
        file.add(label_of(prompt_id="p2"))
    ids = ["p0", "p1", "p2"] if whole else ["p0", "p2"]
    assert [each.prompt_id for each in read_labels(path)] == ids


def test_labels_from_a_pipe_are_refused_at_once(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="is no regular file"):
        read_labels(tmp_path / "pipe")


def test_labels_of_another_run_in_the_file_are_said(folder: Path):
    with LabelFile(folder / "mine.jsonl") as file:
        file.add(label_of(run="another-run"))
    with labelling(folder, TUNED, "--right-wrong", "--output", "mine.jsonl") as terminal:
        terminal.until("1 of 4")
        terminal.press("q")
        assert terminal.ended() == 0
        said = " ".join(plain(terminal.screen).split())
        assert "mine.jsonl has labels of another run too: another-run" in said


def test_off_a_terminal_it_is_refused_with_a_hint(folder: Path):
    done = punie(folder, "label", TUNED, "--json")

    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert "terminal" in error["message"]
    assert "terminal window" in error["hint"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere",), "no run here"),
        ((TUNED, "--against", BASE, "--right-wrong"), "for one run"),
        ((TUNED, "--right-wrong", "--rubric", "x.yaml"), "contradict"),
        ((TUNED, "--rubric", "x.yaml"), "x.yaml"),
        ((TUNED, "--against", TUNED), "no prompt in common with two different answers"),
        ((TUNED, "--output", "bad.jsonl"), "bad.jsonl:2"),
    ],
)
def test_bad_input_is_a_message(folder: Path, words: tuple[str, ...], said: str):
    with LabelFile(folder / "bad.jsonl") as file:
        file.add(label_of())
    with (folder / "bad.jsonl").open("a") as file:
        file.write('{"run": "x"}\n[]\n')
    screen = " ".join(punie_on_a_terminal(folder, *words).split())
    assert said in screen
    assert "Traceback" not in screen


def label_of(**more: object) -> Label:
    fields: dict[str, object] = {
        "run": TUNED,
        "prompt_id": "p0",
        "prompt_hash": "h",
        "at": "2026-11-21T10:00:00+00:00",
        "answer_hash": "a",
        "right": True,
    }
    return Label.model_validate(fields | more)


def test_a_file_of_another_kind_or_seed_is_not_mixed(folder: Path):
    path = folder / "mine.jsonl"
    with LabelFile(path) as file:
        file.add(label_of(seed=3))
    for words, said in (
        ((TUNED, "--output", "mine.jsonl"), "by another rubric"),
        ((TUNED, "--output", "mine.jsonl", "--against", BASE), "of another kind"),
        ((TUNED, "--output", "mine.jsonl", "--right-wrong", "--seed", "4"), "another seed"),
    ):
        assert said in " ".join(punie_on_a_terminal(folder, *words).split())


@pytest.mark.parametrize(
    "wrong",
    [{"right": None}, {"marks": {"a": 1}}, {"right": None, "outcome": "win"}, {"against": "x"}],
)
def test_a_label_says_exactly_one_thing(wrong: dict[str, object]):
    with pytest.raises(ValueError, match=r"go together|exactly one"):
        label_of(**wrong)


def test_marks_follow_a_rubric_of_ones_own(folder: Path):
    (folder / "tone.yaml").write_text(TONE)
    with labelling(folder, TUNED, "--rubric", "tone.yaml") as terminal:
        terminal.until("tone")
        terminal.until("quit")
        terminal.press("2")
        terminal.until("2 of 4")
        terminal.until("quit")
        terminal.press("q")
        assert terminal.ended() == 0

    (label,) = labels_in(folder)
    assert label.marks == {"tone": 2}
    assert label.rubric_hash == read_rubric(folder / "tone.yaml").hash
