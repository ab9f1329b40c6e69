"""Workers are started in a person's project, and nothing that lies there runs in them."""

import subprocess
from pathlib import Path

import pytest

from punie.backends.conversion import look_at_gguf
from punie.backends.mlx import MlxBackend, server_argv
from punie.backends.mlx_training import MlxTraining
from punie.errors import ModelError
from punie.models.worker import worker_argv
from punie.records.run import ModelIdentity
from punie.records.training import Ended, Ending, Phase, ResolvedPlan, TrainJob
from punie.serving.config import ServerConfig
from train_rows_file import random_rows, write_rows

SOURCES = Path(__file__).parents[1] / "src" / "punie"
NAMES = ("convert", "encode", "fuse", "gguf_export", "mlx_train", "speed", "template", "unpack")
HOSTILE = """
from pathlib import Path
Path(__file__).with_name("ran").touch()
raise RuntimeError("the project's own random.py ran")
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with files in it that are named as modules are that workers need."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("random", "json", "mlx", "mlx_lm", "numpy", "punie"):
        (folder / f"{name}.py").write_text(HOSTILE)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_no_worker_imports_what_lies_in_the_working_folder(project: Path, name: str) -> None:
    # Without arguments each ends at once, having imported the top of its module. (The server
    # would start; the test of it is below.)
    subprocess.run(
        worker_argv(name), stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
    )
    assert not (project / "ran").exists()


async def test_a_training_runs_beside_such_files(project: Path, tiny_model: Path) -> None:
    plan = ResolvedPlan(
        layers=1, learning_rate=1e-3, iterations=1, validate_every=1, checkpoint_every=1
    )
    rows = write_rows(project / "rows", train=random_rows(2))
    job = TrainJob(
        plan=plan, model=tiny_model, rows=rows, folder=project / "work", phase=Phase.PROBE
    )
    *_, last = [event async for event in MlxTraining().train(job)]
    assert isinstance(last, Ended), last
    assert last.ending is Ending.PROBED
    assert not (project / "ran").exists()


async def test_the_server_starts_beside_such_files(project: Path, tiny_model: Path) -> None:
    config = ServerConfig(model=tiny_model, log=project / "server.log")
    backend = MlxBackend(ModelIdentity(name="tiny", backend="mlx"), tools=True)
    async with backend.serve(config) as endpoint:
        assert endpoint.base_url
    assert not (project / "ran").exists()


def test_a_conversion_runs_beside_such_files(project: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.gguf"):
        look_at_gguf(Path("none.gguf"))
    assert not (project / "ran").exists()


def test_there_is_one_way_to_start_a_worker() -> None:
    assert (
        server_argv(ServerConfig(model=Path("m"), log=Path("l")))[1:4] == worker_argv("serve")[1:]
    )
    elsewhere = [
        path.relative_to(SOURCES)
        for path in SOURCES.rglob("*.py")
        if '"-m"' in path.read_text("utf-8")
        and '"punie.backends.workers' in path.read_text("utf-8")
    ]
    assert elsewhere == [Path("models/worker.py")]
