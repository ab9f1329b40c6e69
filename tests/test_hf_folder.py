"""The folder that transformers loads: the same weights and the same answers as mlx's."""

# mlx, mlx_lm, torch and transformers carry no or partial types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from packed_model import quantised
from punie.backends.workers.unpack import PIECE
from punie.errors import ModelError
from punie.models.check import base_tensors, check_model_folder, read_json
from punie.models.experts import has_experts, require_packable
from punie.models.hf_folder import BITS, GROUPS, SAME_NAMES, hf_folder

ORIGINAL = "16-bit Hugging Face form"
TOKENS = [[1, 40, 300, 7, 7, 512, 90, 14]]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PUNIE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def copied(model: Path, folder: Path, **config: Any) -> Path:
    """A copy of a model's folder with some keys of its config set, or, where None, left out."""
    shutil.copytree(model, folder)
    changed = {**read_json(model / "config.json"), **config}
    left = {key: value for key, value in changed.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(left))
    return folder


def test_a_plain_folder_is_loaded_as_it_is(tiny_model: Path, cache: Path):
    assert hf_folder(tiny_model) == tiny_model
    assert not cache.exists()


@pytest.mark.parametrize("packed", [False, True])
def test_an_adapter_that_lies_beside_the_weights_is_not_taken_along(
    tiny_model: Path, tmp_path: Path, packed: bool
):
    folder = copied(tiny_model, tmp_path / "both")
    folder = quantised(folder, tmp_path / "packed") if packed else folder
    for name in ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"):
        (folder / name).write_text("{}")
    loaded = hf_folder(folder)
    assert not list(loaded.glob("adapter_*"))
    assert (loaded / "tokenizer.json").exists()


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_weights_are_unpacked_to_the_bits_that_mlx_makes_of_them(
    tiny_model: Path, tmp_path: Path, dtype: str
):
    import mlx.core as mx

    folder = copied(tiny_model, tmp_path / "packed")
    packings: dict[str, dict[str, Any]] = {
        f"layer{b}x{g}": {"bits": b, "group_size": g} for b in BITS for g in GROUPS
    }
    kind = getattr(mx, dtype)
    tensors = {"norm.weight": mx.arange(7).astype(kind)}
    expected = dict(tensors)
    draw = np.random.default_rng(7)
    for index, (name, packing) in enumerate(packings.items()):
        # More rows than are unpacked at a time, once.
        rows = PIECE // 512 + 3 if index == 7 else 6
        values = mx.array(draw.normal(size=(rows, 512)), kind)
        packed = dict(
            zip(("weight", "scales", "biases"), mx.quantize(values, **packing), strict=True)
        )
        tensors |= {f"{name}.{leaf}": value for leaf, value in packed.items()}
        expected[f"{name}.weight"] = mx.dequantize(
            packed["weight"], packed["scales"], packed["biases"], **packing
        )
    mx.save_safetensors(str(folder / "model.safetensors"), tensors)
    config = {**read_json(folder / "config.json"), "quantization": packings["layer4x64"] | packings}
    (folder / "config.json").write_text(json.dumps(config))

    said: list[tuple[str, int, int]] = []

    def progress(what: str, done: int, total: int) -> None:
        said.append((what, done, total))

    made = hf_folder(folder, progress=progress)
    found = mx.load(str(made / "model.safetensors"))
    assert isinstance(found, dict)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype == kind
        assert mx.array_equal(found[name], value), name
    assert said[-1] == ("convert", len(expected), len(expected))
    config = read_json(made / "config.json")
    assert "quantization" not in config
    assert config["torch_dtype"] == dtype


def logits_of_mlx(folder: Path) -> NDArray[np.float32]:
    import mlx.core as mx
    from mlx_lm.utils import load_model

    model, _ = load_model(folder)
    return np.array(model(mx.array(TOKENS)).astype(mx.float32))


def logits_of_torch(folder: Path) -> NDArray[np.float32]:
    torch = pytest.importorskip("torch")
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", local_files_only=True)
    with torch.no_grad():
        return model(torch.tensor(TOKENS)).logits.numpy()


def test_transformers_answers_from_it_as_mlx_does(tiny_model: Path, tmp_path: Path, cache: Path):
    packed = quantised(tiny_model, tmp_path / "packed")
    shards = list(packed.glob("model*.safetensors*"))
    made = hf_folder(packed)
    check_model_folder(made)
    assert np.allclose(logits_of_torch(made), logits_of_mlx(packed), atol=1e-4)
    # It is there once, and stands by itself.
    assert hf_folder(packed) == made
    assert [each.name for each in (cache / "unpacked").glob("[!.]*")] == [made.name]
    for shard in shards:
        shard.unlink()
    assert base_tensors(made)


def test_a_folder_that_does_not_say_so_shares_its_embeddings_in_both(
    tiny_model: Path, tmp_path: Path
):
    silent = copied(tiny_model, tmp_path / "silent", tie_word_embeddings=None)
    made = hf_folder(silent)
    assert made != silent
    assert np.allclose(logits_of_torch(made), logits_of_mlx(silent), atol=1e-4)


def test_a_head_of_its_own_is_kept(tiny_model: Path, tmp_path: Path):
    own = copied(tiny_model, tmp_path / "own", tie_word_embeddings=None)
    weights = load_file(own / "model.safetensors")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"] * 2
    save_file(weights, own / "model.safetensors")
    assert read_json(hf_folder(own) / "config.json")["tie_word_embeddings"] is False


def test_rope_theta_may_stand_in_either_place(tiny_model: Path, tmp_path: Path):
    rope = {"rope_theta": 500.0, "rope_type": "default"}
    inner = copied(tiny_model, tmp_path / "inner", rope_theta=None, rope_parameters=rope)
    outer = copied(tiny_model, tmp_path / "outer", rope_theta=500.0)
    assert np.array_equal(logits_of_torch(hf_folder(inner)), logits_of_torch(hf_folder(outer)))
    assert np.allclose(logits_of_torch(outer), logits_of_mlx(outer), atol=1e-4)


def test_code_of_a_folder_is_not_even_named(tiny_model: Path, tmp_path: Path):
    mapping = {"AutoConfig": "theirs.Config", "AutoModelForCausalLM": "theirs.Model"}
    folder = copied(tiny_model, tmp_path / "coded", auto_map=mapping)
    settings = read_json(folder / "tokenizer_config.json") | {"auto_map": mapping}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "theirs.py").write_text("raise SystemExit('run')")
    made = hf_folder(folder)
    assert not list(made.glob("*.py"))
    for name in ("config.json", "tokenizer_config.json"):
        assert "auto_map" not in read_json(made / name)
    assert logits_of_torch(made).shape == (1, 8, 516)
    assert "auto_map" in read_json(folder / "config.json")


def test_no_implementation_of_the_config_is_taken(tiny_model: Path, tmp_path: Path):
    """A name with a slash is native code of a hub repository to transformers."""
    code = {"_attn_implementation": "some/kernel", "experts_implementation": "some/kernel"}
    inner = code | {"attn_implementation": "some/kernel", "hidden_size": 8}
    folder = copied(tiny_model, tmp_path / "coded", **code, vision_config=inner)
    config = read_json(hf_folder(folder) / "config.json")
    assert not [key for key in config if "implementation" in key]
    assert config["vision_config"] == {"hidden_size": 8}
    assert logits_of_torch(hf_folder(folder)).shape == (1, 8, 516)


FOUR = {"bits": 4, "group_size": 32}
REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"rope_traditional": True}, "rope_traditional", "GGUF file itself"),
    ({"rope_parameters": {"rope_theta": 5.0}}, "10000.0 and, in rope_parameters, 5.0", "mend"),
    ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "by gptq", ORIGINAL),
]
MISPACKED: list[tuple[dict[str, Any], str]] = [
    ({"quantization": FOUR | {"mode": "mxfp4"}}, "packed as mxfp4, 4 bits, groups of 32"),
    ({"quantization": FOUR | {"bits": 7}}, "packed as affine, 7 bits"),
    ({"quantization": FOUR | {"group_size": 16}}, "groups of 16"),
    ({"quantization": FOUR | {"lm_head": {"bits": 4, "mode": "nvfp4"}}}, "lm_head is packed as"),
    ({"quantization": None, "quantization_config": None}, "is packed as affine, None bits"),
    ({"quantization": FOUR | {"bits": 8}}, "do not fit 8 bits in groups of 32"),
    ({"model_type": "deepseek_v3"}, "of the architecture deepseek_v3"),
]


@pytest.mark.parametrize(("config", "what", "hint"), REFUSED)
def test_what_transformers_would_misread_is_refused(
    tiny_model: Path, tmp_path: Path, config: dict[str, Any], what: str, hint: str
):
    with pytest.raises(ModelError) as caught:
        hf_folder(copied(tiny_model, tmp_path / "odd", **config))
    assert what in caught.value.message
    assert hint in caught.value.hint


@pytest.fixture(scope="module")
def packed_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return quantised(tiny_model, tmp_path_factory.mktemp("packed") / "model")


@pytest.mark.parametrize(("config", "what"), MISPACKED)
def test_a_packing_that_is_not_known_is_refused(
    packed_model: Path, tmp_path: Path, cache: Path, config: dict[str, Any], what: str
):
    with pytest.raises(ModelError) as caught:
        hf_folder(copied(packed_model, tmp_path / "odd", **config))
    assert what in caught.value.message
    assert not list((cache / "unpacked").glob("[!.]*"))


def test_experts_in_the_form_of_mlx_are_refused(tiny_model: Path, tmp_path: Path):
    folder = copied(tiny_model, tmp_path / "experts")
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.0.mlp.switch_mlp.up_proj.weight"] = np.zeros((2, 4, 4), np.float32)
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(ModelError, match="experts in mlx_lm's form"):
        hf_folder(folder)


def test_unpacking_needs_no_mlx(packed_model: Path, tmp_path: Path, venv_without_mlx: Path):
    code = "import sys; from pathlib import Path; from punie.models.hf_folder import hf_folder;"
    code += "print(hf_folder(Path(sys.argv[1])))"
    done = subprocess.run(
        [venv_without_mlx, "-c", code, str(packed_model)],
        env={"PUNIE_CACHE": str(tmp_path / "other")},
        capture_output=True,
        text=True,
        check=True,
    )
    made = Path(done.stdout.strip())
    ours = (hf_folder(packed_model) / "model.safetensors").read_bytes()
    assert (made / "model.safetensors").read_bytes() == ours


SMALL = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 64,
    "pad_token_id": 0,
    "tie_word_embeddings": True,
    "layer_norm_bias": False,
    "rms_norm_eps": 1e-5,
    "norm_epsilon": 1e-5,
    "layer_norm_eps": 1e-5,
    "use_bias": True,
    "attention_bias": False,
    "mlp_bias": False,
    "logits_scaling": 1.0,
    "attention_multiplier": 1.0,
    "embedding_multiplier": 1.0,
    "residual_multiplier": 1.0,
    "max_position_embeddings": 64,
    "rope_theta": 10_000.0,
}


@pytest.mark.parametrize("kind", SAME_NAMES)
def test_these_architectures_have_the_same_weights_in_both(kind: str):
    torch = pytest.importorskip("torch")
    from mlx.utils import tree_flatten
    from mlx_lm.utils import _get_classes  # pyright: ignore[reportPrivateUsage]
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(kind, **SMALL)
    with torch.device("meta"):
        theirs = AutoModelForCausalLM.from_config(config).state_dict()
    model, arguments = _get_classes({**config.to_dict(), **SMALL, "model_type": kind})
    ours = model(arguments.from_dict({**config.to_dict(), **SMALL})).parameters()
    shapes = {name: value.shape for name, value in cast("list[Any]", tree_flatten(ours))}
    found = {name: tuple(value.shape) for name, value in theirs.items()}
    found.pop("lm_head.weight", None)
    shapes.pop("lm_head.weight", None)
    assert shapes == found


@pytest.mark.parametrize(
    "config",
    [
        {"num_experts": 128},
        {"num_local_experts": 8},
        {"n_routed_experts": 256},
        {"moe_num_experts": 64},
        {"text_config": {"num_experts": [0, 16]}},
        {"ffn_config": {"moe_num_experts": 16}},
    ],
)
def test_a_mixture_of_experts_is_not_packed(config: dict[str, Any]):
    assert has_experts(config)
    with pytest.raises(ModelError, match="bitsandbytes leaves experts unpacked") as caught:
        require_packable(config)
    assert "quantization: none" in caught.value.hint


@pytest.mark.parametrize("config", [{}, {"num_experts": 1}, {"num_local_experts": None}])
def test_a_dense_model_is(config: dict[str, Any]):
    assert not has_experts(config)
    require_packable(config)
