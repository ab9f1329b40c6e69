"""What a reader must know before believing a comparison, with the prompts that it is about."""

from punie.records.compared import Compared
from punie.reporting.numbers import counted
from punie.reporting.wording import Note
from punie.text import listed

_NAMED = 12
"""Ids that a note names before it counts the others."""


def notes_of(compared: Compared) -> list[Note]:
    """Failed must-pass prompts, what was not compared, cautions, and what was not measured."""
    first = compared.comparisons[0]
    said: list[Note] = []
    if failed := first.must_pass_failed:
        told = f"{counted(len(failed), 'must-pass prompt')} of the current run failed."
        said.append(Note("warning", told, failed))
    cautions = [line for each in compared.comparisons for line in each.cautions]
    lines = [
        _listed("Must pass, and not measured", first.must_pass_unmeasured),
        *(compared.gate.unpassable if compared.gate else ()),
        _listed("Lost to faults", first.faulted),
        _listed("Changed between the runs", first.changed),
        *dict.fromkeys((*cautions, *compared.warnings)),
    ]
    said += [Note("warning", line) for line in lines if line]
    said += [Note("info", f"{line[:1].upper()}{line[1:]}") for line in compared.missing]
    return said


def _listed(what: str, ids: tuple[str, ...]) -> str:
    """`Lost to faults: a, b and 3 more`; empty where there is none."""
    if not ids:
        return ""
    return f"{what}: {listed(ids, _NAMED)}"
