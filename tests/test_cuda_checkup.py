"""What a doctor says of the cuda backend: drivers, GPUs, packages, and a real training."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from punie.backends.cuda_checkup import built_for, try_training
from punie.records.checkup import State

CHECK = """
import json, sys
from punie.backends.cuda_checkup import check_cuda
found = [line.model_dump(mode="json") for line in check_cuda(usual="usual" in sys.argv)]
loaded = [name for name in ("torch", "bitsandbytes", "transformers") if name in sys.modules]
print(json.dumps({"lines": found, "loaded": loaded}))
"""
H200 = "0, GPU-8f3c, NVIDIA H200, {driver}, 143771, 143102, {compute}"


def machine(folder: Path, *, gpu: str = "", cuda: str | None = None) -> dict[str, str]:
    """The environment of a machine with this GPU, and with a torch that is built for `cuda`."""
    programs, packages = folder / "bin", folder / "packages" / "torch"
    programs.mkdir()
    packages.mkdir(parents=True)
    smi = programs / "nvidia-smi"
    smi.write_text(f"#!/bin/sh\necho '{gpu}'\n")
    smi.chmod(0o755)
    (packages / "__init__.py").touch()
    (packages / "version.py").write_text(
        f"__version__ = '2.13.0'\ncuda: Optional[str] = {cuda!r}\nhip: Optional[str] = None\n"
    )
    return {"PATH": str(programs), "PYTHONPATH": str(packages.parent)}


def checked(env: dict[str, str], *words: str, python: Path | str = sys.executable) -> Any:
    done = subprocess.run(
        [str(python), "-c", CHECK, *words], env=env, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert found["loaded"] == []
    return {line["name"]: line for line in found["lines"]}


def test_a_gpu_whose_driver_and_torch_fit_is_fine(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    gpu = H200.format(driver="580.95.05", compute="9.0")
    lines = checked(machine(tmp_path, gpu=gpu, cuda="13.0"))
    assert {name: line["state"] for name, line in lines.items()} == {
        "cuda": "ok",
        "gpu 0": "ok",
        "cuda packages": "ok",
    }
    assert "driver 580.95.05, 1 GPU visible" in lines["cuda"]["found"]
    assert "NVIDIA H200: 150 GB of 151 GB free, compute capability 9.0" in lines["gpu 0"]["found"]
    for word in ("torch 2.13", "transformers 5", "peft 0", "bitsandbytes 0", "for CUDA 13.0"):
        assert word in lines["cuda packages"]["found"]


@pytest.mark.parametrize(
    ("driver", "cuda", "found", "mend"),
    [
        ("570.10", "13.0", "needs driver 580 or later; 570.10 is too old", "(cu126"),
        ("470.1", "12.8", "needs driver 525 or later; 470.1 is too old", "update the driver"),
        ("580.95.05", None, "the CPU alone, and cannot use the GPU", "(cu130"),
        ("570.10", None, "the CPU alone, and cannot use the GPU", "(cu126"),
    ],
)
def test_a_torch_that_the_driver_cannot_run_is_a_problem(
    tmp_path: Path, driver: str, cuda: str | None, found: str, mend: str
) -> None:
    pytest.importorskip("bitsandbytes")
    gpu = H200.format(driver=driver, compute="9.0")
    line = checked(machine(tmp_path, gpu=gpu, cuda=cuda))["cuda packages"]
    assert line["state"] == "problem"
    assert found in line["found"]
    assert mend in line["mend"]


@pytest.mark.parametrize(
    ("compute", "state", "found"),
    [
        ("5.2", "problem", "too old for bitsandbytes"),
        ("7.0", "note", "8 bits need 7.5"),
        ("7.5", "note", "bfloat16 is emulated"),
        ("12.0", "ok", "compute capability 12.0"),
    ],
)
def test_what_a_gpu_lacks_is_said(tmp_path: Path, compute: str, state: str, found: str) -> None:
    gpu = H200.format(driver="580.95.05", compute=compute)
    line = checked(machine(tmp_path, gpu=gpu, cuda="13.0"))["gpu 0"]
    assert line["state"] == state
    assert found in line["found"]


def test_without_a_gpu_and_without_the_packages_nothing_is_missing(
    tmp_path: Path, venv_without_cuda: Path
) -> None:
    none = {"PATH": str(tmp_path)}
    lines = checked(none, python=venv_without_cuda)
    assert [line["state"] for line in lines.values()] == ["ok"]
    assert "none is needed" in lines["cuda"]["found"]
    asked = checked(none, "usual", python=venv_without_cuda)["cuda packages"]
    assert (asked["state"], asked["mend"]) == ("problem", "pip install 'punie[cuda]'")


def test_a_gpu_without_the_packages_is_told_the_command(
    tmp_path: Path, venv_without_cuda: Path
) -> None:
    env = machine(tmp_path, gpu=H200.format(driver="580.95.05", compute="9.0"), cuda="13.0")
    line = checked(env, "usual", python=venv_without_cuda)["cuda packages"]
    assert (line["state"], line["mend"]) == ("problem", "pip install 'punie[cuda]'")
    other = checked(env, python=venv_without_cuda)["cuda packages"]  # where mlx is configured
    assert other["state"] == "note"
    assert "peft is not installed" in line["found"]


def test_a_driver_that_shows_no_gpu_is_a_note(tmp_path: Path) -> None:
    line = checked(machine(tmp_path))["cuda"]
    assert (line["state"], "shows no GPU" in line["found"]) == ("note", True)


def test_what_torch_is_built_for_is_read_as_torch_says_it() -> None:
    torch = pytest.importorskip("torch")
    assert built_for() == torch.version.cuda


def test_two_steps_are_trained_in_four_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("bitsandbytes")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    line = try_training("cpu")
    assert line.state is State.OK, line
    assert "two steps in 4 bits on the CPU: loss 5." in line.found
    assert "all 28 tensors learn" in line.found


@pytest.mark.skipif(bool(os.environ.get("CUDA_VISIBLE_DEVICES")), reason="a GPU may be there")
def test_a_gpu_that_is_asked_for_and_not_there_is_a_problem() -> None:
    line = try_training("gpu")
    assert line.state is State.PROBLEM
    assert "a GPU was asked for, and none is visible" in line.found
