"""From an MLX folder to GGUF and back: the same weights, logits, tokens and template."""

# mlx, mlx_lm, gguf and tokenizers carry no or partial types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# pyright: reportMissingTypeArgument=false, reportAttributeAccessIssue=false

import json
import shutil
from pathlib import Path
from typing import Any

import gguf
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx_lm.gguf import permute_weights
from mlx_lm.utils import load_model
from safetensors.numpy import load_file, save_file

from made_adapter import pack
from punie.backends.conversion import why_no_gguf, write_gguf
from punie.backends.workers.convert import unpermuted
from punie.backends.workers.gguf_export import export, permuted
from punie.backends.workers.gguf_tokenizer import KINDS, rebuilt
from punie.backends.workers.gguf_vocabulary import vocabulary_of
from punie.errors import ModelError
from punie.models.check import read_json
from punie.models.fingerprint import fingerprint
from punie.models.pull import convert_gguf

TOKENS = list(range(3, 60))


def logits(model: Path) -> Any:
    loaded, _ = load_model(model)
    return np.array(loaded(mx.array([TOKENS]))[0].astype(mx.float32))


def edited(model: Path, folder: Path, **config: Any) -> Path:
    """A copy of the model with some of its config changed."""
    shutil.copytree(model, folder)
    path = folder / "config.json"
    path.write_text(json.dumps(read_json(path) | config))
    return folder


def with_biases(model: Path, folder: Path) -> Path:
    """The tiny model as a qwen2: the same with biases on q, k and v."""
    edited(model, folder, model_type="qwen2", head_dim=None)
    weights = load_file(folder / "model.safetensors")
    draw = np.random.default_rng(5)
    for name in [name for name in weights if name.endswith(("q_proj.weight", "k_proj.weight"))]:
        size = len(weights[name])
        weights[name.replace("weight", "bias")] = draw.normal(size=size).astype(np.float32)
        v = name.replace("q_proj", "v_proj").replace("k_proj", "v_proj")
        weights[v.replace("weight", "bias")] = np.ones(len(weights[v]), np.float32)
    save_file(weights, folder / "model.safetensors", metadata={"format": "mlx"})
    config = {k: v for k, v in read_json(folder / "config.json").items() if v is not None}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_there_and_back_again(tiny_model: Path, tmp_path: Path, family: str) -> None:
    model = with_biases(tiny_model, tmp_path / "qwen2") if family == "qwen2" else tiny_model
    file = tmp_path / "tiny.gguf"
    notes = {"punie.adapter_hash": "abc"}
    said = write_gguf(model, file, name="tiny weather", notes=notes)
    assert said["tensors"] == len(load_file(model / "model.safetensors"))
    back = convert_gguf(file, cache=tmp_path / "cache")
    ours, theirs = load_file(model / "model.safetensors"), load_file(back / "model.safetensors")
    assert ours.keys() == theirs.keys()
    for name, weight in ours.items():
        np.testing.assert_array_equal(theirs[name], weight, err_msg=name)
    np.testing.assert_array_equal(logits(back), logits(model))
    text = (model / "chat_template.jinja").read_text()
    assert (back / "chat_template.jinja").read_text() == text
    config = read_json(back / "config.json")
    assert config["eos_token_id"] == read_json(model / "config.json")["eos_token_id"]
    assert read_json(back / "tokenizer_config.json")["eos_token"] == "<|im_end|>"


def test_the_metadata_say_what_it_is(tiny_model: Path, tmp_path: Path) -> None:
    export(tiny_model, tmp_path / "tiny.gguf", "tiny", {"punie.adapter_hash": "abc"})
    reader = gguf.GGUFReader(tmp_path / "tiny.gguf")
    found = {name: field.contents() for name, field in reader.fields.items()}
    assert found["general.architecture"] == "llama"
    assert found["general.name"] == "tiny"
    assert found["punie.adapter_hash"] == "abc"
    assert found["llama.vocab_size"] == 516
    assert found["tokenizer.ggml.model"] == "gpt2"
    assert found["tokenizer.ggml.pre"] == "gpt-2"
    assert found["tokenizer.ggml.add_bos_token"] is False
    assert found["tokenizer.chat_template"].startswith("{%- if tools %}")
    tokens, types = found["tokenizer.ggml.tokens"], found["tokenizer.ggml.token_type"]
    assert len(tokens) == len(types) == 516
    kinds = dict(zip(tokens, types, strict=True))
    assert (kinds["<|im_end|>"], kinds["<tool_call>"], kinds["a"]) == (3, 4, 1)
    assert tokens[found["tokenizer.ggml.eos_token_id"]] == "<|im_end|>"
    assert tokens[found["tokenizer.ggml.padding_token_id"]] == "<|endoftext|>"


@pytest.mark.parametrize(("dtype", "kind"), [(mx.bfloat16, "BF16"), (mx.float16, "F16")])
def test_halves_are_not_rounded(tiny_model: Path, tmp_path: Path, dtype: Any, kind: str) -> None:
    model = pack(tiny_model, tmp_path / "half", dtype=dtype)
    export(model, tmp_path / "half.gguf", "half", {})  # compares every value by itself
    reader = gguf.GGUFReader(tmp_path / "half.gguf")
    types = {str(t.name): t.tensor_type.name for t in reader.tensors}
    assert types["blk.0.attn_q.weight"] == kind
    assert types["blk.0.attn_norm.weight"] == "F32"


@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 3))
def test_the_order_of_rows_is_llama_cpp_s(heads: int, half: int, columns: int) -> None:
    rows = 2 * half * heads
    values = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)
    np.testing.assert_array_equal(unpermuted(permuted(values, heads), heads), values)
    theirs = np.array(permute_weights(mx.array(values), heads, heads))
    np.testing.assert_array_equal(permuted(values, heads), theirs)


def vocabulary(model: Path) -> dict[str, Any]:
    return vocabulary_of(model, 516)


@pytest.mark.parametrize("kind", KINDS)
def test_each_way_to_cut_text_is_recognised(tiny_model: Path, tmp_path: Path, kind: str) -> None:
    folder = edited(tiny_model, tmp_path / "model")
    metadata = vocabulary(tiny_model) | {"tokenizer.ggml.add_bos_token": False}
    rebuilt(metadata, kind).save(str(folder / "tokenizer.json"))
    assert vocabulary(folder)["tokenizer.ggml.pre"] == kind


def test_a_token_before_every_text_is_said(tiny_model: Path, tmp_path: Path) -> None:
    folder = edited(tiny_model, tmp_path / "model")
    bos = {"tokenizer.ggml.bos_token_id": 0, "tokenizer.ggml.add_bos_token": True}
    rebuilt(vocabulary(tiny_model) | bos, "gpt-2").save(str(folder / "tokenizer.json"))
    settings = read_json(folder / "tokenizer_config.json") | {"bos_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    found = vocabulary(folder)
    assert found["tokenizer.ggml.bos_token_id"] == 0
    assert found["tokenizer.ggml.add_bos_token"] is True


def test_a_second_end_of_turn_is_kept(tiny_model: Path, tmp_path: Path) -> None:
    folder = edited(tiny_model, tmp_path / "model", eos_token_id=[2, 0])
    found = vocabulary(folder)
    assert found["tokenizer.ggml.eos_token_id"] == 2
    assert found["tokenizer.ggml.eot_token_id"] == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "gemma3_text"}, "punie writes no gemma3_text as GGUF"),
        ({"num_local_experts": 8}, "punie writes no llama as GGUF"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "rotary embedding of the kind"),
        ({"quantization": {"bits": 4, "group_size": 32}}, "the weights are packed"),
        ({"layer_types": ["sliding_attention"]}, "no sliding windows"),
    ],
)
def test_what_would_be_wrong_is_refused(
    tiny_model: Path, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    model = edited(tiny_model, tmp_path / "model", **change)
    with pytest.raises(ModelError, match=said) as caught:
        write_gguf(model, tmp_path / "x.gguf", name="x", notes={})
    assert not (tmp_path / "x.gguf").exists()
    assert "--llama-cpp" in caught.value.hint


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": {"type": "Unigram", "vocab": []}}, r"\(Unigram\) is none of those"),
        ({"pre_tokenizer": {"type": "Metaspace"}}, r"\(BPE\) is none of those"),
        ({"normalizer": {"type": "Lowercase"}}, r"\(BPE\) is none of those"),
    ],
)
def test_a_tokenizer_that_cannot_be_written_is_refused(
    tiny_model: Path, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    folder = edited(tiny_model, tmp_path / "model")
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(read_json(path) | change))
    with pytest.raises(ModelError, match=said):
        vocabulary(folder)


def test_a_tokenizer_that_would_cut_otherwise_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    folder = edited(tiny_model, tmp_path / "model")
    path = folder / "tokenizer.json"
    tokenizer = read_json(path)
    tokenizer["added_tokens"][-1] |= {"lstrip": True, "rstrip": True}  # GGUF cannot say that
    path.write_text(json.dumps(tokenizer))
    with pytest.raises(ModelError, match="would not be the same in GGUF"):
        vocabulary(folder)
    with pytest.raises(ModelError, match="token 515, the embedding only 400"):
        vocabulary_of(tiny_model, 400)


def test_what_could_be_written_is_known_before(tiny_model: Path, tmp_path: Path) -> None:
    assert why_no_gguf(tiny_model) == ""
    packed = pack(tiny_model, tmp_path / "packed")
    assert why_no_gguf(packed) == ""  # it is unpacked on the way
    gemma = edited(tiny_model, tmp_path / "gemma", model_type="gemma3_text")
    assert why_no_gguf(gemma) == "punie writes no gemma3_text as GGUF"


@pytest.mark.model
def test_smollm2_there_and_back_again(smollm2: Path, tmp_path: Path) -> None:
    said = write_gguf(smollm2, tmp_path / "smollm2.gguf", name="smollm2", notes={})
    assert (said["tensors"], said["texts"]) == (272, 23)
    reader = gguf.GGUFReader(tmp_path / "smollm2.gguf")
    found = {name: field.contents() for name, field in reader.fields.items()}
    assert found["tokenizer.ggml.pre"] == "smollm"
    assert found["llama.rope.freq_base"] == 100_000.0
    back = convert_gguf(tmp_path / "smollm2.gguf", cache=tmp_path / "cache")
    for part in ("weights", "tokenizer", "template"):
        assert getattr(fingerprint(back), part) == getattr(fingerprint(smollm2), part)
