"""What is refused as a model or an adapter, and in which words."""

# safetensors is only partly typed.
# pyright: reportUnknownVariableType=false

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from punie.backends.local import prepare
from punie.errors import ModelError
from punie.models.adapter import check_adapter
from punie.models.check import check_model_folder
from punie.models.quantization import count_parameters, dtype_label, module_shapes
from punie.models.safetensors import TensorInfo, read_header
from punie.records.run import ModelIdentity

Spoil = Callable[[Path], None]


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def remove(name: str) -> Spoil:
    return lambda folder: (folder / name).unlink()


def write(name: str, content: bytes) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return spoil


def cut(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def only(name: str) -> Spoil:
    return lambda folder: (folder / "model.safetensors").rename(folder / name) and None


def shard_missing(folder: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def header(value: Any) -> bytes:
    text = json.dumps(value).encode()
    return len(text).to_bytes(8, "little") + text


BAD_FOLDERS: dict[str, tuple[Spoil, str]] = {
    "no config": (remove("config.json"), "has no config.json"),
    "config no JSON": (write("config.json", b"{"), "is no valid JSON"),
    "config no object": (write("config.json", b"[]"), "does not hold a JSON object"),
    "config not UTF-8": (write("config.json", b"\xff\xfe"), "is no valid JSON"),
    "config of nothing": (write("config.json", b"{}"), "names no model_type"),
    "no tokenizer": (remove("tokenizer.json"), "has no tokenizer"),
    "tokenizer no JSON": (write("tokenizer.json", b"oops"), "is no valid JSON"),
    "no weights": (remove("model.safetensors"), "holds no weights"),
    "pickled": (only("pytorch_model.bin"), "only pickled weights"),
    "misnamed": (only("weights.safetensors"), "has no model*.safetensors"),
    "shard missing": (shard_missing, "lacks 1 of its 2 weight files"),
    "cut": (cut, "is damaged: it should hold"),
    "empty": (write("model.safetensors", b""), "is cut short"),
    "text": (write("model.safetensors", b"<html>not found</html>"), "is cut short"),
    "pointer": (write("model.safetensors", b"version https://git-lfs".ljust(99)), "Git LFS"),
    "header no JSON": (write("model.safetensors", b"\4" + bytes(7) + b"{oo}"), "damaged header"),
    "header a list": (write("model.safetensors", header([1])), "damaged header"),
    "header of another kind": (write("model.safetensors", header({"a": 1})), "damaged header"),
    "sizes disagree": (
        write(
            "model.safetensors",
            header({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 4]}}) + bytes(4),
        ),
        "does not have the size of its shape",
    ),
    "gap": (
        write(
            "model.safetensors",
            header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}) + bytes(8),
        ),
        "overlap or leave gaps",
    ),
}


def test_a_sound_folder_is_accepted(tiny_model: Path):
    check_model_folder(tiny_model)
    assert len(read_header(tiny_model / "model.safetensors")) == 2 + 2 * 9


@pytest.mark.parametrize(("spoil", "words"), BAD_FOLDERS.values(), ids=list(BAD_FOLDERS))
def test_a_bad_folder_is_refused_in_words(folder: Path, spoil: Spoil, words: str):
    spoil(folder)
    with pytest.raises(ModelError) as caught:
        check_model_folder(folder)
    assert words in caught.value.message
    assert str(folder) in caught.value.message
    assert caught.value.hint


def test_a_folder_that_is_not_there(tmp_path: Path):
    with pytest.raises(ModelError, match="no model folder"):
        check_model_folder(tmp_path / "none")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80))
def test_no_bytes_make_the_header_reader_crash(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
):
    file = tmp_path_factory.getbasetemp() / "any.safetensors"
    file.write_bytes(data)
    tensors: dict[str, TensorInfo] = {}
    with contextlib.suppress(ModelError):
        tensors = read_header(file)
    assert sum(len(tensor.shape) for tensor in tensors.values()) <= len(data)


def make_adapter(folder: Path, *, rank: int = 4, hidden: int = 64, **changes: Any) -> Path:
    folder.mkdir()
    settings_: dict[str, Any] = {
        "fine_tune_type": "lora",
        "num_layers": 2,
        "lora_parameters": {"rank": 4, "scale": 2.0, "dropout": 0.0},
        **changes,
    }
    (folder / "adapter_config.json").write_text(json.dumps(settings_))
    module = "model.layers.1.self_attn.q_proj"
    save_file(
        {
            f"{module}.lora_a": np.zeros((hidden, rank), np.float32),
            f"{module}.lora_b": np.zeros((rank, hidden), np.float32),
        },
        folder / "adapters.safetensors",
    )
    return folder


def test_a_fitting_adapter_is_accepted(tiny_model: Path, tmp_path: Path):
    check_adapter(make_adapter(tmp_path / "a"), tiny_model)


BAD_ADAPTERS: dict[str, tuple[dict[str, Any], str]] = {
    "another width": ({"hidden": 96}, "belongs to another base"),
    "another rank": ({"rank": 8}, "states rank 4, but"),
    "deeper": ({"num_layers": 30}, "deeper base"),
    "no rank": ({"lora_parameters": {"scale": 1.0, "dropout": 0.0}}, "lacks rank"),
    "alpha": ({"lora_parameters": {"rank": 4, "alpha": 8, "dropout": 0.0}}, "lacks scale"),
    "no settings": ({"lora_parameters": None}, "lacks dropout"),
    "full": ({"fine_tune_type": "full"}, "belongs to another base"),
}


@pytest.mark.parametrize(("changes", "words"), BAD_ADAPTERS.values(), ids=list(BAD_ADAPTERS))
def test_a_wrong_adapter_is_refused(
    tiny_model: Path, tmp_path: Path, changes: dict[str, Any], words: str
):
    adapter = make_adapter(tmp_path / "a", **changes)
    with pytest.raises(ModelError) as caught:
        check_adapter(adapter, tiny_model)
    assert words in caught.value.message
    assert caught.value.hint


def test_other_wrong_adapters_are_refused(tiny_model: Path, tmp_path: Path):
    with pytest.raises(ModelError, match="no adapter folder"):
        check_adapter(tmp_path / "none", tiny_model)
    adapter = make_adapter(tmp_path / "a")
    good = (adapter / "adapters.safetensors").read_bytes()
    (adapter / "adapters.safetensors").write_bytes(good[:-8])
    with pytest.raises(ModelError, match="is damaged"):
        check_adapter(adapter, tiny_model)
    zeros = np.zeros((64, 4), np.float32)
    other = {"transformer.h.1.attn.lora_a": zeros, "transformer.h.1.attn.lora_b": zeros.T.copy()}
    save_file(other, adapter / "adapters.safetensors")
    with pytest.raises(ModelError, match="has none of its layers"):
        check_adapter(adapter, tiny_model)
    (adapter / "adapters.safetensors").unlink()
    with pytest.raises(ModelError, match=r"has no adapters\.safetensors"):
        check_adapter(adapter, tiny_model)
    (adapter / "adapter_model.safetensors").write_bytes(good)
    with pytest.raises(ModelError, match="PEFT"):
        check_adapter(adapter, tiny_model)


def test_packed_weights_are_counted_unpacked():
    tensors = {
        "model.embed_tokens.weight": TensorInfo("U32", (100, 16)),
        "model.embed_tokens.scales": TensorInfo("F16", (100, 2)),
        "model.embed_tokens.biases": TensorInfo("F16", (100, 2)),
        "model.layers.0.q.weight": TensorInfo("U32", (64, 8)),
        "model.layers.0.q.scales": TensorInfo("F16", (64, 2)),
        "model.layers.0.q.biases": TensorInfo("F16", (64, 2)),
        "model.layers.0.q.bias": TensorInfo("F16", (64,)),
        "model.norm.weight": TensorInfo("F16", (64,)),
    }
    config = {
        "quantization": {
            "bits": 4,
            "group_size": 32,
            "model.embed_tokens": {"bits": 8, "group_size": 32},
        }
    }
    shapes = module_shapes(tensors, config)
    assert shapes["model.embed_tokens"] == (100, 64)
    assert shapes["model.layers.0.q"] == (64, 64)
    assert count_parameters(tensors, config) == 100 * 64 + 64 * 64 + 64 + 64
    assert dtype_label(tensors, config) == "4-bit, group 32"


def test_code_that_a_model_brings_is_recorded_as_never_run(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {
        "AutoConfig": "configuration_own.OwnConfig",
        "AutoModel": ["someone/else--modeling_own.OwnModel", None],
        "AutoTokenizer": "odd\ud800\x1b.Name",
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "modeling_own.py").write_text("raise SystemExit(1)")
    identity = prepare(str(folder)).identity
    assert identity.own_code == ("configuration_own.py", "modeling_own.py", "odd⟨U+D800⟩␛.py")
    assert ModelIdentity.model_validate_json(identity.model_dump_json()) == identity
