"""Fixtures that more than one test module needs."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a llama of 107 thousand random weights: the real server serves it at once."""
    folder = tmp_path_factory.mktemp("tiny") / "model"
    worker = [sys.executable, "-m", "punie.backends.workers.tiny", str(folder)]
    subprocess.run(worker, check=True, timeout=60)
    return folder
