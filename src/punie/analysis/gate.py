"""A gate held against comparisons: each bound on its own, and the worst of them for all."""

from collections.abc import Iterator, Sequence

from punie.analysis.gate_bounds import suite_results, unmeasured_results
from punie.analysis.gate_entries import entry_for, unmeasured
from punie.analysis.gate_judge import JudgeWord, judge_results
from punie.analysis.gate_machine import latency_results, memory_result, must_pass_results
from punie.analysis.unpassable import facts_of_comparison, unpassable
from punie.errors import InputError
from punie.records.comparison import Comparison
from punie.records.gate import GateReport, GateResult, Gates, Verdict

_WORST_FIRST = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)


def apply_gates(
    gates: Gates,
    comparisons: Sequence[Comparison],
    *,
    own_suite: str | None = None,
    word: JudgeWord | None = None,
) -> GateReport:
    """Hold each bound against what was measured.

    `comparisons` has the asked-for one first: bounds on times and on a judge's `word` are for it.
    `own_suite` is the name of the suite that was held out of the adapter's data. A suite that the
    gate names and nobody measured leaves its bounds undecided. The worst verdict counts: fail, then
    inconclusive, then pass. Raises InputError where the gate asks for a slice that a suite has not,
    or for nothing that was compared.
    """
    results = tuple(_results(gates, comparisons, own_suite, word or JudgeWord()))
    if not results:
        raise InputError(
            f"{gates.source}: the gate asks for nothing on {_suites(comparisons)}",
            hint="add an entry for it under targets or guards, or one with suite: others",
        )
    found = {each.verdict for each in results}
    facts = [facts_of_comparison(each) for each in comparisons]
    return GateReport(
        gates=gates,
        results=results,
        verdict=next(each for each in _WORST_FIRST if each in found),
        unpassable=unpassable(gates, facts, own_suite=own_suite),
    )


def _results(
    gates: Gates, comparisons: Sequence[Comparison], own_suite: str | None, word: JudgeWord
) -> Iterator[GateResult]:
    for purpose in ("target", "guard"):
        for comparison in comparisons:
            entry = entry_for(gates, comparison.current.suite_name, own_suite)
            if entry and entry[0] == purpose:
                yield from suite_results(entry[1], comparison, gates.source)
    measured = [each.current.suite_name for each in comparisons]
    for bounds, why in unmeasured(gates, measured, own_suite):
        yield from unmeasured_results(bounds, why)
    yield from must_pass_results(gates, comparisons)
    if gates.latency and comparisons:
        yield from latency_results(gates.latency, comparisons[0])
    if gates.judge and comparisons:
        yield from judge_results(gates.judge, comparisons[0], word, gates.source)
    if gates.memory_gb is not None:
        yield memory_result(gates.memory_gb, comparisons)


def _suites(comparisons: Sequence[Comparison]) -> str:
    return ", ".join(each.current.suite_name for each in comparisons) or "any suite"
