"""How long two runs took over the same prompts, and whether a gate may rest on it."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from punie.analysis.bootstrap import (
    SAMPLES,
    median_draws,
    percentile_interval,
    studentized_draws,
    studentized_interval,
)
from punie.analysis.pairing import Asked
from punie.analysis.served_by import served_by, served_otherwise
from punie.analysis.statistics import quantile, spread
from punie.records.comparison import LatencyComparison, Pair, Side, Timing
from punie.records.run import Run
from punie.records.trust import IncidentKind

SHOWN, BOUND = 0.95, 0.90
"""Confidence of the interval that is shown, and of that whose ends are one-sided 95 % bounds."""
LEAST_RATIOS, LEAST_TIMES = 10, 20
"""Prompts below which a bound is none. Ratios of two runs are near each other; of times themselves,
fewer seldom show the slow ones."""

DRAWS = 5_000_000
"""Numbers that one bootstrap draws at most: with thousands of prompts each resample says more, so
fewer of them (never below 1,000) place a bound as well, in a tenth of a second."""


def latency_of(
    base: Run, current: Run, pairs: Sequence[Pair], *, seed: int
) -> LatencyComparison | None:
    """The median over prompts of current / base, with its bootstrap interval.

    Over prompts, because a long answer takes long in both runs; the median of the logarithms,
    because times are skewed. The means over a prompt's repeats are compared. None where fewer than
    two prompts were timed in both runs.
    """
    timed = [
        (pair.base.latency_s, pair.current.latency_s)
        for pair in pairs
        if pair.base.latency_s and pair.current.latency_s
    ]
    before, after = spread([one for one, _ in timed]), spread([two for _, two in timed])
    if before is None or after is None or len(timed) < 2:
        return None
    ratios = [math.log(two / one) for one, two in timed]
    draws = median_draws(ratios, seed=seed, samples=_samples(len(timed)))
    low, high = percentile_interval(draws, SHOWN)
    lower, upper = percentile_interval(draws, BOUND)
    lost = sum(bool(pair.base.faults or pair.current.faults) for pair in pairs)
    why_not = next(_not_comparable(base, current, len(timed), lost), "")
    return LatencyComparison(
        base=before,
        current=after,
        ratio=math.exp(quantile(ratios, 0.5)),
        low=math.exp(low),
        high=math.exp(high),
        lower=math.exp(lower),
        upper=math.exp(upper),
        n=len(timed),
        first_token_ratio=_median_ratio(pairs, lambda side: side.first_token_s),
        tokens_per_second_ratio=_median_ratio(pairs, _speed),
        gates=not why_not,
        why_not=why_not,
    )


def timing_of(run: Run, asked: Sequence[Asked], *, seed: int) -> Timing | None:
    """How long a run's prompts took: mean and median with their bootstrap bounds.

    None where fewer than two prompts were timed.
    """
    ordered = sorted(asked, key=lambda each: each.id)
    times = [each.side.latency_s for each in ordered if each.side.latency_s]
    if len(times) < 2:
        return None
    samples, mean = _samples(len(times)), (times[0], times[0])
    if min(times) < max(times):
        mean = studentized_interval(
            times, studentized_draws(times, seed=seed, samples=samples), BOUND
        )
    median = percentile_interval(median_draws(times, seed=seed, samples=samples), BOUND)
    lost = sum(bool(each.side.faults) for each in asked)
    return Timing(
        mean=math.fsum(times) / len(times),
        mean_lower=mean[0],
        mean_upper=mean[1],
        median=quantile(times, 0.5),
        median_lower=median[0],
        median_upper=median[1],
        n=len(times),
        why_not=next(chain(_not_alone(run), _too_little(len(times), lost, LEAST_TIMES)), ""),
    )


def _samples(prompts: int) -> int:
    return min(SAMPLES, max(1_000, DRAWS // prompts))


def _not_comparable(base: Run, current: Run, timed: int, lost: int) -> Iterator[str]:
    """Yield what keeps a gate from resting on these times, the gravest first."""
    if current.timed_with != base.id and base.timed_with != current.id:
        yield "the runs were not timed side by side (punie eval --latency --against RUN)"
    for run in (base, current):
        yield from _not_alone(run)
    was, now = base.provenance, current.provenance
    if (was.hardware, was.platform) != (now.hardware, now.platform):
        yield "the runs were made on different hardware"
    if "endpoint" in {base.model.backend, current.model.backend} and (
        base.model.backend != current.model.backend
    ):
        yield "one of the two servers is somebody else's, on hardware that is not known"
    if served_otherwise(base.model, current.model):
        yield (
            f"they were served by {served_by(base.model)} and by {served_by(current.model)}: "
            "the times tell the servers apart, not the models"
        )
    yield from _too_little(timed, lost, LEAST_RATIOS)


def _not_alone(run: Run) -> Iterator[str]:
    if run.concurrency != 1:
        yield f"run {run.id} had {run.concurrency} requests in flight: times need one at a time"
    if any(each.kind is IncidentKind.SLEPT for each in run.incidents):
        yield f"the machine slept during run {run.id}"


def _too_little(timed: int, lost: int, least: int) -> Iterator[str]:
    """Yield why some times are not known: a prompt that ran into a timeout took longest of all."""
    if lost:
        prompts = "1 prompt" if lost == 1 else f"{lost:,} prompts"
        yield f"{prompts} lost answers to faults, and nobody knows how long these would have taken"
    if timed < least:
        yield f"{timed} prompts were timed, at least {least} are needed"


def _median_ratio(pairs: Sequence[Pair], reading: Callable[[Side], float | None]) -> float | None:
    """The median over prompts of current / base, of what both have."""
    both = [(reading(pair.base), reading(pair.current)) for pair in pairs]
    ratios = [math.log(after / before) for before, after in both if before and after]
    return math.exp(quantile(ratios, 0.5)) if ratios else None


def _speed(side: Side) -> float | None:
    """Tokens a second after the first one; None where the answer was not streamed."""
    if side.first_token_s is None or not side.latency_s or not side.tokens_out:
        return None
    writing = side.latency_s - side.first_token_s
    return (side.tokens_out - 1) / writing if writing > 0 else None
