"""The tokenizer of a GGUF file, rebuilt from its metadata as Hugging Face files.

How text is cut before merging (`tokenizer.ggml.pre`) is honoured: read as plain GPT-2, a tokenizer
of the `smollm` kind splits digits and characters such as ½ otherwise than it was trained to.
The kinds and their expressions: llama.cpp, `src/llama-vocab.cpp`.
"""

# tokenizers is only partly typed.
# pyright: reportUnknownMemberType=false

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from punie.errors import ModelError

CONTROL, USER_DEFINED = 3, 4
"""Values of `tokenizer.ggml.token_type`."""

_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}DIGITS"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPLITS = {"llama-bpe": _WORDS.replace("DIGITS", "{1,3}"), "qwen2": _WORDS.replace("DIGITS", "")}
KINDS = ("smollm", "gpt-2", *_SPLITS)


def write_tokenizer(metadata: Mapping[str, Any], folder: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json and chat_template.jinja into `folder`.

    Raises ModelError for a tokenizer that cannot be rebuilt faithfully.
    """
    model, kind = metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre")
    if model != "gpt2" or kind not in KINDS:
        raise ModelError(
            f"the file's tokenizer ({model}, split as {kind}) is none that punie can rebuild",
            hint=f"byte-level BPE of the kinds {', '.join(KINDS)} is understood; "
            "take the model's MLX version from the Hugging Face Hub instead",
        )
    rebuilt(metadata, kind).save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        **_special_tokens(metadata),
    }
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")
    template = metadata.get("tokenizer.chat_template")
    if template:
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")


def rebuilt(metadata: Mapping[str, Any], kind: str) -> Tokenizer:
    """The tokenizer that the metadata describe; `kind` is one of `KINDS`."""
    tokens: list[str] = metadata["tokenizer.ggml.tokens"]
    merges = [tuple(pair.split(" ", 1)) for pair in metadata["tokenizer.ggml.merges"]]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    # llama-bpe takes a word that is in the vocabulary whole, whatever the merges say.
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=kind == "llama-bpe"))
    if kind == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = splitter(kind)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = _post_processor(metadata, kind)
    types: list[int] = metadata.get("tokenizer.ggml.token_type", [])
    pairs = list(zip(tokens, types, strict=False))
    tokenizer.add_special_tokens(
        [AddedToken(token, normalized=False, special=True) for token, t in pairs if t == CONTROL]
    )
    tokenizer.add_tokens(
        [AddedToken(token, normalized=False) for token, t in pairs if t == USER_DEFINED]
    )
    return tokenizer


def splitter(kind: str) -> Any:
    """How a tokenizer of this kind cuts text before merging."""
    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    if kind in _SPLITS:
        words = pre_tokenizers.Split(Regex(_SPLITS[kind]), behavior="isolated")
        return pre_tokenizers.Sequence([words, bytes_only])
    gpt2 = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if kind == "smollm":
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), gpt2])
    return gpt2


def _post_processor(metadata: Mapping[str, Any], kind: str) -> Any:
    bos = metadata.get("tokenizer.ggml.bos_token_id")
    adds_bos = metadata.get("tokenizer.ggml.add_bos_token", kind == "llama-bpe")
    if bos is None or not adds_bos:
        return processors.ByteLevel(trim_offsets=False)
    token = metadata["tokenizer.ggml.tokens"][bos]
    return processors.TemplateProcessing(
        single=[token, "$A"], pair=[token, "$A", "$B"], special_tokens=[(token, bos)]
    )


def _special_tokens(metadata: Mapping[str, Any]) -> dict[str, str]:
    tokens: list[str] = metadata["tokenizer.ggml.tokens"]
    names = {"bos": "bos", "eos": "eos", "unknown": "unk", "padding": "pad"}
    ids = {short: metadata.get(f"tokenizer.ggml.{long}_token_id") for long, short in names.items()}
    return {f"{short}_token": tokens[index] for short, index in ids.items() if index is not None}
