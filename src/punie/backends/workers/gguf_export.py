"""Write an unpacked MLX folder as a GGUF file: `python -m … workers.gguf_export JOB`, JOB as JSON.

JOB names `model`, `file`, `name` and `notes`; or a `file` alone, which is then only looked at; or a
`model` alone, of which is then only told whether it could be written once it is unpacked. The
tensors keep their type, except that vectors are float32, as llama.cpp wants them: nothing is
rounded. Then the file is read back as punie reads GGUF, and every tensor, the settings and the
tokenizer must be those of the folder, or there is no file. On stdout, at last, `{"gguf": …}` or
`{"error": {"message": …, "hint": …}}`.
"""

# gguf is only partly typed.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from punie.backends.workers.convert import LAYER, PERMUTED, TOP, mapped_tensors, model_config
from punie.backends.workers.gguf_vocabulary import require_same, vocabulary_of
from punie.backends.workers.lifeline import end_with_parent, say
from punie.errors import ModelError

FAMILIES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
"""GGUF's architecture by mlx_lm's model_type."""
ELSEWHERE = "llama.cpp knows more architectures: give --llama-cpp with the folder of its checkout"
Kind = gguf.GGMLQuantizationType
KINDS = {"F32": (Kind.F32, "<f4"), "F16": (Kind.F16, "<f2"), "BF16": (Kind.BF16, "<u2")}
FILE_TYPES = {
    Kind.F32: gguf.LlamaFileType.ALL_F32,
    Kind.F16: gguf.LlamaFileType.MOSTLY_F16,
    Kind.BF16: gguf.LlamaFileType.MOSTLY_BF16,
}
COMPARED = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "max_position_embeddings",
    "rms_norm_eps",
    "rope_theta",
    "tie_word_embeddings",
)
_TOP = {ours: theirs for theirs, ours in TOP.items()}
_LAYER = {ours: theirs for theirs, ours in LAYER.items()}


@dataclass(frozen=True, slots=True)
class Weight:
    """A tensor of the folder: bits as they are, bfloat16 as the upper halves of floats."""

    name: str
    kind: gguf.GGMLQuantizationType
    bits: NDArray[Any]

    def floats(self) -> NDArray[np.float32]:
        """The same values in float32, exactly."""
        if self.kind is Kind.BF16:
            return (self.bits.astype(np.uint32) << 16).view(np.float32)
        return self.bits.astype(np.float32)


def export(folder: Path, file: Path, name: str, notes: Mapping[str, str]) -> dict[str, Any]:
    """Write and check; what was written. Raises ModelError."""
    config = settings_of(folder)
    weights = list(read_weights(folder))
    rows = next(len(w.bits) for w in weights if w.name == "model.embed_tokens.weight")
    vocabulary = vocabulary_of(folder, rows)
    writer = gguf.GGUFWriter(file, FAMILIES[config["model_type"]])
    writer.add_name(name)
    _add_settings(writer, config, rows)
    _add_vocabulary(writer, vocabulary)
    for key, value in notes.items():
        writer.add_string(key, value)
    for weight in weights:
        _add_tensor(writer, weight, config)
    matrices = [weight.kind for weight in weights if weight.bits.ndim == 2]
    writer.add_file_type(FILE_TYPES[max(set(matrices), key=matrices.count)])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    texts = read_back(file, folder, config, weights)
    return {"tensors": len(weights), "texts": texts, "bytes": file.stat().st_size}


def settings_of(folder: Path, *, unpacked: bool = False) -> dict[str, Any]:
    """The folder's config with its defaults. Raises ModelError for what cannot be written.

    With `unpacked` packed weights are no obstacle.
    """
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    family = FAMILIES.get(config["model_type"])
    scaling: Any = config.get("rope_scaling") or {}
    rotation = scaling.get("type") or scaling.get("rope_type") or "default"
    windowed = config.get("use_sliding_window") or "sliding_attention" in (
        config.get("layer_types") or ()
    )
    packed = config.get("quantization") or config.get("quantization_config")
    wrong = ""
    if family is None or config.get("num_local_experts"):
        wrong = f"punie writes no {config['model_type']} as GGUF"
    elif packed and not unpacked:
        wrong = "the weights are packed"
    elif rotation not in ("default", "none", "linear") or config.get("rope_traditional"):
        wrong = f"punie writes no rotary embedding of the kind {rotation}"
    elif windowed:
        wrong = "punie writes no sliding windows as GGUF"
    if wrong:
        raise ModelError(wrong, hint=ELSEWHERE)
    heads = config["num_attention_heads"]
    config["num_key_value_heads"] = config.get("num_key_value_heads") or heads
    config["head_dim"] = config.get("head_dim") or config["hidden_size"] // heads
    config["rope_theta"] = config.get("rope_theta") or 10_000.0
    config["max_position_embeddings"] = config.get("max_position_embeddings") or 2048
    config["rope_scaling"] = scaling if rotation == "linear" else None
    return config


def read_weights(folder: Path) -> Iterator[Weight]:
    """Every tensor of the folder's safetensors files, mapped and not read.

    The format: https://github.com/huggingface/safetensors#format
    """
    for path in sorted(folder.glob("model*.safetensors")):
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header: dict[str, Any] = json.loads(file.read(size))
        data = np.memmap(path, dtype=np.uint8, mode="r", offset=8 + size)
        for name, entry in header.items():
            if name == "__metadata__" or name.endswith("rotary_emb.inv_freq"):
                continue
            if entry["dtype"] not in KINDS:
                raise ModelError(f"{name} is of type {entry['dtype']}", hint=ELSEWHERE)
            kind, width = KINDS[entry["dtype"]]
            start, end = entry["data_offsets"]
            yield Weight(name, kind, data[start:end].view(width).reshape(entry["shape"]))


def _add_settings(writer: gguf.GGUFWriter, config: Mapping[str, Any], rows: int) -> None:
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(float(config["rope_theta"]))
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(rows)
    if config["rope_scaling"]:
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(config["rope_scaling"]["factor"])


def _add_vocabulary(writer: gguf.GGUFWriter, vocabulary: Mapping[str, Any]) -> None:
    for key, value in vocabulary.items():
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        else:
            writer.add_array(key, value)


def _add_tensor(writer: gguf.GGUFWriter, weight: Weight, config: Mapping[str, Any]) -> None:
    name, part = gguf_name(weight.name)
    heads = {"attn_q": "num_attention_heads", "attn_k": "num_key_value_heads"}.get(part)
    bits: NDArray[Any] = weight.floats() if weight.bits.ndim == 1 else weight.bits
    kind = Kind.F32 if weight.bits.ndim == 1 else weight.kind
    if heads and FAMILIES[config["model_type"]] in PERMUTED:
        bits = permuted(bits, config[heads])
    if kind is Kind.BF16:  # the package takes it as bytes
        bits = np.ascontiguousarray(bits).view(np.uint8)
    writer.add_tensor(name, bits, raw_dtype=kind)


def gguf_name(name: str) -> tuple[str, str]:
    """GGUF's name of a tensor, and the part of a layer that it is; raises ModelError."""
    if name in _TOP:
        return _TOP[name], ""
    module, _, leaf = name.rpartition(".")
    pieces = module.split(".", 3)
    part = _LAYER.get(pieces[3]) if len(pieces) == 4 and pieces[:2] == ["model", "layers"] else None
    if part is None:
        raise ModelError(f"GGUF has no place for the tensor {name}", hint=ELSEWHERE)
    return f"blk.{pieces[2]}.{part}.{leaf}", part


def permuted(values: NDArray[Any], heads: int) -> NDArray[Any]:
    """Rows (heads x head_dim, …) from halves to pairs side by side, as llama.cpp stores q and k.

    The inverse of `convert.unpermuted`.
    """
    halves = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return halves.swapaxes(1, 2).reshape(values.shape)


def read_back(file: Path, folder: Path, config: Mapping[str, Any], weights: list[Weight]) -> int:
    """Raise ModelError unless the file says what the folder says; the number of texts compared."""
    reader = gguf.GGUFReader(file)
    metadata = {name: field.contents() for name, field in reader.fields.items()}
    names = [str(tensor.name) for tensor in reader.tensors]
    found = model_config(metadata, names)
    expected = {**config, "tie_word_embeddings": "output.weight" not in names}
    differing = [key for key in COMPARED if found.get(key) != expected.get(key)]
    ours = {weight.name: weight for weight in weights}
    theirs = {tensor.name: tensor for tensor in mapped_tensors(reader, found, "float32")}
    differing += sorted(ours.keys() ^ theirs.keys())
    for name in ours.keys() & theirs.keys():
        if not np.array_equal(ours[name].floats(), next(theirs[name].read())):
            differing.append(name)
    if differing:
        raise ModelError(f"the GGUF file does not say the same: {', '.join(differing[:5])}")
    return require_same(Tokenizer.from_file(str(folder / "tokenizer.json")), metadata)


def could(folder: Path) -> dict[str, Any]:
    """Nothing, where config and tokenizer of the folder can be written. Raises ModelError."""
    config = settings_of(folder, unpacked=True)
    rows = config.get("vocab_size")
    if not isinstance(rows, int):
        raise ModelError("config.json names no vocab_size", hint="is it complete?")
    vocabulary_of(folder, rows)
    return {}


def look(file: Path) -> dict[str, Any]:
    """What a file that another program wrote is. Raises ModelError for one without a tokenizer."""
    reader = gguf.GGUFReader(file)
    metadata = {name: field.contents() for name, field in reader.fields.items()}
    if not metadata.get("tokenizer.ggml.tokens") or not reader.tensors:
        raise ModelError("the file holds no tokens or no tensors", hint="is it complete?")
    return {"architecture": metadata.get("general.architecture"), "tensors": len(reader.tensors)}


def main(job: Mapping[str, Any]) -> int:
    """Write and report on stdout; the exit status."""
    end_with_parent()
    try:
        if "file" not in job:
            done = could(Path(job["model"]))
        elif "model" in job:
            done = export(Path(job["model"]), Path(job["file"]), job["name"], job["notes"])
        else:
            done = look(Path(job["file"]))
    except ModelError as error:
        say({"error": {"message": error.message, "hint": error.hint}})
    except Exception as error:  # noqa: BLE001 - a config fails anywhere inside the writer
        what = f"{type(error).__name__}: {error}"
        say({"error": {"message": f"it cannot be written as GGUF ({what})", "hint": ELSEWHERE}})
    else:
        say({"gguf": done})
        return 0
    if "model" in job and "file" in job:
        Path(job["file"]).unlink(missing_ok=True)
    return 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m punie.backends.workers.gguf_export JOB")
    sys.exit(main(json.loads(sys.argv[1])))
