"""GGUF to MLX: the same weights, the same rotation, the same tokens."""

# mlx, mlx_lm, gguf and tokenizers carry no or partial types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# pyright: reportMissingTypeArgument=false, reportUnknownLambdaType=false

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

from punie.errors import InputError, ModelError
from punie.models.check import check_model_folder, read_json
from punie.models.pull import convert_gguf
from punie.models.safetensors import read_header

Array = NDArray[np.float32]
TEXTS = (
    "The year 2026 has 365 days, 12.5 % of 8.",
    "def f(x: int) -> str:\n\treturn f'{x!r}'  # ok\n\n\n    y += 1_000",
    "½ ² ³ ¼ Ⅷ ①",
    "naïve Œuvre — “quotes” … 中文 日本語 العربية",
    "🙂👩‍👩‍👧 🏳️‍🌈",
    "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n",
    " leading,  double   and trailing spaces \r\n ",
    "don't I'LL we've",
)
NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def permuted(weight: Array, heads: int) -> Array:
    """As llama.cpp stores q and k: the two halves of a head's rows interleaved."""
    out = np.empty_like(weight)
    size = weight.shape[0] // heads
    for head in range(heads):
        rows = weight[head * size : (head + 1) * size]
        out[head * size : (head + 1) * size : 2] = rows[: size // 2]
        out[head * size + 1 : (head + 1) * size : 2] = rows[size // 2 :]
    return out


def write_gguf(
    file: Path,
    model: Path,
    *,
    family: str = "llama",
    pre: str = "gpt-2",
    kind: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
    edit: Callable[[gguf.GGUFWriter], None] = lambda _: None,
) -> Path:
    """The tiny model as a GGUF file, made by the package's own writer."""
    config, tokenizer = read_json(model / "config.json"), read_json(model / "tokenizer.json")
    writer = gguf.GGUFWriter(file, family)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(54_321.0)
    added = {entry["id"]: entry for entry in tokenizer["added_tokens"]}
    ids = {i: token for token, i in tokenizer["model"]["vocab"].items()}
    ids |= {i: entry["content"] for i, entry in added.items()}
    types = {i: (3 if entry["special"] else 4) for i, entry in added.items()}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list([ids[i] for i in range(len(ids))])
    writer.add_token_types([types.get(i, 1) for i in range(len(ids))])
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_chat_template((model / "chat_template.jinja").read_text())
    for name, weight in load_file(model / "model.safetensors").items():
        target = name
        for ours, theirs in NAMES.items():
            target = target.replace(ours, theirs)
        heads = {"q": "num_attention_heads", "k": "num_key_value_heads"}.get(name[-13:-12], "")
        values = permuted(weight, config[heads]) if family == "llama" and heads else weight
        used = kind if weight.ndim == 2 else gguf.GGMLQuantizationType.F32
        data = gguf.quants.quantize(values, used)
        writer.add_tensor(target.replace("model.layers", "blk"), data, raw_dtype=used)
    edit(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def encode(folder: Path, text: str) -> list[int]:
    from tokenizers import Tokenizer

    ids = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).ids
    return list(ids)


def decode(folder: Path, ids: list[int]) -> str:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return str(tokenizer.decode(ids, skip_special_tokens=False))


def test_the_tiny_model_comes_back_as_it_was(tiny_model: Path, tmp_path: Path):
    file = write_gguf(tmp_path / "tiny.gguf", tiny_model)
    steps: list[tuple[str, int, int]] = []
    folder = convert_gguf(file, cache=tmp_path, progress=lambda *step: steps.append(step))
    check_model_folder(folder)
    before, after = (
        load_file(tiny_model / "model.safetensors"),
        load_file(folder / "model.safetensors"),
    )
    assert before.keys() == after.keys()
    for name, weight in before.items():
        np.testing.assert_array_equal(after[name], weight, name)
    config = read_json(folder / "config.json")
    assert config["rope_theta"] == 54_321.0
    assert config["rms_norm_eps"] == 1e-5
    assert config["rope_traditional"] is False
    assert (folder / "chat_template.jinja").read_bytes() == (
        tiny_model / "chat_template.jinja"
    ).read_bytes()
    for text in TEXTS:
        assert encode(folder, text) == encode(tiny_model, text)
        assert decode(folder, encode(folder, text)) == text
    assert steps[-1] == ("convert", 20, 20)
    assert convert_gguf(file, cache=tmp_path) == folder, "converted once"


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "Q5_1", "F16", "BF16"])
def test_quantised_weights_are_those_that_gguf_reads(tiny_model: Path, tmp_path: Path, kind: str):
    used = gguf.GGMLQuantizationType[kind]
    folder = convert_gguf(write_gguf(tmp_path / "tiny.gguf", tiny_model, kind=used), cache=tmp_path)
    name = "model.layers.1.self_attn.k_proj.weight"
    original = load_file(tiny_model / "model.safetensors")[name]
    # Each row is quantised by itself, so their order does not matter to the values.
    expected = gguf.quants.dequantize(gguf.quants.quantize(original, used), used)
    np.testing.assert_array_equal(load_file(folder / "model.safetensors")[name], expected)


@pytest.mark.parametrize("family", ["qwen2", "qwen3"])
def test_families_with_halves_keep_their_rows(tiny_model: Path, tmp_path: Path, family: str):
    def edit(writer: gguf.GGUFWriter) -> None:
        for layer in range(2):
            for part, size in (("q", 64), ("k", 32), ("v", 32)):
                if family == "qwen2":
                    writer.add_tensor(f"blk.{layer}.attn_{part}.bias", np.ones(size, np.float32))
                elif part != "v":
                    norm = f"blk.{layer}.attn_{part}_norm.weight"
                    writer.add_tensor(norm, np.ones(16, np.float32))

    file = write_gguf(tmp_path / "q.gguf", tiny_model, family=family, pre="qwen2", edit=edit)
    folder = convert_gguf(file, cache=tmp_path)
    name = "model.layers.0.self_attn.q_proj.weight"
    before, after = (
        load_file(tiny_model / "model.safetensors"),
        load_file(folder / "model.safetensors"),
    )
    np.testing.assert_array_equal(after[name], before[name])
    program = "import sys, mlx_lm; mlx_lm.load(sys.argv[1])"
    env = {**os.environ, "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, "-c", program, str(folder)], check=True, env=env, timeout=120)
    for text in TEXTS:
        assert decode(folder, encode(folder, text)) == text


def test_bfloat16_is_rounded_to_nearest(tiny_model: Path, tmp_path: Path):
    file = write_gguf(tmp_path / "tiny.gguf", tiny_model)
    worker = [sys.executable, "-m", "punie.backends.workers.convert"]
    argv = [*worker, str(file), str(tmp_path / "out"), "bfloat16"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        assert json.loads(child.stdout.read().splitlines()[-1])["folder"]
    weights = tmp_path / "out" / "model.safetensors"
    assert {tensor.dtype for tensor in read_header(weights).values()} == {"BF16"}
    program = (
        "import sys, numpy, mlx.core as mx\n"
        "a, b = (mx.load(p) for p in sys.argv[1:])\n"
        "assert all(mx.array_equal(a[n].astype(mx.bfloat16), b[n]).item() for n in a)\n"
    )
    original = tiny_model / "model.safetensors"
    subprocess.run(
        [sys.executable, "-c", program, str(original), str(weights)], check=True, timeout=120
    )


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "family": ({"family": "gemma2"}, "cannot convert a gemma2"),
    "split": ({"pre": "unheard-of"}, "split as unheard-of"),
    "scaled": (
        {"edit": lambda w: w.add_rope_scaling_type(gguf.RopeScalingType.YARN)},
        "rotary embedding",
    ),
    "factors": (
        {"edit": lambda w: w.add_tensor("rope_freqs.weight", np.ones(8, np.float32))},
        "rotary embedding",
    ),
    "experts": ({"edit": lambda w: w.add_expert_count(8)}, "mixture of llamas"),
    "extra": (
        {"edit": lambda w: w.add_tensor("blk.0.odd.weight", np.ones(8, np.float32))},
        "no place for the tensor blk.0.odd.weight",
    ),
    "infinite": (
        {"edit": lambda w: w.add_tensor("output.weight", np.full((516, 64), np.inf, np.float32))},
        "that are no numbers",
    ),
}


@pytest.mark.parametrize(("changes", "words"), REFUSED.values(), ids=list(REFUSED))
def test_what_cannot_be_converted_faithfully_is_refused(
    tiny_model: Path, tmp_path: Path, changes: dict[str, Any], words: str
):
    file = write_gguf(tmp_path / "x.gguf", tiny_model, **changes)
    with pytest.raises(ModelError) as caught:
        convert_gguf(file, cache=tmp_path / "cache")
    assert words in caught.value.message
    assert str(file) in caught.value.message
    assert caught.value.hint
    left = [path.name for path in (tmp_path / "cache" / "gguf").iterdir()]
    assert all(name.endswith(".lock") for name in left)


def test_damaged_files_are_refused(tiny_model: Path, tmp_path: Path):
    file = write_gguf(tmp_path / "tiny.gguf", tiny_model)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="cannot be read as GGUF"):
        convert_gguf(file, cache=tmp_path)
    file.write_bytes(b"<html>")
    with pytest.raises(InputError, match="is no GGUF file"):
        convert_gguf(file, cache=tmp_path)
    with pytest.raises(InputError, match="cannot read"):
        convert_gguf(tmp_path / "none.gguf", cache=tmp_path)
