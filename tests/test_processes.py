"""Training in several processes: two real ones, under the real launcher of each backend."""

import asyncio
import os
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file  # pyright: ignore[reportUnknownVariableType]

from punie.backends.base import TrainingBackend
from punie.backends.choose import training_backend
from punie.backends.workers.launch import launcher_argv
from punie.backends.workers.train_machine import other_bits
from punie.errors import InputError, ModelError
from punie.records.training import (
    EVENTS_FILE,
    TRAIN_EVENT,
    Ended,
    Ending,
    Failed,
    FailureKind,
    Order,
    Saved,
    Started,
    Step,
    TrainEvent,
    TrainJob,
    Validated,
)
from punie.training.processes import part_for_each, require_rows
from short_trainings import PLAN, changed, hurry, short_job, until_step, workers
from train_project import InProcess, make_project
from train_rows_file import random_rows, write_rows

BACKENDS = ("mlx", "cuda")
CLOSE = 1e-5
"""Gradients of two shares are added in another order: float32 rounds them otherwise."""


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> TrainingBackend:
    """Each backend that is installed here."""
    hurry(monkeypatch)
    try:
        return training_backend(request.param)
    except ModelError as error:
        pytest.skip(error.message)


@pytest.fixture
def job(tiny_model: Path, tmp_path: Path) -> TrainJob:
    return short_job(tiny_model, tmp_path).model_copy(update={"processes": 2})


async def trained(backend: TrainingBackend, job: TrainJob) -> list[TrainEvent]:
    heard = [event async for event in backend.train(job)]
    assert isinstance(heard[-1], Ended), heard[-1]
    return heard


def weights(job: TrainJob, step: int) -> dict[str, np.ndarray[Any, Any]]:
    return load_file(job.folder / f"checkpoints/{step:07d}.safetensors")


def in_folder(job: TrainJob, name: str, **update: Any) -> TrainJob:
    return job.model_copy(update={"folder": job.folder.with_name(name), **update})


async def test_two_processes_train_what_one_trains_and_one_that_dies_ends_both(
    backend: TrainingBackend, job: TrainJob, tmp_path: Path
) -> None:
    # Batches of four, four and one row, so that the second process has none at times; and of the
    # second batch only the first process's rows count.
    rows = random_rows(9)
    for position in (5, 7):
        rows[position] = (rows[position][0], [0] * len(rows[position][0]))
    file = write_rows(tmp_path / "uneven", train=rows, valid=random_rows(5, 1))
    plan = {"batch_size": 4, "iterations": 7, "accumulation": 2, "validate_every": 4}
    job = changed(job, **plan, checkpoint_every=5, dropout=0.0, order=Order.FILE)
    job = job.model_copy(update={"rows": file, "processes": 2})
    alone = in_folder(job, "alone", processes=1)
    one, two = await trained(backend, alone), await trained(backend, job)
    assert [event.kind for event in two] == [event.kind for event in one]
    for of_one, of_two in zip(one, two, strict=True):
        if isinstance(of_one, Step | Validated):
            assert isinstance(of_two, Step | Validated)
            assert of_two.tokens == of_one.tokens
            assert of_two.loss == pytest.approx(of_one.loss, rel=CLOSE)
    assert started(two).machine["processes"] == "2"
    ones, twos = weights(alone, 7), weights(job, 7)
    assert ones.keys() == twos.keys()
    apart = max(float(np.abs(ones[name] - twos[name]).max()) for name in ones)
    assert 0 < apart < CLOSE
    # One of them spoke, and wrote.
    lines = (job.folder / EVENTS_FILE).read_bytes().splitlines()
    assert [TRAIN_EVENT.validate_json(line) for line in lines] == two

    killed = in_folder(job, "killed")
    events = backend.train(killed)
    await until_step(events, 6)
    second = max(workers(backend.name), key=rank_of)
    second.kill()
    *_, last = [event async for event in events]
    assert isinstance(last, Failed)
    assert (last.what, last.step) == (FailureKind.MEMORY, 6)
    assert not workers(backend.name)
    # It goes on in the middle of an update, to the same bits: the sums of two have one order.
    heard = await trained(backend, killed.model_copy(update={"resume": True}))
    assert (started(heard).step, started(heard).exact) == (5, True)
    again = weights(killed, 7)
    assert all(again[name].tobytes() == twos[name].tobytes() for name in twos)


async def test_a_stop_ends_both_after_the_same_iteration(
    backend: TrainingBackend, job: TrainJob
) -> None:
    stop = asyncio.Event()
    heard: list[TrainEvent] = []
    async for event in backend.train(job, stop=stop):
        heard.append(event)
        if isinstance(event, Step) and event.step == 2:
            assert len(workers(backend.name)) == 2
            stop.set()
    *_, saved, last = heard
    assert isinstance(saved, Saved)
    assert isinstance(last, Ended)
    assert (last.ending, last.step) == (Ending.STOPPED, saved.step)
    assert len(list((job.folder / "checkpoints").iterdir())) == 1
    assert not workers(backend.name)


async def test_a_launch_that_is_killed_leaves_a_checkpoint_and_nothing_running(
    job: TrainJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch)
    before = set(psutil.Process().children(recursive=True))  # what a library has started for itself
    events = training_backend("mlx").train(job)
    await until_step(events, 2)
    left = [each for each in psutil.Process().children(recursive=True) if each not in before]
    module = ["-P", "-m", "punie.backends.workers.launch"]
    (launch,) = [each for each in left if each.cmdline()[1:4] == module]
    launch.kill()
    *_, last = [event async for event in events]
    assert isinstance(last, Failed)
    _, alive = await asyncio.to_thread(psutil.wait_procs, left, 20)
    assert not alive
    assert len(list((job.folder / "checkpoints").glob("*.safetensors"))) == 1


def started(heard: list[TrainEvent]) -> Started:
    return next(event for event in heard if isinstance(event, Started))


def rank_of(process: psutil.Process) -> int:
    environment = process.environ()
    return int(environment.get("RANK") or environment["MLX_RANK"])


def test_another_number_of_processes_does_not_promise_the_same_bits() -> None:
    one = {"device": "cpu"}
    assert "processes" in other_bits(one, {**one, "processes": "2"})
    assert "processes" in other_bits({**one, "processes": "2"}, one)


def test_accelerate_reads_a_configuration_of_ours(tmp_path: Path) -> None:
    argv = launcher_argv("cuda", 3, ["program", "word"], tmp_path)
    config = Path(argv[argv.index("--config_file") + 1])
    assert config.parent == tmp_path
    assert '"num_processes": 3' in config.read_text()
    assert argv[argv.index("--main_process_port") + 1] == "0"
    assert argv[-2:] == ["program", "word"]


def test_two_rings_listen_on_other_ports(tmp_path: Path) -> None:
    argvs = [launcher_argv("mlx", 2, ["program"], tmp_path) for _ in range(2)]
    ports = {argv[argv.index("--starting-port") + 1] for argv in argvs}
    assert len(ports) == 2


def test_the_command_trains_in_as_many_processes_as_it_is_told(
    tmp_path: Path, tiny_model: Path
) -> None:
    project = make_project(tmp_path, tiny_model)
    words = ("--backend", "mlx", "--processes", "2", "--iterations", "2", "--name", "pair")
    done = project.punie("train", *words)
    assert "training pair on mlx, 2 processes: lora" in done.stderr
    assert "in the first process" in done.stdout
    assert project.manifest("pair").training.machine["processes"] == "2"


def test_more_processes_than_places_or_rows_are_refused(
    tmp_path: Path,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    project = InProcess(make_project(tmp_path, tiny_model), monkeypatch, capsys)
    cores = os.cpu_count() or 1
    refused = project("train", "--backend", "mlx", "--processes", str(cores + 1), code=2)
    assert f"--processes is {cores + 1}, and {cores} core" in refused.stderr
    with pytest.raises(InputError, match="--processes is 5, and 4 rows are in a batch"):
        require_rows(5, PLAN.model_copy(update={"batch_size": 4}))


def test_each_process_has_its_part_of_a_batch() -> None:
    assert part_for_each(PLAN.model_copy(update={"batch_size": 5}), 2).batch_size == 3
