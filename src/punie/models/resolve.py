"""From what a person writes to a folder that the server can load."""

import difflib
import re
from pathlib import Path

from punie.errors import InputError, ModelError
from punie.models import hub
from punie.models.caches import cached_models, hub_snapshot
from punie.models.catalog import BUILTINS
from punie.models.check import check_model_folder
from punie.models.converter import Progress, quiet
from punie.models.overlay import corrected
from punie.models.pull import builtin_folder, convert_gguf, pull_builtin
from punie.records.model import ListedModel, Model, ModelSource

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def resolve(
    name: str, *, cache: Path | None = None, download: bool = True, progress: Progress = quiet
) -> Model:
    """The model called `name`, checked and ready to be served.

    `name` is a built-in name, an MLX folder, a GGUF file (converted once), a name that `punie
    models list` shows, or a hub id. What is missing is downloaded unless `download` is false.
    `cache` replaces the user's cache folder. Raises InputError for a name that cannot be one, and
    ModelError for a model that is not there, is damaged, or cannot be had.
    """
    if not name.strip():
        raise InputError("the model's name is empty", hint="`punie models list` shows names")
    if name in BUILTINS:
        return _builtin(name, cache, progress, download=download)
    path = Path(name).expanduser()
    if _exists(path):
        return _local(name, path, cache, progress)
    looks_like_path = name.startswith((".", "/", "~")) or path.suffix in (".gguf", ".safetensors")
    listed = {model.name: model for model in cached_models()}
    if name in listed:
        return _listed(listed[name], cache, progress, download=download)
    if _HUB_ID.fullmatch(name) and not looks_like_path:
        return _hub(name, cache, listed, download=download)
    kind = "file or folder" if looks_like_path else "model called"
    raise ModelError(f"there is no {kind} {name}", hint=_hint(name, listed))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name too long for a file can still be a model's
        return False


def _builtin(name: str, cache: Path | None, progress: Progress, *, download: bool) -> Model:
    builtin = BUILTINS[name]
    folder = builtin_folder(builtin, cache=cache)
    if not folder.is_dir():
        if not download:
            raise ModelError(f"{name} is not here yet", hint=f"punie models pull {name}")
        folder = pull_builtin(builtin, cache=cache, progress=progress)
    check_model_folder(folder)
    return Model(name=name, path=folder, source=ModelSource.BUILTIN, origin=builtin.requirement)


def _local(name: str, path: Path, cache: Path | None, progress: Progress) -> Model:
    if path.is_dir():
        check_model_folder(path)
        folder = corrected(path.absolute(), cache=cache)
        return Model(name=name, path=folder, source=ModelSource.FOLDER, origin=str(path.absolute()))
    if path.suffix != ".gguf":
        raise InputError(
            f"{path} is neither a model folder nor a .gguf file", hint="give the model's folder"
        )
    folder = convert_gguf(path.absolute(), cache=cache, progress=progress)
    check_model_folder(folder)
    return Model(name=name, path=folder, source=ModelSource.GGUF, origin=str(path.absolute()))


def _listed(
    listed: ListedModel, cache: Path | None, progress: Progress, *, download: bool
) -> Model:
    assert listed.path is not None
    if listed.source is ModelSource.HUB:
        return _hub(listed.name, cache, {}, download=download)
    local = _local(str(listed.path), listed.path, cache, progress)
    return local.model_copy(update={"name": listed.name, "source": listed.source})


def _hub(name: str, cache: Path | None, listed: dict[str, ListedModel], *, download: bool) -> Model:
    snapshot = hub_snapshot(name)
    may_download = download and not hub.hub_is_offline()
    if snapshot is not None:
        try:
            check_model_folder(snapshot)
        except ModelError:
            # An interrupted download looks like a damaged model, and is finished by another.
            if not may_download:
                raise
            snapshot = None
    if snapshot is None:
        if not may_download:
            raise ModelError(f"{name} is not on this machine", hint=_hint(name, listed))
        snapshot = hub.download(name)
        check_model_folder(snapshot)
    return Model(
        name=name,
        path=corrected(snapshot, cache=cache),
        source=ModelSource.HUB,
        origin=name,
        revision=snapshot.name,
    )


def _hint(name: str, listed: dict[str, ListedModel]) -> str:
    """The nearest names there are, also by their last part alone."""
    names = [*BUILTINS, *listed]
    spellings = {
        spelling.lower(): full for full in names for spelling in (full.split("/")[-1], full)
    }
    wanted = dict.fromkeys((name.lower(), name.lower().rpartition("/")[2]))
    near = [m for word in wanted for m in difflib.get_close_matches(word, spellings, cutoff=0.6)]
    if near:
        return f"did you mean {' or '.join(dict.fromkeys(spellings[each] for each in near))}?"
    return (
        f"give a folder, a .gguf file, a hub id such as org/name, or {', '.join(BUILTINS)}; "
        "`punie models list` shows what is here"
    )
