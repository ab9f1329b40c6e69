"""What would settle what is unclear, in one line each, with its command where there is one."""

import math
import shlex
from collections.abc import Iterator, Sequence

from punie.analysis.role_evidence import RoleEvidence
from punie.records.comparison import Comparison, Difference
from punie.records.gate import GateResult, Verdict
from punie.text import one_line

MOST = 5000
"""Prompts beyond which no number is named: the difference is too near to the bound."""


def more_gate(results: Sequence[GateResult]) -> Iterator[str]:
    """For each undecided bound how many more prompts would settle it, or what keeps it open."""
    for each in results:
        if each.verdict is Verdict.INCONCLUSIVE and each.more_prompts:
            yield f"{each.name}: about {each.more_prompts:,} more prompts"
        elif each.verdict is Verdict.INCONCLUSIVE:
            yield f"{each.name}: {each.why or each.found}"


def more_role(role: RoleEvidence, margin: float) -> str:
    """How few prompts a role has, and about how many would settle a loss of `margin`."""
    name, has = one_line(role.role, 60), f"{role.prompts:,} prompts"
    needed = [wanted(each.difference, margin) for each in role.slices if each.difference]
    known = [each for each in needed if each is not None]
    if not needed:
        return f"role {name}: nothing is compared, it needs prompts that expect something"
    if len(known) < len(needed) or max(known) > MOST:
        return f"role {name}: {has} are too few, several times as many are wanted"
    return f"role {name}: {has} are too few, about {max(known):,} are wanted"


def wanted(difference: Difference, margin: float) -> int | None:
    """About how many prompts settle whether more than `margin` is lost, did the difference stay.

    The distance from a mean to its bound shrinks with the root of n. Above -margin the lower bound
    must pass -margin, at or below it the upper bound must pass 0. None where no number would do.
    """
    if difference.value > -margin:
        reach, room = difference.value - difference.lower, difference.value + margin
    else:
        reach, room = difference.upper - difference.value, -difference.value
    if room <= 0:
        return None
    return max(difference.n + 1, math.ceil(difference.n * (reach / room) ** 2))


def resume_commands(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Ask the prompts again that a fault took, where that keeps a verdict open."""
    for each in comparisons:
        if each.faulted:
            runs = [run for run in (each.base, each.current) if run.summary and run.summary.faults]
            for run in runs:
                yield f"{len(each.faulted):,} prompts lost to faults: punie eval --resume {run.id}"


def latency_command(comparison: Comparison) -> str:
    """How the two are timed side by side, where both can be asked again."""
    run = comparison.current
    if comparison.how == "unpaired":
        return "whether requests are faster: time both on one suite, side by side"
    words = ["punie", "eval", run.suite_name]
    if run.model.adapter:
        words += ["--adapter", run.model.adapter]
    else:
        words += ["--url", run.model.url] if run.model.url else []
        words += ["--model", run.model.name]
    words += ["--latency", "--against", comparison.base.id]
    return f"whether requests are faster: {shlex.join(one_line(word) for word in words)}"
