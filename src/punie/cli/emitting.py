"""`punie train --emit`: a training for another machine; its data and memory are looked at here."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from punie.cli.trained import TrainWish
from punie.cli.training_setup import ChosenTraining, checked_goal, choose, data_source
from punie.datasets.names import SUITES
from punie.errors import InputError
from punie.records.model import Model, ModelSource
from punie.records.preflight import Preflight
from punie.settings import Loaded
from punie.sizes import byte_size
from punie.training.prepare import prepare
from punie.training.skypilot import FOLDER, ClusterTask, gpus_for
from punie.training.work import WorkFolder

BACKEND = "cuda"
NAMED = (ModelSource.BUILTIN, ModelSource.HUB)
"""Models that the other machine fetches by itself."""
SOURCE_THERE = f"{FOLDER}-source[{BACKEND}]"
SOURCE = ("pyproject.toml", "README.md", "LICENSE", "src")
"""What a checkout of punie is installed from."""


@dataclass(frozen=True, slots=True)
class Emitted:
    """The task, and what to know of it."""

    task: ClusterTask
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Uploads:
    """Files for the machine: path in the project there → file here, as the task names it."""

    project: Path
    files: dict[str, str] = field(default_factory=dict[str, str])

    def place(self, path: Path, kind: str, inside: Iterable[Path] = ()) -> str:
        """Take a file along, or the files `inside` a folder; where it will be in the project."""
        path = _absolute(path)
        within = path.is_relative_to(self.project)
        there = str(path.relative_to(self.project)) if within else f"inputs/{kind}/{path.name}"
        for file in map(_absolute, inside or (path,)):
            name = there if file == path else f"{there}/{file.name}"
            self.files[name] = _shown(file.resolve() if file.is_symlink() else file, self.project)
        return there


async def emit_task(wish: TrainWish, settings: Loaded) -> Emitted:
    """A task that trains what `wish` asks for with the backend cuda on another machine.

    The rows are encoded and checked here, for what is wrong with them and for how much memory the
    training takes. Raises as `train_adapter` does before it trains, and InputError for what
    cannot be emitted.
    """
    _refuse(wish)
    checked_goal(wish, settings)
    # As a dry run: a file that is split, is split there.
    chosen = choose(replace(wish, dry_run=True, journal=None), settings, backend=BACKEND)
    preflight = await _looked_at(chosen, settings)
    uploads = _Uploads(_absolute(settings.project))
    arguments = _arguments(wish, settings, chosen, uploads)
    for suite in _files(settings.project / SUITES):
        uploads.place(suite, "suite")
    requirement, source = punie_there(metadata.distribution("punie"))
    task = ClusterTask(
        name=chosen.name,
        arguments=arguments,
        uploads=uploads.files,
        requirement=requirement,
        source=source,
        gpus=gpus_for(preflight.memory_estimate_bytes),
        processes=wish.processes or 1,
        journaled=wish.journal is not None,
        model=_base_here(chosen.model.model, uploads),
    )
    return Emitted(task, (*chosen.notes, *_notes(task, preflight)))


def _refuse(wish: TrainWish) -> None:
    """What makes no sense for another machine."""
    said = {"--resume": wish.resume, "--finish": wish.finish, "--dry-run": wish.dry_run}
    if given := [option for option, value in said.items() if value]:
        raise InputError(
            f"--emit writes a task for a new training, so {', '.join(given)} cannot be given",
            hint="drop it; what was begun on a machine goes on there: "
            "sky exec CLUSTER 'cd ~/punie/NAME && ~/punie-venv/bin/punie train --resume NAME'",
        )
    if wish.backend not in {None, "auto", BACKEND}:
        raise InputError(
            f"--emit writes a task for the backend {BACKEND}, not for {wish.backend}",
            hint="drop --backend: the machines to be had have NVIDIA GPUs",
        )


async def _looked_at(chosen: ChosenTraining, settings: Loaded) -> Preflight:
    """Defects in the data, and the memory; nothing is left behind."""
    work = WorkFolder(settings.project, chosen.name)
    with work.hold():
        work.make()
        try:
            preflight, _ = await prepare(chosen.setup, work, free_bytes=None)
        finally:
            work.discard()
    return preflight


def _arguments(
    wish: TrainWish, settings: Loaded, chosen: ChosenTraining, uploads: _Uploads
) -> tuple[str, ...]:
    """The command's, with what settings and defaults decide here said outright."""
    words = [_data(wish, settings, chosen, uploads), "--name", chosen.name]
    words += ["--model", _model(chosen.model.model, uploads)]
    if config := wish.config or settings.values.plan:
        words += ["--config", uploads.place(Path(config).expanduser(), "plan")]
    for key, value in wish.overrides.items():
        words += [f"--{key.replace('_', '-')}", str(value)]
    if wish.select_by:
        suite = Path(wish.select_by)
        is_file = suite.is_file() and (suite.suffix != "" or "/" in wish.select_by)
        words += ["--select-by", uploads.place(suite, "suite") if is_file else wish.select_by]
    if wish.processes:
        words += ["--processes", str(wish.processes)]
    if wish.allow_leakage:
        words += ["--allow-leakage"]
    if wish.journal:
        words += ["--journal", wish.journal]
    return (*words, "--backend", BACKEND)


def _data(wish: TrainWish, settings: Loaded, chosen: ChosenTraining, uploads: _Uploads) -> str:
    source = data_source(wish, settings, chosen.file)
    places = (Path(source).expanduser(), *(settings.project / "data" / n for n in _names(source)))
    path = next((each for each in places if each.exists()), None)
    if path is None:
        return source  # of the hub
    return uploads.place(path, "data", _files(path) if path.is_dir() else ())


def _names(source: str) -> tuple[str, ...]:
    return () if "/" in source else (source, f"{source}.jsonl")


def _model(model: Model, uploads: _Uploads) -> str:
    if model.source in NAMED:
        return model.name
    path = Path(model.origin)
    return uploads.place(path, "model", _files(path) if path.is_dir() else ())


def _base_here(model: Model, uploads: _Uploads) -> str | None:
    """How to name the model here, where it has another name there."""
    if model.source in NAMED or _absolute(Path(model.origin)).is_relative_to(uploads.project):
        return None
    return os.path.relpath(model.origin, uploads.project)


def _files(folder: Path) -> list[Path]:
    """One by one: of a folder SkyPilot leaves out what git ignores, such as weights and data."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - `..` goes, links stay


def _shown(path: Path, project: Path | None = None) -> str:
    """As the task names it: nothing of this machine where it need not be."""
    if project and path.is_relative_to(project):
        return f"./{path.relative_to(project)}"
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def punie_there(here: metadata.Distribution) -> tuple[str, Mapping[str, str]]:
    """What to install there so that it is the punie of `here`, and what to upload for that."""
    told = json.loads(here.read_text("direct_url.json") or "{}")
    url = str(told.get("url", ""))
    folder = _absolute(Path(url2pathname(urlsplit(url).path)))
    if "dir_info" in told and (folder / "pyproject.toml").is_file():
        return SOURCE_THERE, {name: _shown(folder / name) for name in SOURCE}
    if vcs := told.get("vcs_info"):
        return f"punie[{BACKEND}] @ {vcs['vcs']}+{url}@{vcs['commit_id']}", {}
    return f"punie[{BACKEND}]=={here.version}", {}


def _notes(task: ClusterTask, preflight: Preflight) -> list[str]:
    estimate = preflight.memory_estimate_bytes
    takes = "an unknown amount of memory" if estimate is None else f"about {byte_size(estimate)}"
    lines = [f"the training takes {takes}; any of these will do: {', '.join(task.gpus)}"]
    return lines + [f"to {what}: {command}" for what, command in task.commands().items()]
