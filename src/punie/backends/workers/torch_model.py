"""The model to train with torch: loaded, packed, frozen, with the layers in it that learn."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# torch, transformers, peft and bitsandbytes are only partly typed.

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn
from transformers import AutoModelForCausalLM

from punie.backends.workers.torch_packing import keep_weights_as_they_are, packing
from punie.backends.workers.torch_weights import require_the_models
from punie.backends.workers.train_failure import Failure
from punie.records.training import FailureKind, Method, Quantization, ResolvedPlan

BLOCKS = "model.layers"
"""Where a model's blocks are, in the names of an adapter's weights."""
ADAPTER = "default"
"""peft's name for the one adapter."""
HALVES = {"lora_A": "lora_a", "lora_B": "lora_b"}
"""peft's names and mlx_lm's; each is the other's transpose."""
MAY_STAY = 0.1
"""Of the blocks' parameters at most that share may stay as it is: norms, not experts."""


@dataclass(frozen=True, slots=True)
class Trained:
    """One tensor that is trained."""

    weight: nn.Parameter
    transposed: bool
    """Whether a checkpoint has its transpose."""

    def saved(self) -> torch.Tensor:
        """As a checkpoint has it."""
        weight = self.weight.detach().cpu()
        return (weight.T if self.transposed else weight).contiguous()

    def restore(self, saved: torch.Tensor) -> None:
        """Take it back."""
        with torch.no_grad():
            self.weight.copy_(saved.T if self.transposed else saved)


def load(folder: Path, plan: ResolvedPlan, device: torch.device, *, sharded: bool = False) -> Any:
    """The model of a folder on the device, packed as the plan says. Raises Failure.

    One that will be `sharded` is in the machine's memory, and packed into numbers of the type that
    it computes in: only then can it be cut as other weights are.

    On a GPU it computes in bfloat16, on the CPU in the type of its files. Weights that are trained
    themselves are in float32 on both: what bfloat16 leaves of a small update is often nothing.
    """
    on_gpu = device.type == "cuda"
    computed_in: Any = torch.bfloat16 if on_gpu else "auto"
    unpacked = torch.bfloat16 if on_gpu else torch.float32
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32 if plan.method is Method.FULL else computed_in,
            device_map={"": "cpu" if sharded else device},
            quantization_config=packing(
                plan.quantization,
                unpacked,
                double=plan.double_quantization,
                stored_in=unpacked if sharded else torch.uint8,
            ),
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as problem:
        raise Failure(FailureKind.MODEL, f"{folder} cannot be loaded: {problem}") from problem
    except RuntimeError as problem:
        if "allocate" in str(problem):
            raise  # too little memory is no fault of the model
        raise Failure(FailureKind.MODEL, f"{folder} cannot be loaded: {problem}") from problem
    model, found = loaded
    require_the_models(folder, found)
    keep_weights_as_they_are(model)
    if plan.quantization is not Quantization.NONE:
        _require_packed(model)
    return model


def _require_packed(model: Any) -> None:
    """Raise Failure where bitsandbytes left out more than norms, as it does with experts."""
    sizes = {
        name: each.numel()
        for name, each in blocks_of(model).named_parameters()
        if type(each).__name__ not in {"Params4bit", "Int8Params"}
    }
    packed = [each for each in model.modules() if type(each).__name__ in PACKED]
    whole = sum(each.in_features * each.out_features for each in packed)
    if sum(sizes.values()) > MAY_STAY * (whole + sum(sizes.values())):
        largest = max(sizes, key=lambda name: sizes[name])
        raise Failure(
            FailureKind.MODEL,
            f"bitsandbytes packs no weights like {BLOCKS}.{largest}, such as the experts of a "
            "mixture: train this model with `quantization: none`",
        )


PACKED = {"Linear4bit", "Linear8bitLt"}


def blocks_of(model: Any) -> nn.ModuleList:
    """The blocks of a model. Raises Failure where they are not where adapters look for them."""
    decoder: Any = getattr(model, "model", None)
    blocks = getattr(decoder, "layers", None)
    if not isinstance(blocks, nn.ModuleList):
        kind = type(model).__name__
        raise Failure(
            FailureKind.MODEL, f"{kind} has no blocks at {BLOCKS}: it cannot be trained with torch"
        )
    return blocks


def prepare(model: Any, plan: ResolvedPlan) -> dict[str, Any]:
    """Freeze the model, and put in or thaw what the plan trains.

    Gives the `adapter_config.json` with which mlx_lm makes the same layers. Draws from torch's
    random numbers. Raises Failure where plan and model do not fit.
    """
    if plan.method is Method.DORA:
        raise Failure(FailureKind.MODEL, "dora is not trained with torch: take lora")
    model.requires_grad_(False)
    blocks = blocks_of(model)
    if plan.layers > len(blocks):
        raise Failure(
            FailureKind.MODEL, f"the model has {len(blocks)} blocks, the plan trains {plan.layers}"
        )
    first = len(blocks) - plan.layers
    config: dict[str, Any] = {"fine_tune_type": plan.method.value, "num_layers": plan.layers}
    if plan.method is Method.FULL:
        if plan.quantization is not Quantization.NONE:
            raise Failure(
                FailureKind.MODEL,
                "the weights of a quantised model cannot be trained themselves: train a LoRA, or "
                "take the model unquantised",
            )
        for block in blocks[first:]:
            block.requires_grad_(True)
    else:
        config["lora_parameters"] = {
            "rank": plan.rank,
            "scale": plan.scale,
            "dropout": plan.dropout,
            "keys": _add_lora(model, blocks, first, plan),
        }
    if plan.gradient_checkpointing:
        # Reentrant checkpointing would need inputs that have gradients themselves.
        model.activation_checkpointing_enable(
            activation_checkpointing_kwargs={"use_reentrant": False}
        )
    return config


def _add_lora(model: Any, blocks: nn.ModuleList, first: int, plan: ResolvedPlan) -> list[str]:
    """Put low-rank additions on the last blocks; the modules that have one, inside a block."""
    linear = [
        (at, name)
        for at in range(first, len(blocks))
        for name, each in blocks[at].named_modules()
        if isinstance(each, nn.Linear)
    ]
    there = {name for _, name in linear}
    wanted = there if plan.keys is None else set(plan.keys)
    if unknown := sorted(wanted - there):
        raise Failure(
            FailureKind.MODEL,
            f"no module of a block is named {', '.join(unknown)}; there are "
            f"{', '.join(sorted(there))}",
        )
    additions = LoraConfig(
        r=plan.rank,
        lora_alpha=plan.alpha,  # pyright: ignore[reportArgumentType] - it is only divided by r
        lora_dropout=plan.dropout,
        target_modules=[f"{BLOCKS}.{at}.{name}" for at, name in linear if name in wanted],
        bias="none",
    )
    inject_adapter_in_model(additions, model, ADAPTER)
    for weight in model.parameters():
        if weight.requires_grad:
            # peft gives them the type of the base: too coarse for small updates.
            weight.data = weight.data.to(torch.float32)
    return sorted(wanted)


def trained(model: Any) -> dict[str, Trained]:
    """What is trained, by mlx_lm's names for it."""
    return dict(sorted(_trained(model)))


def _trained(model: Any) -> Iterator[tuple[str, Trained]]:
    for name, weight in model.named_parameters():
        if not weight.requires_grad:
            continue
        module, _, rest = name.partition(".lora_")
        if rest:
            half = HALVES["lora_" + rest.partition(".")[0]]
            yield f"{module}.{half}", Trained(weight, transposed=True)
        else:
            yield name, Trained(weight, transposed=False)


def taught_modules(model: Any) -> int:
    """Linear layers that have weights which are trained."""
    owners = {name.rsplit(".", 1)[0] for name in trained(model)}
    adapted = {name for name, module in model.named_modules() if hasattr(module, "lora_A")}
    plain = {name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    return len(adapted) if adapted else len(owners & plain)
