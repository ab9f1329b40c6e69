"""Whether two runs answer a gate's question: all of the suite, asked of both in the same way."""

from punie.records.comparison import Comparison
from punie.records.run import Run, RunStatus
from punie.records.suite import Sampling
from punie.sizes import counted
from punie.text import one_line

FILTERS = ("category", "role", "tag")
"""Selections that choose what is easy or hard. A drawn sample stands for its suite."""
_ASKING = frozenset({"tools mode", "suite", *Sampling.model_fields})


def only_part(comparison: Comparison) -> str:
    """Why what was compared is not the whole suite, in words; empty where it is.

    A run that ended because a test had decided is not meant: its bounds have rules of their own.
    """
    return (
        _part_of_run("current", comparison.current)
        or _part_of_run("base", comparison.base)
        or _not_shared(comparison)
    )


def _part_of_run(which: str, run: Run) -> str:
    chosen = " ".join(f"{name} {run.selection[name]}" for name in FILTERS if name in run.selection)
    if chosen:
        return f"the {which} run asked only {one_line(chosen, 60)}: ask the whole suite"
    if run.status is not RunStatus.DONE:
        return f"the {which} run did not come to its end: punie eval --resume {run.id}"
    return ""


def _not_shared(comparison: Comparison) -> str:
    if comparison.changed:
        count = counted(len(comparison.changed), "prompt")
        return f"{count} changed since the base: run the base again on the suite as it is now"
    missing = comparison.only_base
    if missing and comparison.current.decided_after is None:
        return (
            f"the current run lacks {counted(missing, 'prompt')} of the base: ask the whole suite"
        )
    return ""


def asked_otherwise(comparison: Comparison) -> str:
    """In what the two runs were asked differently, so that no bound may rest on their difference.

    Empty where they were asked alike.
    """
    found = [each.what for each in comparison.differs if each.matters and each.what in _ASKING]
    if not found:
        return ""
    return f"the runs differ in {', '.join(found)} too: ask both in the same way"
