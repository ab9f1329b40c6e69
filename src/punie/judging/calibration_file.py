"""Calibrations on disk: one file for each judge and kind of label, beside the labels."""

from pathlib import Path

from pydantic import ValidationError

from punie.errors import InputError
from punie.judging.label_file import labels_hash, read_labels
from punie.reading import MIB, read_regular
from punie.records.judgement import JudgeIdentity
from punie.records.labels import Calibration, LabelKind

FOLDER = "calibrations"
"""In the folder of the labels."""


def write_calibration(labels: Path, found: Calibration) -> Path:
    """Write a calibration in place of an earlier one. Raises InputError where that cannot be."""
    path = labels / FOLDER / f"{found.judge.key[:16]}-{found.kind}.json"
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(found.model_dump_json(indent=2) + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    return path


def find_calibration(labels: Path, judge: JudgeIdentity) -> Calibration | None:
    """What is known of this very judge (its model, its words, its rubric) against people.

    Of several kinds of labels the one counts that a gate may rest on, else the one with the most.
    None where nobody calibrated it. Raises InputError for a file that cannot be read.
    """
    known = [found for kind in LabelKind if (found := calibration_on(labels, judge, kind))]
    return max(
        known, key=lambda each: (each.usable and not each.stale, each.compared), default=None
    )


def calibration_on(labels: Path, judge: JudgeIdentity, kind: LabelKind) -> Calibration | None:
    """What is known of this very judge against labels of one kind.

    It is stale where its labels are no longer those that were used. None where nobody calibrated
    the judge on them. Raises InputError for a file that cannot be read.
    """
    path = labels / FOLDER / f"{judge.key[:16]}-{kind}.json"
    if not path.is_file():
        return None
    try:
        found = Calibration.model_validate_json(read_regular(path, MIB))
    except (OSError, ValidationError) as error:
        raise InputError(
            f"{path}: is no calibration",
            hint="delete it, and calibrate again: punie judge calibrate LABELS",
        ) from error
    if (found.judge, found.kind) != (judge, kind):
        return None
    return found.model_copy(update={"stale": _stale(labels, found)})


def _stale(labels: Path, found: Calibration) -> str:
    """Why a calibration counts no more: labels were added, changed or lost; else empty."""
    try:
        now = labels_hash(read_labels(labels / found.labels_file))
    except InputError:  # gone, or no labels any more
        now = ""
    if now == found.labels_hash:
        return ""
    return f"its labels are no longer those of {found.made_at[:10]}, so calibrate it again"


def told(found: Calibration | None) -> str:
    """What is known, in one sentence for reports; empty where nobody calibrated the judge."""
    if found is None or not found.agreements:
        return ""
    first = found.agreements[0]
    reason = found.stale or found.why_not
    if first.kappa is None:
        return f"Compared with people on {first.n} answers: {reason}; it gates nothing."
    kappa = f"κ {first.kappa:.2f} [{first.low:.2f} to {first.high:.2f}]"
    ends = f"it gates nothing: {reason}" if reason else "a gate may rest on it"
    return f"Compared with people on {first.n} answers ({first.name}): {kappa}; {ends}."
