"""A dataset's folder in the project: whole or not at all, and never over another one."""

import json
import os
import re
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from punie.datasets.held_out import suite_of_rows
from punie.datasets.manifest import NAME, manifest_text
from punie.datasets.names import FOLDER, RESERVED, SUITES
from punie.datasets.reading import Dataset
from punie.datasets.row_form import row_data
from punie.datasets.split import SHARES, Shares, split_rows
from punie.datasets.version import dataset_hash, split_version
from punie.errors import InputError
from punie.records.dataset import DatasetVersion, Row, Split

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,53}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: the folder, its manifest, and the suite of its held-out rows."""

    folder: Path
    version: DatasetVersion
    suite: Path | None
    notes: tuple[str, ...] = ()


def split_into_project(
    dataset: Dataset, project: Path, *, name: str, seed: int, shares: Shares = SHARES
) -> Written:
    """Split the one file of `dataset` by `seed`, and write the parts as `data/<name>/`.

    Raises InputError as `write_dataset`, and for a dataset that has its parts already.
    """
    if set(dataset.rows) != {Split.TRAIN}:
        raise InputError(
            f"{dataset.name} is split already: {', '.join(split.value for split in dataset.rows)}",
            hint="give one .jsonl file to split",
        )
    parted = split_rows(dataset.rows[Split.TRAIN], seed, shares)
    return write_dataset(
        project,
        name,
        parted.parts,
        origin=dataset.version.origin or dataset.name,
        seed=seed,
        notes=parted.notes,
    )


def write_dataset(
    project: Path,
    name: str,
    parts: Mapping[Split, Sequence[Row]],
    *,
    origin: str,
    seed: int | None = None,
    licence: str = "",
    description: str = "",
    notes: Sequence[str] = (),
    held_out: str | None = None,
) -> Written:
    """Write `data/<name>/` with its manifest, and the test rows as `data/suites/<name>.jsonl`.

    `held_out` is the suite's text, where who made the rows knows better than `suite_of_rows` what
    is right. Both appear whole, by a rename, or not at all. Raises InputError for a name that
    cannot be one, or that a dataset or a suite has already; OSError where the disk refuses.
    """
    check_name(name)
    folder, suite = project / FOLDER / name, project / SUITES / f"{name}.jsonl"
    _refuse_existing(folder, suite)
    if held_out is None:
        held_out = suite_of_rows(parts.get(Split.TEST, ()), name)
    asked = held_out.count("\n")
    unasked = len(parts.get(Split.TEST, ())) - asked
    if unasked:
        notes = [*notes, f"{unasked:,} of the held-out rows cannot be asked: not in the suite"]
    making = folder.with_name(f".{name}.{secrets.token_hex(4)}")
    making.mkdir(parents=True)
    try:
        files = {split: making / f"{split.value}.jsonl" for split in parts}
        for split, path in files.items():
            _write_rows(path, parts[split])
        splits = {
            split: split_version(tuple(parts[split]), path.stat().st_size)
            for split, path in files.items()
        }
        version = DatasetVersion(
            name=name,
            hash=dataset_hash(splits),
            splits=splits,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            origin=origin,
            seed=seed,
            suite=str(SUITES / suite.name) if held_out else None,
            licence=licence,
            description=description,
            notes=tuple(notes),
        )
        (making / NAME).write_text(manifest_text(version), encoding="utf-8")
        _publish(making, folder, held_out, suite)
    finally:
        shutil.rmtree(making, ignore_errors=True)  # after the rename there is nothing of this name
    return Written(folder, version, suite if held_out else None, tuple(notes))


def check_name(name: str) -> None:
    """Refuse what cannot name a folder and a suite. Raises InputError."""
    if not _NAME.fullmatch(name) or name in RESERVED:
        raise InputError(
            f"{name!r} cannot name a dataset",
            hint="letters, digits, _, . and -, at most 54; suites is taken",
        )


def name_for(path: Path) -> str:
    """Make a dataset's name of a file's."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", path.stem).strip("-._")[:54] or "dataset"
    return f"{plain}-data" if plain in RESERVED else plain


def _refuse_existing(folder: Path, suite: Path) -> None:
    """A dataset and its suite are results of others: nothing is written over them."""
    taken = [folder, *(suite.with_suffix(ending) for ending in (".jsonl", ".yaml", ".yml"))]
    for path in taken:
        if path.exists() or path.is_symlink():
            raise InputError(f"{path} is there already", hint="give another --name, or delete it")


def _write_rows(path: Path, rows: Sequence[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(f"{json.dumps(row_data(row), ensure_ascii=False)}\n")
        file.flush()
        os.fsync(file.fileno())


def _publish(making: Path, folder: Path, held_out: str, suite: Path) -> None:
    """Put the suite and the folder in their places; if either is refused, neither stays."""
    if held_out:
        suite.parent.mkdir(parents=True, exist_ok=True)
        text = making / suite.name
        text.write_text(held_out, encoding="utf-8")
        text.rename(suite)
    try:
        making.rename(folder)
    except OSError:
        if held_out:
            suite.unlink()
        raise
