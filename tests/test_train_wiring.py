"""That what is asked of `punie train` arrives: masks, limits, the chosen checkpoint, each flag."""

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file  # pyright: ignore[reportUnknownVariableType]

from punie.errors import EXIT_RUNTIME
from punie.records.training import Masking, Method, Order
from punie.store.runs import RunStore
from punie.store.trainings import TrainingStore
from train_project import InProcess, Project, make_project, rows, turn, write


@pytest.fixture
def project(tmp_path: Path, tiny_model: Path) -> Project:
    return make_project(tmp_path, tiny_model)


@pytest.fixture
def punie(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> InProcess:
    return InProcess(project, monkeypatch, capsys)


def plan(project: Project, text: str) -> tuple[str, str]:
    """The option that takes this plan."""
    file = project.folder / "plan.yaml"
    file.write_text(text, encoding="utf-8")
    return "--config", str(file)


def preflight(punie: InProcess, *words: str) -> Any:
    return punie.json("train", "--dry-run", *words)["data"]["preflight"]


# Masks


def test_the_plans_mask_decides_what_is_trained(punie: InProcess) -> None:
    project = punie.project
    questions = rows()
    two_turns = [
        {"messages": [*first["messages"], *second["messages"]]}
        for first, second in zip(questions[0:32:2], questions[1:32:2], strict=True)
    ]
    write(project.folder / "data" / "colours" / "train.jsonl", two_turns)
    shown = {mask: preflight(punie, *plan(project, f"masking: {mask}\n")) for mask in Masking}
    examples = {mask: shown[mask]["example"] for mask in Masking}
    assert examples[Masking.ASSISTANT].count("⟦") == 2
    assert "⟦red door" in examples[Masking.ASSISTANT]
    assert "⟦green door" in examples[Masking.ASSISTANT]
    assert examples[Masking.LAST].count("⟦") == 1
    assert "⟦green door" in examples[Masking.LAST]
    assert "⟦red door" not in examples[Masking.LAST]
    assert "which colour" in examples[Masking.NONE].partition("⟦")[2]
    counts = {mask: shown[mask]["lengths"]["train"]["trained"] for mask in Masking}
    assert 0 < counts[Masking.LAST] < counts[Masking.ASSISTANT] < counts[Masking.NONE]
    for mask in (Masking.LAST, Masking.ASSISTANT):
        # One epoch: every token that counts, once.
        options = plan(project, f"masking: {mask}\nepochs: 1\n")
        punie("train", *options, "--name", mask)
        assert project.manifest(mask).training.tokens == counts[mask]
        assert project.manifest(mask).plan.masking is mask
    assert project.weights(Masking.LAST) != project.weights(Masking.ASSISTANT)


# Limits


def refused(punie: InProcess, *words: str) -> Any:
    """A training that must not have begun: no iteration was made, and nothing is left of it."""
    error = punie.json("train", *words, code=EXIT_RUNTIME)["error"]
    assert not punie.project.made
    with TrainingStore(punie.project.folder) as store:
        assert all(head.training is None or not head.training.steps for head in store.heads())
    return error


def test_a_hopeless_training_is_refused_before_anything_is_tried(
    punie: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("punie.backends.room.free_memory", lambda: 100_000)
    error = refused(punie)
    assert "100 kB are free" in error["message"]
    assert "max_length" in error["hint"]


def test_what_the_probe_measures_is_held_against_the_memory_that_is_free(
    punie: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = preflight(punie)
    estimate, peak = shown["memory_estimate_bytes"], shown["memory_measured_bytes"]
    assert 0.5 < estimate / peak < 2
    monkeypatch.setattr("punie.backends.room.free_memory", lambda: peak)
    error = refused(punie)
    assert "the largest batch, 4 rows" in error["message"]
    assert "batch" in error["hint"]


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_a_disk_without_room_for_the_checkpoints_is_refused(
    punie: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nearly_full(_path: Path) -> Usage:
        return Usage(total=10**9, used=10**9 - 10_000, free=10_000)

    monkeypatch.setattr(shutil, "disk_usage", nearly_full)
    error = refused(punie)
    assert "the disk has 10 kB left" in error["message"]
    assert "validate_every" in error["hint"]


# The chosen checkpoint

SUITE = """
name: parrot
defaults: {max_tokens: 4}
prompts:
  - {id: one, prompt: "Tell me the name of a bird.", expect: {exact: name}}
  - {id: two, prompt: "What else is there to see?", expect: {exact: name}}
"""


@pytest.fixture
def parrot(tmp_path: Path, tiny_model: Path) -> Project:
    """A project whose model can learn to say one word: its last norm is louder than it was.

    The rows to train on say `name`, those to validate on say `number`: what is best on the suite is
    worst by the loss.
    """
    model = tmp_path / "loud"
    shutil.copytree(tiny_model, model)
    weights = load_file(model / "model.safetensors")
    weights["model.norm.weight"] = (weights["model.norm.weight"] * 6).astype(np.float32)
    save_file(weights, model / "model.safetensors", metadata={"format": "mlx"})
    project = make_project(tmp_path, model)
    data = project.folder / "data" / "colours"
    for name, word in (("train", "name"), ("valid", "number")):
        content = [json.loads(line) for line in (data / f"{name}.jsonl").read_text().splitlines()]
        said = [{"messages": [row["messages"][0], turn("assistant", word)]} for row in content]
        write(data / f"{name}.jsonl", said)
    suite = project.folder / "data" / "suites" / "parrot.yaml"
    suite.parent.mkdir()
    suite.write_text(SUITE, encoding="utf-8")
    return project


def test_the_best_checkpoint_is_kept_and_of_equal_ones_the_earliest(
    parrot: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    punie = InProcess(parrot, monkeypatch, capsys)
    fast = ("--learning-rate", "1e-3")
    options = (*fast, *plan(parrot, "validate_every: 4\npatience: null\n"), "--iterations", "12")
    punie("train", *options, "--name", "by-suite", "--select-by", "parrot")
    chosen = parrot.manifest("by-suite").chosen
    # The first checkpoint cannot say the word yet; the others always do.
    assert chosen.candidates == {4: 0, 8: 1, 12: 1}
    assert (chosen.step, chosen.value, chosen.by) == (8, 1, "parrot")
    with RunStore(parrot.folder) as store:
        served = sorted(Path(run.model.adapter or "").name for run in store.heads())
    assert served == [f"by-suite@{step}" for step in (12, 4, 8)]
    # What is kept is that checkpoint: a training that ends there has the same bits.
    options = (*fast, *plan(parrot, "validate_every: 8\n"), "--iterations", "8")
    punie("train", *options, "--name", "eight")
    assert parrot.manifest("eight").chosen.step == 8
    assert parrot.weights("by-suite") == parrot.weights("eight")


def test_the_lowest_validation_loss_is_kept_though_the_training_goes_on(
    parrot: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    punie = InProcess(parrot, monkeypatch, capsys)
    fast = ("--learning-rate", "1e-3")
    options = (*fast, *plan(parrot, "validate_every: 4\npatience: null\n"), "--iterations", "8")
    punie("train", *options, "--name", "by-loss")
    chosen = parrot.manifest("by-loss").chosen
    assert chosen.candidates[4] < chosen.candidates[8]  # the rows to validate say another word
    assert (chosen.step, chosen.by) == (4, "validation loss")
    options = (*fast, *plan(parrot, "validate_every: 4\n"), "--iterations", "4")
    punie("train", *options, "--name", "four")
    assert parrot.weights("by-loss") == parrot.weights("four")


# What the plan and the flags say


def test_the_order_of_the_rows_arrives(punie: InProcess) -> None:
    project = punie.project
    for order in Order:
        options = plan(project, f"order: {order}\n")
        punie("train", *options, "--iterations", "2", "--name", order)
        assert project.manifest(order).plan.order is order
    assert project.weights(Order.FILE) != project.weights(Order.SHUFFLE)


def test_each_flag_arrives(punie: InProcess) -> None:
    punie(
        *("train", "--name", "asked", "--method", "dora", "--rank", "3", "--layers", "1"),
        *("--learning-rate", "1e-3", "--batch-size", "2", "--epochs", "0.25"),
        *("--max-length", "99", "--seed", "5"),
    )
    manifest = punie.project.manifest("asked")
    plan = manifest.plan
    assert (plan.method, plan.rank, plan.layers) == (Method.DORA, 3, 1)
    assert (plan.learning_rate, plan.batch_size, plan.max_length) == (1e-3, 2, 99)
    assert plan.seed == 5
    assert plan.iterations == manifest.training.steps == 4  # a quarter of 16 batches
    # The weights are what the plan says: the last block alone, rank 3, with DoRA's magnitudes.
    weights = load_file(punie.project.adapter("asked") / "adapters.safetensors")
    assert all(".layers.1." in name for name in weights)
    parts = {name.rsplit(".", 1)[1] for name in weights}
    assert parts == {"lora_a", "lora_b", "m"}
    assert {a.shape[1] for name, a in weights.items() if name.endswith("lora_a")} == {3}
    assert manifest.training.trainable == sum(each.size for each in weights.values())


def test_full_training_and_iterations_arrive(punie: InProcess) -> None:
    punie("train", "--name", "whole", "--method", "full", "--layers", "all", "--iterations", "2")
    manifest = punie.project.manifest("whole")
    assert (manifest.plan.method, manifest.plan.layers) == (Method.FULL, 2)
    assert (manifest.plan.iterations, manifest.training.steps) == (2, 2)
    weights = load_file(punie.project.adapter("whole") / "adapters.safetensors")
    assert not any("lora" in name for name in weights)
    assert manifest.training.trainable == sum(each.size for each in weights.values())


def test_the_seed_decides_the_weights(punie: InProcess) -> None:
    for name, seed in (("one", "1"), ("again", "1"), ("two", "2")):
        punie("train", "--name", name, "--seed", seed, "--iterations", "2")
    project = punie.project
    assert project.weights("one") == project.weights("again") != project.weights("two")
