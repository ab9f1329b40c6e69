"""A dataset from a folder, a file, a name of the project's `data/`, or the Hugging Face Hub."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from punie.datasets.manifest import changes_since, read_manifest
from punie.datasets.names import FOLDER, RESERVED
from punie.datasets.rows_file import Problems, read_rows
from punie.datasets.tools import ToolSets
from punie.datasets.version import dataset_hash, split_version
from punie.errors import InputError
from punie.records.dataset import DatasetVersion, Row, Split, SplitVersion
from punie.sources.faults import nearest

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True, slots=True)
class Dataset:
    """Rows by split, and exactly which ones these are.

    One file alone is all `train`. `version` is computed from the rows; what the manifest adds to
    it (origin, seed, suite, licence) is taken over. `changes` says where the rows are no longer
    those of the manifest, `notes` what a person should know.
    """

    name: str
    folder: Path | None
    """The folder that is the dataset; None for a single file, and for the hub's cache."""
    rows: Mapping[Split, tuple[Row, ...]]
    version: DatasetVersion
    pinned: bool = False
    """Whether it has a manifest."""
    changes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_dataset(source: str | Path, project: Path) -> Dataset:
    """Read a dataset in full, or raise with everything that is wrong with it.

    `source` is a folder with `train.jsonl` (and `valid.jsonl`, `test.jsonl`), a single `.jsonl`,
    the name of a dataset in the project's `data/`, or an id of the hub such as `org/name`.
    Raises `DataError` with located problems, `InputError` where there is no such dataset.
    """
    text = str(source)
    if not text.strip():
        raise InputError("the dataset's name is empty", hint="punie data list shows names")
    path = Path(source).expanduser()
    if not _exists(path) and not _is_path(text):
        named = _in_project(text, project)
        if named is None and _HUB_ID.fullmatch(text) and not path.parent.is_dir():
            from punie.datasets.hub import download_dataset  # noqa: PLC0415 - rarely needed, slow

            fetched = download_dataset(text)
            return _read(text, None, fetched.files, origin=fetched.origin)
        if named is None and "/" not in text:
            raise _missing(text, project)
        path = named or path
    if path.is_dir():
        return _read(path.resolve().name, path, split_files(path))
    if not _exists(path):
        raise InputError(
            f"{text}: no such file or folder",
            hint="a dataset is a folder with train.jsonl, or a .jsonl file",
        )
    if path.suffix != ".jsonl":
        raise InputError(
            f"{text}: training data is JSON lines, in a file named .jsonl",
            hint=_other_format(path.suffix),
        )
    return _read(path.stem, None, {Split.TRAIN: path}, origin=_origin(path, project))


def split_files(folder: Path) -> dict[Split, Path]:
    """Find the files of a dataset's folder. Raises InputError where there is no `train.jsonl`."""
    found = {split: path for split in Split if _is_there(path := folder / f"{split.value}.jsonl")}
    if Split.TRAIN in found:
        return found
    others = sorted(each.name for each in folder.glob("*.jsonl"))
    hint = "its files are train.jsonl, and if you like valid.jsonl and test.jsonl"
    if len(others) == 1:
        hint = f"punie data split {folder / others[0]} makes a dataset of its one file"
    raise InputError(f"{folder}: has no train.jsonl", hint=hint)


def shown_path(path: Path) -> str:
    """Write a path as from the current folder where it lies in it."""
    absolute, here = path.absolute(), Path.cwd()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(path)


def _read(
    name: str, folder: Path | None, files: Mapping[Split, Path], *, origin: str = ""
) -> Dataset:
    problems, tools = Problems(), ToolSets()
    rows: dict[Split, tuple[Row, ...]] = {}
    splits: dict[Split, SplitVersion] = {}
    notes: list[str] = []
    for split, path in files.items():
        content = read_rows(path, shown_path(path), tools, problems)
        rows[split] = content.rows
        notes.extend(content.notes)
        if not problems.found:
            splits[split] = split_version(content.rows, content.bytes)
    problems.stop()
    version = DatasetVersion(name=name, hash=dataset_hash(splits), splits=splits, origin=origin)
    pinned = read_manifest(folder) if folder is not None else None
    changes: tuple[str, ...] = ()
    if pinned is not None:
        changes = changes_since(pinned, version)
        version = pinned.model_copy(update={"hash": version.hash, "splits": splits, "name": name})
    return Dataset(
        name=name,
        folder=folder,
        rows=rows,
        version=version,
        pinned=pinned is not None,
        changes=changes,
        notes=tuple(notes),
    )


def _origin(path: Path, project: Path) -> str:
    """Name a file for the manifest, which others read: no folder of this machine stands in it."""
    there, here = path.resolve(), project.resolve()
    return str(there.relative_to(here)) if there.is_relative_to(here) else path.name


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name too long for a file can still be a hub's
        return False


def _is_path(text: str) -> bool:
    return text.startswith((".", "/", "~")) or text.endswith(".jsonl")


def _is_there(path: Path) -> bool:
    # A link that leads nowhere, a pipe or a folder of this name is opened, and refused with reason.
    return path.exists() or path.is_symlink()


def _in_project(name: str, project: Path) -> Path | None:
    """Find the dataset of this name in `data/`, which must not be a link out of the project."""
    if "/" in name or name in RESERVED or not name:
        return None
    for path in (project / FOLDER / name, project / FOLDER / f"{name}.jsonl"):
        if not _exists(path):
            continue
        if not path.resolve().is_relative_to(project.resolve()):
            raise InputError(
                f"{path}: is a link out of the project",
                hint="give that folder's own path, or copy it here",
            )
        return path
    return None


def _missing(name: str, project: Path) -> InputError:
    folder = project / FOLDER
    names = [each.stem for each in folder.iterdir()] if folder.is_dir() else []
    hint = "punie data list names the project's; a file is given by its path"
    return InputError(f"there is no dataset {name!r}{nearest(name, names)}", hint=hint)


def _other_format(suffix: str) -> str:
    if suffix == ".parquet":
        return "write it as JSON lines: pandas.read_parquet(F).to_json(G, 'records', lines=True)"
    if suffix in {".json", ".csv"}:
        return "write one JSON object a line"
    return "one JSON object a line: messages, or prompt and completion, or text"
