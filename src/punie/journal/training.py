"""Entries of trainings: an adapter's manifest without a machine's paths, and its loss curve."""

import math
import platform
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from punie.journal.charts import Chart
from punie.journal.entry import GOAL_LENGTH
from punie.journal.folder import TRAINING
from punie.journal.note import Doubt, NoteKind, NoteRecord, write_note
from punie.journal.recompute import same
from punie.records.adapter import AdapterManifest, LossPoint
from punie.records.base import digest
from punie.records.dataset import Split
from punie.records.training import Ending
from punie.reporting.escaping import code
from punie.reporting.loss_chart import loss_chart
from punie.reporting.numbers import counted, short_hash
from punie.reporting.privacy import Privacy
from punie.reporting.training_markdown import TRAINING_FORMAT, training_markdown
from punie.text import one_line

BY_LOSS = "validation loss"


class TrainingRecord(NoteRecord):
    """The content of `training.json`."""

    manifest: AdapterManifest
    """Without the losses, which follow."""
    losses: tuple[LossPoint, ...] = ()

    @property
    def whole(self) -> AdapterManifest:
        """The manifest with its losses."""
        training = self.manifest.training.model_copy(update={"losses": self.losses})
        return self.manifest.model_copy(update={"training": training})


class TrainingKind(NoteKind[TrainingRecord]):
    """What is written of a training."""

    file = TRAINING
    rows = "losses"
    noun = "training"
    results_format = TRAINING_FORMAT
    record = TrainingRecord

    def front(self, record: TrainingRecord) -> dict[str, JsonValue]:
        """Losses have four decimals, seconds three."""
        manifest = record.manifest
        data, chosen = manifest.data, manifest.chosen
        return {
            "base_model": one_line(manifest.base.name, GOAL_LENGTH),
            "adapter": manifest.name,
            "adapter_hash": manifest.adapter_hash,
            "dataset": f"{one_line(data.name, GOAL_LENGTH)}@{short_hash(data.hash)}",
            "seed": manifest.plan.seed,
            "iterations": manifest.training.steps,
            "kept": chosen.step,
            "kept_by": one_line(chosen.by, GOAL_LENGTH),
            "value": None if chosen.value is None else round(chosen.value, 4),
            "seconds_per_iteration": round(manifest.training.seconds_per_iteration, 3),
        }

    def results(self, record: TrainingRecord) -> str:
        """The manifest in words and tables."""
        return training_markdown(record.whole)

    def charts(self, record: TrainingRecord) -> dict[str, Chart]:
        """The loss curve, where there is one."""
        found = [value for each in record.losses for value in (each.train, each.valid)]
        if not any(value is not None and math.isfinite(value) for value in found):
            return {}
        title = f"Loss of {one_line(record.manifest.name, 40)}"
        kept = record.manifest.chosen.step
        drawn = loss_chart(record.losses, kept=kept, title=title, standalone=True)
        return {
            "loss.svg": Chart("Loss by iteration; the checkpoint that was kept is marked", drawn)
        }

    def doubts(self, record: TrainingRecord) -> Iterator[Doubt]:
        """What in the manifest does not follow from the rest of it."""
        for what in (*_data_doubts(record.manifest), *_length_doubts(record.manifest)):
            yield Doubt("manifest", what)
        yield from _loss_doubts(record)
        for what in _chosen_doubts(record):
            yield Doubt("manifest", what)

    def done(self, record: TrainingRecord) -> str:
        """Base, data, method."""
        manifest = record.manifest
        plan, data = manifest.plan, manifest.data
        rows = data.splits[Split.TRAIN].rows if Split.TRAIN in data.splits else 0
        base, steps = code(manifest.base.name), counted(manifest.training.steps, "iteration")
        batch, trained = counted(plan.batch_size, "row"), counted(rows, "row")
        version = f"{code(data.name)} @{code(short_hash(data.hash))}"
        lines = [
            f"- Trained {code(manifest.name)} ({plan.method}) on {base}: {steps} of {batch}.",
            f"- Dataset: {version}, {trained} to train on.",
        ]
        if record.entry.supersedes:
            lines.append(f"- Replaces the entry {code(record.entry.supersedes)}.")
        return "\n".join(lines)

    def command(self, record: TrainingRecord) -> str:
        """As it was typed."""
        return record.manifest.provenance.command


TRAINING_KIND = TrainingKind()


def write_training_entry(
    project: Path,
    manifest: AdapterManifest,
    *,
    goal: str,
    supersedes: str | None = None,
    now: datetime | None = None,
) -> Path:
    """Write a finished training into the journal as a new entry and return the entry's folder.

    Raises InputError for an empty goal or an unknown entry to replace, JournalError where the
    manifest contradicts itself, and StoreError where the journal cannot be written.
    """
    kept = private(manifest, project)
    head = kept.model_copy(update={"training": kept.training.model_copy(update={"losses": ()})})

    def make(common: Mapping[str, Any]) -> TrainingRecord:
        return TrainingRecord(**common, manifest=head, losses=kept.training.losses)

    return write_note(TRAINING_KIND, project, make, goal=goal, supersedes=supersedes, now=now)


def private(manifest: AdapterManifest, project: Path) -> AdapterManifest:
    """The manifest as it may enter git: no home folder, no name of a machine, no row's text."""
    privacy = Privacy(root=project, home=Path.home(), host=platform.node())
    return privacy.manifest(manifest)


def _data_doubts(manifest: AdapterManifest) -> Iterator[str]:
    data = manifest.data
    hashes: dict[str, JsonValue] = {name.value: each.hash for name, each in data.splits.items()}
    if (expected := digest(hashes)) != data.hash:
        yield f"data.hash is {short_hash(data.hash)}, its splits give {short_hash(expected)}"


def _length_doubts(manifest: AdapterManifest) -> Iterator[str]:
    plan, training, data = manifest.plan, manifest.training, manifest.data
    if training.steps > plan.iterations:
        yield f"training.steps is {training.steps}, the plan has {plan.iterations} iterations"
    if training.ending is Ending.DONE and training.steps < plan.iterations:
        yield f"training.ending is done after {training.steps} of {plan.iterations} iterations"
    rows = data.splits[Split.TRAIN].rows if Split.TRAIN in data.splits else 0
    if rows > 0:
        expected = round(training.steps / -(-rows // plan.batch_size), 3)
        if not same(training.epochs, expected):
            yield f"training.epochs is {training.epochs}, steps and rows give {expected}"


def _loss_doubts(record: TrainingRecord) -> Iterator[Doubt]:
    before = -1
    for point in record.losses:
        if point.step <= before:
            yield Doubt("losses", f"iteration {point.step} stands after iteration {before}")
        before = point.step
    if before > record.manifest.training.steps:
        steps = record.manifest.training.steps
        yield Doubt("losses", f"iteration {before} is beyond the last one, {steps}")


def _chosen_doubts(record: TrainingRecord) -> Iterator[str]:
    chosen, found = record.manifest.chosen, record.manifest.chosen.candidates
    if chosen.step > record.manifest.training.steps:
        yield f"chosen.step is {chosen.step}, the training has {record.manifest.training.steps}"
    if not found:
        return
    sign = -1 if chosen.suite_hash else 1
    best = min(found, key=lambda step: (sign * found[step], step))
    if chosen.step != best:
        yield f"chosen.step is {chosen.step}, the candidates give {best}"
    if not same(chosen.value, found.get(chosen.step)):
        yield f"chosen.value is {chosen.value}, the candidates give {found.get(chosen.step)}"
    if chosen.suite_hash is None and chosen.by == BY_LOSS:
        valid = {each.step: each.valid for each in record.losses}
        for step, value in sorted(found.items()):
            if not same(value, valid.get(step)):
                yield f"chosen.candidates has {value} at {step}, the losses have {valid.get(step)}"
