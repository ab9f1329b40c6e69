"""An adapter by its name: its folder, and what an eval takes from its manifest."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from punie.cli.wish import Wish
from punie.models.manifest import ADAPTERS, read_manifest
from punie.settings import Loaded

if TYPE_CHECKING:
    from punie.journal.record import Dataset
    from punie.records.run import Run
    from punie.records.suite import EvalSuite
    from punie.records.trust import Finding


def adapter_folder(written: Path | str, project: Path) -> Path:
    """The folder that `--adapter` names, as everywhere: a project's adapter, or else a path."""
    from punie.adapters.registry import adapter_path

    return adapter_path(project, written)


def with_adapter(wish: Wish, settings: Loaded) -> tuple[Wish, Loaded]:
    """The wish with its adapter's folder, and with the model and suite that it was made for.

    Only an adapter of punie's own says which these are; what was asked for outright stays.
    """
    configured = settings.values.adapter
    if wish.adapter is None and configured is None:
        return wish, settings
    folder = adapter_folder(wish.adapter or configured or "", settings.project)
    if wish.adapter is None:
        values = settings.values.model_copy(update={"adapter": str(folder)})
        return wish, replace(settings, values=values)
    wish = replace(wish, adapter=folder)
    manifest = None if wish.url else read_manifest(folder)
    if manifest is None:
        return wish, settings
    from punie.models.adapter import WEIGHTS, no_weights
    from punie.models.peft import is_peft

    # Said before its base is looked for, which may take long.
    if not (folder / WEIGHTS).exists() and not is_peft(folder):
        raise no_weights(folder)
    if wish.model is None:
        from punie.adapters.registry import require_files

        require_files(manifest.base.name, folder.name)
    suite = wish.suite or _own_suite(manifest.suite, settings.project)
    return replace(wish, model=wish.model or manifest.base.name, suite=suite), settings


def base_of(adapter: Path | None) -> str | None:
    """The name of the model that an adapter was trained on, where it says so."""
    manifest = read_manifest(adapter) if adapter else None
    return manifest.base.name if manifest else None


def adapter_of(wish: Wish, settings: Loaded) -> Path | None:
    """The adapter that is served: what was asked for, or what is configured."""
    return wish.adapter or (Path(settings.values.adapter) if settings.values.adapter else None)


def _own_suite(suite: str | None, project: Path) -> str | None:
    """The held-out part of its data, where that is still there."""
    if suite is None:
        return None
    path = project / suite
    return str(path) if path.is_file() else None


def stamps(run: "Run", adapter: Path | None, suite: "EvalSuite") -> "tuple[Finding, ...]":
    """What the training of a run's model had to do with this suite, for the record of the run.

    Asked of the adapter, and of the model itself, which may be one that an adapter was fused into.
    """
    if run.model.backend == "endpoint":
        return ()
    from punie.adapters.stamps import stamps_of
    from punie.models.ties import ties_of_model

    # Where the run found it: a relative name means nothing in another folder.
    found = Path(run.sources.model).expanduser() if run.sources else Path(run.model.name)
    ties = ties_of_model(str(found) if found.is_absolute() else run.model.name)
    manifest = read_manifest(adapter) if adapter and run.model.adapter else None
    if manifest is not None:
        ties = (*ties, manifest.ties)
    return tuple(finding for each in ties for finding in stamps_of(each, suite))


def trained_on(run: "Run", project: Path) -> "Dataset | None":
    """The data of the project's own adapter that a run measured, for its journal entry."""
    name = run.model.adapter
    folder = project / ADAPTERS / name if name else None
    manifest = read_manifest(folder) if folder and folder.is_dir() else None
    if manifest is None or manifest.adapter_hash != run.model.adapter_hash:
        return None
    from punie.journal.record import Dataset

    return Dataset(name=manifest.data.name, hash=manifest.data.hash)


def note_result(adapter: Path | None, run: "Run", project: Path) -> None:
    """Put a finished run on the card of the project's own adapter that it measured."""
    if adapter is None or run.summary is None or run.summary.score is None:
        return
    folder = adapter.absolute()
    if folder.parent != (project / ADAPTERS).absolute():
        return
    manifest = read_manifest(folder)
    if manifest is None or manifest.adapter_hash != run.model.adapter_hash:
        return
    from punie.adapters.manifest import add_result, result_of

    add_result(folder, result_of(run, manifest))
