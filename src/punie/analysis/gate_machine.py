"""Must-pass prompts, times and memory, held against a gate."""

from collections.abc import Iterator, Sequence

from punie.analysis.comparable import only_part
from punie.analysis.gate_wording import told_apart
from punie.records.comparison import Comparison, Timing
from punie.records.gate import GateResult, Gates, LatencyGate, Verdict
from punie.sizes import byte_size, counted
from punie.text import listed


def must_pass_result(comparison: Comparison) -> GateResult | None:
    """Whether each must-pass prompt passed; None where there is none."""
    if not comparison.must_pass:
        return None
    failed, lacking = comparison.must_pass_failed, comparison.must_pass_unmeasured
    passed = comparison.must_pass - len(failed) - len(lacking)
    found, why = f"{passed:,} of {comparison.must_pass:,} passed", ""
    if failed:
        verdict, why = Verdict.FAIL, f"failed: {listed(failed)}"
    elif lacking:
        verdict, why = Verdict.INCONCLUSIVE, f"not scored: {listed(lacking)}"
    elif comparison.current.decided_after is not None and comparison.only_base:
        verdict = Verdict.INCONCLUSIVE
        why = "the run ended early, so some were perhaps not asked: ask the whole suite"
    elif unasked := only_part(comparison):
        verdict, why = Verdict.INCONCLUSIVE, unasked
    elif "sample" in comparison.current.selection:
        verdict = Verdict.INCONCLUSIVE
        why = "a sample was asked, which perhaps left some out: ask the whole suite"
    else:
        verdict = Verdict.PASS
    return GateResult(
        name=f"{comparison.current.suite_name}: must pass",
        asked="every must-pass prompt passes",
        found=found,
        verdict=verdict,
        why=why,
    )


def latency_results(gate: LatencyGate, comparison: Comparison) -> Iterator[GateResult]:
    """Yield each bound on times."""
    if gate.average_s is not None:
        yield _time("average time", "average", gate.average_s, comparison.timing)
    if gate.median_s is not None:
        yield _time("median time", "median", gate.median_s, comparison.timing)
    if gate.slower_percent is not None:
        yield _slower(gate.slower_percent, comparison)


def _time(name: str, which: str, bound: float, timing: Timing | None) -> GateResult:
    asked = f"the {which} is below {bound:g} s"
    if timing is None:
        return _unknown(name, asked, "no time was measured")
    value, lower, upper = (
        (timing.mean, timing.mean_lower, timing.mean_upper)
        if which == "average"
        else (timing.median, timing.median_lower, timing.median_upper)
    )
    middle, least, most = (told_apart(each, bound) for each in (value, lower, upper))
    found = f"{middle} s, between {least} and {most} s"
    verdict, why = Verdict.INCONCLUSIVE, timing.why_not
    if not why:
        if upper < bound:
            verdict = Verdict.PASS
        elif lower >= bound:
            verdict = Verdict.FAIL
        else:
            why = f"{counted(timing.n, 'prompt')} tell too little"
    return GateResult(name=name, asked=asked, found=found, verdict=verdict, why=why)


def _slower(percent: float, comparison: Comparison) -> GateResult:
    name, asked = "slower", f"is slower by no more than {percent:g} %"
    latency = comparison.latency
    if latency is None:
        return _unknown(name, asked, "no prompt was timed in both runs")
    found = (
        f"{latency.ratio:.3g} times as long as the base, "
        f"between {latency.lower:.3g} and {latency.upper:.3g}"
    )
    bound = 1 + percent / 100
    verdict, why = Verdict.INCONCLUSIVE, latency.why_not
    if latency.gates:
        why = ""
        if latency.lower > bound:
            verdict = Verdict.FAIL
        elif latency.upper <= bound:
            verdict = Verdict.PASS
        else:
            why = f"{counted(latency.n, 'prompt')} tell too little"
    return GateResult(name=name, asked=asked, found=found, verdict=verdict, why=why)


def memory_result(bound_gb: float, comparisons: Sequence[Comparison]) -> GateResult:
    """Whether the server of the current runs stayed within the bound, in GB of 10^9 bytes."""
    name, asked = "memory", f"takes at most {bound_gb:g} GB"
    runs = [each.current for each in comparisons]
    peaks = [run.summary.peak_memory_bytes if run.summary else None for run in runs]
    known = [peak for peak in peaks if peak is not None]
    unknown = [run for run, peak in zip(runs, peaks, strict=True) if peak is None]
    # One run beyond the bound is beyond it; within it are only runs whose memory is known.
    if not known or (unknown and max(known) <= bound_gb * 1e9):
        remote = any(run.model.backend == "endpoint" for run in unknown)
        why = "the server is not punie's own" if remote else "nobody read the server's memory"
        return _unknown(name, asked, f"{why}, so its memory is not known")
    held = max(known) <= bound_gb * 1e9
    return GateResult(
        name=name,
        asked=asked,
        found=f"{_beside(max(known), bound_gb)} at its peak",
        verdict=Verdict.PASS if held else Verdict.FAIL,
    )


def _beside(peak: float, bound_gb: float) -> str:
    """Write a peak so that it is told from the bound."""
    text = byte_size(peak)
    same = text == byte_size(bound_gb * 1e9)
    return f"{told_apart(peak / 1e9, bound_gb)} GB" if same else text


def must_pass_results(gates: Gates, comparisons: Sequence[Comparison]) -> Iterator[GateResult]:
    """Yield what must pass of each suite, where the gate asks for it."""
    if gates.must_pass:
        yield from filter(None, map(must_pass_result, comparisons))


def _unknown(name: str, asked: str, why: str) -> GateResult:
    return GateResult(
        name=name, asked=asked, found="not measured", verdict=Verdict.INCONCLUSIVE, why=why
    )
