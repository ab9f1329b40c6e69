"""`punie train` when things go wrong around it: nothing lost, nothing overwritten, a way on."""

import json
import signal
from pathlib import Path

import pytest

from punie.errors import EXIT_INTERRUPTED, EXIT_RUNTIME, EXIT_USAGE
from test_train_command import WAIT_S, Project, project, rows, wait_for_checkpoint, write

__all__ = ["project"]


def stopped(project: Project, name: str, *words: str) -> None:
    """A training with checkpoints that was stopped."""
    process = project.start("train", "--iterations", "5000", "--name", name, *words)
    wait_for_checkpoint(project.work(name), process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=WAIT_S)
    assert process.returncode == EXIT_INTERRUPTED


def test_what_is_there_can_be_finished(project: Project) -> None:
    stopped(project, "early")
    losses = [
        json.loads(line)
        for line in (project.work("early") / "events.jsonl").read_bytes().splitlines()
        if b'"validated"' in line
    ]
    project.punie("train", "--finish", code=EXIT_USAGE)
    done = project.punie("train", "--resume", "early", "--finish", "--journal", "Taken as it is.")
    manifest = project.manifest("early")
    assert manifest.chosen.value == min(each["loss"] for each in losses)
    assert manifest.training.ending == "stopped"
    assert "journal entry" in done.stderr
    assert not project.work("early").exists()


def test_a_resume_that_fails_deletes_nothing(project: Project) -> None:
    stopped(project, "kept")
    work = project.work("kept")
    (work / "events.jsonl").write_bytes(b"")  # as after a power cut: the state is on disk
    rows_file = work / "rows.safetensors"
    rows_file.write_bytes(rows_file.read_bytes()[:100])
    failed = project.punie("train", "--resume", "kept", code=EXIT_RUNTIME)
    assert "--finish" in failed.stderr
    assert (work / "state.safetensors").exists()
    assert list((work / "checkpoints").iterdir())


def test_a_training_that_was_killed_after_its_adapter_appeared_is_finished(
    project: Project,
) -> None:
    stopped(project, "late")
    begun = (project.work("late") / "begun.json").read_bytes()
    project.punie("train", "--resume", "late", "--finish")
    project.work("late").mkdir()
    (project.work("late") / "begun.json").write_bytes(begun)
    weights = project.weights("late")
    again = project.punie("train", "--resume", "late")
    assert "finished already" in again.stderr
    assert project.weights("late") == weights
    assert not project.work("late").exists()


def test_a_stop_while_rows_are_read_leaves_nothing(project: Project) -> None:
    many = rows(tuple(f"thing{i}" for i in range(600)))
    write(project.folder / "data" / "colours" / "train.jsonl", many)
    process = project.start("train", "--name", "soon")
    assert process.stderr is not None
    assert "loading the model" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == EXIT_INTERRUPTED
    assert "mistake" not in err
    assert not project.work("soon").exists()


def test_what_was_chosen_and_found_is_said_before_the_training(project: Project) -> None:
    repeated = [*rows()[:32], rows()[0]]
    write(project.folder / "data" / "colours" / "train.jsonl", repeated)
    said = project.punie("train", "--iterations", "2", "--name", "told").stderr
    first, _, _ = said.partition("/2 ")
    assert "training told: lora, rank 8" in first
    assert "33 rows to train on, 8 to validate" in first
    assert "duplicates" in first


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--journal", " "), "goal of a journal entry is empty"),
        (("--journal", "Look.", "--dry-run"), "a dry run leaves nothing"),
        (("--resume", "stopped", "--seed", "0"), "--seed cannot be given with it"),
    ],
)
def test_what_could_not_be_kept_is_refused_before_the_training(
    project: Project, words: tuple[str, ...], said: str
) -> None:
    if "--resume" in words:
        stopped(project, "stopped")
    refused = project.punie("train", *words, code=EXIT_USAGE)
    assert said in refused.stderr


def test_names_in_the_advice_are_quoted(project: Project, tmp_path: Path) -> None:
    odd = tmp_path / "a model; touch owned"
    model = json.loads((project.folder / "punie.toml").read_text().partition("=")[2])
    odd.symlink_to(model)
    done = project.punie("train", "--iterations", "2", "--name", "odd", "--model", str(odd))
    assert f"--model '{odd}'" in done.stderr
