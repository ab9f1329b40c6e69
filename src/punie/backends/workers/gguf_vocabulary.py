"""A Hugging Face tokenizer as the metadata of a GGUF file: the way back from `gguf_tokenizer`.

Only what is understood for certain is written. mlx_lm's own writer calls every tokenizer a
SentencePiece one, without merges and without a chat template: such a file loads, and answers
nonsense. Whether what is written means the same is tried on texts before it is believed.
"""

# tokenizers is only partly typed.
# pyright: reportUnknownMemberType=false

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from tokenizers import Tokenizer, models

from punie.backends.workers.gguf_tokenizer import (
    CONTROL,
    KINDS,
    USER_DEFINED,
    rebuilt,
    splitter,
)
from punie.errors import ModelError

NORMAL, UNUSED = 1, 5
"""Values of `tokenizer.ggml.token_type`."""
NORMALIZERS = {"qwen2": "NFC"}
ELSEWHERE = "llama.cpp knows more tokenizers: give --llama-cpp with the folder of its checkout"
TEXTS = (
    "The year 2026 has 365 days, 12.5 % of 8; 1234567 x 0.001",
    "def f(x: int) -> str:\n\treturn f'{x!r}'  # ok\n\n\n    y += 1_000",
    "½ ² ³ ¼ Ⅷ ① naïve Œuvre — “quotes” … 中文 日本語 العربية 🙂👩‍👩‍👧 🏳️‍🌈",
    "don't I'LL we've  leading,   double   and trailing spaces \r\n ",
    '{"name": "get_weather", "arguments": {"city": "Paris", "days": [1, 2]}}',
    "e\u0301 \u00e9 \ufb01 \u2126",
)


def vocabulary_of(folder: Path, rows: int) -> dict[str, Any]:
    """Metadata by their GGUF names, for a model whose embedding has `rows` rows.

    Raises ModelError for a tokenizer that cannot be written faithfully.
    """
    stated = _json(folder / "tokenizer.json")
    settings = _json(folder / "tokenizer_config.json")
    kind = _kind(stated)
    metadata: dict[str, Any] = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": kind}
    metadata |= _tokens(stated, rows)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    metadata |= _special_ids(folder, settings, tokenizer)
    template = _template(folder, settings)
    if template:
        metadata["tokenizer.chat_template"] = template
    require_same(tokenizer, metadata)
    return metadata


def require_same(tokenizer: Tokenizer, metadata: Mapping[str, Any]) -> int:
    """Raise ModelError unless the metadata's tokenizer cuts texts as `tokenizer` does.

    Gives the number of texts: prose, code, digits, scripts, and every added token in context.
    """
    other = rebuilt(metadata, metadata["tokenizer.ggml.pre"])
    pairs = zip(
        metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"], strict=True
    )
    added = [token for token, kind in pairs if kind in (CONTROL, USER_DEFINED)]
    texts = [*TEXTS, *(f"one {token} two{token}three\n{token}" for token in added)]
    for text in texts:
        if tokenizer.encode(text).ids != other.encode(text).ids:
            raise ModelError(
                f"the tokenizer would not be the same in GGUF: it cuts {text[:60]!r} otherwise",
                hint=ELSEWHERE,
            )
    return len(texts)


def _kind(stated: Mapping[str, Any]) -> str:
    """Which of llama.cpp's ways to cut text this tokenizer has."""
    model: Mapping[str, Any] = stated.get("model") or {}
    odd = model.get("byte_fallback") or model.get("unk_token") or model.get("dropout")
    if model.get("type") == "BPE" and not odd:
        found = _parts(stated.get("pre_tokenizer"))
        normalizing: Mapping[str, Any] = stated.get("normalizer") or {}
        normalizer = normalizing.get("type")
        whole_words = bool(model.get("ignore_merges"))
        for kind in KINDS:
            if (
                found == _parts(_as_json(kind))
                and normalizer == NORMALIZERS.get(kind)
                and whole_words == (kind == "llama-bpe")
            ):
                return kind
    raise ModelError(
        f"this tokenizer ({model.get('type')}) is none of those that punie writes into GGUF: "
        f"byte-level BPE that cuts as {', '.join(KINDS)}",
        hint=ELSEWHERE,
    )


def _as_json(kind: str) -> Any:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = splitter(kind)
    return json.loads(tokenizer.to_str())["pre_tokenizer"]


def _parts(stated: Any) -> list[dict[str, Any]]:
    """The steps of a pre-tokenizer without what does not change the tokens."""
    if not isinstance(stated, dict):
        return []
    step = cast("dict[str, Any]", stated)
    if step.get("type") == "Sequence":
        return [part for each in step["pretokenizers"] for part in _parts(each)]
    return [{name: value for name, value in step.items() if name != "trim_offsets"}]


def _tokens(stated: Mapping[str, Any], rows: int) -> dict[str, Any]:
    texts: dict[int, str] = {index: token for token, index in stated["model"]["vocab"].items()}
    types = dict.fromkeys(texts, NORMAL)
    added: list[dict[str, Any]] = stated.get("added_tokens") or []
    for entry in added:
        texts[entry["id"]] = entry["content"]
        types[entry["id"]] = CONTROL if entry["special"] else USER_DEFINED
    if max(texts) >= rows:
        raise ModelError(
            f"the tokenizer has token {max(texts)}, the embedding only {rows} rows",
            hint="tokenizer and weights are of two models",
        )
    merges: list[Any] = stated["model"]["merges"]
    return {
        "tokenizer.ggml.tokens": [texts.get(at, f"[PAD{at}]") for at in range(rows)],
        "tokenizer.ggml.token_type": [types.get(at, UNUSED) for at in range(rows)],
        "tokenizer.ggml.merges": [m if isinstance(m, str) else " ".join(m) for m in merges],
    }


def _special_ids(
    folder: Path, settings: Mapping[str, Any], tokenizer: Tokenizer
) -> dict[str, int | bool]:
    """Ids of the special tokens; a second token that ends a turn is what GGUF calls eot."""
    names = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
    ids: dict[str, int | bool] = {}
    for short, long in names.items():
        token = settings.get(f"{short}_token")
        text: Any = (
            cast("dict[str, Any]", token).get("content") if isinstance(token, dict) else token
        )
        index = tokenizer.token_to_id(text) if isinstance(text, str) else None
        if index is not None:
            ids[f"tokenizer.ggml.{long}_token_id"] = index
    ends = list(dict.fromkeys(_ends(folder)))
    eos = ids.setdefault("tokenizer.ggml.eos_token_id", ends[0]) if ends else None
    others = [end for end in ends if end != eos]
    if others:
        ids["tokenizer.ggml.eot_token_id"] = others[0]
    bos = ids.get("tokenizer.ggml.bos_token_id")
    begins = tokenizer.encode("a").ids[:1] == [bos]
    return ids | {"tokenizer.ggml.add_bos_token": begins}


def _ends(folder: Path) -> Iterator[int]:
    for name in ("config.json", "generation_config.json"):
        found: Any = _json(folder / name).get("eos_token_id")
        listed = cast("list[Any]", found) if isinstance(found, list) else [found]
        yield from (each for each in listed if isinstance(each, int))


def _template(folder: Path, settings: Mapping[str, Any]) -> str | None:
    own = folder / "chat_template.jinja"
    if own.exists():
        return own.read_text(encoding="utf-8")
    found: Any = settings.get("chat_template")
    if isinstance(found, list):
        entries = cast("list[dict[str, Any]]", found)
        found = next((e.get("template") for e in entries if e.get("name") == "default"), None)
    return found if isinstance(found, str) else None


def _json(path: Path) -> dict[str, Any]:
    if not path.exists():
        if path.name == "tokenizer.json":
            raise ModelError("the model has no tokenizer.json", hint=ELSEWHERE)
        return {}
    return cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8")))
