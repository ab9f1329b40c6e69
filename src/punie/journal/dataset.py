"""Which data an adapter was trained on: a name and the hash of its bytes and their order."""

import hashlib
from pathlib import Path

from punie.errors import InputError
from punie.journal.record import Dataset
from punie.records.base import digest


def read_dataset(path: Path) -> Dataset:
    """Hash a file, or a folder's files with their names but hidden ones. Raises InputError."""
    try:
        if path.is_dir():
            files = sorted(each for each in path.rglob("*") if each.is_file())
            named = {each.relative_to(path).as_posix(): each for each in files}
            content: dict[str, str] = {
                name: _sha256(each)
                for name, each in named.items()
                if not any(part.startswith(".") for part in Path(name).parts)
            }
            if not content:
                raise InputError(f"{path} has no file", hint="name the folder with the data")
            return Dataset(name=path.resolve().name, hash=digest(content))
        return Dataset(name=path.name, hash=_sha256(path))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
