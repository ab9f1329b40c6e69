"""The tensors of an adapter before it is converted: refused, each with its reason, or all there."""

import re
from pathlib import Path
from typing import Any

from punie.errors import ModelError
from punie.models.adapter import SETTINGS
from punie.models.peft_layers import layer_of, peft_selects
from punie.models.peft_settings import MERGE, PEFT_WEIGHTS, named
from punie.models.safetensors import TensorInfo
from punie.text import one_line

LONGEST_NAME = 1000
FUSE = "punie adapters fuse makes one model of base and adapter"
_LORA = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight")


def refuse_strange(folder: Path, name: str, module: str, tensor: TensorInfo) -> None:
    """Raise ModelError for what is no matrix of a linear module inside of a layer."""
    if len(name) > LONGEST_NAME:
        raise ModelError(
            f"{folder} holds a tensor with a name of {len(name):,} characters",
            hint="is it an adapter?",
        )
    if len(tensor.shape) == 3 or ".experts." in name:
        raise ModelError(
            f"{folder} adapts expert layers ({one_line(module, 80)}), which the two forms keep in "
            "ways that do not agree",
            hint="serve it where it was trained, or train it on the attention layers alone",
        )
    if "embed" in name:
        raise ModelError(
            f"{folder} adapts embeddings ({one_line(module, 80)}), which the two forms lay out "
            "differently",
            hint="train it on linear layers, or fuse it",
        )


def mlx_name(peft: Path, name: str, tensor: TensorInfo) -> str:
    """The name that a tensor of PEFT's has in mlx_lm. Raises ModelError for what is not LoRA's."""
    found = _LORA.fullmatch(name) if len(name) <= LONGEST_NAME else None
    refuse_strange(peft, name, found["module"] if found else name, tensor)
    if found is None:
        what = "DoRA's magnitudes" if "magnitude" in name else "not LoRA's"
        raise ModelError(f"{peft} holds {one_line(name, 80)}, which is {what}", hint=MERGE)
    return f"{found['module']}.lora_{found['side'].lower()}"


def require_pairs(
    folder: Path, modules: set[str], tensors: dict[str, TensorInfo], first: str, second: str
) -> None:
    """Raise ModelError unless every module has both of its matrices, named by the two patterns."""
    for module in sorted(modules):
        for has, lacks in ((first, second), (second, first)):
            if lacks.format(module) not in tensors:
                raise ModelError(
                    f"{folder} has {has.format(module)} without {lacks.format(module)}",
                    hint="the file is not whole: copy it again",
                )


def require_modules(
    folder: Path, modules: set[str], shapes: dict[str, tuple[int, ...]], theirs: str = ""
) -> None:
    """Raise ModelError unless all modules lie in layers of the base, whose `shapes` these are."""
    foreign = {module for module in modules if module not in shapes}
    if foreign:
        raise ModelError(
            f"{folder} belongs to another base: it adapts {named(foreign)}, which is not in it",
            hint=f"give the base model that it was trained on{theirs}",
        )
    outside = {module for module in modules if layer_of(module) is None}
    if outside:
        raise ModelError(
            f"{folder} adapts {named(outside)}, which lies in no layer; only linear layers inside "
            "of the model's layers are converted",
            hint=FUSE,
        )


def require_shapes(
    folder: Path,
    modules: set[str],
    tensors: dict[str, TensorInfo],
    shapes: dict[str, tuple[int, ...]],
    theirs: str = "",
) -> None:
    """Raise ModelError unless pairs in mlx_lm's form, (in, rank) and (rank, out), fit (out, in)."""
    for module in sorted(modules):
        a, b = tensors[f"{module}.lora_a"].shape, tensors[f"{module}.lora_b"].shape
        if shapes[module] != (b[-1], a[0]):
            raise ModelError(
                f"{folder} belongs to another base: {module} is {(b[-1], a[0])} for it, and "
                f"{shapes[module]} in the model",
                hint=f"give the base model that it was trained on{theirs}",
            )


def require_selected(
    peft: Path, settings: dict[str, Any], modules: set[str], shapes: dict[str, tuple[int, ...]]
) -> None:
    """Raise ModelError unless the settings select what there are tensors for.

    PEFT itself begins a missing tensor anew, and leaves out one that it does not expect.
    """
    selected = peft_selects(settings, shapes)
    if selected is None:
        return
    if missing := selected - modules:
        raise ModelError(
            f"{peft} lacks tensors of {named(missing)}, which its settings say it adapts",
            hint=f"{PEFT_WEIGHTS} is not whole, or {SETTINGS} is another adapter's: copy both",
        )
    if extra := modules - selected:
        raise ModelError(
            f"{peft} has tensors of {named(extra)}, which its settings do not say it adapts",
            hint=f"{SETTINGS} is another adapter's: copy both files again",
        )
