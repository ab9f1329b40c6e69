"""From pairs of runs to everything that is said of them: comparisons, gate, decision."""

from collections.abc import Sequence
from dataclasses import dataclass

from punie.analysis.compare import compare
from punie.analysis.decide import decide
from punie.analysis.gate import apply_gates
from punie.analysis.gate_entries import margin_of, purpose_of
from punie.analysis.gate_judge import JudgeWord
from punie.analysis.pairing import Arm, Paired, arm_of, pair, refusal
from punie.analysis.weighted import weighted_score
from punie.records.compared import Compared
from punie.records.comparison import MARGIN, Comparison
from punie.records.gate import Gates
from punie.records.run import EvalReport, Run


@dataclass(frozen=True, slots=True)
class Versus:
    """Two runs of one suite, and what of them belongs together."""

    base: Run
    current: Run
    paired: Paired


def compared_of(
    versus: Sequence[Versus],
    gates: Gates,
    *,
    own_suite: str | None,
    missing: tuple[str, ...] = (),
    word: JudgeWord | None = None,
) -> Compared:
    """Compare, hold against the gate, and decide.

    `versus` has the pair that was asked for first, then those of the gate's other suites; `missing`
    says which of these were not measured. `own_suite` is the one that was held out of the adapter's
    data, `word` what a judge said of the pair that was asked for. Raises InputError where the gate
    names a slice that is not there.
    """
    comparisons = tuple(
        compare(
            each.base,
            each.current,
            each.paired,
            purpose=purpose_of(gates, each.current.suite_name, own_suite),
            margin=margin_of(gates, each.current.suite_name, own_suite),
        )
        for each in versus
    )
    weighted = weighted_score(comparisons[0], gates.weights) if gates.weights else None
    found = Compared(comparisons=comparisons, weighted=weighted, missing=missing)
    return ruled(found, gates, own_suite=own_suite, word=word or JudgeWord())


def ruled(found: Compared, gates: Gates, *, own_suite: str | None, word: JudgeWord) -> Compared:
    """The same with the word of a judge, and with what gate and decision make of it all."""
    report = apply_gates(gates, found.comparisons, own_suite=own_suite, word=word)
    return found.model_copy(
        update={
            "gate": report,
            "decision": decide(gates, report, found.comparisons, missing=found.missing),
            "duel": word.duel,
            "calibrations": word.calibrations,
        }
    )


def compare_reports(base: EvalReport, current: EvalReport, *, margin: float = MARGIN) -> Comparison:
    """Compare two reports of `run_evaluation` that hold their outcomes; `margin` is a share.

    Raises InputError where they did not ask the same prompts.
    """
    paired = pair(_arm(base), _arm(current))
    refused = refusal(base.run, current.run, paired)
    if refused is not None:
        raise refused
    return compare(base.run, current.run, paired, margin=margin)


def _arm(report: EvalReport) -> Arm:
    prompts = {prompt.id: prompt for prompt in report.suite.prompts}
    return arm_of((prompts[outcome.prompt_id], outcome) for outcome in report.outcomes)
