"""Does this adapter belong on this base? Compared by the shapes in both files' headers."""

import re
from pathlib import Path
from typing import Any, cast

from punie.errors import ModelError
from punie.models.check import PICKLED, base_tensors, read_json, whatever_is_in_it
from punie.models.manifest import MANIFEST
from punie.models.quantization import module_shapes
from punie.models.safetensors import TensorInfo, read_header

Shape = tuple[int, ...]
WEIGHTS = "adapters.safetensors"
SETTINGS = "adapter_config.json"
COPY_AGAIN = "copy the adapter again, or train it again"
WEIGHTS_AWAY = "train it again as its README.md says, or copy adapters.safetensors into the folder"
"""What to do about an adapter without weights; git keeps none."""
MAX_RANK = 65_536
MAX_SCALE = 1000
"""Trainings use 0.5 to 64; ten times that already drowns the base model."""
_RETRAIN = "give the base model that it was trained on, or train it again"


def check_adapter(adapter: Path, model: Path) -> None:
    """Raise ModelError unless mlx_lm can put the adapter in folder `adapter` on the base `model`.

    For LoRA and DoRA: `lora_a` is (in, rank) and `lora_b` is (rank, out) of a linear weight
    (out, in); of an embedding (rows, width) they are (rows, rank) and (rank, width).
    For full fine-tuning: every tensor is one of the base's.
    """
    with whatever_is_in_it(adapter / SETTINGS, hint=COPY_AGAIN):
        _check_adapter(adapter, model)


def _check_adapter(adapter: Path, model: Path) -> None:
    if not adapter.is_dir():
        raise ModelError(f"no adapter folder at {adapter}", hint="check the path")
    if not (adapter / WEIGHTS).exists():
        raise no_weights(adapter)
    check_fit(adapter, read_json(adapter / SETTINGS), read_header(adapter / WEIGHTS), model)


def check_fit(
    adapter: Path, settings: dict[str, Any], tensors: dict[str, TensorInfo], model: Path
) -> None:
    """Raise ModelError unless settings and tensors in mlx_lm's form fit the base `model`.

    `adapter` is only what messages name.
    """
    config = read_json(model / "config.json")
    base = base_tensors(model)
    if not tensors:
        raise ModelError(f"{adapter} holds no tensors", hint=_RETRAIN)
    _check_layers(adapter, settings, tensors, config)
    if settings.get("fine_tune_type") == "full":
        _check_full(adapter, tensors, base)
    else:
        _check_lora(adapter, settings, tensors, module_shapes(base, config))


def no_weights(adapter: Path) -> ModelError:
    """Why a folder without `adapters.safetensors` cannot be used, and what to do about it."""
    if (adapter / "adapter_model.safetensors").exists():
        return ModelError(
            f"{adapter} is in PEFT's form, which is read where the base is known",
            hint="punie adapters convert writes it in mlx_lm's",
        )
    pickled = sorted(file.name for pattern in PICKLED for file in adapter.glob(pattern))
    if pickled:
        return ModelError(
            f"{adapter} holds only pickled weights ({pickled[0]}), which can run code when loaded",
            hint="get the safetensors version",
        )
    if (adapter / MANIFEST).exists():
        return ModelError(
            f"{adapter}: its weights are not here, as git keeps none", hint=WEIGHTS_AWAY
        )
    return ModelError(
        f"{adapter} has no {WEIGHTS}",
        hint="an interrupted training leaves only adapter_config.json: train again",
    )


def _check_layers(
    adapter: Path,
    settings: dict[str, Any],
    tensors: dict[str, TensorInfo],
    config: dict[str, Any],
) -> None:
    text: dict[str, Any] = config.get("text_config") or config
    layers = text.get("num_hidden_layers")
    if not isinstance(layers, int):
        return
    used = {int(found[1]) for name in tensors if (found := re.search(r"\blayers\.(\d+)\.", name))}
    wanted = settings.get("num_layers", 0)
    if (used and max(used) >= layers) or (isinstance(wanted, int) and wanted > layers):
        raise ModelError(
            f"{adapter} was trained on a deeper base: it changes layer "
            f"{max(used, default=wanted - 1)}, the model has {layers}",
            hint=_RETRAIN,
        )


def _check_full(adapter: Path, tensors: dict[str, TensorInfo], base: dict[str, TensorInfo]) -> None:
    for name, tensor in tensors.items():
        if name not in base or base[name].shape != tensor.shape:
            has = base[name].shape if name in base else "none"
            raise ModelError(
                f"{adapter} belongs to another base: {name} is {tensor.shape}, "
                f"the model's is {has}",
                hint=_RETRAIN,
            )


def _check_parameters(adapter: Path, known: dict[str, Any]) -> None:
    """Rank, scale and dropout are numbers that an adapter can have been trained with."""
    rank, scale, dropout = known["rank"], known["scale"], known["dropout"]
    wrong = ""
    if isinstance(rank, bool) or not isinstance(rank, int) or not 1 <= rank <= MAX_RANK:
        wrong = f"rank {rank!r:.40} is no whole number from 1 to {MAX_RANK:,}"
    elif not _is_number(scale) or not 0 < scale <= MAX_SCALE:
        wrong = f"scale {scale!r:.40} is no number above 0 and up to {MAX_SCALE:,}"
    elif not _is_number(dropout) or not 0 <= dropout < 1:
        wrong = f"dropout {dropout!r:.40} is no share from 0 to below 1"
    if wrong:
        raise ModelError(
            f"{adapter / SETTINGS}: lora_parameters.{wrong}",
            hint="the adapter would answer nonsense: copy it again, or train it again",
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_lora(
    adapter: Path,
    settings: dict[str, Any],
    tensors: dict[str, TensorInfo],
    base: dict[str, Shape],
) -> None:
    parameters: Any = settings.get("lora_parameters")
    known = cast("dict[str, Any]", parameters) if isinstance(parameters, dict) else {}
    missing = {"rank", "scale", "dropout"} - known.keys()
    if missing:
        raise ModelError(
            f"{adapter / SETTINGS} lacks {min(missing)} under lora_parameters",
            hint="mlx_lm needs rank, scale and dropout there",
        )
    _check_parameters(adapter, known)
    modules = {name.removesuffix(".lora_a") for name in tensors if name.endswith(".lora_a")}
    if not modules:
        raise ModelError(f"{adapter} holds no lora_a tensors", hint=_RETRAIN)
    if modules.isdisjoint(base):
        raise ModelError(
            f"{adapter} belongs to another base: it changes {min(modules)}, "
            "and the model has none of its layers",
            hint=_RETRAIN,
        )
    for module in sorted(modules):
        a, b = tensors[f"{module}.lora_a"].shape, tensors.get(f"{module}.lora_b")
        if len(a) != 2:
            continue  # experts, stacked: mlx_lm compares these itself
        if b is None or a[1] != known["rank"] or b.shape[0] != known["rank"]:
            raise ModelError(
                f"{adapter} states rank {known['rank']}, but {module}.lora_a is {a} and "
                f"lora_b is {b.shape if b else 'missing'}",
                hint="adapter_config.json and adapters.safetensors are of two trainings",
            )
        if module in base and base[module] not in ((b.shape[1], a[0]), (a[0], b.shape[1])):
            raise ModelError(
                f"{adapter} belongs to another base: {module} is {(b.shape[1], a[0])} for it, "
                f"and {base[module]} in the model",
                hint=_RETRAIN,
            )
