"""Training with mlx: what is its own. What every backend does is in test_training_conformity."""

import signal
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file  # pyright: ignore[reportUnknownVariableType]

from punie.backends.mlx import MlxBackend
from punie.backends.mlx_training import MlxTraining, mlx_worker
from punie.records.run import ModelIdentity
from punie.records.suite import Message, Sampling
from punie.records.training import (
    Failed,
    FailureKind,
    Saved,
    Started,
    TrainJob,
    Validated,
)
from punie.serving.child import Child
from punie.serving.client import ChatClient
from punie.serving.config import ServerConfig
from punie.serving.request import ChatRequest
from short_trainings import changed, hurry, short_job, until_step, workers


@pytest.fixture
def job(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainJob:
    hurry(monkeypatch)
    return short_job(tiny_model, tmp_path)


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
    last = mlx_worker().last_word(child, 7, said, asked=False)
    assert isinstance(last, Failed)
    assert (last.what, last.step) == (what, 7)


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
