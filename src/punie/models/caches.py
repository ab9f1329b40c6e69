"""Models that other programs have already downloaded: the Hugging Face cache and LM Studio.

Only folders and names are read; nothing is fetched and nothing is written.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from punie.errors import ModelError
from punie.models.check import read_json
from punie.reading import MIB, read_regular
from punie.records.model import ListedModel, ModelSource


def hub_cache() -> Path:
    """Hugging Face's cache, by the variables that its own library honours."""
    for name, inside in (("HF_HUB_CACHE", ""), ("HF_HOME", "hub"), ("XDG_CACHE_HOME", None)):
        value = os.environ.get(name)
        if value:
            root = Path(value).expanduser()
            return root / "huggingface" / "hub" if inside is None else root / inside
    return Path.home() / ".cache" / "huggingface" / "hub"


def lmstudio_folders() -> list[Path]:
    """The folders in which LM Studio keeps models: the chosen one, the usual one, the old one."""
    home = Path.home()
    base = home / ".lmstudio"
    with contextlib.suppress(OSError):
        base = Path(_text(home / ".lmstudio-home-pointer"))
    folders = [base / "models", home / ".cache" / "lm-studio" / "models"]
    with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
        settings: Any = json.loads(_text(base / "settings.json"))
        if settings.get("downloadsFolder"):
            folders.insert(0, Path(settings["downloadsFolder"]))
    return list(dict.fromkeys(folder for folder in folders if folder.is_dir()))


def hub_snapshot(name: str) -> Path | None:
    """The newest complete-looking snapshot of a hub id in the cache: that of `main`, or the last.

    The folder's name is the commit.
    """
    repo = hub_cache() / f"models--{name.replace('/', '--')}"
    with contextlib.suppress(OSError):
        commit = _text(repo / "refs" / "main")
        if commit and (repo / "snapshots" / commit).is_dir():
            return repo / "snapshots" / commit
    snapshots = [path for path in _children(repo / "snapshots") if path.is_dir()]
    return max(snapshots, key=lambda path: path.stat().st_mtime, default=None)


def cached_models() -> list[ListedModel]:
    """Every language model in these caches that can be served, by name."""
    found: dict[str, ListedModel] = {}
    for repo in _children(hub_cache()):
        if repo.name.startswith("models--"):
            name = repo.name.removeprefix("models--").replace("--", "/")
            snapshot = hub_snapshot(name)
            for model in _servable(name, snapshot, ModelSource.HUB) if snapshot else ():
                found.setdefault(model.name, model)
    for folder in lmstudio_folders():
        for publisher in _children(folder):
            for repo in _children(publisher):
                name = f"{publisher.name}/{repo.name}"
                for model in _servable(name, repo, ModelSource.LMSTUDIO):
                    found.setdefault(model.name, model)
    return [found[name] for name in sorted(found, key=str.lower)]


def folder_size(folder: Path) -> int:
    """Bytes of the files in a folder; a link counts as what it points to."""
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())


def _servable(name: str, folder: Path, source: ModelSource) -> Iterator[ListedModel]:
    with contextlib.suppress(ModelError, OSError):
        if (folder / "config.json").exists() and any(folder.glob("model*.safetensors")):
            config = read_json(folder / "config.json")
            if _generates(config):
                yield ListedModel(
                    name=name,
                    source=source,
                    path=folder,
                    size_bytes=folder_size(folder),
                    architecture=str(config.get("model_type")),
                )
    for file in _children(folder):
        # The parts of a split file and the projectors of vision models are no models.
        odd = file.stem.startswith("mmproj") or "-of-0" in file.stem
        if file.suffix == ".gguf" and not odd and file.exists():
            yield ListedModel(
                name=f"{name}/{file.name}",
                source=ModelSource.GGUF,
                path=file,
                size_bytes=file.stat().st_size,
            )


def _generates(config: dict[str, Any]) -> bool:
    """Whether it writes text; a cache also holds encoders. Without a statement it may."""
    architectures: Any = config.get("architectures") or []
    ends = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel")
    return not architectures or any(str(each).endswith(ends) for each in architectures)


def _text(path: Path) -> str:
    """A small file's text; OSError where it cannot be read."""
    return read_regular(path, MIB).decode("utf-8", "replace").strip()


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
