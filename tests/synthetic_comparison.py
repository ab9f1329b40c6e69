"""A made-up comparison for tests of its reports: no model gave these answers."""

from collections.abc import Callable, Sequence
from statistics import NormalDist, fmean, median, stdev

from punie.analysis.statistics import spread
from punie.records.compared import Compared, Matrix, MatrixCell, WeightedScore
from punie.records.comparison import (
    Bucket,
    Comparison,
    Difference,
    Differing,
    Discordance,
    Flip,
    LatencyComparison,
    SliceComparison,
    Word,
)
from punie.records.duel import DuelSlice, DuelSummary
from punie.records.gate import (
    Action,
    Decision,
    Evidence,
    GateReport,
    GateResult,
    Gates,
    Route,
    Verdict,
)
from punie.records.judgement import JudgeIdentity
from punie.records.result import EvalResult, Outcome
from punie.records.suite import EvalPrompt
from punie.records.summary import Estimate
from punie.reporting.flipped import FlippedRow
from synthetic_run import Rows, a_result, report_of, synthetic_report

Paired = list[tuple[EvalPrompt, EvalResult, EvalResult]]
_Z = NormalDist().inv_cdf


def a_difference(values: Sequence[float]) -> Difference:
    """Mean and normal intervals: close enough for a picture."""
    mean = fmean(values)
    error = (stdev(values) if len(values) > 1 else 0.5) / len(values) ** 0.5 or 0.01
    return Difference(
        value=mean,
        low=max(-1, mean - _Z(0.975) * error),
        high=min(1, mean + _Z(0.975) * error),
        n=len(values),
        lower=mean - _Z(0.95) * error,
        upper=mean + _Z(0.99) * error,
    )


def _estimate(values: Sequence[float]) -> Estimate:
    found = a_difference(values)
    low, high = max(0.0, found.low), min(1.0, found.high)
    return Estimate(value=found.value, low=low, high=high, n=found.n)


def a_word(found: Difference, margin: float = 0.05) -> Word:
    """The words in their simplest form."""
    if found.low > 0:
        return Word.BETTER
    if found.high < 0:
        return Word.WORSE
    return Word.NO_WORSE if found.lower > -margin else Word.UNCLEAR


def paired_rows(number: int = 60, *, gain: bool = True) -> Paired:
    """`number` prompts in both runs; the second answers a part of what the first missed."""
    _, before = synthetic_report(number, seed=7, fault_share=0)
    _, after = synthetic_report(number, seed=8, fault_share=0)
    found: Paired = []
    for at, ((prompt, one), (_, other)) in enumerate(zip(before, after, strict=True)):
        assert isinstance(one, EvalResult)
        assert isinstance(other, EvalResult)
        current = one
        if at % 7 == 3:
            current = other
        elif gain and at % 3 and not one.passed:
            current = right(prompt, one)
        found.append((prompt, one, current))
    return found


def right(prompt: EvalPrompt, result: EvalResult) -> EvalResult:
    """The same answer, scored as right, a little slower."""
    scores = [each.model_copy(update={"value": 1, "passed": True}) for each in result.scores]
    answer = result.completion
    slower = answer.model_copy(update={"latency_s": 1.2 * answer.latency_s})
    return a_result(prompt, slower, *scores, started_at=result.started_at)


def flip_of(prompt: EvalPrompt, base: EvalResult, current: EvalResult) -> Flip:
    """The change of one prompt."""
    bucket = {
        (True, False): Bucket.REGRESSED,
        (False, True): Bucket.FIXED,
        (False, False): Bucket.STILL_FAILING,
        (True, True): Bucket.STILL_PASSING,
    }[bool(base.passed), bool(current.passed)]
    return Flip(
        id=prompt.id,
        hash=prompt.hash,
        bucket=bucket,
        category=prompt.category,
        role=prompt.role,
        must_pass=prompt.must_pass,
        base_score=base.score or 0,
        current_score=current.score or 0,
        base_culprit=base.culprit,
        current_culprit=current.culprit,
    )


def flipped(paired: Paired) -> list[FlippedRow]:
    """Every prompt that is not right in both, in the order of worth."""
    order = list(Bucket)
    rows = [
        FlippedRow(flip_of(prompt, one, other), prompt, (one,), (other,))
        for prompt, one, other in paired
    ]
    rows = [row for row in rows if row.flip.bucket is not Bucket.STILL_PASSING]
    return sorted(rows, key=lambda row: order.index(row.flip.bucket))


def _slice(name: str, paired: Paired) -> SliceComparison:
    found = a_difference([(b.score or 0) - (a.score or 0) for _, a, b in paired])
    return SliceComparison(
        name=name,
        base=_estimate([a.score or 0 for _, a, _ in paired]),
        current=_estimate([b.score or 0 for _, _, b in paired]),
        difference=found,
        pairs=len(paired),
        gained=sum(not a.passed and bool(b.passed) for _, a, b in paired),
        lost=sum(bool(a.passed) and not b.passed for _, a, b in paired),
        word=a_word(found),
    )


def a_comparison(paired: Paired, *, suite: str = "baseline") -> Comparison:
    """Everything that such a comparison may hold."""
    base_rows: Rows = [(prompt, one) for prompt, one, _ in paired]
    current_rows: Rows = [(prompt, other) for prompt, _, other in paired]
    base, current = report_of(base_rows).run, report_of(current_rows, adapter="greenhouse").run
    base = base.model_copy(update={"id": "20261121-0101-base", "suite_name": suite})
    current = current.model_copy(update={"suite_name": suite})
    flips = [row.flip for row in flipped(paired)]
    buckets = {bucket: sum(flip.bucket is bucket for flip in flips) for bucket in Bucket}
    buckets[Bucket.STILL_PASSING] = len(paired) - len(flips)
    whole = _slice("overall", paired)
    ratios = sorted(b.completion.latency_s / a.completion.latency_s for _, a, b in paired)
    times = [spread([each.completion.latency_s for each in arm]) for arm in _arms(paired)]
    assert times[0] is not None
    assert times[1] is not None
    return Comparison(
        base=base,
        current=current,
        purpose="target",
        pairs=len(paired),
        scored=len(paired),
        base_score=whole.base,
        current_score=whole.current,
        score=whole.difference,
        passed=whole.difference,
        discordance=Discordance(
            both=buckets[Bucket.STILL_PASSING],
            gained=buckets[Bucket.FIXED],
            lost=buckets[Bucket.REGRESSED],
            neither=buckets[Bucket.STILL_FAILING],
            p=0.0123,
        ),
        smallest_detectable=0.18,
        word=whole.word,
        categories=_slices(paired, lambda prompt: prompt.category),
        roles=_slices(paired, lambda prompt: prompt.role or ""),
        tags=_slices(paired, lambda prompt: prompt.tags[0]),
        buckets=buckets,
        flips=tuple(flips),
        latency=LatencyComparison(
            base=times[0],
            current=times[1],
            ratio=median(ratios),
            low=0.94,
            high=1.19,
            lower=0.96,
            upper=1.17,
            n=len(paired),
            first_token_ratio=1.04,
            tokens_per_second_ratio=0.93,
            why_not="The runs were not timed side by side.",
        ),
        differs=(
            Differing(what="adapter", base="", current="greenhouse", matters=True),
            Differing(what="mlx-lm", base="0.32.2", current="0.32.1", matters=False),
        ),
        cautions=("The base run asked for no self-checks.",),
    )


def _arms(paired: Paired) -> tuple[list[EvalResult], list[EvalResult]]:
    return [one for _, one, _ in paired], [other for _, _, other in paired]


def _slices(paired: Paired, key: Callable[[EvalPrompt], str]) -> tuple[SliceComparison, ...]:
    names = dict.fromkeys(key(prompt) for prompt, _, _ in paired)
    return tuple(_slice(name, [row for row in paired if key(row[0]) == name]) for name in names)


def a_compared(paired: Paired) -> Compared:
    """A comparison with a guard, a gate, a decision, a weighted score and a duel."""
    first = a_comparison(paired)
    guard = a_comparison(paired_rows(45, gain=False), suite="guard suite")
    assert first.score is not None
    results = (
        GateResult(
            name="baseline: gain",
            asked="gains more than 0 points",
            found="+24.2 points, at least +15.1",
            verdict=Verdict.PASS,
            why="the lower bound is above it",
        ),
        GateResult(
            name="guard suite: margin",
            asked="loses no more than 5 points",
            found="−1.1 points, at least −8.0",
            verdict=Verdict.INCONCLUSIVE,
            why="the lower bound is below the margin",
            more_prompts=120,
        ),
        GateResult(
            name="memory",
            asked="at most 10.0 GB",
            found="0.8 GB",
            verdict=Verdict.PASS,
        ),
    )
    return Compared(
        comparisons=(first, guard),
        gate=GateReport(
            gates=Gates(name="go-no-go", source="gates.yaml"),
            results=results,
            verdict=Verdict.INCONCLUSIVE,
            unpassable=("success at least 98 %: even 60 of 60 has a lower bound of 94 %",),
        ),
        decision=Decision(
            action=Action.HYBRID,
            because="Some roles gain and others lose.",
            evidence=(
                Evidence(
                    rule="the suite of the adapter gains", holds="yes", found="+24.2 [+13 to +35]"
                ),
                Evidence(rule="no guard loses", holds="unclear", found="−1.1 [−9.2 to +7.0]"),
            ),
            routes=(
                Route(role="coder", serves="current", why="+31.0 [+12.0 to +50.0]", sure=True),
                Route(role="reviewer", serves="base", why="−2.0 [−18.0 to +14.0]", sure=False),
            ),
            measure_next=("120 more prompts of guard suite: punie eval guard.yaml --sample 165",),
        ),
        weighted=WeightedScore(
            weights={"tool_calling": 0.7, "reasoning": 0.3},
            base=first.base_score,
            current=first.current_score,
            difference=first.score,
            missing=("prose",),
        ),
        duel=a_duel(),
        missing=("the gate's suite held-out was not measured: punie eval held-out --against base",),
        warnings=("The gate's file names no floor.",),
    )


def a_matrix(comparison: Comparison) -> Matrix:
    """Three runs, each with each."""
    runs = ("r1", "r2", "r3")
    return Matrix(
        runs=runs,
        titles=("smollm2-135m", "smollm2-135m + greenhouse", "qwen3-0.6b"),
        cells=tuple(
            MatrixCell(row=row, column=column, difference=comparison.score, p=0.01, adjusted=0.03)
            for at, row in enumerate(runs)
            for column in runs[at + 1 :]
        ),
    )


def outcomes(paired: Paired) -> list[Outcome]:
    """The answers of the second run."""
    return [other for _, _, other in paired]


def a_duel() -> DuelSummary:
    """A judge's word on 60 pairs."""
    rate = Estimate(value=0.61, low=0.5, high=0.71, n=60)
    overall = DuelSlice(
        name="overall",
        wins=30,
        losses=17,
        ties=13,
        win_rate=rate,
        decisive_rate=rate,
        win_ratio=30 / 17,
        tie_share=rate,
        sign_p=0.08,
    )
    categories = (
        DuelSlice(name="tool_calling", wins=20, losses=7, ties=3, win_rate=rate, sign_p=0.02),
        DuelSlice(name="reasoning", wins=10, losses=10, ties=10, win_rate=rate, sign_p=1.0),
        DuelSlice(name="prose", wins=0, losses=0, ties=0, faults=2),
    )
    return DuelSummary(
        judge=JudgeIdentity(model="qwen3-8b", backend="mlx", prompt_hash="a" * 64, rubric_hash=""),
        overall=overall,
        categories=categories,
        warnings=("the longer answer wins more often than chance explains",),
    )
