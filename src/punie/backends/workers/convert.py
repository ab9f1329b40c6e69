"""Turn a GGUF file into an MLX folder: `python -m … workers.convert FILE FOLDER DTYPE`.

On stdout, JSON lines: `{"done": n, "total": n}` for each tensor, at last `{"folder": …}`, or
`{"error": {"message": …, "hint": …}}` and exit status 1. Ends by itself when stdin is closed.

All weights are dequantised, by the `gguf` package alone: mlx's own reader decodes Q4_K wrongly and
knows fewer types. DTYPE is float32 or bfloat16.
"""

# gguf is only partly typed.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from punie.backends.workers.gguf_tokenizer import write_tokenizer
from punie.backends.workers.lifeline import end_with_parent, say
from punie.backends.workers.weights_file import Tensor, bfloat16, require_space, write_safetensors
from punie.errors import ModelError

DTYPES = {"float32": "F32", "bfloat16": "BF16"}
PERMUTED = ("llama",)
"""Families whose q and k rows llama.cpp stores in the order of the interleaved rotary embedding."""
FAMILIES = ("llama", "qwen2", "qwen3")
ELSEWHERE = "take the model's MLX version from the Hugging Face Hub instead"

TOP = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
LAYER = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def convert(file: Path, folder: Path, dtype: str, progress: Callable[[int, int], None]) -> None:
    """Write the MLX folder of `file`. Raises ModelError for what cannot be converted."""
    reader = gguf.GGUFReader(file)
    metadata = {name: field.contents() for name, field in reader.fields.items()}
    config = model_config(metadata, [str(tensor.name) for tensor in reader.tensors])
    tensors = list(mapped_tensors(reader, config, dtype))
    embedding = next((t for t in tensors if t.name == TOP["token_embd.weight"]), None)
    if embedding is None:
        raise ModelError("the file holds no token embeddings", hint="is it a part of a split file?")
    config |= {"vocab_size": embedding.shape[0], "torch_dtype": dtype}
    folder.mkdir(parents=True)
    require_space(folder, tensors)
    write_tokenizer(metadata, folder)
    text = json.dumps(config, indent=2) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")
    with (folder / "model.safetensors").open("wb") as out:
        write_safetensors(out, tensors, progress)


def model_config(metadata: Mapping[str, Any], tensors: list[str]) -> dict[str, Any]:
    """The config.json (without `vocab_size`) that mlx_lm needs for these tensors."""
    family = str(metadata.get("general.architecture"))
    if family not in FAMILIES or metadata.get(f"{family}.expert_count"):
        kind = f"mixture of {family}s" if family in FAMILIES else family
        raise ModelError(
            f"cannot convert a {kind} from GGUF (known: {', '.join(FAMILIES)})", hint=ELSEWHERE
        )

    def value(key: str, default: Any = None) -> Any:
        found = metadata.get(f"{family}.{key}", default)
        if found is None:
            raise ModelError(f"the file's metadata lack {family}.{key}", hint="is it damaged?")
        # Floats are stored in 32 bits; their shortest spelling is what was meant (1e-05).
        return float(str(np.float32(found))) if isinstance(found, float) else found

    heads, hidden = value("attention.head_count"), value("embedding_length")
    head_dim = value("attention.key_length", hidden // heads)
    config = {
        "architectures": [f"{family.capitalize()}ForCausalLM"],
        "model_type": family,
        "hidden_size": hidden,
        "intermediate_size": value("feed_forward_length"),
        "num_hidden_layers": value("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": value("attention.head_count_kv", heads),
        "head_dim": head_dim,
        "max_position_embeddings": value("context_length"),
        "rms_norm_eps": value("attention.layer_norm_rms_epsilon"),
        # mlx_lm's llama reads rope_theta at the top level only, and else takes 10000 silently.
        "rope_theta": value("rope.freq_base", 10_000.0),
        "rope_traditional": False,
        "tie_word_embeddings": "output.weight" not in tensors,
        "attention_bias": "blk.0.attn_q.bias" in tensors,
        **_token_ids(metadata),
    }
    _refuse_odd_rotation(metadata, family, head_dim, tensors)
    if metadata.get(f"{family}.rope.scaling.type") == "linear":
        config["rope_scaling"] = {"type": "linear", "factor": value("rope.scaling.factor")}
    return config


def _token_ids(metadata: Mapping[str, Any]) -> dict[str, int | list[int]]:
    found = [metadata.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot")]
    ends = list(dict.fromkeys(index for index in found if index is not None))
    ids: dict[str, int | list[int]] = {"eos_token_id": ends[0] if len(ends) == 1 else ends}
    bos = metadata.get("tokenizer.ggml.bos_token_id")
    return (ids if ends else {}) | ({} if bos is None else {"bos_token_id": bos})


def _refuse_odd_rotation(
    metadata: Mapping[str, Any], family: str, head_dim: int, tensors: list[str]
) -> None:
    scaling = metadata.get(f"{family}.rope.scaling.type", "none")
    turned = metadata.get(f"{family}.rope.dimension_count", head_dim)
    if scaling not in ("none", "linear") or turned != head_dim or "rope_freqs.weight" in tensors:
        raise ModelError(
            "the file scales its rotary embedding in a way that is not converted", hint=ELSEWHERE
        )


def mapped_tensors(
    reader: gguf.GGUFReader, config: Mapping[str, Any], dtype: str
) -> Iterator[Tensor]:
    """The file's tensors under their MLX names. Raises ModelError for one without a name there."""
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    for source in reader.tensors:
        shape = tuple(int(n) for n in reversed(source.shape.tolist()))
        found = re.fullmatch(r"blk\.(\d+)\.(\w+)\.(weight|bias)", source.name)
        part = found[2] if found else ""
        name = TOP.get(source.name)
        if found and part in LAYER:
            name = f"model.layers.{found[1]}.{LAYER[part]}.{found[3]}"
        if name is None:
            raise ModelError(f"no place for the tensor {source.name}", hint=ELSEWHERE)
        permuted = heads.get(part) if config["model_type"] in PERMUTED else None
        read = partial(_values, source, shape, permuted, name, dtype)
        yield Tensor(name, DTYPES[dtype], shape, read)


def _values(
    source: gguf.ReaderTensor, shape: tuple[int, ...], heads: int | None, name: str, dtype: str
) -> Iterator[NDArray[Any]]:
    values = gguf.quants.dequantize(source.data, source.tensor_type).reshape(shape)
    values = np.ascontiguousarray(unpermuted(values, heads) if heads else values, dtype="<f4")
    if not np.isfinite(values).all():
        raise ModelError(f"{name} holds values that are no numbers", hint="damaged?")
    yield values if dtype == "float32" else bfloat16(values)


def unpermuted(values: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Rows (heads x head_dim, …) from pairs side by side to halves, as `rope_traditional: false`.

    The inverse of `permute` in llama.cpp's `convert_hf_to_gguf.py`.
    """
    pairs = values.reshape(heads, values.shape[0] // heads // 2, 2, *values.shape[1:])
    return pairs.swapaxes(1, 2).reshape(values.shape)


def main(file: Path, folder: Path, dtype: str) -> int:
    """Convert and report on stdout; the exit status."""
    end_with_parent()
    try:
        convert(file, folder, dtype, lambda done, total: say({"done": done, "total": total}))
    except ModelError as error:
        say({"error": {"message": f"{file}: {error.message}", "hint": error.hint}})
    except Exception as error:  # noqa: BLE001 - a damaged file fails anywhere inside the reader
        what = f"{type(error).__name__}: {error}"
        say({"error": {"message": f"{file} cannot be read as GGUF ({what})", "hint": "damaged?"}})
    else:
        say({"folder": str(folder)})
        return 0
    return 1


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[3] not in DTYPES:
        sys.exit("usage: python -m punie.backends.workers.convert FILE FOLDER float32|bfloat16")
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
