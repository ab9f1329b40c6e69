"""Fixtures that more than one test module needs."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from punie.models.catalog import BUILTINS
from punie.models.pull import pull_builtin
from venv_without import CUDA, MLX, venv_without

# How long an example takes says something about the machine, and nothing about the code.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

# A shell starts what runs in its background deaf to Ctrl-C, and tests press it on what they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the registry of running servers apart from that of the person who runs the tests.

    What a test starts computes with one thread: tests run side by side, and would fight for cores.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUNIE_STATE", str(tmp_path_factory.mktemp("state")))
        for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            patch.setenv(threads, os.environ.get(threads, "1"))
        yield


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a llama of 107 thousand random weights: the real server serves it at once."""
    folder = tmp_path_factory.mktemp("tiny") / "model"
    worker = [sys.executable, "-m", "punie.backends.workers.tiny", str(folder)]
    subprocess.run(worker, check=True, timeout=60)
    return folder


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """Pull SmolLM2-135M-Instruct into the user's own cache; a second session finds it there."""
    return pull_builtin(BUILTINS["smollm2-135m"])


@pytest.fixture(scope="session")
def venv_without_mlx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the python of an environment as on a CUDA machine: all of ours but mlx and mlx-lm."""
    return venv_without(tmp_path_factory.mktemp("without-mlx") / "venv", *MLX)


@pytest.fixture(scope="session")
def venv_without_cuda(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the python of an environment without the extra `cuda`: all the rest of ours."""
    return venv_without(tmp_path_factory.mktemp("without-cuda") / "venv", *CUDA)
