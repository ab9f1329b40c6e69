"""The training worker on the tiny model: its arithmetic, every key of a plan, and its resume."""

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
    Ending,
    Failed,
    FailureKind,
    Loaded,
    Method,
    Optimizer,
    Order,
    Phase,
    Probed,
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

E = TypeVar("E", bound=TrainEvent)
BARE = Path(__file__).with_name("bench") / "bare_train.py"
MLX_OPTIMIZERS = [each for each in Optimizer if each is not Optimizer.PAGED_ADAMW_8BIT]
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


@pytest.fixture(scope="module")
def trainer() -> Iterator[Forks]:
    with forks() as started:
        yield started


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10 rows to train on, so that 3 make 4 batches an epoch; and 5 to validate on."""
    file = tmp_path_factory.mktemp("rows") / "rows.safetensors"
    return write_rows(file, train=random_rows(10), valid=random_rows(5, 1))


@pytest.fixture
def job(tiny_model: Path, rows: Path, tmp_path: Path) -> TrainJob:
    return TrainJob(plan=PLAN, model=tiny_model, rows=rows, folder=tmp_path / "work")


def changed(job: TrainJob, **plan: Any) -> TrainJob:
    """The job in the same folder with another plan."""
    return job.model_copy(update={"plan": PLAN.model_copy(update=plan)})


def elsewhere(job: TrainJob, name: str) -> TrainJob:
    return job.model_copy(update={"folder": job.folder.with_name(name)})


def resumed(job: TrainJob) -> TrainJob:
    return job.model_copy(update={"resume": True})


def weights(job: TrainJob, step: int | None = None) -> dict[str, NDArray[np.float32]]:
    """The weights of a checkpoint, by default of the last."""
    files = sorted((job.folder / "checkpoints").glob("*.safetensors"))
    return load_file(files[-1] if step is None else files[0].with_name(f"{step:07d}.safetensors"))


def same(one: dict[str, NDArray[np.float32]], other: dict[str, NDArray[np.float32]]) -> bool:
    """Whether they are the same bit for bit."""
    return one.keys() == other.keys() and all(
        one[name].tobytes() == other[name].tobytes() for name in one
    )


def only(trained: Trained, kind: type[E]) -> list[E]:
    return [event for event in trained.events if isinstance(event, kind)]


def failure(trained: Trained) -> Failed:
    assert trained.code == 1
    last = trained.events[-1]
    assert isinstance(last, Failed)
    return last


def test_a_training_says_what_it_does(trainer: Forks, job: TrainJob) -> None:
    trained = trainer.train(changed(job, checkpoint_every=2))
    assert trained.code == 0
    kinds = [event.kind for event in trained.events]
    expected = "loaded probed started step step saved step validated saved step saved step step"
    assert kinds == [*expected.split(), "validated", "saved", "ended"]
    (loaded,) = only(trained, Loaded)
    assert (loaded.parameters, loaded.layers, loaded.modules) == (107_072, 2, 14)
    assert loaded.trainable == sum(each.size for each in weights(job).values())
    (probed,) = only(trained, Probed)
    assert probed.rows == 3
    assert probed.tokens % 32 == 1
    (started,) = only(trained, Started)
    assert started.exact
    assert started.machine["compile"] == "off"
    assert {"device", "blas", "omp_threads", "mlx", "mlx_lm", "loop"} <= started.machine.keys()
    steps = only(trained, Step)
    assert [each.step for each in steps] == [1, 2, 3, 4, 5, 6]
    assert all(each.tokens > 0 and each.seconds > 0 for each in steps)
    assert {each.learning_rate for each in steps} == {PLAN.learning_rate}
    last = trained.events[-1]
    assert isinstance(last, Ended)
    assert (last.step, last.ending) == (6, Ending.DONE)
    assert [each.file for each in only(trained, Saved)] == [
        f"checkpoints/{n:07d}.safetensors" for n in (2, 3, 4, 6)
    ]


@pytest.mark.parametrize(
    "plan",
    [
        {},
        {"optimizer": Optimizer.ADAMW, "optimizer_options": {"weight_decay": 0.3}},
        {"accumulation": 3},
        {"dropout": 0.3, "order": Order.FILE},
        {"method": Method.DORA, "keys": ("self_attn.q_proj", "mlp.up_proj"), "layers": 1},
        {"method": Method.FULL, "optimizer": Optimizer.SGD},
        {"gradient_checkpointing": True, "optimizer": Optimizer.MUON},
    ],
)
def test_the_loop_gives_the_bits_of_mlx_lms_own(
    trainer: Forks, job: TrainJob, tmp_path: Path, plan: dict[str, Any]
) -> None:
    wanted = changed(job, **plan)
    ours = trainer.train(wanted)
    env = {**os.environ, "MLX_DISABLE_COMPILE": "1", "OMP_NUM_THREADS": "1"}
    env |= {"OPENBLAS_NUM_THREADS": "1", **trainer.blas}
    argv = [sys.executable, BARE, wanted.folder / "job.json", tmp_path]
    subprocess.run(argv, env=env, check=True, timeout=60, capture_output=True)
    theirs: dict[str, NDArray[np.float32]] = load_file(tmp_path / "adapters.safetensors")
    took = json.loads((tmp_path / "took.json").read_text())
    assert [each.loss for each in only(ours, Step)] == took["losses"]
    assert same(weights(wanted), theirs)


def with_schedule(**fields: Any) -> dict[str, Any]:
    return {"schedule": Schedule(**fields)}


EXPONENTIAL: dict[str, Any] = {"curve": Curve.EXPONENTIAL, "decay": 0.5}
STEPS: dict[str, Any] = {"curve": Curve.STEP, "decay": 0.5, "every": 2}


@pytest.mark.parametrize(
    ("base", "other"),
    [
        ({}, {"method": Method.DORA}),
        ({}, {"method": Method.FULL}),
        ({}, {"rank": 5}),
        ({}, {"alpha": 9}),
        ({}, {"dropout": 0.2}),
        ({}, {"layers": 1}),
        ({}, {"keys": ("self_attn.q_proj",)}),
        ({}, {"optimizer": Optimizer.ADAMW}),
        ({}, {"optimizer": Optimizer.SGD}),
        ({}, {"optimizer": Optimizer.ADAFACTOR}),
        ({}, {"optimizer": Optimizer.MUON}),
        ({"optimizer": Optimizer.ADAFACTOR}, {"learning_rate": 2e-2}),
        ({}, {"optimizer_options": {"betas": (0.5, 0.9)}}),
        ({"optimizer": Optimizer.MUON}, {"optimizer_options": {"ns_steps": 3.0}}),
        ({"optimizer": Optimizer.SGD, "optimizer_options": {"momentum": 0.9}},
         {"optimizer_options": {"momentum": 0.9, "nesterov": True}}),
        ({}, {"learning_rate": 2e-2}),
        ({}, with_schedule(warmup=3)),
        (with_schedule(warmup=3), with_schedule(warmup=3, warmup_from=1e-3)),
        ({}, with_schedule(curve=Curve.LINEAR)),
        ({}, with_schedule(curve=Curve.COSINE)),
        (with_schedule(curve=Curve.COSINE), with_schedule(curve=Curve.COSINE, end=1e-3)),
        (with_schedule(curve=Curve.LINEAR), with_schedule(curve=Curve.LINEAR, over=3)),
        ({}, with_schedule(**EXPONENTIAL)),
        (with_schedule(**EXPONENTIAL), with_schedule(**EXPONENTIAL | {"decay": 0.9})),
        ({}, with_schedule(**STEPS)),
        (with_schedule(**STEPS), with_schedule(**STEPS | {"every": 3})),
        ({}, {"batch_size": 2}),
        ({}, {"accumulation": 2}),
        ({}, {"max_length": 32}),
        ({}, {"iterations": 5}),
        ({}, {"seed": 2}),
        ({}, {"order": Order.FILE}),
    ],
)  # fmt: skip
def test_each_key_changes_what_is_learnt(
    trainer: Forks, job: TrainJob, base: dict[str, Any], other: dict[str, Any]
) -> None:
    one, two = changed(job, **base), elsewhere(changed(job, **base | other), "other")
    trained = [trainer.train(each) for each in (one, two)]
    assert [each.code for each in trained] == [0, 0]
    assert not same(weights(one), weights(two))


def test_each_key_changes_when_it_is_looked_at(trainer: Forks, job: TrainJob) -> None:
    def seen(name: str, **plan: Any) -> tuple[list[int], list[int], int, bool]:
        trained = trainer.train(elsewhere(changed(job, **plan), name))
        validated = only(trained, Validated)
        saved = [each.step for each in only(trained, Saved)]
        return [each.step for each in validated], saved, validated[0].tokens, trained.code == 0

    base = seen("base")
    assert base[:2] == ([3, 6], [3, 6])
    assert seen("often", validate_every=2)[:2] == ([2, 4, 6], [2, 4, 6])
    assert seen("odd", validate_every=4)[:2] == ([4, 6], [4, 6])
    assert seen("saved", checkpoint_every=2)[:2] == ([3, 6], [2, 3, 4, 6])
    assert seen("few", validation_rows=2)[2] < base[2]


def test_gradient_checkpointing_takes_less_memory_for_the_same_bits(
    trainer: Forks, job: TrainJob
) -> None:
    plain = trainer.train(job)
    frugal = elsewhere(changed(job, gradient_checkpointing=True), "frugal")
    peaks = [only(each, Probed)[0].peak_memory_bytes for each in (plain, trainer.train(frugal))]
    assert peaks[1] < peaks[0]
    assert same(weights(job), weights(frugal))


def test_an_adapter_config_is_what_mlx_lm_reads(trainer: Forks, job: TrainJob) -> None:
    trainer.train(job)
    config = json.loads((job.folder / "adapter_config.json").read_text())
    assert config == {
        "fine_tune_type": "lora",
        "num_layers": 2,
        "lora_parameters": {
            "rank": 4,
            "scale": 2.0,
            "dropout": 0.0,
            "keys": [
                *("mlp.down_proj", "mlp.gate_proj", "mlp.up_proj"),
                *(f"self_attn.{each}_proj" for each in "koqv"),
            ],
        },
    }


def test_the_best_loss_is_the_lowest_and_patience_ends_the_training(
    trainer: Forks, job: TrainJob
) -> None:
    plan = {"learning_rate": 0.05, "validate_every": 2, "iterations": 60, "patience": 2}
    trained = trainer.train(changed(job, **plan))
    validated = only(trained, Validated)
    losses = [each.loss for each in validated]
    assert [each.best for each in validated] == [
        all(loss < before for before in losses[:n]) for n, loss in enumerate(losses)
    ]
    assert [each.best for each in validated[-2:]] == [False, False]
    last = trained.events[-1]
    assert isinstance(last, Ended)
    assert last.ending is Ending.EARLY
    assert last.step == validated[-1].step < 60
    again = trainer.train(resumed(changed(job, **plan)))
    assert isinstance(again.events[-1], Ended)
    assert again.events[-1].ending is Ending.EARLY
    assert not only(again, Step)
    patient = elsewhere(changed(job, **plan | {"patience": None, "iterations": 20}), "patient")
    assert len(only(trainer.train(patient), Step)) == 20


def test_the_validation_loss_is_the_mean_over_all_tokens(trainer: Forks, job: TrainJob) -> None:
    """Whatever the batches are: a mean of their means would depend on them."""
    rate = {"learning_rate": 1e-12, "patience": None}
    one = only(trainer.train(changed(job, **rate)), Validated)[0]
    other = elsewhere(changed(job, **rate, batch_size=1), "single")
    two = only(trainer.train(other), Validated)[0]
    assert one.tokens == two.tokens
    assert one.loss == pytest.approx(two.loss, rel=1e-6)


def test_what_is_left_of_an_accumulation_is_applied(trainer: Forks, job: TrainJob) -> None:
    """Five iterations of accumulation 4: the fifth makes an update of its own."""
    plan = {"accumulation": 4, "optimizer": Optimizer.SGD, "order": Order.FILE}
    trainer.train(changed(job, **plan, iterations=5, checkpoint_every=4))
    moved = {
        name: bool((each != weights(job, 4)[name]).any()) for name, each in weights(job).items()
    }
    assert any(moved.values())


def test_a_probe_alone_ends_after_it_and_writes_nothing(trainer: Forks, job: TrainJob) -> None:
    trained = trainer.train(job.model_copy(update={"phase": Phase.PROBE}))
    assert [event.kind for event in trained.events] == ["loaded", "probed", "ended"]
    assert trained.points == []


def test_a_benchmark_writes_nothing(trainer: Forks, job: TrainJob) -> None:
    trained = trainer.train(job.model_copy(update={"save": False}))
    assert trained.code == 0
    assert [each for each in trained.points if not each.startswith("iteration")] == []


def test_rows_without_a_validation_split_train_too(trainer: Forks, job: TrainJob) -> None:
    write_rows(job.folder.with_name("few"), train=random_rows(2))
    few = job.model_copy(update={"rows": job.folder.with_name("few")})
    trained = trainer.train(few)
    assert trained.code == 0
    assert only(trained, Validated) == []
    assert [each.step for each in only(trained, Saved)] == [6]


HARD = {
    "dropout": 0.2,
    "accumulation": 2,
    "schedule": Schedule(curve=Curve.COSINE, warmup=2),
    "optimizer": Optimizer.ADAMW,
    "checkpoint_every": 1,
    "validate_every": 2,
    "iterations": 5,
    "patience": None,
}
"""Everything that could be lost between two iterations, and a checkpoint after each."""


def test_killed_at_any_point_it_ends_with_the_same_bits(trainer: Forks, job: TrainJob) -> None:
    whole = elsewhere(changed(job, **HARD), "whole")
    undisturbed = trainer.train(whole)
    assert len(undisturbed.points) > 20
    for point in range(1, len(undisturbed.points) + 1):
        killed = elsewhere(changed(job, **HARD), f"killed{point}")
        assert trainer.train(killed, kill=point).code is None
        ended = trainer.train(resumed(killed))
        assert ended.code == 0, ended.events[-1]
        assert same(weights(killed), weights(whole)), undisturbed.points[point - 1]
        # A checkpoint, once said to be there, is there; nothing else lies about.
        assert names(killed) == names(whole)
        (started,) = only(ended, Started)
        assert started.exact
        heard = {each.step: (each.loss, each.best) for each in only(ended, Validated)}
        assert heard == {e.step: (e.loss, e.best) for e in only(undisturbed, Validated)}


def names(job: TrainJob) -> list[str]:
    return sorted(
        str(path.relative_to(job.folder)) for path in job.folder.rglob("*") if path.is_file()
    )


@pytest.mark.parametrize("optimizer", MLX_OPTIMIZERS)
@pytest.mark.parametrize("method", list(Method))
def test_every_optimizer_and_method_goes_on_exactly(
    trainer: Forks, job: TrainJob, optimizer: Optimizer, method: Method
) -> None:
    options = {"momentum": 0.9} if optimizer is Optimizer.SGD else {}
    plan: dict[str, Any] = {"optimizer": optimizer, "optimizer_options": options}
    plan |= {"method": method, "checkpoint_every": 1, "iterations": 3}
    whole, killed = (elsewhere(changed(job, **plan), name) for name in ("whole", "killed"))
    points = trainer.train(whole).points
    trainer.train(killed, kill=points.index("iteration 2") + 1)
    assert only(trainer.train(resumed(killed)), Started)[0].step == 1
    assert same(weights(killed), weights(whole))


def test_another_machine_is_said(trainer: Forks, job: TrainJob) -> None:
    plan = {"checkpoint_every": 2, "iterations": 6}
    killed = changed(job, **plan)
    trainer.train(
        killed, kill=trainer.train(elsewhere(killed, "w")).points.index("iteration 3") + 1
    )
    points = trainer.train(resumed(killed), kill=8, env={"OMP_NUM_THREADS": "7"})
    (started,) = only(points, Started)
    assert not started.exact
    assert started.inexact_because == "omp_threads was 1 and is 7"
    # What was inexact once is not made exact by going back.
    (started,) = only(trainer.train(resumed(killed)), Started)
    assert started.step > 2
    assert not started.exact


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"rank": 8}, "rank was 4 and is 8"),
        ({"learning_rate": 1.0}, "learning_rate was 0.01 and is 1.0"),
        ({"iterations": 9, "keys": ("mlp.up_proj",)}, "keys was None and is ['mlp.up_proj']"),
    ],
)
def test_another_plan_does_not_go_on(
    trainer: Forks, job: TrainJob, plan: dict[str, Any], said: str
) -> None:
    trainer.train(job)
    before = names(job)
    failed = failure(trainer.train(resumed(changed(job, **plan))))
    assert failed.what is FailureKind.RESUME
    assert said in failed.message
    assert names(job) == before


def test_other_rows_or_another_base_do_not_go_on(
    trainer: Forks, job: TrainJob, tiny_model: Path, tmp_path: Path
) -> None:
    trainer.train(job)
    other = write_rows(tmp_path / "other", train=random_rows(10, 3), valid=random_rows(5, 1))
    failed = failure(trainer.train(resumed(job.model_copy(update={"rows": other}))))
    assert (failed.what, "the rows are others" in failed.message) == (FailureKind.RESUME, True)
    base = tmp_path / "base"
    base.mkdir()
    for file in tiny_model.iterdir():
        (base / file.name).write_bytes(file.read_bytes())
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "rope_theta": 500.0}))
    failed = failure(trainer.train(resumed(job.model_copy(update={"model": base}))))
    assert (failed.what, "the base model" in failed.message) == (FailureKind.RESUME, True)


def test_rows_that_were_changed_under_their_old_hash_do_not_go_on(
    trainer: Forks, job: TrainJob
) -> None:
    rows = job.folder.with_name("mine")
    rows.write_bytes(job.rows.read_bytes())
    job = job.model_copy(update={"rows": rows})
    trainer.train(job)
    changed_rows = bytearray(rows.read_bytes())
    changed_rows[-1] ^= 1
    rows.write_bytes(changed_rows)
    failed = failure(trainer.train(resumed(job)))
    assert (failed.what, "the rows are others" in failed.message) == (FailureKind.RESUME, True)


def test_a_damaged_state_is_named(trainer: Forks, job: TrainJob) -> None:
    trainer.train(job)
    state = job.folder / "state.safetensors"
    state.write_bytes(state.read_bytes()[:200])
    failed = failure(trainer.train(resumed(job)))
    assert failed.what is FailureKind.RESUME
    assert "state.safetensors" in failed.message


def test_a_new_training_does_not_overwrite_one(trainer: Forks, job: TrainJob) -> None:
    trainer.train(job)
    assert failure(trainer.train(job)).what is FailureKind.RESUME


def test_a_loss_that_is_not_finite_ends_it_with_its_rows(trainer: Forks, job: TrainJob) -> None:
    plan = {"learning_rate": 1e38, "optimizer": Optimizer.SGD, "order": Order.FILE}
    failed = failure(trainer.train(changed(job, **plan, checkpoint_every=1)))
    assert failed.what is FailureKind.NOT_FINITE
    assert failed.step > 1
    assert failed.peak_memory_bytes > 0
    for file in (job.folder / "checkpoints").glob("*.safetensors"):
        kept: dict[str, NDArray[np.float32]] = load_file(file)
        assert all(np.isfinite(each).all() for each in kept.values())
    first = 3 * ((failed.step - 1) % 4)
    assert failed.rows in {(), tuple(range(first, min(first + 3, 10)))}


def test_a_batch_of_which_nothing_counts_ends_it_with_its_rows(
    trainer: Forks, job: TrainJob, tmp_path: Path
) -> None:
    rows = random_rows(9)
    rows[3:6] = [(tokens, [1, *[0] * (len(tokens) - 1)]) for tokens, _ in rows[3:6]]
    file = write_rows(tmp_path / "masked", train=rows, valid=random_rows(2))
    masked = changed(job, order=Order.FILE, checkpoint_every=1).model_copy(update={"rows": file})
    trained = trainer.train(masked)
    failed = failure(trained)
    assert (failed.what, failed.step, failed.rows) == (FailureKind.DATA, 2, (3, 4, 5))
    assert [each.step for each in only(trained, Saved)] == [1]


def test_a_full_disk_leaves_the_checkpoint_before(trainer: Forks, job: TrainJob) -> None:
    job = changed(job, checkpoint_every=1, iterations=3)
    whole = elsewhere(job, "whole")
    trainer.train(whole)
    # The last state is the largest file: it holds what the validation found, 100 bytes.
    limit = (whole.folder / "state.safetensors").stat().st_size - 40
    trained = trainer.train(job, file_limit=limit)
    failed = failure(trained)
    assert failed.what is FailureKind.DISK
    assert "File too large" in failed.message
    assert [each.step for each in only(trained, Saved)] == [1, 2]
    assert not list(job.folder.rglob("*.part"))
    assert failure(trainer.train(resumed(job), file_limit=limit)).what is FailureKind.DISK
    again = trainer.train(resumed(job))
    assert only(again, Started)[0].step == 2
    assert same(weights(job), weights(whole))


def test_more_memory_than_allowed_is_refused_before_the_first_iteration(
    trainer: Forks, job: TrainJob
) -> None:
    trained = trainer.train(job.model_copy(update={"memory_limit_bytes": 1_000_000}))
    failed = failure(trained)
    assert failed.what is FailureKind.MEMORY
    assert "a batch of 1 and an accumulation of 2" in failed.message
    assert "gradient checkpointing" in failed.message
    assert only(trained, Step) == []


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"keys": ("self_attn.q_proj", "self_attn.nope")}, "named self_attn.nope; there are mlp"),
        ({"layers": 3}, "the model has 2 blocks, the plan trains 3"),
        ({"optimizer_options": {"momentum": 0.9}}, "adam has no option momentum"),
        ({"optimizer_options": {"betas": (1.5, 0.9)}}, "beta"),
        ({"optimizer": Optimizer.PAGED_ADAMW_8BIT}, "mlx has no optimizer paged_adamw_8bit"),
        ({"quantization": Quantization.FOUR_BIT}, "mlx packs no model"),
    ],
)
def test_a_plan_that_does_not_fit_the_model_is_refused(
    trainer: Forks, job: TrainJob, plan: dict[str, Any], said: str
) -> None:
    failed = failure(trainer.train(changed(job, **plan)))
    assert failed.what is FailureKind.MODEL
    assert said in failed.message


@pytest.fixture(scope="module")
def quantised(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quantised") / "model"
    argv = ["--hf-path", tiny_model, "--mlx-path", folder, "-q", "--q-bits", "4"]
    command = [sys.executable, "-m", "mlx_lm", "convert", *argv, "--q-group-size", "32"]
    subprocess.run(command, check=True, timeout=60, capture_output=True)
    return folder


@pytest.mark.parametrize("method", [Method.LORA, Method.DORA])
def test_a_quantised_model_is_trained_through_an_adapter(
    trainer: Forks, job: TrainJob, quantised: Path, method: Method
) -> None:
    job = changed(job, method=method).model_copy(update={"model": quantised})
    trained = trainer.train(job)
    assert trained.code == 0
    steps = only(trained, Step)
    assert steps[4].loss < steps[0].loss  # the same epoch's rows, seen again
    assert only(trained, Loaded)[0].parameters == 107_072


def test_the_weights_of_a_quantised_model_are_not_trained(
    trainer: Forks, job: TrainJob, quantised: Path
) -> None:
    full = changed(job, method=Method.FULL).model_copy(update={"model": quantised})
    failed = failure(trainer.train(full))
    assert failed.what is FailureKind.MODEL
    assert "quantised" in failed.message


def test_a_folder_without_a_model_is_named(trainer: Forks, job: TrainJob, tmp_path: Path) -> None:
    failed = failure(trainer.train(job.model_copy(update={"model": tmp_path})))
    assert failed.what is FailureKind.MODEL
    assert str(tmp_path) in failed.message
