"""Deleting adapters and abandoned trainings: only a project's own, and only idle ones."""

from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from punie.adapters.registry import NAME, UNFINISHED
from punie.adapters.scratch import scratch
from punie.errors import InputError, StoreError
from punie.models.manifest import ADAPTERS
from punie.serving.registry import running


def deletable(project: Path, names: Sequence[str]) -> list[Path]:
    """The folders that these names mean, each checked: an adapter, or else its training.

    `.NAME.training` means the training alone. Raises InputError for a name that is none here, leads
    elsewhere, is in use, or may mean either.
    """
    folders = [_folder(project, name) for name in dict.fromkeys(names)]
    in_use = {Path(entry.adapter).resolve(): entry for entry in running() if entry.adapter}
    for folder in folders:
        if entry := in_use.get(folder.resolve()):
            raise InputError(
                f"{folder.name} is being served (pid {entry.owner_pid}, port {entry.port})",
                hint="end that first: punie serve --stop, or wait for the run",
            )
        if _is_trained(folder):
            raise InputError(f"{folder.name} is being trained", hint="end that first")
    return folders


def delete(folder: Path) -> None:
    """Remove a folder that `deletable` gave: gone from the list at once, then from the disk."""
    with scratch(folder.parent, "deleted") as aside:
        try:
            folder.rename(aside / folder.name)
        except OSError as error:
            what = error.strerror or error
            raise StoreError(f"{folder}: {what}", hint="check its owner") from error


def _folder(project: Path, name: str) -> Path:
    home = project / ADAPTERS
    training = UNFINISHED.fullmatch(name)
    if not NAME.fullmatch(training["name"] if training else name):
        raise InputError(
            f"{name[:80]!r} is no adapter's name",
            hint=f"only what lies in {home} is deleted, by its name",
        )
    places = [home / name] if training else [home / name, home / f".{name}.training"]
    for folder in places:
        if folder.is_symlink():
            raise InputError(f"{folder} is a link", hint="remove the link yourself")
    found = [folder for folder in places if folder.is_dir()]
    if len(found) > 1:
        raise InputError(
            f"{name} is an adapter, and something of a training of that name is left as well",
            hint=f"first the training: punie adapters delete .{name}.training; the adapter is what "
            f"{name} means after that",
        )
    if not found:
        raise InputError(f"no adapter is called {name}", hint="punie adapters list")
    return found[0]


def _is_trained(folder: Path) -> bool:
    """Whether a punie holds the lock of this training's work folder."""
    lock = folder / "lock"
    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True
