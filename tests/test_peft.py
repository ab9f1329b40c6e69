"""PEFT's form of adapters: there and back without a changed bit, and refusals by their reasons."""

import json
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from both_forms import to_mlx, to_peft
from made_adapter import make_adapter
from malformed import raw_header, tensors
from punie.models.adapter_tensors import first_difference
from punie.models.peft import is_peft

MLX_WEIGHTS, PEFT_WEIGHTS = "adapters.safetensors", "adapter_model.safetensors"


@pytest.fixture(scope="module")
def trained(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an adapter of rank 4 on the tiny model's query and up projections."""
    return make_adapter(tiny_model, tmp_path_factory.mktemp("trained") / "adapter")


def test_there_and_back_is_the_same_file(trained: Path, tiny_model: Path, tmp_path: Path):
    to_peft(trained, tiny_model, tmp_path / "peft")
    assert is_peft(tmp_path / "peft")
    to_mlx(tmp_path / "peft", tiny_model, tmp_path / "mlx")
    assert not is_peft(tmp_path / "mlx")
    there, back = trained / MLX_WEIGHTS, tmp_path / "mlx" / MLX_WEIGHTS
    assert back.read_bytes() == there.read_bytes()
    to_peft(tmp_path / "mlx", tiny_model, tmp_path / "again")
    for name in (PEFT_WEIGHTS, "adapter_config.json"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "peft" / name).read_bytes()


# ---- whatever the adapter: a made-up base, whose weights are never read

PARTS = ("self_attn.q_proj", "self_attn.k_proj", "mlp.up_proj", "mlp.down_proj")
SIZES = {"self_attn.q_proj": (6, 4), "self_attn.k_proj": (2, 4), "mlp.up_proj": (5, 4)}
LAYERS = 4


def a_base(folder: Path) -> Path:
    """The headers of a model of four layers, with a projection called alike in a vision tower."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"num_hidden_layers": LAYERS}))
    shapes = {
        f"model.layers.{layer}.{part}.weight": SIZES.get(part, (4, 5))
        for layer in range(LAYERS)
        for part in PARTS
    }
    shapes["tower.self_attn.q_proj.weight"] = (6, 4)
    (folder / "model.safetensors").write_bytes(tensors(shapes))
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_base(tmp_path_factory.mktemp("base") / "model")


@st.composite
def adapters(draw: st.DrawFn) -> tuple[dict[str, Any], bytes]:
    """mlx_lm's settings and file: any modules of the base, of any rank, type, scale and order."""
    places = [(layer, part) for layer in range(LAYERS) for part in PARTS]
    chosen = draw(st.lists(st.sampled_from(places), min_size=1, unique=True))
    rank = draw(st.integers(1, 9))
    dtype, width = draw(st.sampled_from([("F32", 4), ("F16", 2), ("BF16", 2)]))
    shapes: dict[str, tuple[int, int]] = {}
    for layer, part in chosen:
        out, inner = SIZES.get(part, (4, 5))
        name = f"model.layers.{layer}.{part}"
        shapes |= {f"{name}.lora_a": (inner, rank), f"{name}.lora_b": (rank, out)}
    order = draw(st.permutations(sorted(shapes)))
    header: dict[str, Any] = {}
    end = 0
    for name in order:
        start, end = end, end + shapes[name][0] * shapes[name][1] * width
        header[name] = {"dtype": dtype, "shape": list(shapes[name]), "data_offsets": [start, end]}
    words = Random(draw(st.integers(0, 2**32))).randbytes(end)
    digits = draw(st.integers(1, 10**9))
    parameters = {
        "rank": rank,
        "scale": digits / 10 ** draw(st.integers(7, 9)),
        "dropout": draw(st.sampled_from([0.0, 0.05, 0.1])),
        "keys": sorted({f"model.layers.{layer}.{part}" for layer, part in chosen}),
    }
    settings = {"fine_tune_type": "lora", "num_layers": LAYERS, "lora_parameters": parameters}
    return settings, raw_header(header) + words


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@examples(max_examples=40)
@given(adapter=adapters())
def test_any_adapter_there_and_back(
    adapter: tuple[dict[str, Any], bytes], base: Path, tmp_path_factory: pytest.TempPathFactory
):
    settings, content = adapter
    at = tmp_path_factory.mktemp("any")
    (at / "given").mkdir()
    (at / "given" / "adapter_config.json").write_text(json.dumps(settings))
    (at / "given" / MLX_WEIGHTS).write_bytes(content)
    to_peft(at / "given", base, at / "peft")
    to_mlx(at / "peft", base, at / "mlx")
    to_peft(at / "mlx", base, at / "peft-again")
    to_mlx(at / "peft-again", base, at / "mlx-again")
    assert first_difference(at / "given" / MLX_WEIGHTS, at / "mlx" / MLX_WEIGHTS) == ""
    written = json.loads((at / "mlx" / "adapter_config.json").read_text())
    for name in ("rank", "scale", "dropout"):
        assert written["lora_parameters"][name] == settings["lora_parameters"][name]
    assert adapted(written) == set(settings["lora_parameters"]["keys"])
    theirs = json.loads((at / "peft" / "adapter_config.json").read_text())
    assert bytes_of(at / "mlx-again") == bytes_of(at / "mlx")
    assert bytes_of(at / "peft-again") == bytes_of(at / "peft")
    assert selected_by_peft(theirs) == set(settings["lora_parameters"]["keys"])


MODULES = [f"model.layers.{layer}.{part}" for layer in range(LAYERS) for part in PARTS]


def adapted(settings: dict[str, Any]) -> set[str]:
    """What `linear_to_lora_layers` of mlx_lm adapts: names inside of the last layers, or full."""
    keys, count = settings["lora_parameters"]["keys"], settings["num_layers"]
    return {
        module
        for module in [*MODULES, "tower.self_attn.q_proj"]
        if module in keys
        or (
            module.startswith("model.layers.")
            and int(module.split(".")[2]) >= LAYERS - count
            and module.split(".", 3)[3] in keys
        )
    }


def selected_by_peft(settings: dict[str, Any]) -> set[str]:
    """What PEFT adapts, asked of PEFT itself."""
    tuners = pytest.importorskip("peft.tuners.tuners_utils")
    config = SimpleNamespace(**{"exclude_modules": None, "target_parameters": None, **settings})
    return {
        module
        for module in [*MODULES, "tower.self_attn.q_proj"]
        if tuners.check_target_module_exists(config, module)
    }
