"""The work folder of a training: all that it needs to go on, until it has become an adapter.

    adapters/.NAME.training/
        begun.json           what is trained, on what, how; written once
        job.json             what the worker was told last
        rows.safetensors     the rows as tokens
        events.jsonl         everything that the worker reported, one event a line
        worker.log           its output
        checkpoints/ …       the worker's own

Nothing of it is an adapter: that appears under its name by a rename, when all of it is there.
"""

import os
import re
import shutil
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import Field, ValidationError

from punie.errors import InputError, StoreError
from punie.models.manifest import ADAPTERS, read_manifest
from punie.reading import MIB, read_regular
from punie.records.adapter import AdapterManifest, BaseModelVersion
from punie.records.base import SCHEMA_VERSION, Record
from punie.records.datacheck import DataFinding
from punie.records.dataset import ROW, DatasetVersion, Split
from punie.records.run import Provenance
from punie.records.training import EVENTS_FILE, TRAIN_EVENT, ResolvedPlan, TrainEvent

STATE = "state.safetensors"
"""The worker's; with it a training can go on."""
NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,63}", re.ASCII)
MAX_BEGUN = 64 * MIB


class Begun(Record):
    """The head of a training that has begun, as `begun.json` keeps it."""

    schema_version: int = SCHEMA_VERSION
    id: str
    """Of the training in the store."""
    name: str
    started_at: str
    """UTC, ISO 8601."""
    base: BaseModelVersion
    data: DatasetVersion
    data_path: str
    train_rows: int
    suite: str | None = None
    """The adapter's own suite."""
    backend: str = "mlx"
    processes: int = 1
    """In which it trains, on each of its parts."""
    select_by: str | None = None
    """The suite that chooses the checkpoint; None: the validation loss."""
    plan: ResolvedPlan
    findings: tuple[DataFinding, ...] = ()
    leaked_suites: dict[str, int] = Field(default_factory=dict[str, int])
    leaked_prompts: tuple[str, ...] = ()
    provenance: Provenance = Provenance()
    goal: str | None = None
    """That of the journal entry that was asked for."""


class WorkFolder:
    """The paths of one training's work folder. Nothing is made before `make`."""

    def __init__(self, project: Path, name: str) -> None:
        if not NAME.fullmatch(name):
            raise InputError(
                f"{name[:80]!r} cannot be an adapter's name",
                hint="letters, digits, _ . and -, beginning with a letter or digit, at most 64",
            )
        self.project = project
        self.name = name
        self.adapter = project / ADAPTERS / name
        self.path = project / ADAPTERS / f".{name}.training"
        self.rows = self.path / "rows.safetensors"
        self.events = self.path / EVENTS_FILE
        self.candidates = self.path / "candidates"
        self._begun = self.path / "begun.json"

    @property
    def exists(self) -> bool:
        """Whether a training of this name has begun and is no adapter yet."""
        return self._begun.is_file()

    @property
    def has_state(self) -> bool:
        """Whether the worker has left something to go on from."""
        return (self.path / STATE).is_file()

    @contextmanager
    def hold(self) -> Generator[None]:
        """Hold the lock of this name.

        Raises InputError where another punie trains under it, and StoreError where the project's
        folder cannot be written.
        """
        lock_file = self.path.with_name(f".{self.name}.lock")
        if lock_file.is_symlink() or self.path.is_symlink():
            raise self._odd(lock_file if lock_file.is_symlink() else self.path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(lock_file)
            lock.acquire(timeout=0)
        except Timeout:
            raise InputError(
                f"another punie is training {self.name}", hint="wait for it, or give another --name"
            ) from None
        except OSError as error:
            raise StoreError(
                f"{self.path}: {error.strerror or error}",
                hint="check that the project's folder can be written to",
            ) from error
        try:
            yield
        finally:
            lock.release()

    def make(self) -> None:
        """Make the folder anew, empty; the lock is held.

        What a training that never began has left is removed. Raises InputError where the name is an
        adapter's, or that of a training which waits to be gone on with.
        """
        if self.adapter.exists() or self.adapter.is_symlink():
            raise InputError(
                f"there is an adapter called {self.name} already",
                hint=f"give another --name, or: punie adapters delete {self.name}",
            )
        if self.exists:
            raise InputError(
                f"a training called {self.name} was begun and not finished",
                hint=f"punie train --resume {self.name}, or give another --name, or: "
                f"punie adapters delete {self.name}",
            )
        try:
            shutil.rmtree(self.path, ignore_errors=True)
            self.path.mkdir()
        except OSError as error:
            raise StoreError(
                f"{self.path}: {error.strerror or error}", hint="remove it by hand"
            ) from error

    def refuse_links(self) -> None:
        """Raise InputError where the folder holds a link: what goes on writes into its files.

        Punie makes none; the folder of a project from somebody else may lead anywhere.
        """
        for path in self.path.rglob("*"):
            if path.is_symlink():
                raise self._odd(path)

    def _odd(self, path: Path) -> InputError:
        return InputError(
            f"{path} is a link, and no training of punie's has one",
            hint=f"look where it leads, and remove {self.path}",
        )

    def finished(self, begun: Begun) -> AdapterManifest | None:
        """The adapter's manifest where this very training has become it already."""
        manifest = read_manifest(self.adapter) if self.adapter.is_dir() else None
        same = manifest is not None and manifest.training.started_at == begun.started_at
        return manifest if same else None

    def discard(self) -> None:
        """Remove the folder, with all that was not finished."""
        shutil.rmtree(self.path, ignore_errors=True)

    def write_begun(self, begun: Begun) -> None:
        """Keep the head; from now on the training can go on. Raises StoreError."""
        temporary = self._begun.with_suffix(".tmp")
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(begun.model_dump_json(indent=1))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._begun)
        except OSError as error:
            raise StoreError(
                f"{self._begun}: {error.strerror or error}", hint="free some disk space"
            ) from error

    def read_begun(self) -> Begun:
        """The head of the training. Raises InputError where there is none, or it is damaged."""
        try:
            return Begun.model_validate_json(read_regular(self._begun, MAX_BEGUN))
        except FileNotFoundError:
            raise InputError(
                f"no training called {self.name} is to be gone on with",
                hint="`punie adapters list` shows finished and unfinished ones",
            ) from None
        except OSError as error:
            raise InputError(f"{self._begun}: {error.strerror or error}") from error
        except ValidationError as error:
            raise InputError(
                f"{self._begun} is damaged, so the training cannot go on",
                hint=f"remove {self.path} and train again",
            ) from error

    def rows_file(self, split: Split) -> Path:
        """The rows of a split as the encoding worker read them, each with its place."""
        return self.path / f"{split.value}.rows.jsonl"

    def places(self, rows: Sequence[int]) -> list[str]:
        """`file:line` of training rows by their positions; empty where these are not known."""
        wanted = set(rows)
        try:
            with self.rows_file(Split.TRAIN).open("rb") as file:
                found = [ROW.validate_json(line) for i, line in enumerate(file) if i in wanted]
        except (OSError, ValidationError):
            return []
        return [f"{row.file}:{row.line}" for row in found]

    def read_events(self) -> list[TrainEvent]:
        """What the worker has reported so far; a line that was torn by a kill is left out."""
        found: list[TrainEvent] = []
        with suppress(FileNotFoundError), self.events.open("rb") as file:
            for line in file:
                with suppress(ValidationError):
                    found.append(TRAIN_EVENT.validate_json(line))
        return found
