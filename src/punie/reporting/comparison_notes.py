"""What a reader must know before believing a comparison, with the prompts that it is about."""

from punie.records.compared import Compared
from punie.reporting.numbers import counted
from punie.reporting.wording import Note


def notes_of(compared: Compared) -> list[Note]:
    """Failed must-pass prompts, what was not compared, cautions, and what was not measured."""
    first = compared.comparisons[0]
    said: list[Note] = []
    if failed := first.must_pass_failed:
        told = f"{counted(len(failed), 'must-pass prompt')} of the current run failed."
        said.append(Note("warning", told, failed))
    if compared.gate:
        said += [Note("warning", line) for line in compared.gate.unpassable]
    if first.faulted:
        told = f"{counted(len(first.faulted), 'prompt')} could not be measured in one of the runs: "
        said.append(Note("warning", told + "the verdict holds only where it does both ways."))
    if first.changed:
        told = f"{counted(len(first.changed), 'prompt')} changed between the runs, not compared: "
        said.append(Note("warning", told + _listed(first.changed)))
    cautions = [line for each in compared.comparisons for line in each.cautions]
    said += [Note("warning", line) for line in dict.fromkeys((*cautions, *compared.warnings))]
    said += [Note("info", f"Not measured: {line}") for line in compared.missing]
    return said


def _listed(names: tuple[str, ...], limit: int = 12) -> str:
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
