"""From a finished training to `adapters/NAME/`, which appears whole or not at all."""

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from punie.adapters.manifest import write_manifest
from punie.errors import StoreError, TrainingError
from punie.models.fingerprint import adapter_hash, file_hash
from punie.records.adapter import AdapterManifest, Chosen
from punie.training.progress import Progress
from punie.training.work import Begun, WorkFolder

WEIGHTS, CONFIG = "adapters.safetensors", "adapter_config.json"


def checkpoint(work: WorkFolder, step: int) -> Path:
    """The file of a checkpoint. Raises TrainingError where it is not there, or is a link.

    Its name follows from the step alone: what a file of events names could lie anywhere.
    """
    path = work.path / "checkpoints" / f"{step:07d}.safetensors"
    if path.is_symlink() or not path.is_file():
        raise TrainingError(
            f"{path} is not there, although the training says so",
            hint=f"train again under another name, and remove {work.path}",
        )
    return path


def candidate(work: WorkFolder, step: int) -> Path:
    """A checkpoint as an adapter folder that can be served.

    Where the file system has hard links it costs no room on the disk.
    """
    file = checkpoint(work, step)
    folder = work.candidates / f"{work.name}@{step}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(work.path / CONFIG, folder / CONFIG)
        weights = folder / WEIGHTS
        weights.unlink(missing_ok=True)
        try:
            os.link(file, weights)
        except OSError:
            shutil.copyfile(file, weights)
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror or error}") from error
    return folder


def publish(work: WorkFolder, begun: Begun, progress: Progress, chosen: Chosen) -> AdapterManifest:
    """Make the adapter of the chosen checkpoint, its manifest last, and drop the work folder.

    Raises TrainingError without that checkpoint, or StoreError, and then the work folder is as it
    was.
    """
    file = checkpoint(work, chosen.step)
    staged = work.path / "staged"
    try:
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir()
        shutil.copyfile(file, staged / WEIGHTS)
        shutil.copyfile(work.path / CONFIG, staged / CONFIG)
        manifest = AdapterManifest(
            name=work.name,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            base=begun.base,
            data=begun.data,
            data_path=begun.data_path,
            suite=begun.suite,
            plan=begun.plan,
            weights_hash=file_hash(staged / WEIGHTS),
            adapter_hash=adapter_hash(staged),
            chosen=chosen,
            training=progress.training(
                begun.plan, started_at=begun.started_at, train_rows=begun.train_rows
            ),
            findings=begun.findings,
            leaked_suites=begun.leaked_suites,
            leaked_prompts=begun.leaked_prompts,
            backend=begun.backend,
            provenance=begun.provenance,
        )
        write_manifest(staged, manifest)
        _flush(staged)
        staged.rename(work.adapter)
        _flush_folder(work.adapter.parent)
    except OSError as error:
        raise StoreError(
            f"{error.filename or staged}: {error.strerror or error}",
            hint=f"then: punie train --resume {work.name}",
        ) from error
    work.discard()
    return manifest


def _flush(folder: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    _flush_folder(folder)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
