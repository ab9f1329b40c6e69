"""Which backend trains."""

import importlib.util
import os
import signal
from pathlib import Path

import pytest

from punie.backends.choose import training_backend
from punie.backends.cuda_training import cuda_worker
from punie.backends.gpu import gpus
from punie.errors import InputError, ModelError, PunieError
from punie.records.training import Failed, FailureKind, ResolvedPlan, TrainJob
from punie.serving.child import Child


@pytest.mark.parametrize("name", [None, "auto", "mlx"])
def test_mlx_trains_where_it_is_installed(name: str | None) -> None:
    assert training_backend(name).name == "mlx"


def test_cuda_trains_only_where_it_is_asked_for_or_a_gpu_is_visible() -> None:
    pytest.importorskip("bitsandbytes")
    assert training_backend("cuda").name == "cuda"


def test_a_gpu_that_is_not_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("bitsandbytes")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    gpus.cache_clear()
    with pytest.raises(ModelError, match="none is visible"):
        training_backend("cuda", "gpu").train(job_of(tmp_path))


def test_a_worker_that_is_to_compute_on_the_cpu_sees_no_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("NCCL_DEBUG", "INFO")
    monkeypatch.setenv("HF_TOKEN", "secret")
    env = cuda_worker("cpu").env
    assert env["CUDA_VISIBLE_DEVICES"] == ""
    assert env["NCCL_DEBUG"] == "INFO"
    assert not {"HF_TOKEN", "PUNIE_DEVICE", "PYTORCH_ALLOC_CONF"} & env.keys()


SMI = """#!/bin/sh
echo "0, GPU-1, NVIDIA H200, 580.95.05, 143771, 143000, 9.0"
"""


def test_a_worker_that_computes_on_a_gpu_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nvidia-smi").write_text(SMI)
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    gpus.cache_clear()
    try:
        for device in ("auto", "gpu"):
            env = cuda_worker(device).env
            assert env["PUNIE_DEVICE"] == "gpu"
            assert env["PYTORCH_ALLOC_CONF"] == "expandable_segments:True"
            assert "CUDA_VISIBLE_DEVICES" not in env
        monkeypatch.setenv("PYTORCH_ALLOC_CONF", "max_split_size_mb:64")
        assert cuda_worker("auto").env["PYTORCH_ALLOC_CONF"] == "max_split_size_mb:64"
    finally:
        gpus.cache_clear()


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("RuntimeError: CUDA error: out of memory", FailureKind.MEMORY),
        ("something else", FailureKind.INTERNAL),
    ],
)
def test_what_cuda_says_at_its_end_is_understood(said: str, what: FailureKind) -> None:
    child = Child()
    child.exit_code = -signal.SIGABRT
    last = cuda_worker("cpu").last_word(child, 7, said, asked=False)
    assert isinstance(last, Failed)
    assert (last.what, last.step) == (what, 7)


def job_of(folder: Path) -> TrainJob:
    plan = ResolvedPlan(
        layers=1, learning_rate=1e-3, iterations=1, validate_every=1, checkpoint_every=1
    )
    return TrainJob(plan=plan, model=folder, rows=folder / "rows", folder=folder / "work")


@pytest.mark.parametrize(
    ("name", "kind", "said", "hint"),
    [
        ("endpoint", InputError, "trains nothing", 'backend = "mlx"'),
        ("mxl", InputError, "no backend is called mxl", "auto, mlx"),
    ],
)
def test_what_cannot_train_says_so(name: str, kind: type[PunieError], said: str, hint: str) -> None:
    with pytest.raises(kind, match=said) as refused:
        training_backend(name)
    assert hint in refused.value.hint


@pytest.mark.parametrize(
    ("name", "package"), [(None, "mlx-lm"), ("mlx", "mlx-lm"), ("cuda", "torch")]
)
def test_a_backend_that_is_not_installed_says_how_to_get_it(
    name: str | None, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)  # pyright: ignore[reportUnknownArgumentType, reportUnknownLambdaType]
    with pytest.raises(ModelError, match=f"needs {package}") as refused:
        training_backend(name)
    assert "pip install" in refused.value.hint
