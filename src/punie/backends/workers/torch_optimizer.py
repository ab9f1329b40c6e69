"""The optimizers of torch and bitsandbytes, and their state as tensors with names."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# torch is only partly typed, and bitsandbytes not at all.

from typing import Any

import torch
from torch import nn, optim

from punie.backends.workers.train_failure import Failure
from punie.records.training import FailureKind, Optimizer, ResolvedPlan

ADAM = ("betas", "eps", "weight_decay", "amsgrad")
OPTIONS: dict[Optimizer, tuple[str, ...]] = {
    Optimizer.ADAM: ADAM,
    Optimizer.ADAMW: ADAM,
    Optimizer.SGD: ("momentum", "dampening", "weight_decay", "nesterov"),
    Optimizer.PAGED_ADAMW_8BIT: ("betas", "eps", "weight_decay", "min_8bit_size"),
}
TABLES = ("qmap1", "qmap2")
"""What 8-bit numbers stand for: the same for all, and nothing that is learnt."""


def make_optimizer(plan: ResolvedPlan, weights: dict[str, nn.Parameter]) -> Any:
    """The plan's optimizer for the weights, in this order. Raises Failure for an odd option."""
    if plan.optimizer not in OPTIONS:
        raise Failure(FailureKind.MODEL, f"torch has no optimizer {plan.optimizer}")
    for name in plan.optimizer_options:
        if name not in OPTIONS[plan.optimizer]:
            raise Failure(FailureKind.MODEL, f"{plan.optimizer} has no option {name}")
    options: dict[str, Any] = {"lr": plan.learning_rate, **plan.optimizer_options}
    try:
        return _kind(plan.optimizer)(list(weights.values()), **options)
    except (TypeError, ValueError) as problem:
        raise Failure(FailureKind.MODEL, f"{plan.optimizer}: {problem}") from problem


def _kind(optimizer: Optimizer) -> Any:
    match optimizer:
        case Optimizer.ADAM:
            return optim.Adam
        case Optimizer.ADAMW:
            return optim.AdamW
        case Optimizer.SGD:
            return optim.SGD
        case _:
            from bitsandbytes.optim.adamw import PagedAdamW8bit  # noqa: PLC0415 - seldom, and slow

            return PagedAdamW8bit


def state_tensors(optimizer: Any, weights: dict[str, nn.Parameter]) -> dict[str, torch.Tensor]:
    """The state, as `WEIGHT.KEY`; nothing of a weight that had no update yet."""
    return {
        f"{name}.{key}": torch.as_tensor(value).detach().cpu().contiguous()
        for name, weight in weights.items()
        for key, value in optimizer.state.get(weight, {}).items()
        if value is not None and key not in TABLES
    }


def restore_state(
    optimizer: Any, weights: dict[str, nn.Parameter], tensors: dict[str, torch.Tensor]
) -> None:
    """Put the tensors into an optimizer of the same weights.

    Raises KeyError, ValueError or RuntimeError where they are not of these.
    """
    (group,) = optimizer.param_groups
    for full, saved in tensors.items():
        name, _, key = full.rpartition(".")
        weight = weights[name]
        if not optimizer.state[weight] and hasattr(optimizer, "init_state"):
            # bitsandbytes' own: on a GPU its tensors are of a kind that nobody else makes.
            position = next(n for n, each in enumerate(group["params"]) if each is weight)
            optimizer.init_state(group, weight, 0, position)
        state = optimizer.state[weight]
        if key == "step":
            # A number with bitsandbytes, a tensor with torch, which leaves it on the CPU.
            state[key] = saved if saved.is_floating_point() else int(saved)
        elif key in state:
            state[key].copy_(saved)
        elif saved.shape == weight.shape:
            state[key] = saved.to(weight.device)
        else:
            raise ValueError(f"{full} is {tuple(saved.shape)}")
