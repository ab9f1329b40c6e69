"""Model and adapter as one folder that transformers loads, without a copy of the weights."""

import json
import shutil
from pathlib import Path

from punie.models.adapter import WEIGHTS, check_adapter
from punie.models.cache import build_once, cache_root
from punie.models.check import base_tensors, read_json, weight_files
from punie.models.fingerprint import adapter_hash
from punie.models.peft import PEFT_WEIGHTS, write_peft
from punie.models.safetensors import read_header
from punie.records.base import digest

INDEX = "model.safetensors.index.json"
OWN = ("adapter_config.json", PEFT_WEIGHTS, INDEX)
REPLACED = "replaced.safetensors"
"""Read after the base's files: of a tensor in two files transformers takes the one that it reads
last, and it reads them in the order of their names."""


def overlay(adapter: Path, model: Path, *, cache: Path | None = None) -> Path:
    """The folder in the cache that holds links to the model's files, and the adapter.

    An adapter of LoRA lies there in PEFT's form, which vLLM takes too. One of full fine-tuning
    replaces tensors: an index names the file of each. Made once for each adapter (by its hash) and
    base. Raises ModelError for an adapter that is not of this model or that PEFT cannot say.
    """
    check_adapter(adapter, model)
    full = read_json(adapter / "adapter_config.json").get("fine_tune_type") == "full"
    real = model.resolve()
    files = sorted(file for file in real.iterdir() if file.is_file() and file.name not in OWN)

    def make(work: Path) -> Path:
        made = work / "model"
        made.mkdir()
        if full:
            _replace(adapter, real, files, made)
        else:
            for file in files:
                (made / file.name).symlink_to(file)
            _write_index(real, made)
            write_peft(adapter, real, made, base_name=str(real))
        return made

    identity = digest([str(real), [file.name for file in files], adapter_hash(adapter)])
    target = (cache or cache_root()) / "overlays" / f"{adapter.name}-{identity[:12]}"
    return build_once(target, make, waiting=lambda: None)


def _write_index(model: Path, made: Path) -> None:
    if (model / INDEX).exists():
        (made / INDEX).symlink_to(model / INDEX)


def _replace(adapter: Path, model: Path, files: list[Path], made: Path) -> None:
    """Link the base's files, its weights under other names, and say which tensor is in which."""
    weights = weight_files(model)
    for file in files:
        name = f"base-{file.name}" if file in weights else file.name
        (made / name).symlink_to(file)
    shutil.copyfile(adapter / WEIGHTS, made / REPLACED)
    where = {name: f"base-{file.name}" for file in weights for name in read_header(file)}
    where |= dict.fromkeys(read_header(adapter / WEIGHTS), REPLACED)
    assert where.keys() == base_tensors(model).keys()  # check_adapter has compared them
    text = json.dumps({"metadata": {}, "weight_map": where}, indent=2) + "\n"
    (made / INDEX).write_text(text, encoding="utf-8")
