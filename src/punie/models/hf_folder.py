"""A model's folder as transformers reads it rightly: the folder itself, or one made of it.

mlx_lm and transformers read the same files, but for what mlx packs, and for what a config leaves to
the reader's own default.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from punie.errors import ModelError
from punie.models.cache import build_once, cache_root
from punie.models.check import base_tensors, read_json, weight_files, whatever_is_in_it
from punie.models.converter import Progress, convert_by, quiet
from punie.models.fingerprint import fingerprint
from punie.models.safetensors import NAMES, TensorInfo
from punie.records.base import digest

RECIPE = 1
"""Grows when the unpacked folder of the same model comes out otherwise, so that it is made anew."""
SAME_NAMES = (
    "cohere",
    "gemma",
    "gemma2",
    "granite",
    "llama",
    "mistral",
    "olmo2",
    "phi3",
    "qwen2",
    "qwen3",
    "smollm3",
    "starcoder2",
)
"""Architectures whose weights have the same names and shapes in mlx_lm and in transformers; of
others, mlx_lm renames or turns some when it converts them."""
BITS = (2, 3, 4, 5, 6, 8)
GROUPS = (32, 64, 128)
TAKE_ORIGINAL = "take the model that it was made from, in its 16-bit Hugging Face form"
COPIED = ("*.json", "*.jinja", "*.model", "*.txt", "*.tiktoken")
CONFIGS = ("config.json", "tokenizer_config.json")
CODE = frozenset(
    {
        "auto_map",
        *("attn_implementation", "_attn_implementation", "_attn_implementation_internal"),
        *("experts_implementation", "_experts_implementation", "_experts_implementation_internal"),
    }
)
"""What names Python files, and implementations, which may be native code of a hub repository."""
ADAPTER = "adapter_"
"""How the files of an adapter begin that may lie beside a model: transformers would put it on."""


def hf_folder(folder: Path, *, cache: Path | None = None, progress: Progress = quiet) -> Path:
    """The folder that transformers can load for the resolved model in `folder`.

    It is the folder itself where its config says all that transformers must know and names no code;
    else one in the cache, with links to its files; and of a model that mlx quantised one with its
    weights unpacked, made once for each fingerprint. Raises ModelError, with what to do instead,
    for what transformers would read as another model.
    """
    with whatever_is_in_it(folder):
        return _hf_folder(folder, cache, progress)


def _hf_folder(folder: Path, cache: Path | None, progress: Progress) -> Path:
    configs = {name: read_json(folder / name) for name in CONFIGS if (folder / name).exists()}
    tensors = base_tensors(folder)
    _refuse_what_is_read_otherwise(folder, configs["config.json"], tensors)
    packed = any(name.endswith(".scales") for name in tensors)
    if packed:
        _refuse_odd_packing(folder, configs["config.json"])
    mended = {name: _mended(config) for name, config in configs.items()}
    mended["config.json"] |= _ties(mended["config.json"], tensors)
    if packed:
        return _unpacked(folder, mended, tensors, cache, progress)
    beside = any(file.name.startswith(ADAPTER) for file in folder.iterdir())
    return folder if mended == configs and not beside else _linked(folder, mended, cache)


def _mended(config: Mapping[str, Any]) -> dict[str, Any]:
    """Without what names code, and without mlx's own word on its packing."""
    left = {key: value for key, value in _codeless(config).items() if key != "quantization"}
    if not _method(config):
        left.pop("quantization_config", None)
    return left


def _codeless(value: Any) -> Any:
    """A config without what names code, in all of its parts."""
    if not isinstance(value, Mapping):
        return value
    settings = cast("Mapping[str, Any]", value)
    return {key: _codeless(inner) for key, inner in settings.items() if key not in CODE}


def _ties(config: Mapping[str, Any], tensors: Mapping[str, TensorInfo]) -> dict[str, bool]:
    """Whether the head is the embedding: where it is not said, mlx_lm and transformers differ."""
    if "tie_word_embeddings" in config or "model.embed_tokens.weight" not in tensors:
        return {}
    return {"tie_word_embeddings": "lm_head.weight" not in tensors}


def _method(config: Mapping[str, Any]) -> str:
    """Who packed the weights, if it was not mlx."""
    settings: Any = config.get("quantization_config")
    if "quantization" in config or not isinstance(settings, dict):
        return ""
    return str(cast("dict[str, Any]", settings).get("quant_method") or "")[:40]


def _refuse_what_is_read_otherwise(
    folder: Path, config: Mapping[str, Any], tensors: Mapping[str, TensorInfo]
) -> None:
    rope: Any = config.get("rope_parameters")
    inner = cast("dict[str, Any]", rope).get("rope_theta") if isinstance(rope, dict) else None
    outer = config.get("rope_theta")
    if config.get("rope_traditional"):
        raise ModelError(
            f"{folder} rotates pairs that lie side by side (rope_traditional), which transformers"
            " does not: it would answer nonsense",
            hint="give the GGUF file itself, whose rows punie puts in order, or " + TAKE_ORIGINAL,
        )
    if None not in (inner, outer) and inner != outer:
        raise ModelError(
            f"{folder / 'config.json'} gives two values of rope_theta, {outer} and, in"
            f" rope_parameters, {inner}: each backend would read another one",
            hint="mend the file: one of them is the model's",
        )
    if any(".switch_mlp." in name for name in tensors):
        raise ModelError(
            f"{folder} holds its experts in mlx_lm's form, which transformers does not read",
            hint=TAKE_ORIGINAL,
        )
    if method := _method(config):
        raise ModelError(
            f"{folder} is packed already, by {method}, which punie does not run on cuda",
            hint=TAKE_ORIGINAL,
        )


def _refuse_odd_packing(folder: Path, config: Mapping[str, Any]) -> None:
    kind = str(config.get("model_type"))
    if kind not in SAME_NAMES:
        raise ModelError(
            f"{folder} was quantised by mlx, and of the architecture {kind} punie does not know"
            " how its weights are called elsewhere",
            hint=TAKE_ORIGINAL,
        )
    settings: Any = config.get("quantization") or config.get("quantization_config")
    general = cast("dict[str, Any]", settings) if isinstance(settings, dict) else {}
    for name, each in {"quantization": general, **general}.items():
        if not isinstance(each, dict):
            continue
        said = {**general, **cast("dict[str, Any]", each)}
        mode, bits, group = said.get("mode", "affine"), said.get("bits"), said.get("group_size")
        if mode != "affine" or bits not in BITS or group not in GROUPS:
            packing = f"{mode!s:.20}, {bits!s:.8} bits, groups of {group!s:.8}"
            raise ModelError(
                f"{folder / 'config.json'}: {name!s:.80} is packed as {packing}; punie unpacks"
                f" affine, {_list(BITS)} bits, groups of {_list(GROUPS)}",
                hint=TAKE_ORIGINAL,
            )


def _linked(folder: Path, configs: Mapping[str, Any], cache: Path | None) -> Path:
    real = folder.resolve()
    files = sorted(f for f in real.iterdir() if f.name not in configs and _is_taken(f))

    def make(work: Path) -> Path:
        made = work / "model"
        made.mkdir()
        for file in files:
            (made / file.name).symlink_to(file)
        _write(made, configs)
        return made

    identity = digest([str(real), [file.name for file in files], dict(configs)])
    target = (cache or cache_root()) / "overlays" / f"{folder.name}-{identity[:12]}"
    return build_once(target, make, waiting=lambda: None)


def _is_taken(file: Path) -> bool:
    """Whether a file is the model's own: no code, and no adapter's."""
    return file.suffix != ".py" and not file.name.startswith(ADAPTER)


def _unpacked(
    folder: Path,
    configs: Mapping[str, dict[str, Any]],
    tensors: Mapping[str, TensorInfo],
    cache: Path | None,
    progress: Progress,
) -> Path:
    real = folder.resolve()
    scales = next(info.dtype for name, info in tensors.items() if name.endswith(".scales"))
    configs = {**configs, "config.json": {**configs["config.json"], "torch_dtype": NAMES[scales]}}
    weights = {file.name for file in weight_files(folder)} | {"model.safetensors.index.json"}

    def make(work: Path) -> Path:
        made = work / "model"
        made.mkdir()
        for file in (found for pattern in COPIED for found in real.glob(pattern)):
            if file.name not in weights and file.name not in configs and _is_taken(file):
                shutil.copyfile(file, made / file.name)
        if (real / "additional_chat_templates").is_dir():
            shutil.copytree(real / "additional_chat_templates", made / "additional_chat_templates")
        _write(made, configs)
        convert_by("unpack", str(real), str(made), source=folder, work=work, progress=progress)
        return made

    # By content, because the unpacked folder holds no links: it outlives the one it was made from.
    name = f"{folder.name}-{fingerprint(folder).whole[:12]}-{RECIPE}"
    target = (cache or cache_root()) / "unpacked" / name
    return build_once(target, make, waiting=lambda: progress("wait", 0, 0))


def _write(folder: Path, configs: Mapping[str, Any]) -> None:
    for name, config in configs.items():
        (folder / name).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _list(numbers: tuple[int, ...]) -> str:
    return f"{', '.join(map(str, numbers[:-1]))} or {numbers[-1]}"
