"""The NVIDIA GPUs of this machine, as its driver reports them."""

import csv
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

QUERY = ("index", "uuid", "name", "driver_version", "memory.total", "memory.free", "compute_cap")
SMI_S = 20.0
"""The driver may have to wake a GPU up."""
WITHOUT_GPU = 'device = "cpu" (PUNIE_DEVICE=cpu) computes without one, slowly'
"""The hint where a GPU was counted on."""
HIDDEN = {"", "-1", "none", "void"}


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU that programs may use; sizes in bytes."""

    index: int
    uuid: str
    name: str
    driver: str
    """The driver's version, such as `580.95.05`."""
    total_bytes: int
    free_bytes: int
    compute: str
    """The compute capability, such as `9.0`."""


@lru_cache
def gpus() -> tuple[Gpu, ...]:
    """As `gpus_now`, asked once in a process: what is free may be taken since."""
    return gpus_now()


def gpus_now() -> tuple[Gpu, ...]:
    """The GPUs that a program started now would see; none where no driver answers.

    `CUDA_VISIBLE_DEVICES` is honoured, as CUDA does.
    """
    smi = shutil.which("nvidia-smi")
    if smi is None:
        return ()
    argv = [smi, f"--query-gpu={','.join(QUERY)}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(  # noqa: S603 - the driver's own program, found on the path
            argv, capture_output=True, text=True, timeout=SMI_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return visible(read_smi(done.stdout), os.environ) if done.returncode == 0 else ()


def read_smi(text: str) -> tuple[Gpu, ...]:
    """What `nvidia-smi --query-gpu` says of `QUERY`, in CSV without units; sizes come in MiB."""
    found: list[Gpu] = []
    for row in csv.reader(text.splitlines(), skipinitialspace=True):
        if len(row) != len(QUERY):
            continue
        index, uuid, name, driver, total, free, compute = row
        try:
            sizes = int(total) << 20, int(free) << 20
            found.append(Gpu(int(index), uuid, name, driver, *sizes, compute))
        except ValueError:  # [N/A], as a GPU says that is lost or has no memory of its own
            continue
    return tuple(found)


def visible(found: tuple[Gpu, ...], env: Mapping[str, str]) -> tuple[Gpu, ...]:
    """Those that `CUDA_VISIBLE_DEVICES` leaves, in its order; as CUDA, up to the first unknown."""
    named = env.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return found
    if named.strip().lower() in HIDDEN:
        return ()
    left: list[Gpu] = []
    for word in (part.strip() for part in named.split(",")):
        gpu = next((g for g in found if word == str(g.index) or _is_uuid(g, word)), None)
        if gpu is None:
            break
        left.append(gpu)
    return tuple(left)


def _is_uuid(gpu: Gpu, word: str) -> bool:
    return word.startswith("GPU-") and gpu.uuid.startswith(word)
