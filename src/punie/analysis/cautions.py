"""What a reader must know of two measurements before believing their difference."""

from collections.abc import Iterator

from punie.analysis.pairing import Paired
from punie.analysis.served_by import served_by, served_otherwise
from punie.records.run import Run, RunStatus
from punie.records.trust import IncidentKind, Level
from punie.text import one_line

_UNFINISHED = {
    RunStatus.RUNNING: "is still running",
    RunStatus.INTERRUPTED: "was interrupted",
    RunStatus.FAILED: "failed",
}


def cautions(base: Run, current: Run, paired: Paired) -> tuple[str, ...]:
    """A sentence for each, first of each run's own measurement, then of the two together."""
    alone = [
        f"{which} run: {text}"
        for which, run in (("Base", base), ("Current", current))
        for text in _of(run)
    ]
    return tuple(dict.fromkeys([*alone, *_together(base, current, paired)]))


def _of(run: Run) -> Iterator[str]:
    """Stamps (leaked, selected on test) stand among the findings of a run's checks."""
    if run.status in _UNFINISHED:
        asked = f", after {_prompts(run.summary.prompts)}" if run.summary else ""
        yield f"it {_UNFINISHED[run.status]}{asked}."
    if run.checks is None or (run.checks.skipped and not run.checks.partly):
        yield "nobody asked for self-checks, so the instrument is not known to work."
    elif run.checks.partly:
        yield "a part of its answers was measured without self-checks."
    for finding in run.checks.findings if run.checks else ():
        if finding.level is Level.WARNING:
            what = one_line(f"{finding.sentence} {finding.consequence}", 400)
            yield what if what.endswith((".", "!", "?")) else f"{what}."
    if run.repeats > 1 and run.sampling.temperature == 0:
        yield f"{run.repeats} repeats at temperature 0 are one answer over and over."
    if any(each.kind is IncidentKind.GAVE_UP for each in run.incidents):
        yield "its server was given up."
    if run.model.builtin_demo:
        yield "it measured the built-in demo model, since no model was named."


def _together(base: Run, current: Run, paired: Paired) -> Iterator[str]:
    if served_otherwise(base.model, current.model):
        yield (
            "The runs were not served alike, so a difference may come from the serving alone: "
            f"base {served_by(base.model)}; current {served_by(current.model)}."
        )
    if base.repeats != current.repeats:
        yield (
            f"The runs were asked {base.repeats} and {current.repeats} times a prompt, "
            "so the answers of one are steadier."
        )
    if paired.relabelled:
        yield (
            f"{_prompts(len(paired.relabelled))} changed category, role, tags, group, weight or "
            "must_pass between the runs: those of the current run count."
        )
    left = len(paired.only_base) + len(paired.only_current) + 2 * len(paired.changed)
    if paired.how == "intersected" and left:
        yield (
            f"Only what both runs asked is compared: {_prompts(len(paired.pairs))}; "
            f"{left:,} others are left out."
        )
    if paired.how == "unpaired":
        yield (
            "The runs are compared as two independent samples: what makes a prompt hard is not "
            "taken out, so the interval is wider."
        )


def _prompts(count: int) -> str:
    return f"{count:,} prompt{'s' * (count != 1)}"
