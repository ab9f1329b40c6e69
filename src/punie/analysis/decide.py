"""What to do, by declared rules over intervals: the first rule whose conditions hold.

In order: deploy (the gate passes); hybrid (the current run serves some roles well, and others
clearly worse than the base); retrain on a general base (code roles hold, the gate fails, and what
is lost is in the other roles); abort (neither quality nor speed gains); look at data and settings
(code roles fail too, the adapter gained nothing on its own suite, or a bound is broken); else
measure more. No rule rests on a point estimate: where an interval does not say, a condition is
unclear, and an unclear condition fires nothing.
"""

from collections.abc import Sequence

from punie.analysis.decision_rules import rules
from punie.analysis.role_evidence import roles_of, route_of
from punie.records.comparison import Comparison
from punie.records.gate import Action, Decision, Evidence, GateReport, Gates, Verdict

THIN = {
    False: "No rule is decided: what is measured is too little to tell.",
    True: "The gate fails, and what is measured is too little to tell what to do about it.",
}
"""Why more is to be measured, by whether the gate fails."""


def decide(
    gates: Gates,
    report: GateReport,
    comparisons: Sequence[Comparison],
    *,
    missing: Sequence[str] = (),
) -> Decision:
    """Apply the rules to a gate's report and the comparisons that it rests on.

    `comparisons` are at least one, the asked-for first. `missing` are sentences about suites of the
    gate that nobody measured, each with the command that does. The evidence has every rule up to
    the one that fired.
    """
    roles = roles_of(comparisons, gates.criteria)
    evidence: list[Evidence] = []
    settle: dict[str, None] = {}
    action, because = Action.MEASURE, THIN[report.verdict is Verdict.FAIL]
    for rule in rules(gates, report, comparisons, roles, missing):
        for each in rule.conditions:
            asked = f"{rule.action.value}: {each.asks}"
            evidence.append(Evidence(rule=asked, holds=each.holds, found=each.found))
            if each.holds == "unclear":
                settle.update(dict.fromkeys(each.settle))
        if rule.fires:
            action, because = rule.action, rule.because
            break
    return Decision(
        action=action,
        because=because,
        evidence=tuple(evidence),
        routes=tuple(route_of(each) for each in roles),
        measure_next=tuple(settle),
    )
