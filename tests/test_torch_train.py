"""The torch worker on the tiny model: its arithmetic, every key of a plan, its traps and resumes.

What is the loop's own, whatever computes, is shown in test_mlx_train.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file  # pyright: ignore[reportUnknownVariableType]

from punie.records.training import (
    Curve,
    Ended,
    Failed,
    FailureKind,
    Loaded,
    Method,
    Optimizer,
    Order,
    Quantization,
    ResolvedPlan,
    Saved,
    Schedule,
    Started,
    Step,
    TrainEvent,
    TrainJob,
    Validated,
)
from train_forks import Forks, Trained, forks
from train_rows_file import random_rows, write_rows

pytest.importorskip("bitsandbytes")

E = TypeVar("E", bound=TrainEvent)
Weights = dict[str, NDArray[np.float32]]
PLAN = ResolvedPlan(
    layers=2,
    learning_rate=1e-2,
    rank=4,
    alpha=8,
    iterations=6,
    batch_size=3,
    validate_every=3,
    checkpoint_every=6,
    seed=1,
)
NF4: dict[str, Any] = {"quantization": Quantization.FOUR_BIT}
PAGED: dict[str, Any] = {
    "optimizer": Optimizer.PAGED_ADAMW_8BIT,
    "optimizer_options": {"min_8bit_size": 16},  # this model's tensors are smaller than most
}
MIXTURE = """
import sys, torch
from transformers import AutoModelForCausalLM, MixtralConfig
config = MixtralConfig(vocab_size=512, hidden_size=64, intermediate_size=64, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, num_local_experts=4)
AutoModelForCausalLM.from_config(config).save_pretrained(sys.argv[1])
"""


@pytest.fixture(scope="module")
def trainer() -> Iterator[Forks]:
    with forks("torch_train") as started:
        yield started


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10 rows to train on, so that 3 make 4 batches an epoch; and 5 to validate on."""
    file = tmp_path_factory.mktemp("rows") / "rows.safetensors"
    return write_rows(file, train=random_rows(10), valid=random_rows(5, 1))


@pytest.fixture
def job(tiny_model: Path, rows: Path, tmp_path: Path) -> TrainJob:
    return TrainJob(plan=PLAN, model=tiny_model, rows=rows, folder=tmp_path / "work")


def changed(job: TrainJob, name: str = "work", **plan: Any) -> TrainJob:
    """The job with another plan, in a folder called `name`."""
    folder = job.folder.with_name(name)
    return job.model_copy(update={"plan": PLAN.model_copy(update=plan), "folder": folder})


def resumed(job: TrainJob) -> TrainJob:
    return job.model_copy(update={"resume": True})


def weights(job: TrainJob, step: int | None = None) -> Weights:
    """The weights of a checkpoint, by default of the last."""
    files = sorted((job.folder / "checkpoints").glob("*.safetensors"))
    return load_file(files[-1] if step is None else files[0].with_name(f"{step:07d}.safetensors"))


def same(one: Weights, other: Weights) -> bool:
    """Whether they are the same bit for bit."""
    return one.keys() == other.keys() and all(
        one[name].tobytes() == other[name].tobytes() for name in one
    )


def only(trained: Trained, kind: type[E]) -> list[E]:
    return [event for event in trained.events if isinstance(event, kind)]


def losses(trained: Trained) -> list[float]:
    return [each.loss for each in only(trained, Step)]


def failure(trained: Trained) -> Failed:
    assert trained.code == 1
    last = trained.events[-1]
    assert isinstance(last, Failed)
    return last


def test_a_training_says_what_it_does(trainer: Forks, job: TrainJob) -> None:
    trained = trainer.train(job)
    (loaded,) = only(trained, Loaded)
    assert (loaded.parameters, loaded.layers, loaded.modules) == (107_072, 2, 14)
    assert loaded.trainable == sum(each.size for each in weights(job).values())
    (started,) = only(trained, Started)
    assert started.exact
    said = {"device", "processor", "threads", "torch", "transformers", "peft", "bitsandbytes"}
    assert said <= started.machine.keys()
    assert (started.machine["device"], started.machine["threads"]) == ("cpu", "1")
    last = trained.events[-1]
    assert isinstance(last, Ended)
    assert last.peak_memory_bytes > 50_000_000


def test_the_same_plan_gives_the_same_bits_and_another_seed_others(
    trainer: Forks, job: TrainJob
) -> None:
    jobs = [changed(job, n, dropout=0.2, **NF4) for n in ("one", "two")]
    jobs.append(changed(job, "three", dropout=0.2, seed=2, **NF4))
    for each in jobs:
        assert trainer.train(each).code == 0
    one, two, three = map(weights, jobs)
    assert same(one, two)
    assert not same(one, three)


SGD: dict[str, Any] = {"optimizer": Optimizer.SGD, "optimizer_options": {"momentum": 0.9}}


@pytest.mark.parametrize(
    ("base", "other"),
    [
        ({}, {"method": Method.FULL}),
        ({}, {"rank": 5}),
        ({}, {"alpha": 9}),
        ({}, {"dropout": 0.2}),
        ({}, {"layers": 1}),
        ({}, {"keys": ("self_attn.q_proj",)}),
        ({}, {"optimizer": Optimizer.ADAMW}),
        ({}, {"optimizer": Optimizer.SGD}),
        ({}, {"optimizer_options": {"betas": (0.5, 0.9)}}),
        ({}, {"optimizer_options": {"eps": 1e-3}}),
        ({}, {"optimizer_options": {"weight_decay": 0.5}}),
        ({}, {"optimizer_options": {"amsgrad": True}}),
        (SGD, {"optimizer_options": {"momentum": 0.9, "nesterov": True}}),
        (SGD, {"optimizer_options": {"momentum": 0.9, "dampening": 0.5}}),
        ({"optimizer": Optimizer.PAGED_ADAMW_8BIT}, PAGED),
        ({"optimizer": Optimizer.ADAMW}, PAGED),
        ({}, NF4),
        (NF4, {"double_quantization": True}),
        ({}, {"quantization": Quantization.EIGHT_BIT}),
        ({}, {"learning_rate": 2e-2}),
        ({}, {"schedule": Schedule(curve=Curve.COSINE, warmup=2)}),
        ({}, {"batch_size": 2}),
        ({}, {"accumulation": 2}),
        ({}, {"max_length": 32}),
        ({}, {"iterations": 5}),
        ({}, {"order": Order.FILE}),
    ],
)
def test_each_key_changes_what_is_learnt(
    trainer: Forks, job: TrainJob, base: dict[str, Any], other: dict[str, Any]
) -> None:
    one, two = changed(job, "one", **base), changed(job, "two", **base | other)
    assert [trainer.train(each).code for each in (one, two)] == [0, 0]
    assert not same(weights(one), weights(two))


def test_gradient_checkpointing_changes_no_bit(trainer: Forks, job: TrainJob) -> None:
    plain, frugal = (
        changed(job, str(on), dropout=0.2, gradient_checkpointing=on, **NF4) for on in (False, True)
    )
    assert [trainer.train(each).code for each in (plain, frugal)] == [0, 0]
    assert same(weights(plain), weights(frugal))


def test_gradients_go_on_after_a_validation(trainer: Forks, job: TrainJob) -> None:
    """bitsandbytes repacks 4-bit weights there on some processors, and they pass no gradient on.

    Each gradient of a query goes through weights that are packed: nothing is learnt beside them.
    """
    often: dict[str, Any] = {"validate_every": 1, "checkpoint_every": 1, "patience": None}
    job = changed(job, keys=("self_attn.q_proj",), **often, **NF4)
    trained = trainer.train(job)
    assert len(only(trained, Validated)) == 6
    for step in (3, 4, 5, 6):
        before, after = weights(job, step - 1), weights(job, step)
        assert len(after) == 2 * 2
        assert [n for n in after if after[n].tobytes() == before[n].tobytes()] == []


def test_what_is_learnt_is_float32_whatever_the_base_is(trainer: Forks, job: TrainJob) -> None:
    base = job.folder.with_name("bfloat16")
    base.mkdir()
    for file in job.model.iterdir():
        (base / file.name).write_bytes(file.read_bytes())
    half = [sys.executable, "-c", TO_BFLOAT16, str(base / "model.safetensors")]
    subprocess.run(half, check=True, timeout=60)
    config = json.loads((base / "config.json").read_text()) | {"torch_dtype": "bfloat16"}
    (base / "config.json").write_text(json.dumps(config))
    for name, plan in {"plain": {}, "nf4": NF4, "full": {"method": Method.FULL}}.items():
        each = changed(job, name, **plan).model_copy(update={"model": base})
        assert trainer.train(each).code == 0
        assert {array.dtype for array in weights(each).values()} == {np.dtype(np.float32)}


TO_BFLOAT16 = """
import sys, torch
from safetensors.torch import load_file, save_file
weights = load_file(sys.argv[1])
save_file({name: each.bfloat16() for name, each in weights.items()}, sys.argv[1], {"format": "pt"})
"""


def test_accumulated_batches_are_one_larger_batch(trainer: Forks, job: TrainJob) -> None:
    """Where as many tokens count in each: the mean of their means is then that of all."""
    file = job.folder.with_name("even")
    even = [(tokens[:20], [0] * 10 + [1] * 10) for tokens, _ in random_rows(8, shortest=20)]
    update = {"rows": write_rows(file, train=even)}
    plan: dict[str, Any] = {"order": Order.FILE, "optimizer": Optimizer.SGD, "learning_rate": 0.5}
    small = changed(job, "small", batch_size=2, accumulation=2, iterations=4, **plan)
    large = changed(job, "large", batch_size=4, iterations=2, **plan)
    for each in (small, large):
        assert trainer.train(each.model_copy(update=update)).code == 0
    one, two = weights(small), weights(large)
    assert all(np.abs(one[name] - two[name]).max() < 1e-6 for name in one)


def test_an_adapter_is_what_mlx_lm_reads_and_has_the_same_loss_there(
    trainer: Forks, job: TrainJob
) -> None:
    pytest.importorskip("mlx_lm")
    job = changed(job, keys=("self_attn.q_proj", "mlp.down_proj"), learning_rate=0.1)
    trained = trainer.train(job)
    saved, validated = only(trained, Saved)[-1], only(trained, Validated)[-1]
    (job.folder / saved.file).rename(job.folder / "adapters.safetensors")
    argv = [sys.executable, "-c", LOSS_IN_MLX, *map(str, (job.model, job.folder, job.rows))]
    env = {**os.environ, **trainer.blas}
    done = subprocess.run(argv, env=env, check=True, timeout=120, capture_output=True, text=True)
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["loss"] == pytest.approx(validated.loss, abs=1e-4)
    assert told["base_loss"] != pytest.approx(validated.loss, abs=1e-2)


LOSS_IN_MLX = """
import json, sys
from punie.backends.workers.before_mlx import before_mlx
before_mlx()
import mlx.core as mx
from mlx_lm.utils import load_adapters, load_model
from punie.backends.workers.mlx_head import mean_loss
from punie.backends.workers.train_rows import make_batch, read_tokens
from punie.records.dataset import Split
from pathlib import Path
model, _ = load_model(Path(sys.argv[1]))
rows = read_tokens(Path(sys.argv[3])).splits[Split.VALID]
batch = make_batch(rows, range(len(rows)), 2048)
arrays = mx.array(batch.tokens), mx.array(batch.counts)
base = mean_loss(model, *arrays)[0].item()
model = load_adapters(model, sys.argv[2])
model.eval()
print(json.dumps({"base_loss": base, "loss": mean_loss(model, *arrays)[0].item()}))
"""


def test_both_backends_start_from_the_same_loss(trainer: Forks, job: TrainJob) -> None:
    """On the same rows, order, widths and masks; what they begin with they draw themselves."""
    pytest.importorskip("mlx_lm")
    job = changed(job, learning_rate=1e-12)
    here = trainer.train(job)
    with forks("mlx_train") as mlx:
        there = mlx.train(changed(job, "mlx", learning_rate=1e-12))
    assert losses(here) == pytest.approx(losses(there), rel=1e-5)
    tokens = [[each.tokens for each in only(trained, Step)] for trained in (here, there)]
    assert tokens[0] == tokens[1]
    configs = [
        json.loads((job.folder.with_name(name) / "adapter_config.json").read_text())
        for name in ("work", "mlx")
    ]
    assert configs[0] == configs[1]
    shapes = [
        {name: each.shape for name, each in weights(changed(job, name)).items()}
        for name in ("work", "mlx")
    ]
    assert shapes[0] == shapes[1]


HARD: dict[str, Any] = {
    "dropout": 0.2,
    "accumulation": 2,
    "schedule": Schedule(curve=Curve.COSINE, warmup=2),
    "checkpoint_every": 1,
    "validate_every": 2,
    "iterations": 5,
    "patience": None,
}
"""Everything that could be lost between two iterations, and a checkpoint after each."""


@pytest.mark.parametrize(
    "plan",
    [
        {},
        NF4 | {"optimizer": Optimizer.ADAMW, "gradient_checkpointing": True},
        NF4 | PAGED | {"double_quantization": True},
        SGD,
        {"method": Method.FULL, "layers": 1},
        {"quantization": Quantization.EIGHT_BIT},
    ],
)
def test_killed_it_ends_with_the_same_bits(
    trainer: Forks, job: TrainJob, plan: dict[str, Any]
) -> None:
    whole = changed(job, "whole", **HARD | plan)
    undisturbed = trainer.train(whole)
    points = undisturbed.points
    for step in (3, 4):
        killed = changed(job, f"killed{step}", **HARD | plan)
        assert trainer.train(killed, kill=points.index(f"iteration {step}") + 1).code is None
        ended = trainer.train(resumed(killed))
        assert ended.code == 0, ended.events[-1]
        (started,) = only(ended, Started)
        assert (started.step, started.exact) == (step - 1, True)
        assert losses(ended) == losses(undisturbed)[step - 1 :]
        assert same(weights(killed), weights(whole))


def test_another_machine_is_said(trainer: Forks, job: TrainJob) -> None:
    job = changed(job, checkpoint_every=2)
    whole = trainer.train(changed(job, "whole", checkpoint_every=2))
    trainer.train(job, kill=whole.points.index("iteration 3") + 1)
    state = job.folder / "state.safetensors"
    state.write_bytes(state.read_bytes().replace(rb"bitsandbytes\":\"0", rb"bitsandbytes\":\"9"))
    (started,) = only(trainer.train(resumed(job)), Started)
    assert not started.exact
    assert "bitsandbytes was 9" in started.inexact_because


@pytest.mark.parametrize("file", ["state.safetensors", "checkpoints/0000006.safetensors"])
def test_a_damaged_file_is_named(trainer: Forks, job: TrainJob, file: str) -> None:
    trainer.train(job)
    path = job.folder / file
    path.write_bytes(path.read_bytes()[:-100])
    failed = failure(trainer.train(resumed(job)))
    assert failed.what is FailureKind.RESUME
    assert path.name in failed.message


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"keys": ("self_attn.q_proj", "self_attn.nope")}, "named self_attn.nope; there are mlp"),
        ({"layers": 3}, "the model has 2 blocks, the plan trains 3"),
        ({"optimizer_options": {"momentum": 0.9}}, "adam has no option momentum"),
        ({"optimizer_options": {"betas": (1.5, 0.9)}}, "beta"),
        ({"optimizer_options": {"bias_correction": False}}, "no option bias_correction"),
        ({"optimizer": Optimizer.MUON}, "torch has no optimizer muon"),
        ({"method": Method.DORA}, "dora is not trained with torch"),
        (NF4 | {"method": Method.FULL}, "quantised model cannot be trained themselves"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused(
    trainer: Forks, job: TrainJob, plan: dict[str, Any], said: str
) -> None:
    failed = failure(trainer.train(changed(job, **plan)))
    assert failed.what is FailureKind.MODEL
    assert said in failed.message


@pytest.mark.parametrize("quantization", [Quantization.FOUR_BIT, Quantization.EIGHT_BIT])
def test_experts_that_stay_unpacked_are_refused(
    trainer: Forks, job: TrainJob, mixture: Path, quantization: Quantization
) -> None:
    job = changed(job, quantization=quantization).model_copy(update={"model": mixture})
    failed = failure(trainer.train(job))
    assert failed.what is FailureKind.MODEL
    assert "mlp.experts" in failed.message
    assert "quantization: none" in failed.message


def test_a_mixture_is_trained_unpacked(trainer: Forks, job: TrainJob, mixture: Path) -> None:
    assert trainer.train(job.model_copy(update={"model": mixture})).code == 0
    assert {name.split(".")[3] for name in weights(job)} == {"self_attn"}


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixture") / "model"
    command = [sys.executable, "-c", MIXTURE, str(folder)]
    subprocess.run(command, check=True, timeout=120, capture_output=True)
    return folder


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_folder_without_a_model_is_named(trainer: Forks, job: TrainJob, file: str) -> None:
    folder = job.folder.with_name("model")
    folder.mkdir()
    for each in job.model.iterdir():
        if each.name != file:
            (folder / each.name).write_bytes(each.read_bytes())
    failed = failure(trainer.train(job.model_copy(update={"model": folder})))
    assert failed.what is FailureKind.MODEL
    assert str(folder) in failed.message


def test_weights_that_are_missing_are_not_made_up(trainer: Forks, job: TrainJob) -> None:
    folder = job.folder.with_name("model")
    folder.mkdir()
    for each in job.model.iterdir():
        (folder / each.name).write_bytes(each.read_bytes())
    config = json.loads((folder / "config.json").read_text()) | {"num_hidden_layers": 3}
    (folder / "config.json").write_text(json.dumps(config))
    failed = failure(trainer.train(job.model_copy(update={"model": folder})))
    assert failed.what is FailureKind.MODEL
    assert "no weights for model.layers.2." in failed.message


def test_memory_that_runs_out_is_said_with_what_helps(trainer: Forks, job: TrainJob) -> None:
    long = [
        (tokens, [1] * len(tokens)) for tokens, _ in random_rows(8, shortest=1500, longest=1501)
    ]
    rows = write_rows(job.folder.with_name("long"), train=long)
    job = changed(job, batch_size=8).model_copy(update={"rows": rows})
    failed = failure(trainer.train(job, memory=64_000_000))
    assert failed.what is FailureKind.MEMORY
    assert "a batch of 4 and an accumulation of 2" in failed.message
    assert "gradient checkpointing" in failed.message


def test_more_memory_than_allowed_is_refused_before_the_first_iteration(
    trainer: Forks, job: TrainJob
) -> None:
    trained = trainer.train(job.model_copy(update={"memory_limit_bytes": 1_000_000}))
    assert failure(trained).what is FailureKind.MEMORY
    assert only(trained, Step) == []


def test_a_loss_that_is_not_finite_ends_it(trainer: Forks, job: TrainJob) -> None:
    job = changed(job, learning_rate=1e38, optimizer=Optimizer.SGD, order=Order.FILE)
    failed = failure(trainer.train(job))
    assert failed.what is FailureKind.NOT_FINITE
    assert failed.step > 1


def test_a_gpu_that_torch_cannot_use_is_refused(trainer: Forks, job: TrainJob) -> None:
    env = {"PUNIE_DEVICE": "gpu", "CUDA_VISIBLE_DEVICES": ""}
    failed = failure(trainer.train(job, env=env))
    assert failed.what is FailureKind.DEVICE
    assert "install one that is built for CUDA" in failed.message or "no GPU" in failed.message
