"""Either backend without the other: what works, and what is named with its command."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from punie.errors import EXIT_UNMEASURED
from venv_without import CUDA

HEAVY = {"torch", "transformers", "peft", "bitsandbytes", "accelerate", "mlx", "mlx_lm", "numpy"}


def punie(
    python: Path | str, folder: Path, *words: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the punie of an environment in `folder`, with a state of its own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PUNIE_", "OPENAI_", "HF_"))}
    own = {"COLUMNS": "100", "HF_HUB_OFFLINE": "1", "PUNIE_STATE": str(folder / "state")}
    own |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(
        [str(python), "-m", "punie", *words],
        cwd=folder,
        env={**kept, **own, **(env or {})},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def data_of(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.stdout, done.stderr
    return json.loads(done.stdout)["data"]


def error_of(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    return json.loads(done.stdout or done.stderr)["error"]


def without(backend: str, request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(f"venv_without_{backend}")


@pytest.mark.parametrize(("backend", "gone"), [("mlx", "mlx_lm"), ("cuda", "torch")])
def test_the_environment_lacks_what_it_is_named_for_and_has_this_punie(
    backend: str, gone: str, request: pytest.FixtureRequest
) -> None:
    code = f"import punie, importlib.util as u; print(u.find_spec('{gone}'), punie.__file__)"
    done = subprocess.run(
        [without(backend, request), "-c", code], capture_output=True, text=True, check=True
    )
    import punie as ours

    assert done.stdout.split() == ["None", ours.__file__]


@pytest.mark.parametrize("backend", ["mlx", "cuda"])
def test_a_model_is_described_whichever_backend_is_missing(
    backend: str, request: pytest.FixtureRequest, tmp_path: Path, tiny_model: Path
) -> None:
    arguments = ["models", "show", str(tiny_model), "--json"]
    there = punie(without(backend, request), tmp_path, *arguments)
    here = punie(sys.executable, tmp_path, *arguments)
    assert there.returncode == 0, there.stderr
    assert data_of(there) == data_of(here)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Eight rows to train on."""
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps({"messages": turns}) + "\n" for _ in range(8)))
    return file


@pytest.mark.parametrize(("backend", "package"), [("mlx", "mlx-lm"), ("cuda", "torch")])
@pytest.mark.parametrize("command", [("eval", "quick"), ("train", "rows.jsonl")])
def test_the_missing_backend_is_named_with_the_command_that_brings_it(
    backend: str, package: str, command: tuple[str, ...], request: pytest.FixtureRequest, rows: Path
) -> None:
    (rows.parent / "punie.toml").write_text(f'model = "smollm2-135m"\nbackend = "{backend}"\n')
    done = punie(without(backend, request), rows.parent, *command, "--json")
    error = error_of(done)
    assert f"the {backend} backend needs {package}, which is not installed" in error["message"]
    assert f"pip install 'punie[{backend}]'" in error["hint"]
    assert ("--url" in error["hint"]) is (command[0] == "eval")
    assert done.returncode == EXIT_UNMEASURED


def test_without_mlx_an_adapter_is_trained_and_measured_by_what_is_there(
    venv_without_mlx: Path, rows: Path, tiny_model: Path
) -> None:
    pytest.importorskip("bitsandbytes")
    folder, model = rows.parent, str(tiny_model)
    suite = "name: one\nprompts:\n  - {id: a, prompt: b, max_tokens: 4, expect: {exact: c}}\n"
    (folder / "one.yaml").write_text(suite)
    words = ["train", "rows.jsonl", "--model", model, "--name", "a", "--iterations", "1"]
    trained = punie(venv_without_mlx, folder, *words, "--json")
    assert trained.returncode == 0, trained.stderr
    made = data_of(trained)["manifest"]
    done = punie(venv_without_mlx, folder, "eval", "one.yaml", "--adapter", "a", "--json")
    assert done.returncode == 0, done.stderr
    versions = data_of(done)["run"]["provenance"]["versions"]
    assert {"torch", "bitsandbytes", "peft"} <= versions.keys()
    measured = data_of(done)["run"]["model"]
    assert (measured["backend"], measured["server"]) == ("cuda", "transformers")
    assert measured["adapter_hash"] == made["adapter_hash"]


def test_help_loads_nothing_of_a_backend(tmp_path: Path) -> None:
    code = """
import atexit, json, sys
atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))
sys.argv = ["punie", "--help"]
from punie.__main__ import run
run()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in json.loads(done.stderr)}
    assert "click" in loaded
    assert not loaded & HEAVY


def test_punie_alone_asks_for_nothing_of_cuda() -> None:
    told = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    alone = {Requirement(line).name for line in told["dependencies"]}
    extra = {Requirement(line).name for line in told["optional-dependencies"]["cuda"]}
    assert set(CUDA) <= extra
    assert not alone & extra
