"""A LoRA adapter in mlx_lm's form for the tiny model, made by numpy alone."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType]


def made_lora(folder: Path, *, scale: float = 20.0) -> Path:
    """Rank 4 on both layers' query projections; at scale 20 every answer is another one."""
    folder.mkdir()
    parameters = {"rank": 4, "scale": scale, "dropout": 0.0, "keys": ["self_attn.q_proj"]}
    config = {"fine_tune_type": "lora", "num_layers": 2, "lora_parameters": parameters}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    random = np.random.default_rng(0)
    tensors: dict[str, NDArray[np.float32]] = {}
    for layer in range(2):
        name = f"model.layers.{layer}.self_attn.q_proj"
        tensors[f"{name}.lora_a"] = random.normal(size=(64, 4)).astype(np.float32)
        tensors[f"{name}.lora_b"] = random.normal(size=(4, 64)).astype(np.float32)
    save_file(tensors, folder / "adapters.safetensors")
    return folder
