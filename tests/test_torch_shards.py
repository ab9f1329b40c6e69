"""A base that is dealt out over processes: real ones, real NF4, real shards, on the CPU."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file  # pyright: ignore[reportUnknownVariableType]

from punie.backends.choose import training_backend
from punie.models.worker import launched
from punie.records.training import TRAIN_EVENT, Ended, Method, Quantization, Step, TrainEvent
from short_trainings import PLAN, changed, hurry, short_job

pytest.importorskip("bitsandbytes")

PROGRAM = Path(__file__).with_name("sharded_train.py")
CLOSE = 1e-5
MODEL = "model.safetensors"
FINAL = "checkpoints/0000003.safetensors"


async def test_a_base_that_is_dealt_out_trains_as_a_whole_one(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch)
    job = changed(
        short_job(tiny_model, tmp_path),
        iterations=3,
        dropout=0.0,
        quantization=Quantization.FOUR_BIT,
        double_quantization=True,
        gradient_checkpointing=True,
    )
    whole = [event async for event in training_backend("cuda").train(job)]
    parted = job.model_copy(update={"folder": tmp_path / "parted", "processes": 2})
    parted.folder.mkdir()
    file = tmp_path / "job.json"
    file.write_text(parted.model_dump_json())
    argv = [sys.executable, str(PROGRAM), str(file), str(tmp_path / "kept")]
    # Events on stdout; what else is said goes to stderr.
    done = await asyncio.to_thread(
        subprocess.run,
        launched(argv, backend="cuda", processes=2),
        env={**os.environ, "PUNIE_EVENTS_FD": "1"},
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    lines = [line for line in done.stdout.splitlines() if line.startswith(b"{")]
    heard = [TRAIN_EVENT.validate_json(line) for line in lines]
    assert isinstance(heard[-1], Ended)
    assert losses(heard) == pytest.approx(losses(whole), rel=CLOSE)
    one, two = load_file(job.folder / FINAL), load_file(parted.folder / FINAL)
    assert one.keys() == two.keys()
    assert all(np.abs(one[name] - two[name]).max() < CLOSE for name in one)
    # Each has about half: norms and rounding up to whole rows come to little.
    kept = [int((tmp_path / f"kept.{rank}").read_text()) for rank in (0, 1)]
    assert max(kept) < 0.55 * sum(kept)
    assert sum(kept) < sum(each.nbytes for each in load_file(tiny_model / MODEL).values())


def losses(heard: list[TrainEvent]) -> list[float]:
    return [event.loss for event in heard if isinstance(event, Step)]


@pytest.mark.parametrize(
    ("plan", "can"),
    [
        ({}, True),
        ({"quantization": Quantization.FOUR_BIT}, True),
        ({"quantization": Quantization.EIGHT_BIT}, False),
        ({"method": Method.FULL}, False),
    ],
)
def test_what_can_be_dealt_out(plan: dict[str, object], *, can: bool) -> None:
    from punie.backends.workers.torch_shards import can_be_sharded

    assert can_be_sharded(PLAN.model_copy(update=plan)) is can


def test_what_a_base_takes_follows_from_its_packing(tiny_model: Path) -> None:
    from punie.backends.workers.torch_shards import base_bytes

    values = sum(each.size for each in load_file(tiny_model / MODEL).values())
    assert base_bytes(tiny_model, PLAN) == 2 * values
    packed = PLAN.model_copy(update={"quantization": Quantization.FOUR_BIT})
    assert 0.5 * values < base_bytes(tiny_model, packed) < 2 * values
