"""What a training leaves on disk: weights for serving, and all that it needs to go on exactly.

    adapter_config.json              mlx_lm's, so that its server takes a checkpoint as it is
    checkpoints/0000100.safetensors  the trained weights after so many iterations
    state.safetensors                the optimizer's state, gradients not yet applied, and in its
                                     metadata everything else, with the name of its weights

Every file is written under another name, synced and renamed. The weights come before the state
that names them, and those that a state names are never replaced by others: killed at any moment,
the state and its weights belong together.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false
# mlx is only partly typed.

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import mlx.core as mx
from mlx.utils import tree_flatten, tree_map_with_path
from pydantic import ValidationError

from punie.backends.workers.train_failure import Failure
from punie.records.base import Record
from punie.records.training import FailureKind, ResolvedPlan

CONFIG, CHECKPOINTS, STATE = "adapter_config.json", "checkpoints", "state.safetensors"
OPTIMIZER, GRADIENT = "optimizer.", "gradient."


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


def begin(folder: Path, config: str) -> None:
    """Make the folder, in which there is no state, ready for a new training. Raises Failure."""
    with _disk(folder):
        (folder / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
        remove_after(folder, -1)
        write_whole(folder / CONFIG, lambda file: file.write(config.encode()))


def remove_after(folder: Path, step: int) -> None:
    """Remove what no state names: weights of later steps, and files that were half written."""
    for path in (folder / CHECKPOINTS).glob("*.safetensors*"):
        if path.suffix == ".part" or (path.stem.isdigit() and int(path.stem) > step):
            path.unlink()


def save(
    folder: Path, weights: dict[str, mx.array], optimizer: Any, gradient: Any, saved: Saved
) -> None:
    """Write weights and state. Raises Failure(DISK), and what was there before is still whole."""
    arrays = {OPTIMIZER + name: each for name, each in flat(optimizer.state).items()}
    arrays |= {GRADIENT + name: each for name, each in flat(gradient or {}).items()}
    metadata = {"saved": saved.model_dump_json()}
    with _disk(folder):
        write_whole(folder / saved.weights, lambda file: _put(file, weights))
        write_whole(folder / STATE, lambda file: _put(file, arrays, metadata))


def read(folder: Path) -> tuple[Saved, dict[str, mx.array]] | None:
    """The last state and its arrays; None where there is none yet. Raises Failure."""
    path = folder / STATE
    if not path.exists():
        return None
    try:
        loaded: Any = mx.load(str(path), return_metadata=True)
        arrays, metadata = loaded
        saved = Saved.model_validate_json(metadata["saved"])
        mx.eval(arrays)
    except (OSError, RuntimeError, KeyError, ValidationError) as problem:
        raise Failure(FailureKind.RESUME, f"{path} cannot be read: {problem}") from problem
    return saved, arrays


def restore_weights(model: Any, folder: Path, saved: Saved, wanted: dict[str, mx.array]) -> None:
    """Put the saved weights into the model. Raises Failure where they are not of its shape."""
    path = folder / saved.weights
    try:
        loaded: Any = mx.load(str(path))
        weights: dict[str, mx.array] = loaded
        mx.eval(weights)
    except (OSError, RuntimeError) as problem:
        raise Failure(FailureKind.RESUME, f"{path} cannot be read: {problem}") from problem
    _require_same_shapes(path, weights, wanted)
    model.load_weights(list(weights.items()), strict=False)


def restore_optimizer(optimizer: Any, parameters: Any, arrays: dict[str, mx.array]) -> None:
    """Put the saved state into an optimizer that has one for the same parameters."""
    optimizer.state = _like(optimizer.state, _part(arrays, OPTIMIZER))
    optimizer.init(parameters)  # finds its state, and makes no other


def saved_gradient(arrays: dict[str, mx.array], parameters: Any) -> Any:
    """The gradients that were not applied yet; None where there were none."""
    gradient = _part(arrays, GRADIENT)
    return _like(parameters, gradient) if gradient else None


def _like(tree: Any, arrays: dict[str, mx.array]) -> Any:
    """A tree of the same form with these arrays in it."""
    _require_same_shapes(Path(STATE), arrays, flat(tree))
    return tree_map_with_path(lambda name, _: arrays[name], tree)


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


def differences(old: Origin, new: Origin) -> list[str]:
    """What keeps a training from going on, in words; empty if nothing does."""
    before, now = (each.plan.model_dump(mode="json") for each in (old, new))
    found = [
        f"{key} was {before[key]} and is {now[key]}" for key in before if before[key] != now[key]
    ]
    if old.rows != new.rows:
        found.append("the rows are others")
    if old.base != new.base:
        found.append("the base model is another")
    return found


def flat(tree: Any) -> dict[str, mx.array]:
    """The arrays of a tree by their names, such as `model.layers.0.self_attn.q_proj.lora_a`."""
    leaves: Any = tree_flatten(tree)
    return dict(leaves)


def _put(
    file: BinaryIO, arrays: dict[str, mx.array], metadata: dict[str, str] | None = None
) -> None:
    mx.save_safetensors(file, arrays, metadata)


def _part(arrays: dict[str, mx.array], prefix: str) -> dict[str, mx.array]:
    return {
        name.removeprefix(prefix): each for name, each in arrays.items() if name.startswith(prefix)
    }


def _require_same_shapes(
    path: Path, there: dict[str, mx.array], wanted: dict[str, mx.array]
) -> None:
    shapes, expected = ({name: a.shape for name, a in each.items()} for each in (there, wanted))
    if shapes != expected:
        odd = min(set(shapes.items()) ^ set(expected.items()))[0]
        raise Failure(FailureKind.RESUME, f"{path} is not of this model and plan: see {odd}")


@contextlib.contextmanager
def _disk(folder: Path) -> Any:
    try:
        yield
    except OSError as problem:
        raise Failure(
            FailureKind.DISK,
            f"{folder} cannot be written: {problem.strerror or problem}; the checkpoint before it "
            "is whole, so make room and resume",
        ) from problem
