"""What a doctor can see of the cuda backend: the driver, its GPUs, torch, and a real training."""

import importlib.util
import json
import re
import shutil
import subprocess
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from punie.backends.cuda_env import AUTO, cuda_env
from punie.backends.gpu import Gpu, gpus
from punie.backends.installed import missing
from punie.errors import ModelError
from punie.models.worker import worker_argv
from punie.records.checkup import Checkup, note, ok, problem
from punie.sizes import byte_size

INSTALL = "pip install 'punie[cuda]'"
REINSTALL = f"{INSTALL} --force-reinstall"
PACKAGES = ("torch", "transformers", "peft", "bitsandbytes")
DRIVER_FILE = Path("/proc/driver/nvidia/version")
OLDEST_DRIVER = {11: 450, 12: 525, 13: 580}
"""By the major version of CUDA that torch is built for: the driver's least major version, as
https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html says."""
NF4_SINCE, INT8_SINCE, BFLOAT16_SINCE = (6, 0), (7, 5), (8, 0)
"""Compute capabilities: what bitsandbytes needs for 4 and for 8 bits, and where the GPU has
bfloat16 itself."""
CHILD_S = 120.0


def check_cuda(*, usual: bool) -> list[Checkup]:
    """The driver, each GPU, and the packages; nothing of torch is loaded.

    `usual`: the cuda backend is what this machine, or this project, would use.
    """
    found = gpus()
    lines = [_driver(found), *(_gpu(gpu) for gpu in found)]
    package = missing("cuda")
    if package is None:
        return [*lines, _torch(found)]
    if found or usual:
        what = f"{package} is not installed: the cuda backend cannot be used"
        line = problem if usual else note
        lines.append(line("cuda packages", what, INSTALL))
    return lines


def _driver(found: tuple[Gpu, ...]) -> Checkup:
    if found:
        many = "1 GPU" if len(found) == 1 else f"{len(found)} GPUs"
        return ok("cuda", f"NVIDIA driver {found[0].driver}, {many} visible")
    if DRIVER_FILE.exists() or shutil.which("nvidia-smi"):
        return note(
            "cuda",
            "an NVIDIA driver is here, and shows no GPU to this process",
            "nvidia-smi says why; CUDA_VISIBLE_DEVICES may hide it",
        )
    return ok("cuda", "no NVIDIA driver here, none is needed")


def _gpu(gpu: Gpu) -> Checkup:
    name = f"gpu {gpu.index}"
    room = f"{byte_size(gpu.free_bytes)} of {byte_size(gpu.total_bytes)} free"
    about = f"{gpu.name}: {room}, compute capability {gpu.compute}"
    capability = _version(gpu.compute)
    if capability < NF4_SINCE:
        return problem(name, f"{about}: too old for bitsandbytes", "PUNIE_DEVICE=cpu")
    if capability < INT8_SINCE:
        return note(name, f"{about}: 8 bits need 7.5", "quantization: 4bit")
    if capability < BFLOAT16_SINCE:
        return note(name, f"{about}: before 8.0 bfloat16 is emulated, which is slow")
    return ok(name, about)


def _torch(found: tuple[Gpu, ...]) -> Checkup:
    name = "cuda packages"
    built = built_for()
    versions = ", ".join(f"{each} {metadata.version(each)}" for each in PACKAGES)
    said = f"{versions}; torch is built for {f'CUDA {built}' if built else 'the CPU alone'}"
    if not found:
        return ok(name, said)
    if built is None:
        return problem(name, f"{said}, and cannot use the GPU", _torch_for(found[0].driver))
    oldest = OLDEST_DRIVER.get(_version(built)[0])
    if oldest is not None and _version(found[0].driver)[0] < oldest:
        return problem(
            name,
            f"{said}, which needs driver {oldest} or later; {found[0].driver} is too old",
            f"update the driver, or {_torch_for(found[0].driver)}",
        )
    return ok(name, said)


def built_for() -> str | None:
    """The version of CUDA that the installed torch is built for, from its own file; None: for none.

    Importing torch would take seconds.
    """
    spec = importlib.util.find_spec("torch")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        text = (Path(folder) / "version.py").read_text(encoding="utf-8")
        if match := re.search(r"^cuda\b[^=]*= '([\d.]+)'", text, re.MULTILINE):
            return match[1]
    return None


def _torch_for(driver: str) -> str:
    """Which torch this driver can run; PyTorch's own page on installing has the command."""
    major = _version(driver)[0]
    build = "13.0 (cu130)" if major >= OLDEST_DRIVER[13] else "12.6 (cu126)"
    return f"install the torch that is built for CUDA {build}"


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)) or (0,)


def try_training(device: str = AUTO) -> Checkup:
    """Train a tiny random model for two steps by QLoRA, with validations, in a child."""
    name = "qlora"
    began = time.monotonic()
    try:
        done = subprocess.run(  # noqa: S603 - our own command line
            worker_argv("torch_selftest"),
            env=cuda_env(device),
            capture_output=True,
            text=True,
            timeout=CHILD_S,
            check=False,
        )
    except ModelError as error:
        return problem(name, error.message, error.hint)
    except (OSError, subprocess.TimeoutExpired) as error:
        return problem(name, f"two steps could not be trained: {type(error).__name__}", REINSTALL)
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:200]
        return problem(name, f"two steps could not be trained: {said}", REINSTALL)
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    before, after = found["losses"]
    tried = (
        f"two steps in 4 bits on the {found['device'].upper()}: loss {before:.2f} to {after:.2f}"
    )
    if found["still"]:
        lost = f"{len(found['still'])} of {found['tensors']} tensors of the adapter learnt nothing"
        return problem(name, f"{tried}, and {lost}", REINSTALL)
    if not after < before:
        return problem(name, f"{tried}, which does not fall", REINSTALL)
    seconds = time.monotonic() - began
    return ok(name, f"{tried}, all {found['tensors']} tensors learn; {seconds:.0f} s with loading")
