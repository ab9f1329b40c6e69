"""An adapter in PEFT's form and in mlx_lm's: the same matrices, transposed, under other names.

model.layers.N.X.lora_a (in, rank)  base_model.model.model.layers.N.X.lora_A.weight (rank, in)
model.layers.N.X.lora_b (rank, out) base_model.model.model.layers.N.X.lora_B.weight (out, rank)
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from punie.errors import ModelError
from punie.models.adapter import COPY_AGAIN, SETTINGS, WEIGHTS, check_adapter, check_fit
from punie.models.adapter_tensors import Spelling, write_transposed
from punie.models.check import base_tensors, read_json, whatever_is_in_it
from punie.models.peft_layers import mlx_selection, peft_selection
from punie.models.peft_settings import (
    PEFT_WEIGHTS,
    its_base,
    mlx_settings,
    peft_settings,
    rank_and_scale,
    refuse_what_mlx_lacks,
)
from punie.models.peft_tensors import (
    FUSE,
    mlx_name,
    refuse_strange,
    require_modules,
    require_pairs,
    require_selected,
    require_shapes,
)
from punie.models.quantization import module_shapes
from punie.models.safetensors import TensorInfo, read_header

PEFT_PICKLE = "adapter_model.bin"


def is_peft(folder: Path) -> bool:
    """Whether an adapter is in PEFT's form, be it one that `write_mlx` refuses. Raises nothing."""
    with suppress(ModelError, OSError, ValueError):
        if any((folder / name).exists() for name in (PEFT_WEIGHTS, PEFT_PICKLE)):
            return True
        return (folder / SETTINGS).exists() and "peft_type" in read_json(folder / SETTINGS)
    return False


def write_peft(adapter: Path, model: Path, folder: Path, *, base_name: str = "") -> None:
    """Write the adapter in mlx_lm's form into the empty folder `folder`, in PEFT's form.

    `base_name` is what PEFT will name as the base; by default the folder `model`. Raises ModelError
    for an adapter that is not of this model or that PEFT's LoRA cannot say; then nothing is there.
    """
    check_adapter(adapter, model)
    with whatever_is_in_it(adapter / SETTINGS, hint=COPY_AGAIN):
        _refuse_own_order(model)
        settings = read_json(adapter / SETTINGS)
        tensors = read_header(adapter / WEIGHTS)
        kind = settings.get("fine_tune_type", "lora")
        if kind != "lora":
            raise ModelError(
                f"{adapter} is {_KINDS.get(kind, 'no LoRA')}, which PEFT's LoRA has no place for",
                hint=FUSE,
            )
        names: dict[str, str] = {}
        for name, tensor in tensors.items():
            module, _, leaf = name.rpartition(".")
            refuse_strange(adapter, name, module, tensor)
            if leaf not in ("lora_a", "lora_b"):
                raise ModelError(f"{adapter} holds {name[:80]}, which is not LoRA's", hint=FUSE)
            names[name] = f"base_model.model.{module}.lora_{leaf[-1].upper()}.weight"
        modules = {name.rpartition(".")[0] for name in tensors}
        shapes = _linear_shapes(model)
        require_modules(adapter, modules, shapes)
        require_pairs(adapter, modules, tensors, "{}.lora_a", "{}.lora_b")
        require_shapes(adapter, modules, tensors, shapes)
        parameters: dict[str, Any] = settings["lora_parameters"]
        written = peft_settings(
            parameters["rank"],
            parameters["scale"],
            parameters["dropout"],
            peft_selection(modules, shapes.keys(), _layers(model)),
            base_name or str(model),
        )
    write_transposed(adapter / WEIGHTS, folder / PEFT_WEIGHTS, names, Spelling.TORCH)
    _write_settings(folder, written)


def write_mlx(peft: Path, model: Path, folder: Path) -> None:
    """Write the adapter in PEFT's form into the empty folder `folder`, in mlx_lm's form.

    Raises ModelError for an adapter that is not of this model or that mlx_lm's LoRA cannot say.
    """
    with whatever_is_in_it(peft / SETTINGS, hint=COPY_AGAIN):
        refuse_mixed(peft)
        _refuse_own_order(model)
        settings = read_json(peft / SETTINGS)
        refuse_what_mlx_lacks(peft, settings)
        tensors = read_header(peft / PEFT_WEIGHTS)
        names = {name: mlx_name(peft, name, tensor) for name, tensor in tensors.items()}
        if not names:
            raise ModelError(f"{peft} holds no tensors", hint="copy the file again")
        modules = {name.rpartition(".")[0] for name in names.values()}
        require_pairs(
            peft,
            modules,
            tensors,
            "base_model.model.{}.lora_A.weight",
            "base_model.model.{}.lora_B.weight",
        )
        shapes = _linear_shapes(model)
        theirs = its_base(settings)
        require_modules(peft, modules, shapes, theirs)
        require_selected(peft, settings, modules, shapes)
        turned = {
            names[name]: TensorInfo(tensor.dtype, tensor.shape[::-1])
            for name, tensor in tensors.items()
        }
        require_shapes(peft, modules, turned, shapes, theirs)
        ranks = {module: turned[f"{module}.lora_a"].shape[1] for module in sorted(modules)}
        rank, scale = rank_and_scale(peft, settings, ranks)
        written = mlx_settings(
            rank,
            scale,
            settings.get("lora_dropout", 0.0),
            mlx_selection(modules, shapes, _layers(model)),
        )
        check_fit(peft, written, turned, model)
    write_transposed(peft / PEFT_WEIGHTS, folder / WEIGHTS, names, Spelling.MLX)
    _write_settings(folder, written)


def refuse_mixed(folder: Path) -> None:
    """Raise ModelError for two forms in one folder, for a pickle, and for no weights at all."""
    if (folder / WEIGHTS).exists():
        other = PEFT_WEIGHTS if (folder / PEFT_WEIGHTS).exists() else PEFT_PICKLE
        other = other if (folder / other).exists() else f"PEFT's {SETTINGS}"
        raise ModelError(
            f"{folder} holds two forms of an adapter: {WEIGHTS} of mlx_lm and {other}",
            hint="keep each form in a folder of its own, with the adapter_config.json it came with",
        )
    if (folder / PEFT_WEIGHTS).exists():
        return
    if (folder / PEFT_PICKLE).exists():
        raise ModelError(
            f"{folder} holds only pickled weights ({PEFT_PICKLE}), which can run code when loaded",
            hint="get the safetensors version, or load and save it with PEFT if you trust it",
        )
    raise ModelError(
        f"{folder} has PEFT's {SETTINGS}, and no {PEFT_WEIGHTS}", hint="copy the whole folder again"
    )


_KINDS = {"dora": "a DoRA adapter", "full": "full fine-tuning"}


def _refuse_own_order(model: Path) -> None:
    if read_json(model / "config.json").get("rope_traditional"):
        raise ModelError(
            f"{model} keeps the rows of its query and key weights in GGUF's order "
            "(rope_traditional in config.json); PEFT and transformers take them in Hugging Face's, "
            "so the adapter would answer nonsense there",
            hint="train on the Hugging Face folder, or on the .gguf file itself: punie converts it",
        )


def _linear_shapes(model: Path) -> dict[str, tuple[int, ...]]:
    return module_shapes(base_tensors(model), read_json(model / "config.json"))


def _layers(model: Path) -> int:
    config = read_json(model / "config.json")
    text: dict[str, Any] = config.get("text_config") or config
    layers = text.get("num_hidden_layers")
    if not isinstance(layers, int):
        raise ModelError(f"{model / 'config.json'} gives no num_hidden_layers", hint="check it")
    return layers


def _write_settings(folder: Path, settings: dict[str, Any]) -> None:
    text = json.dumps(settings, indent=2, sort_keys=True) + "\n"
    (folder / SETTINGS).write_text(text, encoding="utf-8")
