"""Merging: one plain Hugging Face folder, which both backends find to answer as the pair does."""

# mlx and mlx_lm carry no or partial types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# pyright: reportMissingTypeArgument=false

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.utils import load_adapters, load_model
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from made_adapter import make_adapter, pack
from punie.adapters.fuse import base_of, merge_adapter
from punie.adapters.registry import Entry, find_adapter
from punie.backends.conversion import merge
from punie.backends.local import LocalModel
from punie.errors import InputError, ModelError
from punie.models.check import base_tensors, read_json
from punie.models.fingerprint import fingerprint
from punie.models.manifest import MANIFEST
from punie.records.adapter import FusedManifest

TOKENS = list(range(3, 60))
KINDS = ["dora", "full", "embeddings"]


def logits(model: Path, adapter: Path | None = None) -> NDArray[np.float32]:
    loaded, _ = load_model(model)
    if adapter is not None:
        loaded = load_adapters(loaded, str(adapter))
        loaded.eval()
    return np.array(loaded(mx.array([TOKENS]))[0].astype(mx.float32))


def entry_and_base(model: Path, adapter: Path, *, backend: str = "mlx") -> tuple[Entry, LocalModel]:
    entry = find_adapter(adapter.parent, str(adapter))
    base = base_of(entry, adapter.parent, str(model))
    identity = base.identity.model_copy(update={"backend": backend})
    return entry, replace(base, identity=identity)


@pytest.mark.parametrize("kind", KINDS)
def test_the_sum_answers_as_base_and_adapter(tiny_model: Path, tmp_path: Path, kind: str) -> None:
    adapter = make_adapter(tiny_model, tmp_path / "mine", kind=kind)
    entry, base = entry_and_base(tiny_model, adapter)
    made = merge_adapter(entry, base, tmp_path / "merged", "float32")
    difference = np.abs(logits(tmp_path / "merged") - logits(tiny_model, adapter)).max()
    assert difference < 1e-4
    assert made.agreement.backend == "mlx"
    assert made.agreement.same_next_token == made.agreement.positions > 20
    assert made.agreement.largest_difference < 1e-5
    assert made.dtype == "float32"
    assert FusedManifest.model_validate_json((tmp_path / "merged" / MANIFEST).read_bytes()) == made
    before, after = fingerprint(tiny_model), fingerprint(tmp_path / "merged")
    assert (after.tokenizer, after.template) == (before.tokenizer, before.template)
    assert made.weights_hash == after.weights != before.weights


@pytest.mark.parametrize("kind", ["full", "embeddings"])
def test_torch_finds_the_same(tiny_model: Path, tmp_path: Path, kind: str) -> None:
    pytest.importorskip("bitsandbytes")
    from punie.backends.workers.agreement_torch import main

    adapter = make_adapter(tiny_model, tmp_path / "mine", kind=kind)
    (tmp_path / "merged").mkdir()
    merge(tiny_model, adapter, tmp_path / "merged", dtype="float32")
    places = {"model": tiny_model, "adapter": adapter, "merged": tmp_path / "merged"}
    found = main({name: str(place) for name, place in places.items()})
    assert found["same_next_token"] == found["positions"] > 20
    assert found["largest_difference"] < 1e-5


def test_what_cannot_be_compared_is_not_written(tiny_model: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tiny_model, tmp_path / "mine", kind="dora")
    with pytest.raises(ModelError, match="does not serve dora"):
        merge_adapter(*entry_and_base(tiny_model, adapter, backend="cuda"), tmp_path / "merged")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["mine"]


def test_sixteen_bits_are_what_is_written_by_default(tiny_model: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tiny_model, tmp_path / "mine")
    made = merge_adapter(*entry_and_base(tiny_model, adapter), tmp_path / "merged")
    assert made.dtype == "bfloat16"
    assert {each.dtype for each in base_tensors(tmp_path / "merged").values()} == {"BF16"}
    assert read_json(tmp_path / "merged" / "config.json")["torch_dtype"] == "bfloat16"
    # Rounded once, as the nearest of 8 bits: mlx rounds the same numbers to the same words.
    merge_adapter(*entry_and_base(tiny_model, adapter), tmp_path / "exact", "float32")
    exact = mx.load(str(tmp_path / "exact" / "model.safetensors"))
    rounded = mx.load(str(tmp_path / "merged" / "model.safetensors"))
    assert isinstance(exact, dict)
    assert isinstance(rounded, dict)
    assert exact.keys() == rounded.keys()
    for name, values in exact.items():
        assert mx.array_equal(values.astype(mx.bfloat16), rounded[name])


def test_the_type_of_a_base_of_sixteen_bits_is_kept(tiny_model: Path, tmp_path: Path) -> None:
    half = pack(tiny_model, tmp_path / "half", dtype=mx.float16)
    adapter = make_adapter(half, tmp_path / "mine")
    entry, base = entry_and_base(half, adapter)
    assert merge_adapter(entry, base, tmp_path / "merged").dtype == "float16"


def test_a_packed_base_is_unpacked_first(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUNIE_CACHE", str(tmp_path / "cache"))
    packed = pack(tiny_model, tmp_path / "packed")
    adapter = make_adapter(packed, tmp_path / "mine")
    made = merge_adapter(*entry_and_base(packed, adapter), tmp_path / "merged", "float32")
    assert np.abs(logits(tmp_path / "merged") - logits(packed, adapter)).max() < 1e-3
    assert made.agreement.same_next_token == made.agreement.positions
    assert made.base.dtype == "4-bit, group 32"
    assert "quantization" not in read_json(tmp_path / "merged" / "config.json")


def test_shards_and_their_index_stay_as_they_are(tiny_model: Path, tmp_path: Path) -> None:
    sharded = tmp_path / "sharded"
    sharded.mkdir()
    for file in tiny_model.iterdir():
        if file.suffix != ".safetensors":
            (sharded / file.name).write_bytes(file.read_bytes())
    weights = load_file(tiny_model / "model.safetensors")
    names = sorted(weights)
    parts = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for part, held in parts.items():
        save_file({name: weights[name] for name in held}, sharded / part, {"format": "pt"})
    where = {name: part for part, held in parts.items() for name in held}
    index = {"metadata": {"total_size": 1}, "weight_map": where}
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index))
    adapter = make_adapter(tiny_model, tmp_path / "mine")
    merge_adapter(*entry_and_base(sharded, adapter), tmp_path / "merged")
    written = read_json(tmp_path / "merged" / "model.safetensors.index.json")
    assert written["weight_map"] == where
    values = sum(weight.size for weight in weights.values())
    assert written["metadata"] == {"total_size": 2 * values}
    assert np.abs(logits(tmp_path / "merged") - logits(tiny_model, adapter)).max() < 0.1


def test_numbers_that_do_not_fit_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tiny_model, tmp_path / "mine")
    weights = load_file(adapter / "adapters.safetensors")
    large = {name: 1e4 * value for name, value in weights.items()}
    save_file(large, adapter / "adapters.safetensors")
    with pytest.raises(ModelError, match="numbers that F16 cannot hold"):
        merge_adapter(*entry_and_base(tiny_model, adapter), tmp_path / "merged", "float16")
    assert not (tmp_path / "merged").exists()


def test_what_the_base_has_under_no_such_name_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tiny_model, tmp_path / "mine")
    weights = load_file(adapter / "adapters.safetensors")
    renamed = {f"language_model.{name}": value for name, value in weights.items()}
    save_file(renamed, adapter / "adapters.safetensors")
    (tmp_path / "out").mkdir()
    with pytest.raises(ModelError, match="do not hold under this name"):
        merge(tiny_model, adapter, tmp_path / "out", dtype="float32")


def test_nothing_is_overwritten(tiny_model: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tiny_model, tmp_path / "mine")
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="there already"):
        merge_adapter(*entry_and_base(tiny_model, adapter), tmp_path / "there")


def test_a_machine_without_mlx_fuses(
    venv_without_mlx: Path, tiny_model: Path, tmp_path: Path
) -> None:
    make_adapter(tiny_model, tmp_path / "adapters" / "mine")
    (tmp_path / "punie.toml").write_text("")
    argv = [str(venv_without_mlx), "-m", "punie", "adapters", "fuse", "mine", "--json"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    made = json.loads(done.stdout)["data"]
    assert made["dtype"] == "bfloat16"
    assert made["agreement"]["backend"] == "cuda"
    assert made["agreement"]["positions"] > 20
