"""What torch computes on, and what of it decides the bits of a training."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# torch is only partly typed.

import os
import platform
import resource
import sys
from importlib import metadata

import torch

from punie.backends.workers.train_failure import Failure
from punie.backends.workers.train_machine import LOOP_FORMAT
from punie.records.training import FailureKind

DEVICE = "PUNIE_DEVICE"
"""The variable that says what to compute on: `gpu`, which must then be there, or `cpu`."""
PACKAGES = ("torch", "transformers", "peft", "bitsandbytes")


def device() -> torch.device:
    """What to compute on: where several processes have a GPU each, this one's.

    Raises Failure where a GPU was asked for and torch cannot use one.
    """
    wanted = os.environ.get(DEVICE)
    if wanted == "cpu":
        return torch.device("cpu")
    if wanted != "gpu" and not torch.cuda.is_available():
        return torch.device("cpu")
    return use_gpu(int(os.environ.get("LOCAL_RANK", "0")))


def use_gpu(rank: int = 0) -> torch.device:
    """The GPU of a process of this rank. Raises Failure where torch cannot use it."""
    try:
        torch.cuda.init()
        found = torch.device("cuda", rank % max(torch.cuda.device_count(), 1))
        torch.cuda.set_device(found)
    except (RuntimeError, AssertionError) as problem:
        raise Failure(FailureKind.DEVICE, gpu_problem(str(problem))) from problem
    return found


def gpu_problem(said: str) -> str:
    """What torch says where it can use no GPU, and what helps."""
    built = torch.version.cuda
    if built is None:
        return (
            f"the torch that is installed ({torch.__version__}) knows no GPU: install one that is "
            "built for CUDA"
        )
    if "driver" in said and "too old" in said:
        return (
            f"the NVIDIA driver is too old for this torch, which is built for CUDA {built}: update "
            "the driver, or install a torch that is built for an older CUDA"
        )
    return f"torch, which is built for CUDA {built}, can use no GPU: {said.strip()}"


def describe(on: torch.device) -> dict[str, str]:
    """What `Started` says of the machine; two that say the same give the same bits on the CPU."""
    if on.type == "cuda":
        place = {
            "device": "gpu",
            "processor": torch.cuda.get_device_name(on),
            "cuda": str(torch.version.cuda),
        }
    else:
        capability = torch.backends.cpu.get_cpu_capability()
        place = {
            "device": "cpu",
            "processor": f"{platform.processor() or platform.machine()} {capability}",
            "threads": str(torch.get_num_threads()),
        }
    versions = {name: metadata.version(name) for name in PACKAGES}
    return {**place, **versions, "loop": str(LOOP_FORMAT)}


def peak_memory(on: torch.device) -> int:
    """Bytes: of the GPU what torch took, on the CPU all of this process."""
    if on.type == "cuda":
        return int(torch.cuda.max_memory_allocated(on))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def memory(on: torch.device) -> int:
    """Bytes that are taken now; on the CPU the peak so far."""
    return int(torch.cuda.memory_allocated(on)) if on.type == "cuda" else peak_memory(on)
