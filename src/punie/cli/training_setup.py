"""What a training is made of: from what was asked for, and from what the project has."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

from punie.backends.choose import training_backend
from punie.backends.room import computes_on_gpu
from punie.datasets.catalog import list_datasets
from punie.datasets.names import FOLDER
from punie.datasets.reading import Dataset, read_dataset
from punie.datasets.split import split_rows
from punie.datasets.version import dataset_hash, split_version
from punie.datasets.writing import name_for, split_into_project
from punie.errors import InputError, ModelError
from punie.models.catalog import DEFAULT_MODEL
from punie.models.check import read_json
from punie.models.describe import describe
from punie.models.experts import has_experts
from punie.models.hf_folder import hf_folder
from punie.models.resolve import resolve
from punie.records.adapter import BaseModelVersion
from punie.records.dataset import Split
from punie.records.model import ModelInfo
from punie.records.preflight import Preflight
from punie.records.suite import EvalSuite
from punie.records.training import TrainPlan
from punie.settings import Loaded
from punie.store.provenance import provenance
from punie.training.plan import PlanFile, read_plan, with_overrides
from punie.training.prepare import Setup
from punie.training.processes import require_places, require_rows
from punie.training.resolve import resolve_plan
from punie.training.work import Begun

if TYPE_CHECKING:
    from punie.cli.trained import TrainWish


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenTraining:
    """Everything that was chosen for a new training."""

    setup: Setup
    begun: Begun
    file: PlanFile
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The adapter's."""
        return self.begun.name

    @property
    def model(self) -> ModelInfo:
        """The base."""
        return self.setup.model

    def begun_with(self, preflight: Preflight) -> Begun:
        """The head, with what was found in the data and allowed."""
        report = preflight.report
        leaked = {suite: len(prompts) for suite, prompts in report.leaked.items()}
        hashes = {
            prompt.hash
            for suite in self.setup.suites
            for prompt in suite.prompts
            if prompt.id in report.leaked.get(suite.hash, ())
        }
        found = {
            "findings": report.findings,
            "leaked_suites": leaked,
            "leaked_prompts": tuple(sorted(hashes)),
        }
        return self.begun.model_copy(update=found)


def checked_goal(wish: "TrainWish", settings: Loaded) -> None:
    """Raise InputError where the journal entry that was asked for could not be written."""
    if wish.journal is None:
        return
    if wish.dry_run:
        raise InputError("a dry run leaves nothing to journal", hint="drop --journal or --dry-run")
    if settings.values.journal.entries == "never":
        raise InputError("journal is set to never here", hint="punie config shows where")
    if not wish.journal.strip():
        raise InputError("the goal of a journal entry is empty")


def choose(wish: "TrainWish", settings: Loaded, *, backend: str | None = None) -> ChosenTraining:
    """Read the data, find the model, and settle the plan and the name.

    `backend` is that of another machine, and need not be installed here.
    Raises InputError, DataError or ModelError for what cannot be used.
    """
    values = settings.values
    config = wish.config or (Path(values.plan).expanduser() if values.plan else None)
    file = read_plan(config) if config else PlanFile(plan=TrainPlan())
    dataset = chosen_data(wish, settings, file)
    model = _model(wish.model or file.model or values.model or DEFAULT_MODEL, quiet=wish.quiet)
    configured = values.backend if values.backend != "endpoint" else None  # which trains nothing
    processes, gpu = wish.processes or 1, True
    if backend is None:
        backend = training_backend(wish.backend or configured).name
        require_places(processes, backend=backend, device=values.device)
        gpu = computes_on_gpu(backend, values.device)
        model = loaded_by(backend, model, quiet=wish.quiet)
    plan = resolve_plan(
        with_overrides(file.plan, **wish.overrides),
        model_layers=_layers(model),
        train_rows=len(dataset.rows[Split.TRAIN]),
        valid_rows=len(dataset.rows.get(Split.VALID, ())),
        context=model.context_length,
        backend=backend,
        experts=has_experts(read_json(model.model.path / "config.json")),
    )
    require_rows(processes, plan)
    suites, broken = project_suites(settings.project)
    select_by = _suite_name(wish.select_by, settings.project)
    begun = Begun(
        id=f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{token_hex(2)}",
        name=wish.name or file.name or _free_name(settings, model, dataset),
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        base=base_version(model),
        backend=backend,
        processes=processes,
        data=dataset.version,
        data_path=_shown_path(dataset, settings.project),
        train_rows=len(dataset.rows[Split.TRAIN]),
        suite=dataset.version.suite,
        select_by=select_by,
        plan=plan,
        provenance=provenance(wish.argv, settings.project, backend),
        goal=wish.journal,
    )
    setup = Setup(
        model=model,
        version=dataset.version,
        rows=dataset.rows,
        plan=plan,
        processes=processes,
        backend=backend,
        gpu=gpu,
        suites=suites,
        allow_leakage=wish.allow_leakage,
    )
    return ChosenTraining(
        setup=setup,
        begun=begun,
        file=file,
        notes=(*file.notes, *dataset.notes, *dataset.changes, *broken),
    )


def resumed(wish: "TrainWish", begun: Begun) -> ModelInfo:
    """The base of a training that goes on. Raises InputError or ModelError where it is another."""
    asked = {
        "DATA": wish.data,
        "--name": wish.name,
        "--config": wish.config,
        "--processes": wish.processes,
        "--select-by": wish.select_by,
        "--allow-leakage": wish.allow_leakage,
        "--dry-run": wish.dry_run,
        **{f"--{key.replace('_', '-')}": value for key, value in wish.overrides.items()},
    }
    said = [option for option, value in asked.items() if value is not None and value is not False]
    if said:
        raise InputError(
            f"--resume goes on as it was begun, so {', '.join(said)} cannot be given with it",
            hint="drop it, or begin another training under another --name",
        )
    model = _model(wish.model or begun.base.name, quiet=wish.quiet)
    now = base_version(model)
    for what in ("weights_hash", "template_hash"):
        if getattr(now, what) != getattr(begun.base, what):
            raise ModelError(
                f"{now.name} is not the model that {begun.name} was begun on: "
                f"its {what.removesuffix('_hash')} changed",
                hint="give the same model with --model, or begin again under another --name",
            )
    return loaded_by(begun.backend, model, quiet=wish.quiet)


def loaded_by(backend: str, model: ModelInfo, *, quiet: bool) -> ModelInfo:
    """The same model in a folder that the backend loads; its hashes stay those of the original.

    Raises ModelError where the backend would read it as another model.
    """
    if backend != "cuda":
        return model
    from punie.cli.pulling import pulling

    with pulling(silent=quiet) as progress:
        folder = hf_folder(model.model.path, progress=progress)
    return model.model_copy(update={"model": model.model.model_copy(update={"path": folder})})


def base_version(model: ModelInfo) -> BaseModelVersion:
    """The base, pinned."""
    return BaseModelVersion(
        name=model.model.name,
        weights_hash=model.fingerprint.weights,
        model_hash=model.fingerprint.whole,
        template_hash=model.fingerprint.template,
        parameters=model.parameters,
        dtype=model.dtype,
    )


def _model(name: str, *, quiet: bool) -> ModelInfo:
    from punie.cli.pulling import pulling

    with pulling(silent=quiet) as progress:
        return describe(resolve(name, progress=progress))


def _layers(model: ModelInfo) -> int:
    if model.layers is None:
        raise ModelError(
            f"the config of {model.model.name} does not say how many layers it has",
            hint="take a model of an architecture that mlx_lm has",
        )
    return model.layers


def chosen_data(wish: "TrainWish", settings: Loaded, file: PlanFile) -> Dataset:
    """The dataset: what was asked for or configured, or the only one that the project has.

    One file alone is split by the plan's seed, into a dataset of its own in `data/`; a dry run
    writes nothing.
    """
    dataset = read_dataset(data_source(wish, settings, file), settings.project)
    if dataset.folder is not None or set(dataset.rows) != {Split.TRAIN}:
        return dataset
    seed = int(wish.overrides.get("seed", file.plan.seed))
    return split_file(dataset, settings.project, seed=seed, write=not wish.dry_run)


def data_source(wish: "TrainWish", settings: Loaded, file: PlanFile) -> str:
    """What names the dataset: a path, a name in `data/` or an id of the hub."""
    return wish.data or file.data or settings.values.data or _only_dataset(settings.project)


def _only_dataset(project: Path) -> str:
    names = [listed.name for listed in list_datasets(project)]
    if len(names) == 1:
        return names[0]
    if names:
        raise InputError(
            f"train on what? data/ has {', '.join(names[:8])}", hint=f"punie train {names[0]}"
        )
    raise InputError(
        "train on what? the project has no data yet",
        hint="punie train my.jsonl, or make an example: punie data generate tool-calls",
    )


def split_file(dataset: Dataset, project: Path, *, seed: int, write: bool) -> Dataset:
    """The rows of one file in three parts; a file that was split before is the dataset it became.

    Raises InputError where a dataset of its name has other rows.
    """
    name = name_for(Path(dataset.name))
    parted = split_rows(dataset.rows[Split.TRAIN], seed)
    splits = {split: split_version(rows, 0) for split, rows in parted.parts.items()}
    version = dataset.version.model_copy(
        update={"name": name, "hash": dataset_hash(splits), "splits": splits, "seed": seed}
    )
    folder = project / FOLDER / name
    if folder.exists():
        before = read_dataset(folder, project)
        if before.version.hash == version.hash:
            return before
        raise InputError(
            f"data/{name} has other rows than a split of this file by seed {seed}",
            hint=f"punie data split {dataset.version.origin} --name {name}-2, then: "
            f"punie train {name}-2",
        )
    if not write:
        return replace(dataset, name=name, rows=parted.parts, version=version, notes=parted.notes)
    written = split_into_project(dataset, project, name=name, seed=seed)
    made = read_dataset(written.folder, project)
    note = f"split by seed {seed} into data/{name}, the held-out part is its suite"
    return replace(made, notes=(note, *written.notes, *made.notes))


def _free_name(settings: Loaded, model: ModelInfo, dataset: Dataset) -> str:
    from punie.adapters.registry import next_name

    return next_name(settings.project, model.model.name, dataset.name)


def _suite_name(asked: str | None, project: Path) -> str | None:
    """The suite that chooses, found now: a misspelt one must not be noticed after hours."""
    if asked is None:
        return None
    from punie.suites.catalog import find_suite

    find_suite(asked, project)
    return asked


def _shown_path(dataset: Dataset, project: Path) -> str:
    """Where the data lies, relative to the project where it is inside."""
    if dataset.folder is None:
        return dataset.version.origin or dataset.name
    folder = dataset.folder.resolve()
    inside = folder.is_relative_to(project.resolve())
    return str(folder.relative_to(project.resolve())) if inside else dataset.folder.name


def project_suites(project: Path) -> tuple[list[EvalSuite], list[str]]:
    """Every suite of the project and every built-in one, and a line for each that is broken."""
    from punie.suites.catalog import list_suites

    listed = list_suites(project)
    broken = [
        f"the suite {each.name} was not looked at for leakage: it cannot be read"
        for each in listed
        if each.suite is None
    ]
    return [each.suite for each in listed if each.suite is not None], broken
