"""Fuse an adapter into its base: `python -m … workers.fuse JOB`, JOB being JSON.

JOB names `model`, `folder`, and optionally an `adapter`; `dequantize` unpacks quantised weights,
and `quantize` (`{"bits": 4, "group_size": 64}`) packs those that are not. Into `folder`, which does
not exist yet, go the weights and config.json. On stdout, at last, one line of JSON: `{"fused": …}`
with what a text showed, or `{"error": {"message": …, "hint": …}}`. Ends by itself when
stdin is closed.

The layers fuse as mlx_lm fuses them, in the type of the base's weights: its DoRA layers would
otherwise come out in float32. Then the written folder is loaded again, and what it makes of a text
is compared with what base and adapter made of it.
"""

# mlx and mlx_lm are only partly typed.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# pyright: reportMissingTypeArgument=false

import json
import sys
from pathlib import Path
from typing import Any

from punie.backends.workers.agreement import compared, probe_tokens
from punie.backends.workers.agreement_mlx import probabilities
from punie.backends.workers.before_mlx import before_mlx
from punie.backends.workers.lifeline import end_with_parent, say

before_mlx()

import mlx.core as mx  # noqa: E402 - only after BLAS
from mlx.utils import tree_unflatten  # noqa: E402 - as above
from mlx_lm.utils import (  # noqa: E402 - as above
    dequantize_model,
    load_adapters,
    load_model,
    quantize_model,
    save_config,
    save_model,
)


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Fuse, write, load again, compare; what `say` is told."""
    source, folder = Path(job["model"]), Path(job["folder"])
    model, config = load_model(source, lazy=True)
    if job.get("adapter"):
        model = load_adapters(model, job["adapter"])
        model.eval()
    tokens = mx.array([probe_tokens(source, int(config.get("vocab_size") or 256))])
    before = probabilities(model, tokens)
    keep = not job.get("dequantize")
    layers = [(name, m) for name, m in model.named_modules() if hasattr(m, "fuse")]
    if layers:
        fused = [(name, _fused(layer, keep=keep)) for name, layer in layers]
        model.update_modules(tree_unflatten(fused))
    if not keep:
        model = dequantize_model(model)
        config.pop("quantization", None)
        config.pop("quantization_config", None)
    if wanted := job.get("quantize"):
        model, config = quantize_model(model, config, wanted["group_size"], wanted["bits"])
    has_eyes = "vision_tower" in getattr(model, "model", {})
    save_model(folder, model, donate_model=True)
    save_config(config, folder / "config.json", keep_vision_config=has_eyes)
    del model
    again, _ = load_model(folder, lazy=True)
    return {"layers": len(layers), **compared(before, probabilities(again, tokens))}


def _fused(layer: Any, *, keep: bool) -> Any:
    """The plain layer that does what `layer` does, packed again as its base is where wanted."""
    inner = layer["linear"] if "linear" in layer else layer["embedding"]
    packed = "scales" in inner
    plain = layer.fuse(dequantize=True)
    plain.weight = plain.weight.astype((inner.scales if packed else inner.weight).dtype)
    if packed and keep:
        return plain.to_quantized(inner.group_size, inner.bits, mode=inner.mode)
    return plain


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m punie.backends.workers.fuse JOB")
    end_with_parent()
    try:
        say({"fused": main(json.loads(sys.argv[1]))})
    except Exception as error:  # noqa: BLE001 - a model fails in any way inside mlx_lm
        what = f"{type(error).__name__}: {error}"
        say({"error": {"message": f"it could not be fused ({what[:500]})", "hint": ""}})
        sys.exit(1)
