"""What a child of the cuda backend computes on, and what it sees of our environment."""

import os
from pathlib import Path

from punie.backends.gpu import WITHOUT_GPU, gpus
from punie.backends.mlx import INHERITED
from punie.errors import ModelError
from punie.models.cache import cache_root
from punie.records.run import ModelIdentity
from punie.records.training import Quantization

AUTO, GPU, CPU = "auto", "gpu", "cpu"
INHERITED_PREFIXES = (
    "CUDA_",
    "NVIDIA_",
    "PYTORCH_",
    "TORCH_",
    "NCCL_",
    "OMP_",
    "MKL_",
    "OPENBLAS_",
)
LIBRARIES = "LD_LIBRARY_PATH"
"""Names the place of CUDA where it is not the driver's."""


def uses_gpu(device: str) -> bool:
    """Whether `auto`, `gpu` or `cpu` means a GPU here. Raises ModelError where `gpu` finds none."""
    if device == CPU:
        return False
    if device == GPU and not gpus():
        raise ModelError(
            "a GPU was asked for, and none is visible: nvidia-smi shows none, or "
            "CUDA_VISIBLE_DEVICES hides it",
            hint=WITHOUT_GPU,
        )
    return bool(gpus())


def as_served(
    identity: ModelIdentity, quantization: Quantization, *, on_gpu: bool
) -> ModelIdentity:
    """The identity with what serves it, on what, and in which type it computes.

    The type is told where it is not that of the weights: on a GPU, and of NF4 on the CPU.
    """
    kind = "bfloat16" if on_gpu else identity.dtype
    if quantization is Quantization.FOUR_BIT and not on_gpu:
        kind = "float32"
    told = quantization is not Quantization.NONE or kind != identity.dtype
    told = told and "-bit" not in (kind or "")  # of what mlx packed, the files' own type
    known = {
        "server": "transformers",
        "device": gpus()[0].name if on_gpu else "cpu",
        "computed_in": kind if told else None,
    }
    return identity.model_copy(update=known)


def cuda_env(device: str) -> dict[str, str]:
    """The environment of a child: an allow-list, offline; on the CPU it sees no GPU.

    The hub's cache is a folder that is there, because listing the models of one that is not fails.
    Raises ModelError as `uses_gpu`.
    """
    env = {n: os.environ[n] for n in (*INHERITED, LIBRARIES) if n in os.environ}
    env |= {name: v for name, v in os.environ.items() if name.startswith(INHERITED_PREFIXES)}
    env.setdefault("HF_HUB_CACHE", str(_empty_hub()))
    env |= {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",  # transformers' too: their place is no log
        "PYTHONUNBUFFERED": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    if not uses_gpu(device):
        env["CUDA_VISIBLE_DEVICES"] = ""
    return env


def _empty_hub() -> Path:
    hub = cache_root() / "no-hub"
    hub.mkdir(parents=True, exist_ok=True)
    return hub
