"""`punie train` as a person uses it: the real worker on the tiny model, the real store."""

import json
import signal
from pathlib import Path

import pytest

from punie.errors import EXIT_GATE, EXIT_INTERRUPTED, EXIT_RUNTIME, EXIT_USAGE
from punie.store.trainings import TrainingStore
from train_project import (
    WAIT_S,
    InProcess,
    Project,
    make_project,
    rows,
    wait_for_checkpoint,
    write,
)


@pytest.fixture
def project(tmp_path: Path, tiny_model: Path) -> Project:
    return make_project(tmp_path, tiny_model)


@pytest.fixture
def here(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> InProcess:
    """The project's commands in this process, for what is refused before a worker works."""
    return InProcess(project, monkeypatch, capsys)


def test_bare_train_makes_an_adapter_that_can_be_traced(project: Project) -> None:
    done = project.punie("train")
    name = "model-colours"
    folder = project.adapter(name)
    assert {path.name for path in folder.iterdir()} == {
        "adapters.safetensors",
        "adapter_config.json",
        "README.md",
        "punie.json",
    }
    assert not project.work(name).exists()
    assert f"adapters/{name}" in done.stdout
    assert f"punie eval --adapter {name}" in done.stderr
    manifest = project.manifest(name)
    assert manifest.plan.iterations == 24  # 32 rows, batches of 4, three epochs
    assert manifest.plan.layers == 2
    assert (manifest.data.name, manifest.data_path) == ("colours", "data/colours")
    assert manifest.data.splits["train"].rows == 32  # type: ignore[index]
    assert manifest.training.steps == 24
    assert manifest.training.epochs == 3
    losses = manifest.chosen.candidates
    assert manifest.chosen.value == min(losses.values())
    assert manifest.chosen.by == "validation loss"
    with TrainingStore(project.folder) as store:
        (head,) = store.heads()
    assert (head.name, head.status) == (name, "done")
    assert head.chosen == manifest.chosen


def test_a_dry_run_looks_and_leaves_nothing(project: Project) -> None:
    shown = project.json("train", "--dry-run", "--batch-size", "2")["data"]["preflight"]
    assert shown["plan"]["iterations"] == 48
    assert shown["lengths"]["train"]["rows"] == 32
    assert shown["memory_measured_bytes"] > 0
    assert shown["seconds_estimate"] > 0
    assert shown["trainable"] > 0
    assert "⟦" in shown["example"]
    assert not project.made
    table = project.punie("train", "--dry-run", "--batch-size", "2").stdout
    assert "measured on the longest batch" in table


def test_a_training_that_is_killed_goes_on_to_the_same_bits(project: Project) -> None:
    plan = ("--iterations", "200", "--seed", "3")
    project.punie("train", *plan, "--name", "whole")
    killed = project.start("train", *plan, "--name", "parts")
    wait_for_checkpoint(project.work("parts"), killed)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=WAIT_S)
    assert not project.adapter("parts").exists()
    unfinished = project.punie("train", "--name", "parts", code=EXIT_USAGE)
    assert "punie train --resume parts" in unfinished.stderr
    project.punie("train", "--resume", "parts")
    assert project.weights("parts") == project.weights("whole")
    whole, parts = project.manifest("whole").training, project.manifest("parts").training
    assert (parts.steps, parts.tokens) == (whole.steps, whole.tokens)
    assert [point.train for point in parts.losses] == [point.train for point in whole.losses]
    assert (parts.parts, parts.exact) == (2, True)


def test_ctrl_c_stops_at_the_next_iteration_and_keeps_everything(project: Project) -> None:
    process = project.start("train", "--iterations", "5000", "--name", "long")
    wait_for_checkpoint(project.work("long"), process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == EXIT_INTERRUPTED
    assert "punie train --resume long" in err
    with TrainingStore(project.folder) as store:
        assert store.find("long").status == "stopped"
    changed = project.punie("train", "--resume", "long", "--rank", "4", code=EXIT_USAGE)
    assert "--rank cannot be given with it" in changed.stderr
    again = project.start("train", "--resume", "long", "--json")
    wait_for_checkpoint(project.work("long"), again, part=2)
    again.send_signal(signal.SIGTERM)
    out, _ = again.communicate(timeout=WAIT_S)
    assert again.returncode == EXIT_INTERRUPTED
    assert json.loads(out)["data"]["resume"] == "punie train --resume long"


def test_a_loss_that_is_not_finite_says_in_which_rows(project: Project) -> None:
    failed = project.punie("train", "--learning-rate", "1e30", code=EXIT_RUNTIME)
    assert "the loss became" in failed.stderr
    assert "data/colours/train.jsonl:" in failed.stderr
    assert "lower the learning rate" in failed.stderr
    with TrainingStore(project.folder) as store:
        (head,) = store.heads()
    assert head.status == "failed"
    assert "the loss became" in head.failure


SUITE = """
name: colours-suite
prompts:
  - {{id: leaks, prompt: "{prompt}", expect: {{exact: red door}}}}
  - {{id: own, prompt: "Which colour is nowhere in the data at all?", expect: {{exact: x}}}}
"""


def test_leakage_stops_a_training_unless_allowed_and_is_stamped(project: Project) -> None:
    suite = project.folder / "data" / "suites" / "colours-suite.yaml"
    suite.parent.mkdir()
    prompt = rows()[0]["messages"][0]["content"]
    suite.write_text(SUITE.format(prompt=prompt), encoding="utf-8")
    refused = project.json("train", "--name", "leaky", code=EXIT_GATE)["error"]
    assert refused["code"] == "data_check"
    assert "colours-suite" in refused["message"]
    assert "train.jsonl:1" in refused["message"]
    assert "--allow-leakage" in refused["hint"]
    assert not project.work("leaky").exists()
    project.punie("train", "--name", "leaky", "--allow-leakage", "--iterations", "4")
    assert list(project.manifest("leaky").leaked_suites.values()) == [1]
    run = project.json("eval", "colours-suite", "--adapter", "leaky", "--no-checks")["data"]["run"]
    (stamp,) = [each for each in run["checks"]["findings"] if each["name"] == "leakage"]
    assert "1 prompt of this suite" in stamp["sentence"]
    (result,) = project.manifest("leaky").results
    assert result.run == run["id"]
    assert "leaked" in result.stamps
    assert run["id"] in (project.adapter("leaky") / "README.md").read_text(encoding="utf-8")


def test_a_suite_may_choose_the_checkpoint_and_is_then_no_test(project: Project) -> None:
    suite = project.folder / "data" / "suites" / "chooser.yaml"
    suite.parent.mkdir()
    suite.write_text(SUITE.format(prompt="An unrelated question, asked nowhere else."))
    project.punie(
        *("train", "--name", "chosen", "--iterations", "4"),
        *("--select-by", "data/suites/chooser.yaml"),
    )
    chosen = project.manifest("chosen").chosen
    assert chosen.by == "colours-suite"
    assert len(chosen.candidates) > 1
    best = max(chosen.candidates.values())
    earliest = min(step for step, score in chosen.candidates.items() if score == best)
    assert chosen.step == earliest
    run = project.json("eval", "chooser", "--adapter", "chosen", "--no-checks")["data"]["run"]
    assert any(each["name"] == "selection" for each in run["checks"]["findings"])
    assert project.manifest("chosen").results[0].stamps[0] == "selected on test"


def test_one_file_is_split_and_its_held_out_part_becomes_the_suite(project: Project) -> None:
    write(project.folder / "all.jsonl", rows())
    project.punie("train", "all.jsonl", "--dry-run")
    assert not (project.folder / "data" / "all").exists()
    project.punie("train", "all.jsonl", "--name", "one", "--iterations", "4")
    manifest = project.manifest("one")
    assert manifest.data.name == "all"
    assert manifest.suite == "data/suites/all.jsonl"
    # A second training of the same file finds the split that is there.
    project.punie("train", "all.jsonl", "--name", "two", "--iterations", "4")
    assert project.manifest("two").data == manifest.data
    run = project.json("eval", "--adapter", "one", "--no-checks", "--max-tokens", "4")["data"][
        "run"
    ]
    assert run["suite_name"] == "all"
    assert run["model"]["adapter"] == "one"
    write(project.folder / "all.jsonl", rows()[:-4])
    other = project.punie("train", "all.jsonl", "--name", "three", code=EXIT_USAGE)
    assert "has other rows" in other.stderr


def test_what_cannot_be_read_is_refused_by_the_program(project: Project) -> None:
    failed = project.punie("train", "nowhere.jsonl", code=EXIT_USAGE)
    assert "nowhere.jsonl" in failed.stderr
    assert "hint" in failed.stderr
    assert not failed.stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("nowhere.jsonl",), EXIT_USAGE, "nowhere.jsonl"),
        (("--name", "../x"), EXIT_USAGE, "cannot be an adapter's name"),
        (("--layers", "3"), EXIT_USAGE, "2"),
        (("--layers", "none"), EXIT_USAGE, "--layers"),
        (("--layers", "9" * 5000), EXIT_USAGE, "--layers"),
        (("--epochs", "1e308"), EXIT_USAGE, "epochs"),
        (("--epochs", "1", "--iterations", "3"), EXIT_USAGE, "iterations"),
        (("--method", "full", "--rank", "4"), EXIT_USAGE, "rank"),
        (("--resume", "nothing"), EXIT_USAGE, "no training called nothing"),
        (("--select-by", "nosuch"), EXIT_USAGE, "nosuch"),
        (("--model", "no/such-model-here"), 5, "no/such-model-here"),
        (("--config", "nowhere.yaml"), EXIT_USAGE, "nowhere.yaml"),
        (("--max-length", "8"), EXIT_GATE, "train.jsonl:1"),
    ],
)
def test_what_cannot_be_trained_says_so(
    here: InProcess, words: tuple[str, ...], code: int, said: str
) -> None:
    failed = here("train", *words, code=code)
    assert said in failed.stderr
    assert "hint" in failed.stderr
    assert not here.project.made
