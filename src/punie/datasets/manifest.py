"""`manifest.json`: which rows a dataset had when it was made or pinned, and how they changed."""

from collections.abc import Iterator
from pathlib import Path, PurePath

from pydantic import ValidationError

from punie.errors import InputError
from punie.reading import MIB, read_regular
from punie.records.dataset import DatasetVersion, Split
from punie.text import one_line, visible

NAME = "manifest.json"


def read_manifest(folder: Path) -> DatasetVersion | None:
    """Read the manifest of a dataset's folder; None where it has none.

    Raises InputError for one that is no manifest.
    """
    path = folder / NAME
    if not path.exists() and not path.is_symlink():
        return None
    hint = f"delete it, and punie data pin {folder.name} writes a new one"
    try:
        version = DatasetVersion.model_validate_json(read_regular(path, MIB))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}", hint=hint) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        what = f"{place}: {first['msg']}" if place else first["msg"]
        raise InputError(f"{path}: is no manifest of a dataset: {what}", hint=hint) from None
    if wrong := _untrusted(version):
        raise InputError(f"{path}: {wrong}", hint=f"do not trust it; {hint}")
    return version


def _untrusted(version: DatasetVersion) -> str:
    """What no manifest of punie's says; its names are printed, and its suite is opened."""
    names = {"name": version.name, "hash": version.hash, "suite": version.suite or ""}
    for field, name in names.items():
        if visible(name) != name or any(each in name for each in "\t\r\n"):
            return f"{field} has characters that no name has: {one_line(name, 60)}"
    suite = PurePath(version.suite or "")
    if suite.is_absolute() or ".." in suite.parts or str(suite).startswith(("~", "-")):
        return f"suite is no path inside the project: {one_line(str(suite), 60)}"
    return ""


def manifest_text(version: DatasetVersion) -> str:
    """Write a manifest for its file: one that people read, and that differs line by line."""
    return f"{version.model_dump_json(indent=2)}\n"


def write_manifest(folder: Path, version: DatasetVersion) -> None:
    """Put a manifest into a dataset's folder, in place of the one that is there."""
    new = folder / f".{NAME}.new"
    new.write_text(manifest_text(version), encoding="utf-8")
    new.replace(folder / NAME)


def changes_since(pinned: DatasetVersion, now: DatasetVersion) -> tuple[str, ...]:
    """Say how the rows differ from those that the manifest names; nothing where they do not."""
    return tuple(_changes(pinned, now))


def _changes(pinned: DatasetVersion, now: DatasetVersion) -> Iterator[str]:
    for split in Split:
        before, after = pinned.splits.get(split), now.splits.get(split)
        file = f"{split.value}.jsonl"
        if before is None and after is not None:
            yield f"{file} is new"
        elif before is not None and after is None:
            yield f"{file} is gone"
        elif before is not None and after is not None and before.hash != after.hash:
            if before.rows != after.rows:
                yield f"{file} has {after.rows:,} rows, no longer {before.rows:,}"
            else:
                yield f"{file} has other rows, or in another order"
