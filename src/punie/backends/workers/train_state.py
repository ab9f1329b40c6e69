"""What a training leaves on disk: weights for serving, and all that it needs to go on exactly.

    adapter_config.json              mlx_lm's, so that its server takes a checkpoint as it is
    checkpoints/0000100.safetensors  the trained weights after so many iterations
    state.safetensors                the optimizer's state, gradients not yet applied, and in its
                                     metadata everything else, with the name of its weights

Every file is written under another name, synced and renamed. The weights come before the state
that names them, and those that a state names are never replaced by others: killed at any moment,
the state and its weights belong together.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import ValidationError

from punie.backends.workers.train_failure import Failure
from punie.records.base import Record, digest
from punie.records.training import FailureKind, ResolvedPlan

CONFIG, CHECKPOINTS, STATE = "adapter_config.json", "checkpoints", "state.safetensors"
OPTIMIZER, GRADIENT = "optimizer.", "gradient."
"""What the names of a state's arrays begin with."""
SAVED = "saved"
"""The one entry of a state's metadata."""


class Validation(Record):
    """One validation that was done."""

    step: int
    loss: float
    tokens: int
    seconds: float
    best: bool


class Progress(Record):
    """How far a training is."""

    step: int = 0
    random_key: int
    validations: tuple[Validation, ...] = ()
    inexact_because: str = ""
    """Not empty where it went on once in a way that is not exact."""

    @property
    def best(self) -> Validation | None:
        """The validation with the lowest loss; of equal ones the earliest."""
        return next((each for each in reversed(self.validations) if each.best), None)

    @property
    def since_best(self) -> int:
        """Validations after the best one."""
        flags = [each.best for each in reversed(self.validations)]
        return flags.index(True) if True in flags else len(flags)


class Origin(Record):
    """What a training that goes on must have in common with its beginning."""

    plan: ResolvedPlan
    rows: str
    """The hash of its file of tokens."""
    base: str


class Saved(Record):
    """The metadata of a state."""

    progress: Progress
    origin: Origin
    machine: dict[str, str]
    weights: str
    """In the job's folder."""


def begin(folder: Path, config: dict[str, Any]) -> None:
    """Make the folder, in which there is no state, ready for a new training. Raises Failure."""
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    with _disk(folder):
        (folder / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
        remove_after(folder, -1)
        write_whole(folder / CONFIG, lambda file: file.write(text.encode()))


def remove_after(folder: Path, step: int) -> None:
    """Remove what no state names: weights of later steps, and files that were half written."""
    for path in (folder / CHECKPOINTS).glob("*.safetensors*"):
        if path.suffix == ".part" or (path.stem.isdigit() and int(path.stem) > step):
            path.unlink()


def save(
    folder: Path,
    saved: Saved,
    *,
    weights: Callable[[BinaryIO], None],
    state: Callable[[BinaryIO, dict[str, str]], None],
) -> None:
    """Write weights and state. Raises Failure(DISK), and what was there before is still whole."""
    metadata = {SAVED: saved.model_dump_json()}
    with _disk(folder):
        write_whole(folder / saved.weights, weights)
        write_whole(folder / STATE, lambda file: state(file, metadata))


def read(folder: Path) -> Saved | None:
    """What the last state says; None where there is none yet. Raises Failure.

    Safetensors: eight bytes that give the header's length, a header of JSON, the tensors.
    """
    path = folder / STATE
    if not path.exists():
        return None
    try:
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        return Saved.model_validate_json(header["__metadata__"][SAVED])
    except (OSError, ValueError, KeyError, ValidationError) as problem:
        raise unreadable(path, problem) from problem


def unreadable(path: Path, problem: Exception) -> Failure:
    """What to raise where a file of a training that is to go on cannot be read."""
    return Failure(FailureKind.RESUME, f"{path} cannot be read: {problem}")


def require_same_shapes(
    path: Path, there: dict[str, tuple[int, ...]], wanted: dict[str, tuple[int, ...]]
) -> None:
    """Raise Failure where a file has not the arrays that model and plan have."""
    if there != wanted:
        odd = min(set(there.items()) ^ set(wanted.items()))[0]
        raise Failure(FailureKind.RESUME, f"{path} is not of this model and plan: see {odd}")


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file that appears whole or not at all, also if the power fails. Raises OSError."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def base_hash(folder: Path) -> str:
    """What a training that goes on knows its base by: its settings, and the size of its weights."""
    sizes = {path.name: path.stat().st_size for path in folder.glob("*.safetensors")}
    config = hashlib.sha256((folder / "config.json").read_bytes()).hexdigest()
    return digest({"config": config, "weights": sizes})


def require_same(old: Origin, new: Origin) -> None:
    """Raise Failure, with what is different, where a training cannot go on as another one."""
    before, now = (each.plan.model_dump(mode="json") for each in (old, new))
    found = [
        f"{key} was {before[key]} and is {now[key]}" for key in before if before[key] != now[key]
    ]
    if old.rows != new.rows:
        found.append("the rows are others")
    if old.base != new.base:
        found.append("the base model is another")
    if found:
        raise Failure(
            FailureKind.RESUME,
            f"this is not the training that was interrupted: {'; '.join(found)}",
        )


@contextlib.contextmanager
def _disk(folder: Path) -> Generator[None]:
    try:
        yield
    except OSError as problem:
        raise Failure(
            FailureKind.DISK,
            f"{folder} cannot be written: {problem.strerror or problem}; the checkpoint before it "
            "is whole, so make room and resume",
        ) from problem
