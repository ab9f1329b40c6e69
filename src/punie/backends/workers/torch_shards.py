"""A base that one GPU cannot hold, dealt out over the GPUs of all processes.

Each process keeps a part of every block's frozen weights and gathers a block's as it is computed
(torch's `fully_shard`). What is trained is small, and every process keeps all of it: gradients,
optimizer, checkpoints and the loop are as without.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# torch is only partly typed.

from pathlib import Path
from typing import Any

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from punie.backends.workers.torch_model import blocks_of
from punie.models.check import base_tensors
from punie.models.cuda_memory import packed_bytes
from punie.records.training import Method, Quantization, ResolvedPlan

ROOM = 0.6
"""Of a GPU's free memory that a base may take where each process has all of it: the rest is for
activations, logits and gradients."""
COMPUTED_BYTES = 2
"""Of a weight on a GPU: bfloat16."""


def needs_shards(folder: Path, plan: ResolvedPlan, device: torch.device) -> bool:
    """Whether the base is too large for this process's GPU alone, and can be dealt out.

    Weights that are trained themselves cannot, nor those of 8 bits, whose outliers lie apart.
    """
    if device.type != "cuda" or not can_be_sharded(plan):
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return base_bytes(folder, plan) > ROOM * free


def can_be_sharded(plan: ResolvedPlan) -> bool:
    """Whether the plan leaves the base frozen, in a form that can be cut."""
    return plan.method is Method.LORA and plan.quantization is not Quantization.EIGHT_BIT


def base_bytes(folder: Path, plan: ResolvedPlan) -> int:
    """What the base takes on a GPU, packed as the plan says."""
    return packed_bytes(
        base_tensors(folder),
        plan.quantization,
        double=plan.double_quantization,
        value_bytes=COMPUTED_BYTES,
    )


def shard(model: Any, device: torch.device, processes: int) -> None:
    """Deal the frozen weights out over all processes, and put the others on this one's device."""
    mesh = init_device_mesh(device.type, (processes,))
    kept = {each for each in model.parameters() if each.requires_grad}
    for each in kept:
        each.data = each.data.to(device)
    for module in (*blocks_of(model), model):
        fully_shard(module, mesh=mesh, ignored_params=kept)
