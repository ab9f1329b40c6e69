"""The rules of a decision, each with its conditions over intervals: yes, no, or unclear."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from punie.analysis.direction import direction
from punie.analysis.measure_next import latency_command, more_gate, more_role, resume_commands
from punie.analysis.role_evidence import RoleEvidence, in_points, together, worst
from punie.analysis.rule import holds_gain, holds_margin, under_both
from punie.records.comparison import Comparison, Word
from punie.records.gate import Action, Criteria, GateReport, GateResult, Gates, Verdict

FASTER = 1 / 1.10
"""A ratio of times (current / base) from which on nobody calls it faster: 10 %."""
NAMED = 3
"""Bounds or roles that one sentence names."""
Holds = Literal["yes", "no", "unclear"]
_HOLDS: dict[Verdict, Holds] = {
    Verdict.PASS: "yes",
    Verdict.FAIL: "no",
    Verdict.INCONCLUSIVE: "unclear",
}
_TOLD: dict[Word | None, Holds] = {Word.BETTER: "yes", Word.WORSE: "no"}
"""What the direction of a run that ended early says of a gain."""
_NOT: dict[Holds, Holds] = {"yes": "no", "no": "yes", "unclear": "unclear"}


@dataclass(frozen=True, slots=True)
class Condition:
    """What a rule asks, what was found, and what would settle it where that is unclear."""

    asks: str
    holds: Holds
    found: str
    settle: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """An action and its conditions: all of them must hold, or any one."""

    action: Action
    because: str
    conditions: tuple[Condition, ...]
    any_one: bool = False

    @property
    def fires(self) -> bool:
        """Whether the action follows."""
        held = [each.holds == "yes" for each in self.conditions]
        return bool(held) and (any(held) if self.any_one else all(held))

    @property
    def is_open(self) -> bool:
        """Whether more prompts could make it fire."""
        found = {each.holds for each in self.conditions}
        return "unclear" in found and "no" not in found


def rules(
    gates: Gates,
    report: GateReport,
    comparisons: Sequence[Comparison],
    roles: Sequence[RoleEvidence],
    missing: Sequence[str],
) -> Iterator[Rule]:
    """In the order in which they are asked; the first that fires decides."""
    hybrid, retrain = _hybrid(gates, roles), _retrain(gates, report, comparisons, roles)
    yield _deploy(report, comparisons, missing)
    yield hybrid
    yield retrain
    yield _abort(comparisons, roles)
    lost = any(holds_margin(each.score, each.margin) is Verdict.FAIL for each in comparisons)
    by_role = lost and (hybrid.is_open or retrain.is_open)
    yield _look(gates, report, comparisons, roles, by_role=by_role)


def _deploy(report: GateReport, comparisons: Sequence[Comparison], missing: Sequence[str]) -> Rule:
    faulted = tuple(resume_commands(comparisons))
    more = tuple(more_gate(report.results))
    conditions = [
        Condition("the gate passes", _passes(report), _bounds(report), (*more, *faulted)),
    ]
    if missing:
        found = f"{len(missing)} not measured"
        conditions.append(
            Condition("all suites of the gate are measured", "unclear", found, tuple(missing))
        )
    return Rule(Action.DEPLOY, "Every bound of the gate holds.", tuple(conditions))


def _passes(report: GateReport) -> Holds:
    # A gate that asks nothing says nothing.
    return _HOLDS[report.verdict] if report.results else "unclear"


def _bounds(report: GateReport) -> str:
    if not report.results:
        return "the gate asks nothing"
    parts: list[str] = []
    for verdict, said in (
        (Verdict.FAIL, "broken"),
        (Verdict.INCONCLUSIVE, "undecided"),
        (Verdict.PASS, "hold"),
    ):
        found = [each for each in report.results if each.verdict is verdict]
        if found:
            named = "" if verdict is Verdict.PASS else f" ({_named(found)})"
            parts.append(f"{len(found)} {said}{named}")
    return ", ".join(parts)


def _named(results: Sequence[GateResult]) -> str:
    said = "; ".join(f"{each.name}: {each.found}" for each in results[:NAMED])
    return said + (f"; and {len(results) - NAMED} more" if len(results) > NAMED else "")


def _hybrid(gates: Gates, roles: Sequence[RoleEvidence]) -> Rule:
    well = [each for each in roles if each.served is Verdict.PASS and each.kept is not Verdict.FAIL]
    lost = [each for each in roles if each.kept is Verdict.FAIL]
    open_served = [each for each in roles if _is_open(each)]
    open_kept = [each for each in roles if each.kept is Verdict.INCONCLUSIVE]
    conditions = (
        Condition(
            "the current run serves some roles well",
            _any(well, open_served),
            _listed(well or open_served or roles),
            tuple(more_role(each, gates.criteria) for each in open_served),
        ),
        Condition(
            "it serves others clearly worse than the base",
            _any(lost, open_kept),
            _listed(lost or open_kept or roles),
            tuple(more_role(each, gates.criteria) for each in open_kept),
        ),
    )
    because = (
        f"The current run serves {_names(well)} well, and {_names(lost)} clearly worse than the"
        " base: route each role to the run that serves it."
    )
    return Rule(Action.HYBRID, because, conditions)


def _is_open(role: RoleEvidence) -> bool:
    return role.served is Verdict.INCONCLUSIVE


def _any(found: Sequence[object], undecided: Sequence[object]) -> Holds:
    return "yes" if found else "unclear" if undecided else "no"


def _listed(roles: Sequence[RoleEvidence]) -> str:
    if not roles:
        return "the suites have no roles"
    said = "; ".join(f"{each.role} {each.found}" for each in roles[:NAMED])
    return said + (f"; and {len(roles) - NAMED} more" if len(roles) > NAMED else "")


def _names(roles: Sequence[RoleEvidence]) -> str:
    return ", ".join(each.role for each in roles)


def _retrain(
    gates: Gates,
    report: GateReport,
    comparisons: Sequence[Comparison],
    roles: Sequence[RoleEvidence],
) -> Rule:
    code, others = _parted(gates, roles)
    below: Holds = _NOT[_passes(report)]
    badly, found = _badly(others, gates.criteria)
    conditions = (
        Condition(
            f"code roles ({', '.join(gates.criteria.code_roles)}) hold",
            _HOLDS[worst(each.served for each in code)] if code else "no",
            _listed(code) if code else "no prompt is of a code role",
            tuple(more_role(each, gates.criteria) for each in code if _is_open(each)),
        ),
        Condition(
            "the whole is below its targets",
            below,
            _bounds(report),
            (*more_gate(report.results), *resume_commands(comparisons)),
        ),
        Condition(
            "the other roles are served badly",
            badly,
            found,
            tuple(more_role(each, gates.criteria) for each in others if _is_open(each)),
        ),
    )
    because = (
        "Code roles hold and the whole does not: what is lost is in the other roles, which a base"
        " made for code serves badly. Train the same data on a general base, and compare both."
    )
    return Rule(Action.RETRAIN, because, conditions)


def _parted(
    gates: Gates, roles: Sequence[RoleEvidence]
) -> tuple[list[RoleEvidence], list[RoleEvidence]]:
    code = [each for each in roles if each.role in gates.criteria.code_roles]
    return code, [each for each in roles if each.role not in gates.criteria.code_roles]


def _badly(others: Sequence[RoleEvidence], criteria: Criteria) -> tuple[Holds, str]:
    """Whether the roles beside code are clearly served badly: one of them, or all taken as one."""
    if not others:
        return "no", "no prompt is of another role"
    served = worst(each.served for each in others)
    if served is not Verdict.INCONCLUSIVE:
        shown = [each for each in others if each.served is served]
        return _NOT[_HOLDS[served]], _listed(shown)
    as_one, found = together(others, criteria)
    if as_one is Verdict.FAIL:
        return "yes", f"together {found}"
    return "unclear", _listed([each for each in others if each.served is not Verdict.PASS])


def _abort(comparisons: Sequence[Comparison], roles: Sequence[RoleEvidence]) -> Rule:
    better = [each for each in roles if each.gains is Verdict.PASS]
    targets = _targets(comparisons)
    gains = [_gains(each) for each in targets]
    quality: Holds = "unclear"
    if better or "yes" in gains:
        quality = "no"
    elif set(gains) == {"no"}:
        quality = "yes"
    found = "; ".join(f"{each.current.suite_name} {in_points(each.score)}" for each in targets)
    if better:
        found += f"; better: {_listed(better)}"
    more = tuple(_more_suite(each) for each in targets if _gains(each) == "unclear")
    conditions = (
        Condition("no gain in quality is worth having", quality, found, more),
        _no_faster(comparisons),
    )
    because = "Neither quality nor speed gains: what was measured excludes a gain worth having."
    return Rule(Action.ABORT, because, conditions)


def _targets(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The suites that should gain; without any declared, the one that was asked for."""
    return [each for each in comparisons if each.purpose == "target"] or [comparisons[0]]


def _gains(comparison: Comparison) -> Holds:
    """Whether quality gains. "No" is proven: a gain as large as the margin is excluded."""
    if comparison.score is None:
        return "unclear"
    if comparison.stopped_early:
        return _TOLD.get(direction(comparison), "unclear")
    lost = comparison.if_faults_lose or comparison.score
    won = comparison.if_faults_win or comparison.score
    if under_both(holds_gain(lost, 0), holds_gain(won, 0)) is Verdict.PASS:
        return "yes"
    excluded = max(lost.upper, won.upper) < comparison.margin
    return "no" if excluded else "unclear"


def _more_suite(comparison: Comparison) -> str:
    suite = comparison.current.suite_name
    return f"{suite}: more prompts, until a gain is shown or excluded"


def _no_faster(comparisons: Sequence[Comparison]) -> Condition:
    asks = "requests are no faster"
    timed = next(
        (each.latency for each in comparisons if each.latency and each.latency.gates), None
    )
    if timed is None:
        found = "not timed side by side"
        return Condition(asks, "unclear", found, (latency_command(comparisons[0]),))
    found = f"{timed.ratio:.2f} times [{timed.low:.2f} to {timed.high:.2f}], n {timed.n:,}"
    if timed.upper < 1:
        return Condition(asks, "no", found)
    if timed.lower > FASTER:
        return Condition(asks, "yes", found)
    return Condition(asks, "unclear", found, (latency_command(comparisons[0]),))


def _look(
    gates: Gates,
    report: GateReport,
    comparisons: Sequence[Comparison],
    roles: Sequence[RoleEvidence],
    *,
    by_role: bool,
) -> Rule:
    """`by_role`: quality is lost, and more prompts of some roles may tell in which of them."""
    code, _ = _parted(gates, roles)
    failed = [each for each in code if each.served is Verdict.FAIL]
    conditions: list[Condition] = []
    reasons: list[str] = []
    if code:
        served = worst(each.served for each in code)
        holds: Holds = _NOT[_HOLDS[served]]
        conditions.append(Condition("code roles are served badly too", holds, _listed(code)))
        if failed:
            reasons.append(
                f"code work ({_names(failed)}) is served badly too: it is not the base alone"
            )
    for each in _own(comparisons):
        gained = _gains(each)
        holds = _NOT[gained]
        suite = each.current.suite_name
        asks = f"the adapter gained nothing on its own suite {suite}"
        conditions.append(Condition(asks, holds, in_points(each.score), (_more_suite(each),)))
        if gained == "no":
            reasons.append(f"the adapter gained nothing on {suite}")
    broken = [each for each in report.results if each.verdict is Verdict.FAIL]
    holds = _NOT[_passes(report)]
    asks = "a bound of the gate is broken"
    if broken and by_role:
        holds, asks = "unclear", f"{asks} for another reason than single roles"
    conditions.append(Condition(asks, holds, _bounds(report)))
    if broken and not reasons:
        reasons.append(f"the gate fails: {_named(broken)}")
    because = f"{'; '.join(reasons)}."
    return Rule(Action.LOOK, because[:1].upper() + because[1:], tuple(conditions), any_one=True)


def _own(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Targets in which an adapter is held against a run without it."""
    return [
        each
        for each in comparisons
        if each.purpose == "target"
        and each.current.model.adapter
        and each.current.model.adapter_hash != each.base.model.adapter_hash
    ]
