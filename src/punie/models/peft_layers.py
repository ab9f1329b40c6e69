"""Which modules an adapter changes, as mlx_lm says it and as PEFT says it.

mlx_lm counts layers from the end and takes names inside of a layer, or full names. PEFT takes ends
of names, and layers by number. Both are read and written against the modules that the base has, so
that what is written selects what is there and nothing else.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, cast

from punie.errors import ModelError

_PLACE = re.compile(r"(?P<stack>(?:[\w.-]+?\.)?layers)\.(?P<layer>\d{1,6})\.(?P<part>[\w.-]+)")
_PLAIN = re.compile(r"[\w.-]+")


def layer_of(module: str) -> int | None:
    """The number of the layer that a module lies in: 3 of `model.layers.3.mlp.up_proj`."""
    place = _PLACE.fullmatch(module)
    return int(place["layer"]) if place else None


def part_of(module: str) -> str:
    """The name inside of a layer: `mlp.up_proj` of `model.layers.3.mlp.up_proj`."""
    place = _PLACE.fullmatch(module)
    return place["part"] if place else module


def mlx_selection(modules: Collection[str], base: Iterable[str], layers: int) -> dict[str, Any]:
    """`num_layers` and `keys` with which mlx_lm adapts these modules alone of `base`.

    Where the last layers have them all, the keys are names inside of a layer; else full names,
    which mlx_lm takes wherever they lie: no layer is adapted that was not, and none filled up.
    """
    lowest = min(layer_of(module) or 0 for module in modules)
    parts = {part_of(module) for module in modules}
    usual = {
        module
        for module in base
        if (layer := layer_of(module)) is not None and layer >= lowest and part_of(module) in parts
    }
    keys = parts if usual == set(modules) else set(modules)
    return {"num_layers": layers - lowest, "keys": sorted(keys)}


def peft_selection(modules: Collection[str], base: Collection[str], layers: int) -> dict[str, Any]:
    """`target_modules`, `layers_to_transform` and `layers_pattern` for these modules alone.

    The shortest names that select nothing else of `base`: `q_proj`, `self_attn.q_proj`, full names.
    """
    used = sorted({layer_of(module) or 0 for module in modules})
    every = used == list(range(layers))
    for targets in (
        {module.rpartition(".")[2] for module in modules},
        {part_of(module) for module in modules},
    ):
        settings: dict[str, Any] = {
            "target_modules": sorted(targets),
            "layers_to_transform": None if every else used,
            "layers_pattern": None if every else "layers",
        }
        if peft_selects(settings, base) == set(modules):
            return settings
    return {
        "target_modules": sorted(modules),
        "layers_to_transform": None,
        "layers_pattern": None,
    }


def peft_selects(settings: Mapping[str, Any], base: Iterable[str]) -> set[str] | None:
    """The modules of `base` that PEFT adapts by these settings.

    None where they use a regular expression or a word such as `all-linear`: a stranger's expression
    could take forever, and is not run.
    """
    targets: Any = settings.get("target_modules")
    excluded: Any = settings.get("exclude_modules") or []
    wanted: Any = settings.get("layers_to_transform")
    patterns: Any = settings.get("layers_pattern") or []
    if not isinstance(targets, list) or not isinstance(excluded, list):
        return None
    stacks = [patterns] if isinstance(patterns, str) else list(patterns)
    if not all(isinstance(each, str) and _PLAIN.fullmatch(each) for each in stacks):
        return None
    numbers = {wanted} if isinstance(wanted, int) else set(cast("list[int]", wanted or []))
    names, left_out = set(cast("list[str]", targets)), set(cast("list[str]", excluded))
    return {
        module
        for module in base
        if left_out.isdisjoint(_ends(module))
        and (
            module in names
            or (
                not names.isdisjoint(_ends(module))
                and (not numbers or _number(module, stacks) in numbers)
            )
        )
    }


def _ends(module: str) -> list[str]:
    """`a.b.c`, `b.c` and `c`."""
    parts = module.split(".")
    return [".".join(parts[start:]) for start in range(len(parts))]


def _number(module: str, stacks: list[str]) -> int | None:
    """The number that PEFT reads as the layer's: the first one after a name of `stacks`."""
    parts = module.split(".")
    for stack in stacks or [""]:
        for place in range(1, len(parts) - 1):
            before = ".".join(parts[:place])
            if parts[place].isdecimal() and (
                not stack or before == stack or before.endswith(f".{stack}")
            ):
                return int(parts[place])
    return None


def one_for_all(pattern: Any, modules: Collection[str], default: Any, where: str) -> dict[str, Any]:
    """What `rank_pattern` or `alpha_pattern` gives each module, by the first name that fits.

    Raises ModelError for a regular expression, which is not run.
    """
    given = cast("dict[str, Any]", pattern or {})
    for name in given:
        if not _PLAIN.fullmatch(name):
            raise ModelError(
                f"{where} has the expression {name[:60]!r}; it is not looked up what that means",
                hint="name the modules in full, or save the adapter with one rank and one alpha",
            )
    return {
        module: next((given[name] for name in given if name in _ends(module)), default)
        for module in modules
    }
