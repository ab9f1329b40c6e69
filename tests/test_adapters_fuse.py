"""Fusing: what is written answers as base and adapter do."""

# mlx and mlx_lm carry no or partial types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# pyright: reportMissingTypeArgument=false

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.utils import load_adapters, load_model
from numpy.typing import NDArray

from made_adapter import make_adapter, pack
from punie.adapters.fuse import base_of, fuse_adapter
from punie.adapters.registry import Entry, find_adapter
from punie.errors import InputError, ModelError
from punie.models.check import read_json
from punie.models.fingerprint import fingerprint
from punie.models.manifest import MANIFEST
from punie.records.adapter import FusedManifest, Packing

TOKENS = list(range(3, 60))
Logits = NDArray[np.float32]


def logits(model: Path, adapter: Path | None = None) -> Logits:
    loaded, _ = load_model(model)
    if adapter is not None:
        loaded = load_adapters(loaded, str(adapter))
        loaded.eval()
    return np.array(loaded(mx.array([TOKENS]))[0].astype(mx.float32))


def fused(model: Path, adapter: Path, folder: Path, **how: Any) -> FusedManifest:
    entry = find_adapter(folder.parent, str(adapter))
    return fuse_adapter(entry, base_of(entry, folder.parent, str(model)), folder, **how)


@pytest.mark.parametrize("kind", ["lora", "dora", "full", "embeddings"])
def test_a_fused_model_answers_as_base_and_adapter(
    tiny_model: Path, tmp_path: Path, kind: str
) -> None:
    adapter = make_adapter(tiny_model, tmp_path / "adapters" / "mine", kind=kind)
    together = logits(tiny_model, adapter)
    assert np.abs(together - logits(tiny_model)).max() > 0.1  # the adapter does something
    manifest = fused(tiny_model, adapter, tmp_path / "out" / "fused")
    after = logits(tmp_path / "out" / "fused")
    assert np.abs(after - together).max() < 1e-4
    assert manifest.agreement.same_next_token == manifest.agreement.positions > 20
    assert manifest.agreement.largest_difference < 1e-5
    assert manifest.dtype == "float32"


def test_what_is_not_weights_is_the_base_s_to_the_letter(tiny_model: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tiny_model, tmp_path / "mine")
    manifest = fused(tiny_model, adapter, tmp_path / "fused")
    base, after = fingerprint(tiny_model), fingerprint(tmp_path / "fused")
    assert (after.tokenizer, after.template) == (base.tokenizer, base.template)
    assert after.weights != base.weights
    assert manifest.weights_hash == after.weights
    assert manifest.base.weights_hash == base.weights
    written = FusedManifest.model_validate_json((tmp_path / "fused" / MANIFEST).read_bytes())
    assert written == manifest
    assert sorted(each.name for each in tmp_path.iterdir()) == ["fused", "mine"]


@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_a_quantised_base_stays_quantised_or_is_unpacked(
    tiny_model: Path, tmp_path: Path, kind: str
) -> None:
    packed = pack(tiny_model, tmp_path / "packed")
    adapter = make_adapter(packed, tmp_path / "mine", kind=kind)
    together = logits(packed, adapter)
    plain = fused(packed, adapter, tmp_path / "plain", dequantize=True)
    assert plain.dtype == "float32"
    assert "quantization" not in read_json(tmp_path / "plain" / "config.json")
    assert np.abs(logits(tmp_path / "plain") - together).max() < 1e-3
    again = fused(packed, adapter, tmp_path / "again")
    assert again.dtype == "4-bit, group 32"
    # Packed anew, the sum of both is no longer the sum: how far, the manifest says.
    assert np.abs(logits(tmp_path / "again") - together).max() > 1e-3
    assert again.agreement.largest_difference > plain.agreement.largest_difference


def test_an_unpacked_base_can_be_packed(tiny_model: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tiny_model, tmp_path / "mine")
    manifest = fused(tiny_model, adapter, tmp_path / "four", quantize=Packing(group_size=32))
    assert manifest.dtype == "4-bit, group 32"
    assert logits(tmp_path / "four").shape == (len(TOKENS), 516)


def test_the_type_of_the_base_is_kept(tiny_model: Path, tmp_path: Path) -> None:
    half = pack(tiny_model, tmp_path / "half", dtype=mx.bfloat16)
    adapter = make_adapter(half, tmp_path / "mine", kind="dora")
    assert fused(half, adapter, tmp_path / "fused").dtype == "bfloat16"


def test_nothing_is_overwritten_and_nothing_half_done_is_left(
    tiny_model: Path, tmp_path: Path
) -> None:
    adapter = make_adapter(tiny_model, tmp_path / "mine")
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="there already"):
        fused(tiny_model, adapter, tmp_path / "there")
    settings = json.loads((adapter / "adapter_config.json").read_text())
    settings["lora_parameters"]["keys"] = ["no.such.module"]
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match="could not be fused"):
        fused(tiny_model, adapter, tmp_path / "fused")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["mine", "there"]


def test_an_adapter_without_a_base_is_asked_for_one(tiny_model: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tiny_model, tmp_path / "mine")
    settings = json.loads((adapter / "adapter_config.json").read_text())
    settings.pop("model")
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    entry: Entry = find_adapter(tmp_path, str(adapter))
    with pytest.raises(InputError, match="does not say which model"):
        base_of(entry, tmp_path, None)


def test_what_a_killed_fuse_left_is_removed_by_the_next(tiny_model: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tiny_model, tmp_path / "mine")
    argv = [sys.executable, "-c", "import os; print(os.getpid())"]
    ended = int(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
    out = tmp_path / "out"
    abandoned, busy = (out / f".fused.partial-{pid}-abc" for pid in (ended, os.getpid()))
    for folder in (abandoned, busy):
        folder.mkdir(parents=True)
    fused(tiny_model, adapter, out / "fused")
    assert sorted(path.name for path in out.iterdir()) == sorted([busy.name, "fused"])


def test_a_worker_ends_with_its_parent(tiny_model: Path, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "punie.backends.workers.fuse"]
    job = {"model": str(tiny_model), "folder": str(tmp_path / "x")}
    worker = subprocess.Popen([*argv, json.dumps(job)], stdin=subprocess.PIPE)
    assert worker.stdin is not None
    worker.stdin.close()  # as when the parent is killed
    assert worker.wait(timeout=60) == 1
    assert not (tmp_path / "x" / MANIFEST).exists()
