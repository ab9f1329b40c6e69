"""The datasets of a project, listed without reading more of them than is needed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from punie.datasets.forms import forms_of
from punie.datasets.manifest import read_manifest, write_manifest
from punie.datasets.names import FOLDER, RESERVED
from punie.datasets.reading import Dataset, read_dataset, split_files
from punie.errors import InputError
from punie.records.dataset import DatasetVersion, RowForm, Split
from punie.scoring.json_text import is_object
from punie.sources.json_rows import JsonRow, json_rows


@dataclass(frozen=True, slots=True)
class Listed:
    """One dataset of `data/`. `error` stands where it cannot be read."""

    name: str
    path: Path
    """Its folder; or its file, which is not split yet."""
    version: DatasetVersion | None = None
    forms: tuple[RowForm, ...] = ()
    """Of its files; each has rows of one form."""
    pinned: bool = False
    changes: tuple[str, ...] = ()
    error: InputError | None = None


def list_datasets(project: Path) -> list[Listed]:
    """List the project's datasets by name: folders, and files that are still to be split.

    A dataset whose files are as long as its manifest says is listed from the manifest, without
    reading its rows.
    """
    return [_listed(path, project) for path in _paths(project)]


def pin(dataset: Dataset, *, origin: str = "") -> DatasetVersion:
    """Write what the rows are now into the dataset's manifest. Raises InputError for one file."""
    if dataset.folder is None:
        raise InputError(
            f"{dataset.name}: a dataset that is pinned has a folder of its own",
            hint="punie data split FILE makes one of a file",
        )
    version = dataset.version.model_copy(
        update={
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "origin": origin or dataset.version.origin,
        }
    )
    write_manifest(dataset.folder, version)
    return version


def _paths(project: Path) -> list[Path]:
    folder = project / FOLDER
    if not folder.is_dir():
        return []
    found = [
        path
        for path in folder.iterdir()
        if path.name not in RESERVED and not path.name.startswith(".") and _is_dataset(path)
    ]
    return sorted(found)


def _is_dataset(path: Path) -> bool:
    if path.is_dir():
        return any((path / name).is_file() for name in ("train.jsonl", "manifest.json"))
    return path.suffix == ".jsonl" and path.is_file()


def _listed(path: Path, project: Path) -> Listed:
    name = path.stem if path.is_file() else path.name
    try:
        if path.is_dir():
            pinned = read_manifest(path)
            if pinned is not None and _sizes(split_files(path)) == _pinned_sizes(pinned):
                return Listed(name, path, pinned, _first_forms(path), pinned=True)
        dataset = read_dataset(path, project)
    except InputError as error:
        return Listed(name, path, error=error)
    forms = dict.fromkeys(rows[0].form for rows in dataset.rows.values() if rows)
    return Listed(
        name, path, dataset.version, tuple(forms), pinned=dataset.pinned, changes=dataset.changes
    )


def _first_forms(folder: Path) -> tuple[RowForm, ...]:
    """Look at the first row of each file: all rows of a file have its form."""
    first = [next(json_rows(path, str(path)), None) for path in split_files(folder).values()]
    rows = [each.data for each in first if isinstance(each, JsonRow) and is_object(each.data)]
    return tuple(dict.fromkeys(form for row in rows for form in forms_of(row)))


def _sizes(files: Mapping[Split, Path]) -> dict[Split, int]:
    return {split: path.stat().st_size for split, path in files.items()}


def _pinned_sizes(version: DatasetVersion) -> dict[Split, int]:
    return {split: each.bytes for split, each in version.splits.items()}
