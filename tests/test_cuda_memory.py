"""What torch takes for a model: packed weights, training, serving; against public figures."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from punie.backends.choose import BackendChoice
from punie.backends.preflight import estimates_of, preflight
from punie.backends.room import free_where
from punie.errors import ModelError
from punie.models.cuda_memory import estimate_on_cuda, packed_bytes, serving_on_cuda
from punie.models.memory import Architecture, architecture
from punie.models.safetensors import TensorInfo
from punie.records.suite import EvalPrompt, EvalSuite, Message
from punie.records.training import Method, Optimizer, Quantization, ResolvedPlan

FOUR, EIGHT, NONE = Quantization.FOUR_BIT, Quantization.EIGHT_BIT, Quantization.NONE
GB = 10**9
QLORA = ResolvedPlan(
    layers=1,
    learning_rate=1e-4,
    iterations=1,
    validate_every=1,
    checkpoint_every=1,
    batch_size=1,
    quantization=FOUR,
    double_quantization=True,
    gradient_checkpointing=True,
    optimizer=Optimizer.PAGED_ADAMW_8BIT,
)
SIZES = {
    "7B": {"layers": 32, "hidden": 4096, "mlp": 11008, "heads": 32, "kv": 32, "words": 32_000},
    "8B": {"layers": 32, "hidden": 4096, "mlp": 14336, "heads": 32, "kv": 8, "words": 128_256},
    "14B": {"layers": 48, "hidden": 5120, "mlp": 13824, "heads": 40, "kv": 8, "words": 152_064},
    "32B": {"layers": 64, "hidden": 5120, "mlp": 27648, "heads": 40, "kv": 8, "words": 152_064},
    "70B": {"layers": 80, "hidden": 8192, "mlp": 28672, "heads": 64, "kv": 8, "words": 128_256},
}


def model(name: str) -> tuple[Architecture, dict[str, TensorInfo]]:
    """The shape of a llama of that size, and the headers of its bfloat16 weights."""
    size = SIZES[name]
    hidden, mlp, kv = size["hidden"], size["mlp"], size["kv"] * 128
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens": (size["words"], hidden),
        "lm_head": (size["words"], hidden),
    }
    for layer in range(size["layers"]):
        at = f"model.layers.{layer}"
        shapes |= {f"{at}.self_attn.{x}_proj": (hidden, hidden) for x in "qo"}
        shapes |= {f"{at}.self_attn.{x}_proj": (kv, hidden) for x in "kv"}
        shapes |= {f"{at}.mlp.{x}_proj": (mlp, hidden) for x in ("gate", "up")}
        shapes[f"{at}.mlp.down_proj"] = (hidden, mlp)
        shapes[f"{at}.input_layernorm"] = (hidden,)
    config = {
        "num_hidden_layers": size["layers"],
        "hidden_size": hidden,
        "intermediate_size": mlp,
        "num_attention_heads": size["heads"],
        "num_key_value_heads": size["kv"],
        "head_dim": 128,
        "vocab_size": size["words"],
    }
    shape = architecture(config)
    assert shape is not None
    return shape, {f"{n}.weight": TensorInfo("BF16", s, 0) for n, s in shapes.items()}


def total(name: str, *, tokens: int = 512, **plan: Any) -> float:
    shape, tensors = model(name)
    chosen = QLORA.model_copy(update={"layers": shape.layers, "max_length": tokens, **plan})
    found = estimate_on_cuda(
        shape, chosen, tensors, gpu=True, longest=tokens, most_trained=tokens // 2
    )
    return found.total / GB


UNPACKED: dict[str, Any] = {"quantization": NONE, "double_quantization": False}


@pytest.mark.parametrize(
    ("name", "packed", "whole"),
    [("7B", 5, 19), ("8B", 6, 22), ("14B", 8.5, 33), ("32B", 26, 76), ("70B", 41, 164)],
)
def test_the_estimate_is_of_the_order_of_public_minima(
    name: str, packed: float, whole: float
) -> None:
    # Of 14B a quarter is embeddings and head, which stay in 16 bits here.
    assert 0.7 < total(name) / packed < 1.45
    assert 0.7 < total(name, **UNPACKED) / whole < 1.4


def test_double_quantisation_saves_a_third_of_a_bit_a_weight() -> None:
    _, tensors = model("8B")
    sizes = [packed_bytes(tensors, FOUR, double=double) for double in (False, True)]
    weights = sum(
        t.shape[0] * t.shape[1]
        for name, t in tensors.items()
        if "layers" in name and len(t.shape) == 2
    )
    assert (sizes[0] - sizes[1]) * 8 / weights == pytest.approx(0.373, abs=0.001)
    assert packed_bytes(tensors, EIGHT, double=False) > 1.5 * sizes[0]


def test_experts_are_not_packed_and_those_that_all_tokens_share_are() -> None:
    name = "model.layers.0.mlp.{}.weight"
    one = TensorInfo("BF16", (256, 64))
    experts = {name.format(f"experts.{at}.up_proj"): one for at in range(4)}
    assert packed_bytes(experts, FOUR, double=True) == 4 * 2 * 256 * 64
    shared = {name.format("shared_experts.up_proj"): one}
    assert packed_bytes(shared, FOUR, double=True) < 256 * 64


def test_head_and_embeddings_are_not_packed() -> None:
    _, tensors = model("8B")
    ends = {n: t for n, t in tensors.items() if "layers" not in n}
    assert packed_bytes(ends, FOUR, double=True) == 2 * 2 * 128_256 * 4096


@pytest.mark.parametrize(
    "change",
    [
        {"gradient_checkpointing": False},
        {"batch_size": 4},
        {"rank": 64},
        {"optimizer": Optimizer.ADAMW},
        {"accumulation": 2},
        {"quantization": EIGHT, "double_quantization": False},
        {"method": Method.FULL, **UNPACKED},
        {"tokens": 4096},
    ],
)
def test_what_takes_more_is_estimated_higher(change: dict[str, Any]) -> None:
    assert total("8B", **change) > total("8B")


def test_packed_weights_are_served_from_less() -> None:
    shape, tensors = model("8B")

    def served(quantization: Quantization, concurrency: int = 1) -> int:
        return serving_on_cuda(
            shape,
            tensors,
            quantization,
            gpu=True,
            batch_tokens=32_768,
            longest_prompt_tokens=500,
            max_tokens=100,
            concurrency=concurrency,
        ).total

    assert served(FOUR) < served(EIGHT) < served(NONE) < served(NONE, 4)
    assert served(NONE) - served(FOUR) > 10 * GB


def wide(model: Path, folder: Path) -> Path:
    """The tiny model with one matrix more, of 4 GB, in a file with a hole in it."""
    shutil.copytree(model, folder)
    entry = {"dtype": "F32", "shape": [20_000, 50_000], "data_offsets": [0, 4 * GB]}
    header = json.dumps({"model.layers.0.mlp.wide.weight": entry}).encode()
    with (folder / "model-wide.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 4 * GB)
    return folder


@pytest.fixture
def asked() -> EvalSuite:
    prompt = EvalPrompt(id="a", messages=(Message(role="user", content="Hi"),))
    return EvalSuite(name="s", prompts=(prompt,))


def test_what_fits_in_four_bits_alone_is_refused_with_that(
    tiny_model: Path, tmp_path: Path, asked: EvalSuite
) -> None:
    how = BackendChoice(backend="cuda", device="cpu")
    folder = wide(tiny_model, tmp_path / "wide")
    needed = estimates_of(folder, longest_prompt_tokens=80, max_tokens=500, up_to=1, how=how)
    assert needed is not None
    free = needed[0].total * 2 // 3
    with pytest.raises(ModelError) as caught:
        preflight(folder, asked, concurrency=1, how=how, free=free)
    assert "does not fit into memory" in caught.value.message
    assert caught.value.hint.startswith("--quantization 4bit would fit, with about")


def test_a_gpu_has_memory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi = tmp_path / "nvidia-smi"
    lines = [f"{n}, GPU-{n}, NVIDIA L4, 580.1, 23034, {free}, 8.9" for n, free in enumerate((9, 5))]
    smi.write_text("#!/bin/sh\nprintf '" + "\\n".join(lines) + "\\n'\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    from punie.backends.gpu import gpus

    gpus.cache_clear()
    try:
        asked_before = gpus()
        assert free_where("cuda") == 9 << 20
        assert gpus() is asked_before
        assert free_where("cuda", processes=2) == 5 << 20
        assert free_where("mlx") == pytest.approx(free_where("cuda", "cpu"), rel=0.5)
        assert free_where("cuda", "cpu", processes=4) < free_where("cuda", "cpu") / 2
    finally:
        monkeypatch.undo()
        gpus.cache_clear()
