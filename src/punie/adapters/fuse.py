"""Fusing: base and adapter become one model folder that any program can load by itself."""

import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from punie.adapters.card import public, shown_name, write_card
from punie.adapters.registry import Entry, base_name, require_weights
from punie.adapters.scratch import scratch
from punie.backends.choose import BackendChoice
from punie.backends.conversion import agreement, fuse, merge
from punie.backends.local import LocalModel, prepare
from punie.errors import InputError, ModelError, StoreError
from punie.models.adapter import SETTINGS
from punie.models.check import base_tensors, check_model_folder, read_json, weight_files
from punie.models.fingerprint import TOKENIZER_FILES, fingerprint
from punie.models.hf_folder import hf_folder
from punie.models.manifest import MANIFEST
from punie.models.pull import Progress, quiet
from punie.models.quantization import dtype_label
from punie.models.ties import ties_of_model
from punie.records.adapter import Agreement, BaseModelVersion, FusedManifest, Packing
from punie.sizes import byte_size

KEPT = (
    *TOKENIZER_FILES,
    "tokenizer_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
    "*.tiktoken",
    "LICENSE*",
    "NOTICE*",
)
"""Files of the base that the fused model has as they are: its tokenizer and template stay the same,
bit for bit, where transformers would write them anew."""
BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


def base_of(
    entry: Entry,
    project: Path,
    asked: str | None,
    progress: Progress = quiet,
    *,
    how: BackendChoice | None = None,
) -> LocalModel:
    """The base model of an adapter, found and held against what the adapter was trained on.

    `asked` replaces the name that the adapter gives, `how` this machine's usual backend. Raises
    InputError where neither names a model, and ModelError for one that is not the adapter's, or an
    adapter that cannot be used.
    """
    require_weights(entry)
    return prepare(base_name(entry, project, asked), entry.path, how=how, progress=progress)


def fuse_adapter(
    entry: Entry,
    base: LocalModel,
    folder: Path,
    *,
    dequantize: bool = False,
    quantize: Packing | None = None,
) -> FusedManifest:
    """Write `folder`, which must not exist, whole or not at all, in the form that mlx_lm writes.

    Without `dequantize` a quantised base stays as it is quantised; `quantize` packs what is not.
    Raises InputError where something stands in the way, ModelError, or StoreError.
    """

    def write(work: Path) -> Agreement:
        return fuse(base.path, base.adapter, work, dequantize=dequantize, quantize=quantize)

    return _made(entry, base, folder, write, as_type=base.identity.dtype if dequantize else None)


def merge_adapter(
    entry: Entry, base: LocalModel, folder: Path, dtype: str | None = None
) -> FusedManifest:
    """Write `folder` as a plain Hugging Face model, under the base's own tensor names.

    A base that mlx packed is unpacked first, so that the sum is rounded to 16 bits and not to 4.

    No backend is needed to write it; `base.identity.backend` compares it. `dtype` is bfloat16,
    float16 or float32, by default the base's where that has 16 bits, else bfloat16. Raises as
    `fuse_adapter`, and ModelError for numbers that do not fit the type.
    """
    adapter, backend = base.adapter, base.identity.backend
    assert adapter is not None
    if backend == "cuda" and read_json(adapter / SETTINGS).get("fine_tune_type") == "dora":
        raise ModelError(
            "the cuda backend does not serve dora, so what is merged could not be compared",
            hint="merge it where mlx is installed",
        )
    plain = hf_folder(base.path)
    known = dtype_label(base_tensors(plain), read_json(plain / "config.json"))
    chosen = dtype or (known if BYTES.get(known) == 2 else "bfloat16")

    def write(work: Path) -> Agreement:
        merge(plain, adapter, work, dtype=chosen)
        return agreement(base.path, adapter, work, backend=backend)

    return _made(entry, base, folder, write, as_type=chosen, plain=True)


def _made(
    entry: Entry,
    base: LocalModel,
    folder: Path,
    write: Callable[[Path], Agreement],
    *,
    as_type: str | None,
    plain: bool = False,
) -> FusedManifest:
    """What `write` makes of base and adapter, with its tokenizer, card and `punie.json`.

    `as_type` is that of what is written unpacked; None where the packing stays. `plain` is what any
    program loads, not mlx_lm alone.
    """
    base_ties = ties_of_model(base.identity.name)
    with new_folder(folder) as work:
        _require_room(base, work.parent, as_type)
        agreed = write(work)
        _copy_kept(base.path, work)
        check_model_folder(work)
        manifest = FusedManifest(
            name=folder.name,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            adapter=entry.name,
            adapter_hash=base.identity.adapter_hash or "",
            base=_base_version(base),
            dtype=dtype_label(base_tensors(work), read_json(work / "config.json")),
            weights_hash=fingerprint(work).weights,
            agreement=agreed,
            made_from=entry.manifest,
            ties=(*base_ties, *((entry.manifest.ties,) if entry.manifest else ())),
        )
        if entry.manifest is not None:
            shown = public(entry.manifest, entry.path.absolute().parent.parent)
            card = write_card(
                shown.model_copy(update={"name": folder.name}), fused=True, plain=plain
            )
            (work / "README.md").write_text(card, encoding="utf-8")
        (work / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return manifest


@contextmanager
def new_folder(folder: Path) -> Generator[Path]:
    """Give a work folder that becomes `folder` at the end of the block, and is gone if it fails.

    Raises InputError where something is there already, StoreError where nothing can be written.
    """
    refuse_existing(folder)
    with scratch(folder.parent, folder.name) as work:
        inner = work / folder.name
        inner.mkdir()
        yield inner
        refuse_existing(folder)
        inner.rename(folder)


def refuse_existing(path: Path) -> None:
    """Raise InputError where something, be it a dangling link, is there already."""
    if path.exists() or path.is_symlink():
        raise InputError(
            f"{path} is there already", hint="nothing is ever overwritten: choose another --output"
        )


def _base_version(base: LocalModel) -> BaseModelVersion:
    known = base.identity
    return BaseModelVersion(
        name=shown_name(known.name),  # the folder may be given away
        weights_hash=known.weights_hash or "",
        model_hash=known.model_hash or "",
        template_hash=known.template_hash,
        parameters=known.parameters or 0,
        dtype=known.dtype or "",
    )


def _copy_kept(base: Path, folder: Path) -> None:
    for pattern in KEPT:
        for file in base.glob(pattern):
            shutil.copyfile(file, folder / file.name)
    if (base / "additional_chat_templates").is_dir():
        shutil.copytree(base / "additional_chat_templates", folder / "additional_chat_templates")


def _require_room(base: LocalModel, place: Path, as_type: str | None) -> None:
    needed = sum(file.stat().st_size for file in weight_files(base.path))
    if as_type is not None:
        unpacked = BYTES.get(as_type, 2) * (base.identity.parameters or 0)
        needed = unpacked or needed
    free = shutil.disk_usage(place).free
    if needed > free:
        raise StoreError(
            f"the fused model takes about {byte_size(needed)}, {byte_size(free)} are free",
            hint="free some space, or choose another --output",
        )
