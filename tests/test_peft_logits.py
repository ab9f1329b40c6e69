"""An adapter computes the same whichever form it is in and whichever framework computes it."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from both_forms import to_mlx, to_peft
from made_adapter import make_adapter

pytest.importorskip("peft")

from both_stacks import Logits, Mlx, Torch, save_by_peft

# peft 0.21 asks transformers 5 by a name that 6 will not have.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")

VOCABULARY = 516
TEXT = Random(1).sample(range(VOCABULARY), 24)
CLOSE = 1e-3


def agree(one: Logits, other: Logits, base: Logits) -> None:
    """Both forms expect the same; and the adapter does something, or that would say nothing."""
    assert abs(one - other).max() < CLOSE
    assert (one.argmax(-1) == other.argmax(-1)).all()
    assert abs(one - base).max() > 50 * CLOSE


def test_peft_loads_what_mlx_trained(tiny_model: Path, tmp_path: Path):
    adapter = make_adapter(tiny_model, tmp_path / "mlx")
    to_peft(adapter, tiny_model, tmp_path / "peft")
    ours, theirs = Mlx(tiny_model, adapter), Torch(tiny_model, tmp_path / "peft")
    agree(ours.logits(TEXT), theirs.logits(TEXT), Mlx(tiny_model).logits(TEXT))
    prompts = [Random(seed).choices(range(VOCABULARY), k=12) for seed in range(50)]
    assert [ours.greedy(prompt, 16) for prompt in prompts] == theirs.greedy(prompts, 16)


@pytest.mark.parametrize(
    ("settings", "lora"),
    [
        ({"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "down_proj"]}, {"scale": 2.0}),
        (
            {"r": 8, "lora_alpha": 16, "use_rslora": True, "target_modules": "all-linear"},
            {"scale": 16 / 8**0.5},
        ),
        (
            {"r": 4, "target_modules": ["v_proj"], "layers_to_transform": [0]},
            {"scale": 2.0, "keys": ["model.layers.0.self_attn.v_proj"]},
        ),
        (
            {"r": 4, "target_modules": r"model\.layers\.(0\.mlp\.up|1\.self_attn\.o)_proj"},
            {"keys": ["model.layers.0.mlp.up_proj", "model.layers.1.self_attn.o_proj"]},
        ),
        (
            {"r": 8, "target_modules": ["o_proj"], "rank_pattern": {"o_proj": 4}},
            {"scale": 2.0, "rank": 4, "keys": ["self_attn.o_proj"]},
        ),
    ],
    ids=["plain", "rslora", "not the last layers", "by expression", "one rank by pattern"],
)
def test_mlx_loads_what_peft_saved(
    settings: dict[str, Any], lora: dict[str, Any], tiny_model: Path, tmp_path: Path
):
    saved = save_by_peft(tiny_model, tmp_path / "peft", **{"lora_alpha": 8, **settings})
    to_mlx(saved, tiny_model, tmp_path / "mlx")
    known = json.loads((tmp_path / "mlx" / "adapter_config.json").read_text())["lora_parameters"]
    assert known | lora == known
    ours = Mlx(tiny_model, tmp_path / "mlx").logits(TEXT)
    agree(ours, Torch(tiny_model, saved).logits(TEXT), Mlx(tiny_model).logits(TEXT))
    to_peft(tmp_path / "mlx", tiny_model, tmp_path / "again")
    name = "adapter_model.safetensors"
    assert (tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes()
    agree(ours, Torch(tiny_model, tmp_path / "again").logits(TEXT), Mlx(tiny_model).logits(TEXT))
