"""`adapter_config.json` of PEFT: what mlx_lm has too, and what it lacks.

mlx_lm multiplies by `scale`; PEFT by `lora_alpha / r`, or with rsLoRA by `lora_alpha / √r`.
"""

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from punie.errors import ModelError
from punie.models.adapter import MAX_RANK, SETTINGS
from punie.models.peft_layers import one_for_all
from punie.text import one_line

PEFT_WEIGHTS = "adapter_model.safetensors"
ANYTHING = {
    "alpha_pattern",
    "auto_mapping",
    "base_model_name_or_path",
    "bias",
    "ensure_weight_tying",
    "eva_config",
    "exclude_modules",
    "fan_in_fan_out",
    "inference_mode",
    "init_lora_weights",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_alpha",
    "lora_dropout",
    "megatron_core",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "r",
    "rank_pattern",
    "revision",
    "runtime_config",
    "target_modules",
    "task_type",
    "use_rslora",
}
"""Settings that are read, or that change nothing once the adapter is trained."""
REFUSED = {
    "use_dora": "is a DoRA adapter: its magnitudes have no place in a LoRA adapter",
    "modules_to_save": "holds whole modules of its own beside LoRA (modules_to_save)",
    "trainable_token_indices": "holds tokens that were trained anew (trainable_token_indices)",
    "target_parameters": "adapts bare parameters, as expert layers have them (target_parameters)",
    "layer_replication": "is for a base with repeated layers (layer_replication)",
    "lora_bias": "trained a bias beside LoRA (lora_bias)",
    "alora_invocation_tokens": "acts only after certain tokens (alora_invocation_tokens)",
}
HARMLESS_STARTS = (True, False, None, "gaussian", "eva", "orthogonal")
"""Values of `init_lora_weights` that leave the base as it is; pissa, olora, corda and loftq take a
part of the base's own weights out of it, and belong on that base alone."""
MERGE = "merge it into its base with PEFT (merge_and_unload) and use that model, or train it again"


def refuse_what_mlx_lacks(folder: Path, settings: Mapping[str, Any]) -> None:
    """Raise ModelError for an adapter that is more, or something else, than LoRA."""
    kind = settings.get("peft_type")
    if kind is None:
        whose = "mlx_lm's" if "lora_parameters" in settings else "an"
        raise ModelError(
            f"{folder} holds PEFT's {PEFT_WEIGHTS} with {whose} {SETTINGS} without peft_type",
            hint="files of two forms are mixed: copy the whole folder again",
        )
    if kind != "LORA":
        raise ModelError(
            f"{folder} is an adapter of the kind {kind!r:.40}; only LoRA goes into mlx_lm's form",
            hint=MERGE,
        )
    for name, value in settings.items():
        if name in ANYTHING or not value:
            continue
        why = REFUSED.get(name, f"was trained with {name[:60]!r}, which mlx_lm does not have")
        raise ModelError(f"{folder} {why}", hint=MERGE)
    if settings.get("bias") not in (None, "none"):
        raise ModelError(
            f"{folder} trained the biases of its base too (bias {settings['bias']!r:.40})",
            hint=MERGE,
        )
    start = settings.get("init_lora_weights")
    if not (isinstance(start, bool | str | None) and start in HARMLESS_STARTS):
        raise ModelError(
            f"{folder} was begun with init_lora_weights {start!r:.40}, which changes the "
            "weights of the base: on the plain base it answers something else",
            hint="save it with PEFT's path_initial_model_for_weight_conversion, as plain LoRA",
        )


def rank_and_scale(
    folder: Path, settings: Mapping[str, Any], ranks: Mapping[str, int]
) -> tuple[int, float]:
    """The one rank and the one scale of all modules; `ranks` are what the tensors have.

    Raises ModelError where they differ from module to module, or from the tensors.
    """
    where = f"{folder / SETTINGS}:"
    rank: Any = settings.get("r")
    if isinstance(rank, bool) or not isinstance(rank, int) or not 1 <= rank <= MAX_RANK:
        raise ModelError(
            f"{where} r {rank!r:.40} is no whole number from 1 to {MAX_RANK:,}",
            hint="copy the file again",
        )
    stated = one_for_all(settings.get("rank_pattern"), ranks, rank, f"{where} rank_pattern")
    for module, has in ranks.items():
        if stated[module] != has:
            raise ModelError(
                f"{folder} states rank {stated[module]!r:.40} for {module}, its tensors have {has}",
                hint="settings and tensors are of two trainings: copy both again",
            )
    alphas = one_for_all(
        settings.get("alpha_pattern"), ranks, settings.get("lora_alpha"), f"{where} alpha_pattern"
    )
    scales = {_scale(where, alphas[each], has, settings) for each, has in ranks.items()}
    used = set(ranks.values())
    if len(used) > 1 or len(scales) > 1:
        what = "ranks" if len(used) > 1 else "scales"
        listed = ", ".join(str(each) for each in sorted(used if len(used) > 1 else scales)[:4])
        raise ModelError(
            f"{folder} has {what} that differ from module to module ({listed}); mlx_lm has one "
            "rank and one scale",
            hint=MERGE,
        )
    return used.pop(), scales.pop()


def _scale(where: str, alpha: Any, rank: int, settings: Mapping[str, Any]) -> float:
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 < alpha < math.inf:
        raise ModelError(
            f"{where} lora_alpha {alpha!r:.40} is no number above 0", hint="copy the file again"
        )
    return _plain(alpha / (math.sqrt(rank) if settings.get("use_rslora") else rank))


def alpha_of(scale: float, rank: int) -> float | int:
    """`lora_alpha` for a scale; a whole number where it is one, as people write it."""
    alpha = _plain(scale * rank)
    return int(alpha) if alpha.is_integer() else alpha


def _plain(value: float) -> float:
    """The number with up to 15 digits that a product or quotient was rounded away from.

    0.1 · 3 is 0.30000000000000004, and that / 3 is not 0.1: so there and back is the same.
    """
    short = float(f"{value:.15g}")
    return short if abs(short - value) <= 2 * math.ulp(value) else value


def peft_settings(
    rank: int, scale: float, dropout: float, selection: Mapping[str, Any], base_name: str
) -> dict[str, Any]:
    """What PEFT reads: LoRA of one rank on the selected modules of the base."""
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_name,
        "inference_mode": True,
        "r": rank,
        "lora_alpha": alpha_of(scale, rank),
        "lora_dropout": dropout,
        "use_rslora": False,
        "use_dora": False,
        "bias": "none",
        "fan_in_fan_out": False,
        "init_lora_weights": True,
        "modules_to_save": None,
        "rank_pattern": {},
        "alpha_pattern": {},
        **selection,
    }


def mlx_settings(
    rank: int, scale: float, dropout: Any, selection: Mapping[str, Any]
) -> dict[str, Any]:
    """What mlx_lm reads, as punie's own trainings write it."""
    return {
        "fine_tune_type": "lora",
        "lora_parameters": {
            "dropout": dropout,
            "keys": selection["keys"],
            "rank": rank,
            "scale": scale,
        },
        "num_layers": selection["num_layers"],
    }


def its_base(settings: Mapping[str, Any]) -> str:
    """The end of a hint: the base that the settings name, where they do. It is never trusted."""
    name: Any = settings.get("base_model_name_or_path")
    return f"; its settings name {one_line(name, 100)}" if isinstance(name, str) and name else ""


def named(modules: Collection[str]) -> str:
    """The first of them, and how many more: `a.q_proj and 3 others`."""
    first, others = min(modules), len(modules) - 1
    return first + (f" and {others} {'other' if others == 1 else 'others'}" if others else "")
