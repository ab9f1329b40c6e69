"""Which NVIDIA GPUs are there, and which of them a program sees."""

import json
import os
import sys
from pathlib import Path

import pytest

from punie.backends.gpu import read_smi, visible
from punie.serving.config import ServerConfig
from punie.serving.gpu_memory import used_by
from punie.serving.process import ServerProcess

SMI = """\
0, GPU-8f3c, NVIDIA H200, 580.95.05, 143771, 143102, 9.0
1, GPU-91aa, NVIDIA GeForce RTX 4090, 580.95.05, 24564, 1200, 8.9
2, GPU-0c0c, NVIDIA Tegra, 580.95.05, [N/A], [N/A], 8.7
"""
FOUND = read_smi(SMI)


def test_names_sizes_and_the_driver_are_read_and_a_gpu_without_memory_is_left_out() -> None:
    assert [gpu.name for gpu in FOUND] == ["NVIDIA H200", "NVIDIA GeForce RTX 4090"]
    assert FOUND[0].total_bytes == 143771 << 20
    assert (FOUND[1].free_bytes, FOUND[1].driver, FOUND[1].compute) == (
        1200 << 20,
        "580.95.05",
        "8.9",
    )


@pytest.mark.parametrize("text", ["", "No devices were found\n", "NVIDIA-SMI has failed, because"])
def test_what_is_no_list_of_gpus_is_none(text: str) -> None:
    assert read_smi(text) == ()


@pytest.mark.parametrize(
    ("named", "seen"),
    [
        (None, [0, 1]),
        ("1", [1]),
        ("1,0", [1, 0]),
        ("GPU-91", [1]),
        ("", []),
        ("-1", []),
        ("7", []),
        ("0,7,1", [0]),
    ],
)
def test_the_environment_hides_and_orders_them_as_cuda_does(
    named: str | None, seen: list[int]
) -> None:
    env = {} if named is None else {"CUDA_VISIBLE_DEVICES": named}
    assert [gpu.index for gpu in visible(FOUND, env)] == seen


def test_a_process_holds_memory_on_each_of_its_gpus() -> None:
    apps = "4711, 1024\n4712, 77\n4711, 512\n4713, [N/A]\n\nnonsense\n"
    assert used_by(4711, apps) == 1536 << 20
    assert used_by(4713, apps) is None
    assert used_by(1, apps) is None


async def test_a_server_on_a_gpu_is_measured_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With a stand-in for the driver's program: it says that every process holds 3 MiB."""
    smi = tmp_path / "nvidia-smi"
    smi.write_text('#!/bin/sh\nfor pid in /proc/[0-9]*; do echo "${pid##*/}, 3"; done\n')
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    loaded = json.dumps({"event": "loaded", "model": str(tmp_path), "adapter": None})
    source = (
        "import os, time; f = int(os.environ['PUNIE_EVENTS_FD'])\n"
        f'os.write(f, b\'{{"event": "listening", "port": 1}}\\n{loaded}\\n\'); time.sleep(600)'
    )
    config = ServerConfig(model=tmp_path, log=tmp_path / "log", on_gpu=True)
    async with ServerProcess([sys.executable, "-c", source], dict(os.environ), config) as process:

        async def at_once(_: str) -> None:
            """Be satisfied."""

        await process.start(at_once)
        assert process.note_memory() == process.current_memory() == 3 << 20
