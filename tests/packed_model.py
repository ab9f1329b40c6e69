"""Model folders that mlx packed."""

# mlx_lm carries no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

import shutil
from pathlib import Path
from typing import Any


def quantised(model: Path, folder: Path, *, bits: int = 4, group: int = 32) -> Path:
    """The folder as mlx_lm's own converter packs it; the blocks' last matrices in 8 bits."""
    from mlx_lm.utils import load_model, quantize_model, save_config, save_model

    def packing(name: str, module: Any) -> bool | dict[str, Any]:
        own = {"group_size": 64, "bits": 8, "mode": "affine"}
        return own if name.endswith("down_proj") else hasattr(module, "to_quantized")

    shutil.copytree(model, folder)
    loaded, config = load_model(model)
    loaded, config = quantize_model(loaded, config, group, bits, quant_predicate=packing)
    (folder / "model.safetensors").unlink()
    save_model(folder, loaded)
    save_config(config, folder / "config.json")
    return folder
