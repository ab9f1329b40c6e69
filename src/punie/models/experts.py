"""Mixtures of experts, whose weights bitsandbytes does not pack."""

from collections.abc import Mapping
from typing import Any, cast

from punie.errors import ModelError

KEYS = (
    "num_experts",
    "num_local_experts",
    "n_routed_experts",
    "moe_num_experts",
    "num_moe_experts",
)
"""How configs say the number of experts: Qwen, Mixtral, DeepSeek, DBRX and ERNIE, Jamba's kin."""
UNPACKED = (
    "the model is a mixture of experts, and bitsandbytes leaves experts unpacked (transformers"
    " keeps them in three-dimensional parameters): it would take as much memory as without packing"
)


def has_experts(config: Mapping[str, Any]) -> bool:
    """Whether a token of the model that has this config passes only some of its weights."""
    places = [config, *(config.get(name) for name in ("text_config", "ffn_config"))]
    return any(
        _above_one(cast("Mapping[str, Any]", place).get(key))
        for place in places
        if isinstance(place, Mapping)
        for key in KEYS
    )


def require_packable(config: Mapping[str, Any]) -> None:
    """Raise ModelError where the model cannot be packed in 4 or 8 bits on cuda."""
    if has_experts(config):
        raise ModelError(UNPACKED, hint="say quantization: none, or take a dense model")


def _above_one(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(_above_one(each) for each in cast("list[Any]", value))
    return isinstance(value, int) and not isinstance(value, bool) and value > 1
