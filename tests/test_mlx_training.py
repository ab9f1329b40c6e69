"""Training through the backend: real workers under the guardian, stopped, killed and orphaned."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import psutil
import pytest
from safetensors.numpy import load_file  # pyright: ignore[reportUnknownVariableType]

from punie.backends.mlx import MlxBackend
from punie.backends.mlx_training import MlxTraining, _last_word  # pyright: ignore[reportPrivateUsage]
from punie.records.run import ModelIdentity
from punie.records.suite import Message, Sampling
from punie.records.training import (
    Ended,
    Ending,
    Failed,
    FailureKind,
    ResolvedPlan,
    Saved,
    Started,
    Step,
    TrainEvent,
    TrainJob,
    Validated,
)
from punie.serving.child import Child
from punie.serving.client import ChatClient
from punie.serving.config import ServerConfig
from punie.serving.request import ChatRequest
from train_rows_file import random_rows, write_rows

LONG = 100_000
PLAN = ResolvedPlan(
    layers=2,
    learning_rate=1e-3,
    iterations=LONG,
    validate_every=LONG,
    checkpoint_every=LONG,
    batch_size=2,
    dropout=0.1,
)
ALONE = """
import asyncio, sys
from pathlib import Path
from punie.backends.mlx_training import MlxTraining
from punie.records.training import TrainJob

async def main():
    job = TrainJob.model_validate_json(Path(sys.argv[1]).read_bytes())
    async for event in MlxTraining().train(job):
        print(event.kind, flush=True)

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compilation takes longer than these trainings, and more threads are slower on small ones."""
    for name, value in {
        "MLX_DISABLE_COMPILE": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def job(tiny_model: Path, tmp_path: Path) -> TrainJob:
    rows = write_rows(tmp_path / "rows", train=random_rows(6), valid=random_rows(2, 1))
    return TrainJob(plan=PLAN, model=tiny_model, rows=rows, folder=tmp_path / "work")


def changed(job: TrainJob, **plan: Any) -> TrainJob:
    return job.model_copy(update={"plan": PLAN.model_copy(update=plan)})


async def until_step(events: AsyncIterator[TrainEvent], step: int) -> list[TrainEvent]:
    """Listen until an iteration is done; what was heard."""
    heard: list[TrainEvent] = []
    async for event in events:
        heard.append(event)
        if isinstance(event, Step) and event.step >= step:
            break
    return heard


def workers() -> list[psutil.Process]:
    """The trainers among the processes that descend from this one."""
    found: list[psutil.Process] = []
    for process in psutil.Process().children(recursive=True):
        try:
            if process.cmdline()[1:4] == ["-P", "-m", "punie.backends.workers.mlx_train"]:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


async def test_a_stop_ends_after_the_iteration_and_it_goes_on_to_the_same_bits(
    job: TrainJob,
) -> None:
    stop = asyncio.Event()
    heard: list[TrainEvent] = []
    async for event in MlxTraining().train(job, stop=stop):
        heard.append(event)
        if isinstance(event, Step) and event.step == 3:
            stop.set()
    last, saved = heard[-1], heard[-2]
    assert isinstance(last, Ended)
    assert last.ending is Ending.STOPPED
    assert 3 <= last.step < LONG
    assert isinstance(saved, Saved)
    assert saved.step == last.step
    weights = [load_file(job.folder / saved.file)]
    # Without the stop, the checkpoint of that iteration is the same.
    whole = changed(job, checkpoint_every=last.step).model_copy(
        update={"folder": job.folder.with_name("whole")}
    )
    async with aclosing(MlxTraining().train(whole)) as events:
        saved = await anext(event async for event in events if isinstance(event, Saved))
        weights.append(load_file(whole.folder / saved.file))
    assert not workers()
    one, two = weights
    assert all(one[name].tobytes() == two[name].tobytes() for name in one)


async def test_the_worker_loads_while_the_rows_are_still_made(job: TrainJob) -> None:
    ready = job.rows
    job = changed(job, iterations=2).model_copy(update={"rows": ready.with_name("later")})
    kinds: list[str] = []
    async for event in MlxTraining().train(job):
        kinds.append(event.kind)
        if event.kind == "loaded":
            ready.rename(job.rows)
    assert kinds == ["loaded", "probed", "started", "step", "step", "validated", "saved", "ended"]


async def test_a_stop_while_it_waits_for_rows_ends_it(job: TrainJob) -> None:
    job = job.model_copy(update={"rows": job.folder / "never"})
    stop = asyncio.Event()
    heard: list[TrainEvent] = []
    async for event in MlxTraining().train(job, stop=stop):
        heard.append(event)
        stop.set()
    assert isinstance(heard[-1], Ended)
    assert (heard[-1].ending, heard[-1].step) == (Ending.STOPPED, 0)


async def test_a_stop_before_the_worker_can_hear_it_ends_it(job: TrainJob) -> None:
    stop = asyncio.Event()
    stop.set()
    heard = [event async for event in MlxTraining().train(job, stop=stop)]
    assert isinstance(heard[-1], Ended)
    assert (heard[-1].ending, heard[-1].step) == (Ending.STOPPED, 0)


async def test_closing_the_generator_leaves_a_checkpoint_and_nothing_running(
    job: TrainJob,
) -> None:
    events = MlxTraining().train(job)
    await until_step(events, 2)
    assert len(workers()) == 1
    await events.aclose()
    assert not workers()
    assert len(list((job.folder / "checkpoints").glob("*.safetensors"))) == 1
    going_on = MlxTraining().train(job.model_copy(update={"resume": True}))
    (started,) = [e for e in await until_step(going_on, 3) if isinstance(e, Started)]
    await going_on.aclose()
    assert started.step >= 2
    assert started.exact


@pytest.mark.parametrize(
    ("number", "what", "said"),
    [
        (signal.SIGKILL, FailureKind.MEMORY, "a smaller batch"),
        (signal.SIGSEGV, FailureKind.INTERNAL, "signal 11"),
    ],
)
async def test_a_worker_that_dies_is_a_failure_with_its_reason(
    job: TrainJob, number: signal.Signals, what: FailureKind, said: str
) -> None:
    events = MlxTraining().train(job)
    await until_step(events, 2)
    (worker,) = workers()
    os.kill(worker.pid, number)
    *_, last = [event async for event in events]
    assert isinstance(last, Failed)
    assert last.what is what
    assert last.step >= 2
    assert said in last.message


async def test_a_worker_that_fails_says_why_and_the_log_has_the_rest(job: TrainJob) -> None:
    job.folder.mkdir()
    (job.folder / "state.safetensors").mkdir()  # what nobody foresaw
    heard = [event async for event in MlxTraining().train(job)]
    assert isinstance(heard[-1], Failed)
    assert "state.safetensors" in heard[-1].message
    assert (job.folder / "worker.log").exists()


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("libc++abi: [metal::malloc] Resource limit (499000) exceeded.", FailureKind.MEMORY),
        ("[METAL] Command buffer execution failed: Insufficient Memory", FailureKind.MEMORY),
        ("something else", FailureKind.INTERNAL),
    ],
)
def test_what_metal_says_at_its_end_is_understood(said: str, what: FailureKind) -> None:
    child = Child()
    child.exit_code = -signal.SIGABRT
    last = _last_word(child, 7, said, asked=False)
    assert isinstance(last, Failed)
    assert (last.what, last.step) == (what, 7)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_parent_that_dies_leaves_a_checkpoint_and_nothing_running(
    job: TrainJob, tmp_path: Path, number: signal.Signals
) -> None:
    file = tmp_path / "given.json"
    file.write_text(job.model_dump_json())
    argv = [sys.executable, "-c", ALONE, file]
    parent = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    await anext(line async for line in parent.stdout if line == b"step\n")
    orphans = psutil.Process(parent.pid).children(recursive=True)
    assert len(orphans) == 2  # the guardian, and the worker
    parent.send_signal(number)
    await parent.wait()
    _, alive = await asyncio.to_thread(psutil.wait_procs, orphans, 20)
    assert not alive
    assert len(list((job.folder / "checkpoints").glob("*.safetensors"))) == 1


async def test_mlx_lms_server_takes_a_checkpoint_as_it_is(job: TrainJob, tmp_path: Path) -> None:
    job = changed(job, iterations=2, learning_rate=0.1)
    saved = [e async for e in MlxTraining().train(job) if isinstance(e, Saved)]
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (job.folder / "adapter_config.json").rename(adapter / "adapter_config.json")
    (job.folder / saved[-1].file).rename(adapter / "adapters.safetensors")
    answers: list[str] = []
    for each in (adapter, None):
        config = ServerConfig(model=job.model, adapter=each, log=tmp_path / "server.log")
        async with (
            MlxBackend(ModelIdentity(name="tiny", backend="mlx"), tools=True).serve(config) as at,
            ChatClient(at) as client,
        ):
            hello = (Message(role="user", content="What is the capital of France?"),)
            asked = ChatRequest(messages=hello, sampling=Sampling(max_tokens=16), tools=())
            answers.append((await client.ask(asked)).text)
    assert answers[0] != answers[1]


async def test_compiled_it_goes_on_to_the_same_bits(
    job: TrainJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLX_DISABLE_COMPILE")
    plan: dict[str, Any] = {"iterations": 4, "checkpoint_every": 2, "keys": ("self_attn.q_proj",)}
    whole = changed(job, **plan)
    heard = [event async for event in MlxTraining().train(whole)]
    assert [e.step for e in heard if isinstance(e, Validated)] == [4]
    killed = whole.model_copy(update={"folder": job.folder.with_name("killed")})
    events = MlxTraining().train(killed)
    await until_step(events, 3)
    workers()[0].kill()
    await anext(e async for e in events if isinstance(e, Failed))
    heard = [e async for e in MlxTraining().train(killed.model_copy(update={"resume": True}))]
    (started,) = [event for event in heard if isinstance(event, Started)]
    assert (started.step, started.exact, started.machine["compile"]) == (2, True, "on")
    one, two = (
        load_file(each.folder / "checkpoints/0000004.safetensors") for each in (whole, killed)
    )
    assert all(one[name].tobytes() == two[name].tobytes() for name in one)
