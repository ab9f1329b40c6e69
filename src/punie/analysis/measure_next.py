"""What would settle what is unclear, in one line each, with its command where there is one."""

import math
from collections.abc import Iterator, Sequence

from punie.analysis.measure_command import measure_command, place_of_suite
from punie.analysis.resume_command import resume_command
from punie.analysis.role_evidence import RoleEvidence
from punie.analysis.statistics import z_value
from punie.analysis.unpaired import implied_n
from punie.records.comparison import Comparison, Difference, SliceComparison
from punie.records.gate import Criteria, GateResult, Verdict
from punie.records.run import Run, RunStatus
from punie.records.summary import Estimate
from punie.sizes import counted
from punie.text import one_line

MOST = 5000
"""Prompts beyond which no number is named: the difference is too near to the bound."""


def more_gate(results: Sequence[GateResult]) -> Iterator[str]:
    """For each undecided bound how many more prompts would settle it, or what keeps it open."""
    for each in results:
        if each.verdict is Verdict.INCONCLUSIVE and each.more_prompts:
            yield f"{each.name}: about {counted(each.more_prompts, 'more prompt')}"
        elif each.verdict is Verdict.INCONCLUSIVE:
            yield f"{each.name}: {each.why or each.found}"


def more_role(role: RoleEvidence, criteria: Criteria) -> str:
    """How few prompts a role has, and about how many would settle what is open of it."""
    name, has = one_line(role.role, 60), f"{role.prompts:,} prompts"
    needed = [number for each in role.slices for number in _wanted(role, each, criteria)]
    known = [each for each in needed if each is not None]
    if not role.prompts:
        return f"role {name}: nothing is compared, it needs prompts that expect something"
    if not known or len(known) < len(needed) or max(known) > MOST:
        return f"role {name}: {has} are too few, several times as many are wanted"
    return f"role {name}: {has} are too few, about {max(known):,} are wanted"


def _wanted(role: RoleEvidence, each: SliceComparison, criteria: Criteria) -> Iterator[int | None]:
    floor = criteria.role_floor_percent
    if role.kept is Verdict.INCONCLUSIVE and each.difference:
        yield wanted(each.difference, criteria.role_margin_points / 100)
    if floor is not None and role.served is Verdict.INCONCLUSIVE and each.current:
        yield wanted_for_floor(each.current, floor / 100)


def wanted_for_floor(estimate: Estimate, floor: float) -> int | None:
    """About how many prompts settle whether a score reaches a floor below 1, did the mean stay.

    Wilson's interval ends at the floor where n (mean - floor)² = z² floor (1 - floor). None where
    the mean is the floor.
    """
    if estimate.value == floor:
        return None
    square = z_value(0.95) ** 2 * floor * (1 - floor)
    # Prompts that share a passage count for less, and as many more of them are needed.
    each = max(1.0, estimate.n / implied_n(estimate))
    needed = each * square / (estimate.value - floor) ** 2
    return max(estimate.n + 1, math.ceil(needed))


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
                lost = f"{len(each.faulted):,} prompts lost to faults"
                command = resume_command(run, run.summary) if run.summary else ""
                yield f"{lost}: {command or f'measure run {one_line(run.id)} anew'}"


def latency_command(comparison: Comparison) -> str:
    """How the two are timed side by side, with its command where punie can serve both again."""
    base, current = comparison.base, comparison.current
    whole = base.status is RunStatus.DONE and base.decided_after is None
    if comparison.how == "unpaired" or not whole or not all(map(_is_served_here, (base, current))):
        return "whether requests are faster: time both on one suite, side by side"
    # Asked is what the base was asked, so the suite is the base's too.
    options = ("--latency", "--against", base.id)
    command = measure_command(current, place_of_suite(base), options)
    return f"whether requests are faster: {command}"


def _is_served_here(run: Run) -> bool:
    return run.sources is not None and run.model.backend != "endpoint"
