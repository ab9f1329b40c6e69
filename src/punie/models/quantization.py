"""Seeing through packed weights: how many bits they have, and what shape they stand for."""

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any, cast

from punie.models.check import base_tensors
from punie.models.safetensors import NAMES, TensorInfo


def quantised(folder: Path) -> bool:
    """Whether mlx packed the weights in this folder. Raises ModelError for a damaged one."""
    return any(name.endswith(".scales") for name in base_tensors(folder))


def bits_and_group(config: Mapping[str, Any], module: str) -> tuple[int, int] | None:
    """Bits and group size of a module by mlx_lm's config; a module may differ from the rest."""
    settings: Any = config.get("quantization") or config.get("quantization_config")
    if not isinstance(settings, dict):
        return None
    general = cast("dict[str, Any]", settings)
    own: Any = general.get(module)
    chosen = cast("dict[str, Any]", own) if isinstance(own, dict) else general
    bits, group = chosen.get("bits"), chosen.get("group_size")
    return (bits, group) if isinstance(bits, int) and isinstance(group, int) else None


def module_shapes(
    tensors: Mapping[str, TensorInfo], config: Mapping[str, Any]
) -> dict[str, tuple[int, ...]]:
    """The shape of each module's weight, (out, in) for a linear one, unpacked where packed.

    A packed row keeps 32 bits in a number; a packed module without known bits is left out.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for name, tensor in tensors.items():
        module = name.removesuffix(".weight")
        if module == name:
            continue
        shape = tensor.shape
        if f"{module}.scales" in tensors:
            packing = bits_and_group(config, module)
            if packing is None:
                continue
            shape = (*shape[:-1], shape[-1] * 32 // packing[0])
        shapes[module] = shape
    return shapes


def count_parameters(tensors: Mapping[str, TensorInfo], config: Mapping[str, Any]) -> int:
    """Parameters of the model; scales and biases of packed weights are none."""
    shapes = module_shapes(tensors, config)
    total = sum(prod(shape) for shape in shapes.values())
    for name, tensor in tensors.items():
        module, _, leaf = name.rpartition(".")
        packing = leaf in ("scales", "biases") and f"{module}.scales" in tensors
        if not packing and not (leaf == "weight" and module in shapes):
            total += prod(tensor.shape)
    return total


def dtype_label(tensors: Mapping[str, TensorInfo], config: Mapping[str, Any]) -> str:
    """`4-bit, group 32` for packed weights, else the name of the type that most values have."""
    packing = bits_and_group(config, "")
    if packing is not None and any(name.endswith(".scales") for name in tensors):
        return f"{packing[0]}-bit, group {packing[1]}"
    sizes: dict[str, int] = {}
    for tensor in tensors.values():
        sizes[tensor.dtype] = sizes.get(tensor.dtype, 0) + prod(tensor.shape)
    most = max(sizes, key=lambda dtype: sizes[dtype], default="?")
    return NAMES.get(most, most)
