"""Adapters and quantised models for tests, made without training: random but seeded changes."""

# mlx and mlx_lm carry no or partial types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# pyright: reportMissingTypeArgument=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportUnknownLambdaType=false

import json
import shutil
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten, tree_map
from mlx_lm.tuner.utils import linear_to_lora_layers
from mlx_lm.utils import load_model, quantize_model, save_config, save_model

RANK, SCALE = 4, 2.0


def make_adapter(model: Path, folder: Path, *, kind: str = "lora", seed: int = 3) -> Path:
    """mlx_lm's two files in `folder`; `kind`: lora, dora, full, or embeddings (a LoRA of those)."""
    mx.random.seed(seed)
    loaded, _ = load_model(model)
    settings: dict[str, Any] = {"fine_tune_type": kind, "model": str(model), "num_layers": 2}
    if kind == "full":
        weights = {
            name: value + 0.05 * mx.random.normal(value.shape)
            for name, value in tree_flatten(loaded.parameters())
            if "self_attn" in name
        }
    else:
        keys = ["self_attn.q_proj", "mlp.up_proj"]
        keys += ["model.embed_tokens"] if kind == "embeddings" else []
        settings["fine_tune_type"] = "dora" if kind == "dora" else "lora"
        parameters = {"rank": RANK, "scale": SCALE, "dropout": 0.0, "keys": keys}
        settings["lora_parameters"] = parameters
        loaded.freeze()
        linear_to_lora_layers(loaded, 2, parameters, use_dora=kind == "dora")
        weights = {
            name: value + (0.1 * mx.random.normal(value.shape) if name.endswith("lora_b") else 0)
            for name, value in tree_flatten(loaded.trainable_parameters())
        }
    folder.mkdir(parents=True)
    mx.save_safetensors(str(folder / "adapters.safetensors"), weights)
    (folder / "adapter_config.json").write_text(json.dumps(settings, indent=4))
    return folder


def pack(model: Path, folder: Path, *, dtype: Any = None) -> Path:
    """The model in 4 bits with groups of 32, or, with `dtype`, unpacked in that type."""
    loaded, config = load_model(model)
    if dtype is None:
        loaded, config = quantize_model(loaded, config, 32, 4)
    else:
        loaded.update(tree_map(lambda value: value.astype(dtype), loaded.parameters()))
    save_model(folder, loaded)
    save_config(config, folder / "config.json")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(model / name, folder / name)
    return folder
