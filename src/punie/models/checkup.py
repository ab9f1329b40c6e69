"""What a doctor can see of the caches of models: punie's own, and those of other programs."""

import os
from pathlib import Path

from punie.models.cache import cache_root
from punie.models.caches import cached_models, hub_cache, lmstudio_folders
from punie.models.catalog import BUILTINS
from punie.models.pull import builtin_folder
from punie.records.checkup import Checkup, note, ok, problem
from punie.records.model import ModelSource
from punie.sizes import byte_size


def check_caches() -> list[Checkup]:
    """Where models are, how many and how large; whether punie can write to its own."""
    found = cached_models()
    lines = [_own()]
    for name, folders, sources in (
        ("hugging face cache", [hub_cache()], {ModelSource.HUB}),
        ("lm studio", lmstudio_folders(), {ModelSource.LMSTUDIO, ModelSource.GGUF}),
    ):
        there = [folder for folder in folders if folder.is_dir()]
        if not there:
            if name.startswith("hugging"):
                lines.append(ok(name, f"{_home(folders[0])} is not there yet"))
            continue
        inside = [
            model
            for model in found
            if model.source in sources
            and model.path is not None
            and any(model.path.is_relative_to(folder) for folder in there)
        ]
        size = sum(model.size_bytes for model in inside)
        where = ", ".join(_home(folder) for folder in there)
        lines.append(ok(name, f"{where}: {_models(len(inside))}, {byte_size(size)}"))
    return lines


def _own() -> Checkup:
    name, root = "cache", cache_root()
    there = next(each for each in (root, *root.parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        found = f"{_home(root)} cannot be written to"
        return problem(name, found, "export PUNIE_CACHE=FOLDER, one that you can write to")
    if there != root:
        return ok(name, f"{_home(root)} is not there yet")
    size = sum(file.stat().st_size for file in root.rglob("*") if file.is_file())
    pulled = [each.name for each in BUILTINS.values() if builtin_folder(each).is_dir()]
    if not pulled:
        return note(name, f"{_home(root)}: no built-in model yet", "punie models pull")
    return ok(name, f"{_home(root)}: {', '.join(pulled)}, {byte_size(size)}")


def _models(count: int) -> str:
    return "1 model" if count == 1 else f"{count or 'no'} models"


def _home(path: Path) -> str:
    home = str(Path.home())
    text = str(path)
    return f"~{text[len(home) :]}" if len(home) > 1 and text.startswith(f"{home}/") else text
