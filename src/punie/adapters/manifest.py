"""Writing an adapter's `punie.json` and the card that says the same to people."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from punie.adapters.card import public, write_card
from punie.adapters.peft_card import write_peft_card
from punie.adapters.stamps import LEAKAGE, SELECTION
from punie.analysis.served_by import served_by
from punie.errors import InputError, StoreError
from punie.models.manifest import MANIFEST, read_manifest
from punie.models.peft import is_peft
from punie.records.adapter import AdapterManifest, AdapterResult
from punie.records.run import Run

CARD = "README.md"
SELECTED_ON_TEST, LEAKED, NOT_CHECKED = "selected on test", "leaked", "instrument not checked"


def write_manifest(folder: Path, manifest: AdapterManifest) -> None:
    """Write the card, then `punie.json`, each whole or not at all. Raises StoreError."""
    try:
        shown = public(manifest, folder.absolute().parent.parent)
        card = write_card(shown)
        if is_peft(folder):
            card = write_peft_card(shown.name, shown.base.name, shown)
        _write_whole(folder / CARD, card)
        _write_whole(folder / MANIFEST, manifest.model_dump_json(indent=1) + "\n")
    except OSError as error:
        raise StoreError(
            f"{folder}: its card could not be written: {error.strerror or error}",
            hint="check that the folder can be written to, and that the disk is not full",
        ) from error


def add_result(folder: Path, result: AdapterResult) -> AdapterManifest:
    """Note in `punie.json` and on the card what a run measured; of one run the last word counts.

    Raises InputError for an adapter without a `punie.json`, ModelError for a damaged one.
    """
    with _alone(folder):
        manifest = read_manifest(folder)
        if manifest is None:
            raise InputError(
                f"{folder} has no {MANIFEST}", hint="only punie's own adapters have a card"
            )
        others = [each for each in manifest.results if each.run != result.run]
        results = sorted([*others, result], key=lambda each: (each.created_at, each.run))
        manifest = manifest.model_copy(update={"results": tuple(results)})
        write_manifest(folder, manifest)
    return manifest


@contextmanager
def _alone(folder: Path) -> Generator[None]:
    """Hold the folder itself, so that no lock file is left among files that people look at.

    Raises StoreError where the folder is none.
    """
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror}", hint="check the path") from error
    try:
        with suppress(OSError):  # some network disks know no locks; one writer needs none
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def result_of(run: Run, manifest: AdapterManifest) -> AdapterResult:
    """A finished run in short, with the stamps that its suite and its checks deserve.

    A run holds no prompts, so its own findings say which it shares with those that chose or leaked.
    A checkpoint's run has none yet, being older than the manifest: there the suite decides.
    """
    summary = run.summary
    score = summary.score if summary else None
    said = {finding.name for finding in run.checks.findings} if run.checks else set[str]()
    chose = SELECTION in said or run.suite_hash == manifest.chosen.suite_hash
    leaked = LEAKAGE in said or run.suite_hash in manifest.leaked_suites
    stamps = [SELECTED_ON_TEST] if chose else []
    stamps += [LEAKED] if leaked else []
    stamps += [NOT_CHECKED] if run.checks is None or run.checks.skipped else []
    return AdapterResult(
        run=run.id,
        created_at=run.created_at,
        suite=run.suite_name,
        suite_hash=run.suite_hash,
        score=score.value if score else None,
        low=score.low if score else None,
        high=score.high if score else None,
        prompts=summary.prompts if summary else 0,
        faults=summary.faults if summary else 0,
        stamps=tuple(stamps),
        served_by=served_by(run.model),
    )


def _write_whole(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
