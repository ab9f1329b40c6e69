"""`punie train` as a person uses it: the real worker on the tiny model, the real store."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from punie.errors import EXIT_GATE, EXIT_INTERRUPTED, EXIT_RUNTIME, EXIT_USAGE
from punie.models.manifest import read_manifest
from punie.records.adapter import AdapterManifest
from punie.store.trainings import TrainingStore

COLOURS = ("red", "green", "blue", "black", "white", "brown", "pink", "grey")
THINGS = ("door", "chair", "table", "lamp", "shelf")
WAIT_S = 120


def rows(things: tuple[str, ...] = THINGS) -> list[dict[str, Any]]:
    return [
        {
            "messages": [
                {"role": "user", "content": f"{thing}: which colour has number {i}?"},
                {"role": "assistant", "content": f"{colour} {thing}"},
            ]
        }
        for thing in things
        for i, colour in enumerate(COLOURS)
    ]


def write(path: Path, content: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")


@dataclass(frozen=True)
class Project:
    """A project with a dataset, and the tiny model as its base."""

    folder: Path
    env: dict[str, str]

    def start(self, *words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "punie", *words],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def punie(self, *words: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
        process = self.start(*words)
        out, err = process.communicate(timeout=WAIT_S)
        assert process.returncode == code, f"{out}\n{err}"
        assert "Traceback" not in err
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def json(self, *words: str, code: int = 0) -> Any:
        return json.loads(self.punie(*words, "--json", code=code).stdout)

    def adapter(self, name: str) -> Path:
        return self.folder / "adapters" / name

    def manifest(self, name: str) -> AdapterManifest:
        manifest = read_manifest(self.adapter(name))
        assert manifest is not None
        return manifest

    def weights(self, name: str) -> bytes:
        return (self.adapter(name) / "adapters.safetensors").read_bytes()

    def work(self, name: str) -> Path:
        return self.folder / "adapters" / f".{name}.training"


@pytest.fixture
def project(tmp_path: Path, tiny_model: Path) -> Project:
    folder = tmp_path / "project"
    write(folder / "data" / "colours" / "train.jsonl", rows()[:32])
    write(folder / "data" / "colours" / "valid.jsonl", rows()[32:])
    (folder / "punie.toml").write_text(f'model = "{tiny_model}"\n', encoding="utf-8")
    env = {name: value for name, value in os.environ.items() if not name.startswith("PUNIE_")}
    env |= {
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path),
        "PUNIE_STATE": os.environ["PUNIE_STATE"],
        "PUNIE_CACHE": str(tmp_path / "cache"),
        "MLX_DISABLE_COMPILE": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "COLUMNS": "100",
        "NO_COLOR": "1",
    }
    return Project(folder, env)


def wait_for_checkpoint(work: Path, process: "subprocess.Popen[str]", part: int = 1) -> None:
    """Until the first checkpoint of a part; what is ended then has something to go on from."""
    deadline = time.monotonic() + WAIT_S
    events = work / "events.jsonl"
    while time.monotonic() < deadline and process.poll() is None:
        parts = events.read_bytes().split(b'"started"') if events.exists() else []
        if len(parts) > part and b'"saved"' in parts[part]:
            return
        time.sleep(0.01)
    raise AssertionError(f"no checkpoint: {process.communicate(timeout=WAIT_S)}")


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
    assert not list((project.folder / "adapters").iterdir())
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


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("nowhere.jsonl",), EXIT_USAGE, "nowhere.jsonl"),
        (("--name", "../x"), EXIT_USAGE, "cannot be an adapter's name"),
        (("--layers", "3"), EXIT_USAGE, "2"),
        (("--layers", "none"), EXIT_USAGE, "--layers"),
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
    project: Project, words: tuple[str, ...], code: int, said: str
) -> None:
    failed = project.punie("train", *words, code=code)
    assert said in failed.stderr
    assert "hint" in failed.stderr
    assert not list((project.folder / "adapters").glob("*"))
