"""What two runs say of each role: who serves it well, and who serves it better.

A verdict on a role must hold whether the prompts that a fault took were lost or gained, as the
verdict on a whole suite does.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

from punie.analysis.paired import FAILS, stratified_difference
from punie.analysis.rule import holds_floor, holds_gain, holds_margin, under_both
from punie.analysis.statistics import mean_of_means
from punie.records.comparison import Comparison, Difference, SliceComparison
from punie.records.gate import Criteria, Route, Verdict
from punie.records.summary import Estimate
from punie.shares import percent, points


@dataclass(frozen=True, slots=True)
class RoleEvidence:
    """One role over all suites that ask for it; the worst of them counts."""

    role: str
    served: Verdict
    """Whether the current run serves it well: at its floor, or no worse than the base."""
    kept: Verdict
    """Whether the current run loses no more than the margin against the base."""
    gains: Verdict
    """Whether the current run is better than the base."""
    slices: tuple[SliceComparison, ...]
    whole: bool
    """Whether no fault took a prompt of it, and no test ended its runs early."""
    found: str
    """The numbers, with their intervals."""

    @property
    def prompts(self) -> int:
        """How many were compared."""
        return sum(each.difference.n for each in self.slices if each.difference)


def roles_of(comparisons: Sequence[Comparison], criteria: Criteria) -> tuple[RoleEvidence, ...]:
    """Every role of the compared suites, in their order."""
    slices: dict[str, list[tuple[Comparison, SliceComparison]]] = {}
    for comparison in comparisons:
        for each in comparison.roles:
            slices.setdefault(each.name, []).append((comparison, each))
    return tuple(_role(name, found, criteria, len(slices)) for name, found in slices.items())


def route_of(role: RoleEvidence) -> Route:
    """Who serves a role: where the intervals do not say, the better guess, and never as sure.

    A role that only ties keeps the base, which is known to work.
    """
    if role.kept is Verdict.FAIL:
        return _route(role, "base", "clearly worse in the current run")
    if role.gains is Verdict.PASS:
        return _route(role, "current", "better in the current run")
    if Verdict.PASS in (role.kept, role.served):
        return _route(role, "current", "served well by the current run")
    differences = [each.difference for each in role.slices if each.difference]
    ahead = math.fsum(each.value * each.n for each in differences)
    arm: Literal["current", "base"] = "current" if ahead > 0 else "base"
    return _route(role, arm, "too few prompts to tell", sure=False)


def together(roles: Sequence[RoleEvidence], criteria: Criteria) -> tuple[Verdict, str]:
    """Whether the current run serves several roles well, taken as one, weighted by their prompts.

    Roles that are each too small to tell may tell together. Also gives the numbers; undecided where
    faults or an early end leave room for doubt.
    """
    parts = [part for each in roles for part in each.slices if part.difference and part.current]
    if not parts or not all(each.whole for each in roles):
        return Verdict.INCONCLUSIVE, ""
    if criteria.role_floor_percent is not None:
        scores = [part.current for part in parts if part.current]
        limits = [(each.value, (each.low, each.high)) for each in scores]
        value, (low, high) = mean_of_means(limits, weights=[float(each.n) for each in scores])
        now = Estimate(value=value, low=low, high=high, n=sum(each.n for each in scores))
        return holds_floor(now, criteria.role_floor_percent / 100), in_percent(now)
    differences = [part.difference for part in parts if part.difference]
    pooled = stratified_difference(differences, weights=[float(each.n) for each in differences])
    return holds_margin(pooled, criteria.role_margin_points / 100), in_points(pooled)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """FAIL where one fails, PASS where all pass; undecided without any."""
    found = set(verdicts)
    if Verdict.FAIL in found:
        return Verdict.FAIL
    return Verdict.PASS if found == {Verdict.PASS} else Verdict.INCONCLUSIVE


def in_points(difference: Difference | None) -> str:
    """`+12.0 points [+4.1 to +20.2], n 52`."""
    if difference is None:
        return "nothing compared"
    value, low, high = map(points, (difference.value, difference.low, difference.high))
    return f"{value} points [{low} to {high}], n {difference.n:,}"


def in_percent(estimate: Estimate | None) -> str:
    """`81.2 % [70.1 % to 90.3 %], n 52`."""
    if estimate is None:
        return "nothing scored"
    value, low, high = map(percent, (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low} to {high}], n {estimate.n:,}"


def _role(
    name: str,
    found: Sequence[tuple[Comparison, SliceComparison]],
    criteria: Criteria,
    roles: int,
) -> RoleEvidence:
    margin = criteria.role_margin_points / 100
    kept = worst(
        _under_faults(*each, lambda d: holds_margin(_one_of(d, roles), margin)) for each in found
    )
    gains = worst(_under_faults(*each, lambda d: holds_gain(d, 0)) for each in found)
    served = kept
    if criteria.role_floor_percent is not None:
        floor = criteria.role_floor_percent / 100
        served = worst(_floor_under_faults(*each, floor) for each in found)
    suites = {comparison.current.suite_name for comparison, _ in found}
    said = "; ".join(
        (f"{comparison.current.suite_name}: " if len(suites) > 1 else "")
        + _said(comparison, each, criteria)
        for comparison, each in found
    )
    return RoleEvidence(
        role=name,
        served=served,
        kept=kept,
        gains=gains,
        slices=tuple(each for _, each in found),
        whole=not any(comparison.stopped_early or each.faults for comparison, each in found),
        found=said,
    )


def _one_of(difference: Difference, roles: int) -> Difference:
    """The difference with an upper bound that holds at 99 % for all roles together (Bonferroni).

    The reach of the bound grows as the normal quantile does.
    """
    normal = NormalDist()
    beyond = (1 - FAILS) / 2
    wider = normal.inv_cdf(1 - beyond / roles) / normal.inv_cdf(1 - beyond)
    upper = difference.value + wider * (difference.upper - difference.value)
    return difference.model_copy(update={"upper": upper})


def _said(comparison: Comparison, each: SliceComparison, criteria: Criteria) -> str:
    parts = [in_points(each.difference)]
    if criteria.role_floor_percent is not None:
        parts.append(f"now {in_percent(each.current)}")
    if each.faults:
        parts.append(f"{each.faults:,} lost to faults")
    if comparison.stopped_early:
        parts.append("asked until decided")
    return ", ".join(parts)


def _under_faults(
    comparison: Comparison, each: SliceComparison, rule: Callable[[Difference], Verdict]
) -> Verdict:
    # What ended when a test had decided has intervals that are too narrow.
    if each.difference is None or comparison.stopped_early:
        return Verdict.INCONCLUSIVE
    lost, won = each.if_faults_lose or each.difference, each.if_faults_win or each.difference
    return under_both(rule(lost), rule(won))


def _floor_under_faults(comparison: Comparison, each: SliceComparison, floor: float) -> Verdict:
    if comparison.stopped_early:
        return Verdict.INCONCLUSIVE
    worst_case, best_case = each.at_worst or each.current, each.at_best or each.current
    return under_both(holds_floor(worst_case, floor), holds_floor(best_case, floor))


def _route(
    role: RoleEvidence, serves: Literal["current", "base"], why: str, *, sure: bool = True
) -> Route:
    return Route(role=role.role, serves=serves, why=f"{why}: {role.found}", sure=sure)
