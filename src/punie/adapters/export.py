"""What leaves the project: a GGUF file, a folder for LM Studio, a folder for the hub."""

import json
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from punie.adapters.card import hub_id, public, shown_name
from punie.adapters.fuse import BYTES, fuse_adapter, merge_adapter, new_folder, refuse_existing
from punie.adapters.llama_cpp import convert, require_checkout
from punie.adapters.manifest import write_manifest
from punie.adapters.registry import NAME, Entry, require_weights
from punie.adapters.scratch import scratch
from punie.backends.conversion import look_at_gguf, write_gguf
from punie.backends.local import LocalModel
from punie.errors import InputError, StoreError
from punie.models.adapter import WEIGHTS
from punie.models.caches import lmstudio_folders
from punie.models.check import read_json
from punie.models.fingerprint import adapter_hash
from punie.models.gguf_notes import TIES
from punie.models.peft import PEFT_WEIGHTS, is_peft
from punie.models.ties import written as as_written
from punie.records.adapter import AdapterManifest, FusedManifest

EXPORTS = "exports"
SETTINGS = "adapter_config.json"
OWN_PATHS = ("data", "adapter_path", "resume_adapter_file", "config", "save_path")
"""What mlx_lm writes into the settings, does not read from them, and may name folders at home."""


@dataclass(frozen=True, slots=True)
class Written:
    """A file or folder that was written, and what was found when it was looked at again."""

    path: Path
    size_bytes: int
    said: str


def exports_folder(project: Path) -> Path:
    """Where exports go unless told otherwise; git is told to leave it alone."""
    folder = project / EXPORTS
    try:
        folder.mkdir(exist_ok=True)
        if not (folder / ".gitignore").exists():
            (folder / ".gitignore").write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise StoreError(
            f"{folder}: {error.strerror or error}", hint="choose another --output"
        ) from error
    return folder


def export_gguf(
    entry: Entry, base: LocalModel, file: Path, *, llama_cpp: Path | None = None
) -> Written:
    """Fuse, unpacked, and write one GGUF file, which is read back before it is there.

    With `llama_cpp` its converter writes it, which knows more architectures. Raises InputError,
    ModelError or StoreError; then there is no file.
    """
    script = require_checkout(llama_cpp) if llama_cpp else None
    with _new_file(file) as work:
        model = work.parent / "model"
        fused = _unpacked(entry, base, model)
        if script is not None:
            convert(script, model, work)
            found = look_at_gguf(work)
            kind, tensors = found["architecture"], found["tensors"]
            said = f"written by llama.cpp: {kind}, {tensors} tensors; not compared with the folder"
        else:
            notes = {
                "punie.adapter": entry.name,
                "punie.adapter_hash": fused.adapter_hash,
                "punie.base_weights_hash": fused.base.weights_hash,
                TIES: as_written(fused.ties),
            }
            done = write_gguf(model, work, name=entry.name, notes=notes)
            said = (
                f"read back: {done['tensors']} tensors, the settings and the tokens of "
                f"{done['texts']} texts are the same"
            )
    return Written(file, file.stat().st_size, said)


def lmstudio_place(entry: Entry, publisher: str, models: Path | None = None) -> Path:
    """`models/publisher/name`, as LM Studio wants it; `models` defaults to where it keeps them.

    Source: https://lmstudio.ai/docs/app/basics/import-model. Raises InputError for a publisher that
    is no folder's name.
    """
    if not NAME.fullmatch(publisher):
        raise InputError(f"{publisher[:80]!r} is no publisher's name", hint="one word, such as me")
    found = lmstudio_folders()
    usual = found[0] if found else Path.home() / ".lmstudio" / "models"
    return (models or usual) / publisher / entry.name


def export_fused(entry: Entry, base: LocalModel, folder: Path, *, dequantize: bool) -> Written:
    """The fused model as a folder that others may see; what cuda makes is always unpacked.

    Raises as `fuse_adapter`.
    """
    shown = replace(entry, manifest=_shown(entry, entry.manifest) if entry.manifest else None)
    if base.how.backend == "cuda":
        fused = merge_adapter(shown, base, folder)
    else:
        fused = fuse_adapter(shown, base, folder, dequantize=dequantize)
    agreement = fused.agreement
    said = (
        f"{fused.dtype}; of {agreement.positions} tokens {agreement.same_next_token} are expected "
        "as by base and adapter"
    )
    return Written(folder, _size(folder), said)


def export_hub(entry: Entry, folder: Path) -> Written:
    """The adapter with its card, without a path of this machine, ready to be uploaded.

    Raises InputError for an adapter of another program, which has no card.
    """
    manifest = entry.manifest
    if manifest is None:
        raise InputError(
            f"{entry.name} has no punie.json, so there is nothing to write its card from",
            hint="upload its two files as they are, or train it with punie",
        )
    require_weights(entry)
    in_peft_form = is_peft(entry.path)
    weights = PEFT_WEIGHTS if in_peft_form else WEIGHTS
    with new_folder(folder) as work:
        shutil.copyfile(entry.path / weights, work / weights)
        settings = read_json(entry.path / SETTINGS)
        kept = {name: value for name, value in settings.items() if name not in OWN_PATHS}
        names_base = "base_model_name_or_path" if in_peft_form else "model"
        kept[names_base] = hub_id(manifest.base.name) or shown_name(manifest.base.name)
        (work / SETTINGS).write_text(json.dumps(kept, indent=4) + "\n", encoding="utf-8")
        named = _shown(entry, manifest)
        if not in_peft_form:  # mlx_lm's settings are part of the adapter's hash; these are others
            named = named.model_copy(update={"adapter_hash": adapter_hash(work)})
        write_manifest(work, named)
    return Written(folder, _size(folder), "the adapter, its settings, its card, its punie.json")


def _unpacked(entry: Entry, base: LocalModel, folder: Path) -> FusedManifest:
    if base.how.backend != "cuda":
        return fuse_adapter(entry, base, folder, dequantize=True)
    known = base.identity.dtype
    return merge_adapter(entry, base, folder, known if known in BYTES else None)


def _shown(entry: Entry, manifest: AdapterManifest) -> AdapterManifest:
    return public(manifest, entry.path.absolute().parent.parent)  # the folder of adapters/


@contextmanager
def _new_file(file: Path) -> Generator[Path]:
    """Give a path in a work folder whose file becomes `file` at the end of the block."""
    refuse_existing(file)
    with scratch(file.parent, file.name) as work:
        yield work / file.name
        refuse_existing(file)
        (work / file.name).rename(file)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
