"""The model to train: loaded, frozen, with the layers in it that learn."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# mlx is only partly typed, and mlx_lm not at all.

from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm.models.switch_layers import QuantizedSwitchLinear, SwitchLinear
from mlx_lm.tuner.trainer import grad_checkpoint
from mlx_lm.tuner.utils import linear_to_lora_layers
from mlx_lm.utils import get_total_parameters, load_model

from punie.backends.workers.train_failure import Failure
from punie.records.training import FailureKind, Method, Quantization, ResolvedPlan

LINEAR = (nn.Linear, nn.QuantizedLinear, SwitchLinear, QuantizedSwitchLinear)
QUANTIZED = (nn.QuantizedLinear, nn.QuantizedEmbedding, QuantizedSwitchLinear)
ADAPTABLE = (*LINEAR, nn.Embedding, nn.QuantizedEmbedding)
"""What mlx_lm can put a low-rank addition on."""


def load(folder: Path) -> Any:
    """The model of an MLX folder. Raises Failure."""
    try:
        model, _ = load_model(folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as problem:
        if "allocate" in str(problem):
            raise  # too little memory is no fault of the model
        raise Failure(FailureKind.MODEL, f"{folder} cannot be loaded: {problem}") from problem
    return model


def prepare(model: Any, plan: ResolvedPlan) -> dict[str, Any]:
    """Freeze the model, and put in or thaw what the plan trains.

    Gives the `adapter_config.json` with which mlx_lm makes the same layers again. Draws from mlx's
    random numbers. Raises Failure where plan and model do not fit.
    """
    if plan.quantization is not Quantization.NONE:
        raise Failure(FailureKind.MODEL, "mlx packs no model: give one that is quantised already")
    model.freeze()
    blocks: list[Any] = model.layers
    if plan.layers > len(blocks):
        raise Failure(
            FailureKind.MODEL, f"the model has {len(blocks)} blocks, the plan trains {plan.layers}"
        )
    last = blocks[-plan.layers :]
    config: dict[str, Any] = {"fine_tune_type": plan.method.value, "num_layers": plan.layers}
    if plan.method is Method.FULL:
        _thaw(last)
    else:
        config["lora_parameters"] = parameters = {
            "rank": plan.rank,
            "scale": plan.scale,
            "dropout": plan.dropout,
            "keys": _keys(model, last, plan),
        }
        try:
            linear_to_lora_layers(
                model, plan.layers, parameters, use_dora=plan.method is Method.DORA
            )
        except ValueError as problem:
            raise Failure(FailureKind.MODEL, f"{plan.method}: {problem}") from problem
    if plan.gradient_checkpointing:
        # It replaces a class's call, so once for each class of block.
        for block in {type(each): each for each in blocks}.values():
            grad_checkpoint(block)
    return config


def _thaw(blocks: list[Any]) -> None:
    if any(isinstance(module, QUANTIZED) for block in blocks for module in block.modules()):
        raise Failure(
            FailureKind.MODEL,
            "the weights of a quantised model cannot be trained themselves: train a LoRA, or take "
            "the model unquantised",
        )
    for block in blocks:
        block.unfreeze()


def _keys(model: Any, blocks: list[Any], plan: ResolvedPlan) -> list[str]:
    """The modules to put an addition on, by their names inside a block."""

    def adaptable(module: Any, types: tuple[type, ...]) -> bool:
        return isinstance(module, types) or hasattr(module, "to_lora")

    if plan.keys is None:
        names = {
            name
            for block in blocks
            for name, each in block.named_modules()
            if adaptable(each, LINEAR)
        }
        return sorted(names)
    modules = [model, *blocks]
    there = {
        name
        for module in modules
        for name, each in module.named_modules()
        if adaptable(each, ADAPTABLE)
    }
    if unknown := [key for key in plan.keys if key not in there]:
        inside = sorted(name for name in there if not name.startswith("model."))
        raise Failure(
            FailureKind.MODEL,
            f"no module of the model is named {', '.join(unknown)}; there are {', '.join(inside)}",
        )
    return sorted(plan.keys)


def total_parameters(model: Any) -> int:
    """Parameters of a model, of a quantised one as many as before."""
    return int(get_total_parameters(model))


def taught(model: Any) -> tuple[int, int]:
    """Parameters that are trained, and the linear layers that have such."""
    trained = trainable(model)
    owners = {name.rsplit(".", 1)[0] for name in trained}
    adapted = {name for name, module in model.named_modules() if hasattr(module, "lora_a")}
    plain = {name for name, module in model.named_modules() if isinstance(module, LINEAR)}
    modules = len(adapted) if adapted else len(owners & plain)
    return sum(int(each.size) for each in trained.values()), modules


def trainable(model: Any) -> dict[str, mx.array]:
    """The weights that are trained, by mlx_lm's names for them."""
    return flat(model.trainable_parameters())


def flat(tree: Any) -> dict[str, mx.array]:
    """The arrays of a tree by their names, such as `model.layers.0.self_attn.q_proj.lora_a`."""
    leaves: Any = tree_flatten(tree)
    return dict(leaves)
