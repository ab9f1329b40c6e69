"""What exactly was measured: SHA-256 of a model's weights, config, tokenizer and template.

A file's hash is remembered in the cache folder together with its size and modification time, so
that gigabytes are read once.
"""

import contextlib
import hashlib
import json
from pathlib import Path

from punie.errors import ModelError
from punie.models.cache import cache_root
from punie.models.check import read_json, weight_files
from punie.models.template import read_template
from punie.reading import open_regular
from punie.records.base import digest
from punie.records.model import Fingerprint

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tiktoken.model",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
)


def fingerprint(folder: Path) -> Fingerprint:
    """The hashes of a model folder; where it lies and how its JSON is spelled do not count.

    Raises ModelError for a folder that `check_model_folder` refuses for want of a file.
    """
    weights = digest({file.name: file_hash(file) for file in weight_files(folder)})
    config = digest(read_json(folder / "config.json"))
    files = [folder / name for name in TOKENIZER_FILES] + sorted(folder.glob("*.tiktoken"))
    parts: dict[str, str] = {file.name: file_hash(file) for file in files if file.exists()}
    if (folder / "tokenizer_config.json").exists():
        settings = read_json(folder / "tokenizer_config.json")
        settings.pop("chat_template", None)
        parts["tokenizer_config.json"] = digest(settings)
    tokenizer = digest(dict(parts))
    template = template_hash(folder)
    whole = digest([weights, config, tokenizer, template])
    return Fingerprint(
        weights=weights, config=config, tokenizer=tokenizer, template=template, whole=whole
    )


def template_hash(folder: Path) -> str | None:
    """The hash of the chat template's text, wherever it stands; None without a template."""
    template = read_template(folder)
    return digest(dict(template)) if template else None


def adapter_hash(folder: Path) -> str:
    """The hash of an adapter's weights and settings. Raises ModelError where they are missing."""
    weights = folder / "adapters.safetensors"
    if not weights.exists():
        raise ModelError(f"{folder} has no adapters.safetensors", hint="check the path")
    return digest([file_hash(weights), digest(read_json(folder / "adapter_config.json"))])


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, remembered by path, size and modification time."""
    try:
        real = path.resolve(strict=True)
        stat = real.stat()
        key = hashlib.sha256(f"{real}\0{stat.st_size}\0{stat.st_mtime_ns}".encode()).hexdigest()
        memory = cache_root() / "hashes" / f"{key}.json"
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            remembered: str = json.loads(memory.read_text(encoding="utf-8"))["sha256"]
            return remembered
        with open_regular(real) as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}", hint="check it") from error
    # A cache that cannot be written only costs time.
    with contextlib.suppress(OSError):
        memory.parent.mkdir(parents=True, exist_ok=True)
        partial = memory.with_suffix(f".{id(memory)}.tmp")
        partial.write_text(json.dumps({"file": real.name, "sha256": found}), encoding="utf-8")
        partial.replace(memory)
    return found
