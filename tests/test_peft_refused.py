"""Adapters in PEFT's form that are no such thing, or that mlx_lm's form cannot say."""

import json
from pathlib import Path

import pytest

from both_forms import to_mlx, to_peft
from malformed import (
    GOOD_ADAPTER,
    GOOD_CONFIG,
    GOOD_MODEL,
    PEFT_A,
    PEFT_ADAPTER,
    PEFT_B,
    PEFT_LORA,
    QUERY,
    SETTINGS,
    Content,
    giant,
    peft,
    raw_header,
    tensors,
    zeros,
)
from punie.errors import ModelError

OUTPUT = "model.layers.0.self_attn.o_proj"
BASE = {
    **GOOD_MODEL,
    "model.safetensors": tensors({f"{each}.weight": (8, 8) for each in (QUERY, OUTPUT)}),
}
CASES: dict[str, tuple[str, Content | None, str]] = {
    "no settings": (SETTINGS, None, "has no adapter_config.json"),
    "settings of 10 GB": (SETTINGS, giant, "adapter_config.json: is 10,240 MiB"),
    "settings deep": (SETTINGS, "[" * 100_000, "adapter_config.json"),
    "no weights": (PEFT_LORA, None, "and no adapter_model.safetensors"),
    "weights empty": (PEFT_LORA, "", "is cut short"),
    "weights a device": (PEFT_LORA, zeros, "is no regular file"),
    "weights a pickle": (PEFT_LORA, b"\x80\x02" + b"A" * 60, "pickle under another name"),
    "no tensors": (PEFT_LORA, raw_header({}), "holds no tensors"),
    "only lora_B": (PEFT_LORA, tensors({PEFT_B: (8, 2)}), "without base_model"),
    "ranks differ": (PEFT_LORA, tensors({PEFT_A: (2, 8), PEFT_B: (8, 3)}), "states rank 2"),
    "a deeper layer": (
        PEFT_LORA, tensors({k.replace(".0.", ".7."): v for k, v in PEFT_ADAPTER.items()}),
        "another base"),
    "names of mlx_lm": (PEFT_LORA, tensors(GOOD_ADAPTER), "which is not LoRA's"),
    "a whole module": (
        PEFT_LORA, tensors({**PEFT_ADAPTER, "base_model.model.lm_head.weight": (4, 8)}),
        "which is not LoRA's"),
    "magnitudes": (
        PEFT_LORA,
        tensors({**PEFT_ADAPTER, f"base_model.model.{QUERY}.lora_magnitude_vector": (1, 8)}),
        "DoRA's magnitudes"),
    "an embedding": (
        PEFT_LORA, tensors({"base_model.model.model.embed_tokens.lora_embedding_A": (2, 4)}),
        "adapts embeddings"),
    "experts": (
        PEFT_LORA, tensors({k.replace("self_attn", "mlp.experts.3"): v
                            for k, v in PEFT_ADAPTER.items()}), "expert layers"),
    "a long name": (
        PEFT_LORA, tensors({"base_model.model." + "a." * 9999 + "lora_A.weight": (2, 8)}),
        "a name of 20,"),
    "a kind of a list": (SETTINGS, peft(peft_type=["LORA"]), "of the kind ['LORA']"),
    "DoRA": (SETTINGS, peft(use_dora=True), "is a DoRA adapter"),
    "whole modules": (SETTINGS, peft(modules_to_save=["lm_head"]), "modules_to_save"),
    "tokens": (SETTINGS, peft(trainable_token_indices=[1]), "trainable_token_indices"),
    "parameters of experts": (SETTINGS, peft(target_parameters=["a"]), "target_parameters"),
    "a bias": (SETTINGS, peft(bias="all"), "bias 'all'"),
    "PiSSA": (SETTINGS, peft(init_lora_weights="pissa"), "init_lora_weights 'pissa'"),
    "something new": (SETTINGS, peft(use_tomorrow=True), "'use_tomorrow'"),
    "rank 0": (SETTINGS, peft(r=0), "r 0 is"),
    "rank a text": (SETTINGS, peft(r="8"), "r '8' is"),
    "another rank": (SETTINGS, peft(r=4), "states rank 4"),
    "alpha NaN": (SETTINGS, peft(lora_alpha=float("nan")), "lora_alpha nan"),
    "alpha huge": (SETTINGS, peft(lora_alpha=10**400), "adapter_config.json is not of"),
    "alpha a text": (SETTINGS, peft(lora_alpha="16"), "lora_alpha '16'"),
    "no alpha": (SETTINGS, peft(lora_alpha=None), "lora_alpha None"),
    "scale huge": (SETTINGS, peft(lora_alpha=1e9), "scale 500000000"),
    "dropout 2": (SETTINGS, peft(lora_dropout=2), "dropout 2"),
    "a rank of its own": (SETTINGS, peft(rank_pattern={"q_proj": 3}), "states rank 3"),
    "ranks by expression": (SETTINGS, peft(rank_pattern={"(a+)+$": 3}), "the expression"),
    "more modules": (SETTINGS, peft(target_modules=["q_proj", "o_proj"]), "lacks tensors of"),
    "other modules": (SETTINGS, peft(target_modules=[]), "has tensors of"),
    "other layers": (SETTINGS, peft(layers_to_transform=[5]), "has tensors of"),
    "modules a number": (SETTINGS, peft(target_modules=[[1]]), "of the expected form"),
}  # fmt: skip


def folder_of(folder: Path, files: dict[str, Content]) -> Path:
    folder.mkdir()
    for name, content in files.items():
        if isinstance(content, str):
            (folder / name).write_text(content)
        elif isinstance(content, bytes):
            (folder / name).write_bytes(content)
        else:
            content(folder / name)
    return folder


def files_of(file: str, content: Content | None) -> dict[str, Content]:
    """A sound adapter with one of its files replaced, or left out."""
    good: dict[str, Content] = {SETTINGS: peft(), PEFT_LORA: tensors(PEFT_ADAPTER)}
    changed = {**good, file: content}
    return {name: each for name, each in changed.items() if each is not None}


@pytest.mark.parametrize("name", CASES)
def test_refused(name: str, tmp_path: Path):
    file, content, what = CASES[name]
    model = folder_of(tmp_path / "model", dict(BASE))
    adapter = folder_of(tmp_path / "adapter", files_of(file, content))
    with pytest.raises(ModelError) as refused:
        to_mlx(adapter, model, tmp_path / "out")
    assert what in refused.value.message
    assert "adapter" in refused.value.message
    assert refused.value.hint
    assert "convert the model" not in refused.value.hint
    assert list((tmp_path / "out").iterdir()) == []


def test_the_model_in_ggufs_order_is_refused_both_ways(tmp_path: Path):
    config = json.dumps({**json.loads(GOOD_MODEL["config.json"]), "rope_traditional": True})
    model = folder_of(tmp_path / "model", {**BASE, "config.json": config})
    peft_adapter = folder_of(
        tmp_path / "peft", {SETTINGS: peft(), PEFT_LORA: tensors(PEFT_ADAPTER)}
    )
    with pytest.raises(ModelError, match="rope_traditional"):
        to_mlx(peft_adapter, model, tmp_path / "out")
    settings = json.dumps(GOOD_CONFIG)
    adapter = folder_of(
        tmp_path / "mlx", {SETTINGS: settings, "adapters.safetensors": tensors(GOOD_ADAPTER)}
    )
    with pytest.raises(ModelError, match="rope_traditional"):
        to_peft(adapter, model, tmp_path / "other")


@pytest.mark.parametrize(
    ("changes", "more", "what"),
    [
        ({"fine_tune_type": "dora"}, {}, "a DoRA adapter"),
        ({}, {f"{QUERY}.m": (8,)}, "not LoRA's"),
        ({}, {"model.embed_tokens.lora_a": (8, 2), "model.embed_tokens.lora_b": (2, 8)}, "embeddi"),
        ({}, {"lm_head.lora_a": (8, 2), "lm_head.lora_b": (2, 8)}, "another base"),
        (
            {},
            {"model.layers.0.mlp.lora_a": (4, 2, 8), "model.layers.0.mlp.lora_b": (4, 8, 2)},
            "exp",
        ),
        ({}, {f"{OUTPUT}.lora_b": (2, 8)}, "without"),
        ({"fine_tune_type": "full"}, None, "full fine-tuning"),
    ],
)
def test_what_peft_has_no_place_for(
    changes: dict[str, str],
    more: dict[str, tuple[int, ...]] | None,
    what: str,
    tmp_path: Path,
):
    model = folder_of(tmp_path / "model", dict(BASE))
    held = {**GOOD_ADAPTER, **more} if more is not None else {f"{QUERY}.weight": (8, 8)}
    settings = json.dumps({**GOOD_CONFIG, **changes})
    files: dict[str, Content] = {SETTINGS: settings, "adapters.safetensors": tensors(held)}
    adapter = folder_of(tmp_path / "adapter", files)
    with pytest.raises(ModelError, match=what) as refused:
        to_peft(adapter, model, tmp_path / "out")
    assert refused.value.hint
    assert "convert the model" not in refused.value.hint
    assert list((tmp_path / "out").iterdir()) == []


def test_the_base_that_the_settings_name_is_a_hint(tmp_path: Path):
    model = folder_of(tmp_path / "model", dict(BASE))
    other = tensors({PEFT_A: (2, 6), PEFT_B: (6, 2)})
    adapter = folder_of(tmp_path / "adapter", {SETTINGS: peft(), PEFT_LORA: other})
    with pytest.raises(ModelError, match="another base") as refused:
        to_mlx(adapter, model, tmp_path / "out")
    assert "someone/another-model" in (refused.value.hint or "")
