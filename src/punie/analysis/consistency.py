"""From a run with repeats to how steady its answers are, and whether the model can or cannot.

Repeats never replace prompts: every number of a slice is a mean over prompts, with an interval over
prompts in which prompts of one group are a cluster. Overall is the mean over categories, as a run's
headline is. An outcome is let go once it is counted.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean

from punie.analysis.draws import NAME as DRAWS
from punie.analysis.draws import Draws
from punie.analysis.estimates import estimate, mean_of_estimates
from punie.analysis.repeated import Normalise, RepeatedPrompt
from punie.errors import InputError
from punie.records.consistency import (
    Capability,
    Cause,
    Consistency,
    ConsistencySlice,
    CurvePoint,
    Losses,
    PromptConsistency,
)
from punie.records.result import EvalResult, Outcome
from punie.records.run import Run, RunStatus
from punie.records.suite import EvalPrompt
from punie.records.summary import Estimate
from punie.records.trust import Finding, Level

MOST_HAVE = 0.9
"""Unless it is told, k is the number of answers that so many of the prompts have."""
EVERY_STEP = 20
"""A curve has every k up to here, and then ever wider steps."""
FAINT_RATE = 0.2
"""A prompt that is right in this share of draws, or more, is not called beyond the model."""
UNSEEN = 0.05
"""Chance of not seeing any right answer at `Consistency.unseen_rate`."""

LEAST_FAILING = 6
"""Failing prompts from which on "never right" may be called more than chance: with four, none of
which happened to be right, it would be wrong in 7 % of cases."""

_Measure = Callable[[PromptConsistency], float | None]


def consistency(
    run: Run,
    prompts: Iterable[EvalPrompt],
    rows: Iterable[tuple[EvalPrompt, Outcome]],
    normalise: Normalise | None,
    *,
    k: int | None = None,
) -> Consistency:
    """What the repeats of a run say. `prompts` are those that it was to ask; `rows` is read once.

    Without `normalise` the answers' words are not known, as in most journals: then only right and
    wrong are counted. `k` is how many answers a prompt needs to be part of the estimates. Raises
    InputError where no prompt has several answers, or none has k.
    """
    asked = {prompt.id: RepeatedPrompt(prompt) for prompt in prompts}
    draws = Draws()
    for prompt, outcome in rows:
        if prompt.id not in asked:
            asked[prompt.id] = RepeatedPrompt(prompt)
        normal = None
        if normalise is not None and isinstance(outcome, EvalResult):
            normal = normalise(prompt, outcome.completion)
            draws.add(outcome)
        asked[prompt.id].add(outcome, normal)
    k = _answers_needed(run, list(asked.values()), k)
    steps = curve_steps(k)
    counted = tuple(each.counted(run.repeats, steps) for each in asked.values())
    temperature = run.sampling.temperature
    found = _remembered(run) if normalise is None else draws.finding(temperature)
    separate = found.details.get("separate")
    sampled = temperature > 0 and separate is not False
    return Consistency(
        run=run,
        k=k,
        steps=steps,
        draws=found,
        sampled=sampled,
        unseen_rate=unseen_rate(k),
        overall=_overall(counted, k, steps, sampled=sampled),
        categories=_slices(counted, lambda each: each.category, k, steps, sampled=sampled),
        roles=_slices(counted, lambda each: each.role, k, steps, sampled=sampled),
        prompts=counted,
        cautions=tuple(_cautions(run, counted, k)),
    )


def curve_steps(k: int) -> tuple[int, ...]:
    """The k's of a curve: each up to `EVERY_STEP`, then ever wider steps, the last one `k`."""
    steps = list(range(1, min(k, EVERY_STEP) + 1))
    while steps[-1] < k:
        steps.append(min(k, steps[-1] * 5 // 4))
    return tuple(steps)


def unseen_rate(k: int) -> float:
    """The highest rate of right answers at which none in `k` still has a chance of 5 %.

    (1 - p)^k = 0.05, so p = 1 - 0.05^(1/k): the exact upper bound of Clopper and Pearson 1934, "The
    use of confidence or fiducial limits", where nothing was seen.
    """
    return 1 - UNSEEN ** (1 / k)


def repeats_for(rate: float) -> int:
    """How many answers hold a right one with 95 % probability, where it comes at this rate.

    The inverse of `unseen_rate`.
    """
    return math.ceil(math.log(UNSEEN) / math.log(1 - rate))


def _answers_needed(run: Run, asked: Sequence[RepeatedPrompt], k: int | None) -> int:
    """How many answers a prompt needs; InputError where too few have several."""
    scored = [each.scored for each in asked]
    # A suite that expects nothing has no right and wrong; its answers still agree or not.
    had = sorted(scored if any(scored) else [each.answered for each in asked], reverse=True)
    had = [number for number in had if number] or [0]
    if had[0] < 2:
        raise InputError(
            f"run {run.id} has no prompt with two answers: consistency cannot be told",
            hint=f"its status is {run.status.value}; punie runs show {run.id} says more",
        )
    if k is None:
        return max(2, had[min(len(had) - 1, int(MOST_HAVE * len(had)))])
    if k > had[0]:
        raise InputError(
            f"k {k} is more than the {had[0]} answers that a prompt has at most",
            hint="leave --k out, or ask more often: --repeats",
        )
    return k


def _remembered(run: Run) -> Finding:
    """What was found when the run was made, for who has its answers no more."""
    found = run.checks.findings if run.checks else ()
    unknown = Finding(
        name=DRAWS,
        level=Level.UNKNOWN,
        sentence="The answers are not kept here, so whether repeats are draws cannot be told.",
    )
    return next((each for each in found if each.name == DRAWS), unknown)


def _cautions(run: Run, counted: Sequence[PromptConsistency], k: int) -> Iterable[str]:
    """What a reader must know before the numbers, beside what `draws` says."""
    if run.status is not RunStatus.DONE and run.decided_after is None:
        yield f"The run is not whole (its status: {run.status.value}): some repeats are missing."
    few = sum(0 < each.scored < k or not each.answers for each in counted)
    if few:
        prompts = "1 prompt has" if few == 1 else f"{few} prompts have"
        yield f"{prompts} fewer than {k} answers and no part in the numbers."
    for finding in run.checks.findings if run.checks else ():
        if finding.level is Level.WARNING and finding.name != DRAWS:
            yield f"The run's check of {finding.name} warned: {finding.sentence}"


def _slices(
    counted: Iterable[PromptConsistency],
    name_of: Callable[[PromptConsistency], str | None],
    k: int,
    steps: Sequence[int],
    *,
    sampled: bool,
) -> tuple[ConsistencySlice, ...]:
    groups: dict[str, list[PromptConsistency]] = {}
    for each in counted:
        if (name := name_of(each)) is not None:
            groups.setdefault(name, []).append(each)
    return tuple(_slice(*group, k, steps, sampled=sampled) for group in groups.items())


def _slice(
    name: str, prompts: list[PromptConsistency], k: int, steps: Sequence[int], *, sampled: bool
) -> ConsistencySlice:
    whole = [each for each in prompts if each.scored >= k]
    answered = [each for each in prompts if each.answers >= k]
    unscored = [each for each in prompts if each.answers and not each.scored]
    shares = {each: _share_of(each, whole) for each in Capability}
    curve = [
        (at, _mean(whole, _at(index, "pass_at")), _mean(whole, _at(index, "pass_hat")))
        for index, at in enumerate(steps)
    ]
    return ConsistencySlice(
        name=name,
        prompts=len(whole),
        too_few=len(prompts) - len(whole) - len(unscored),
        unscored=len(unscored),
        rate=_mean(answered, lambda each: each.rate),
        agreement=_mean(answered, lambda each: each.pair_agreement),
        entropy_bits=_plain_mean(each.entropy_bits for each in answered),
        unique=_plain_mean(each.unique for each in answered),
        score_variance=_plain_mean(each.score_variance for each in whole),
        majority=_mean(whole, _majority_right),
        curve=tuple(
            CurvePoint(k=at, pass_at=one, pass_hat=all_) for at, one, all_ in curve if one and all_
        ),
        counts={word: sum(each.capability is word for each in whole) for word in Capability},
        shares={word: share for word, share in shares.items() if share},
        losses=losses_of(whole) if sampled else None,
    )


def _overall(
    counted: Sequence[PromptConsistency], k: int, steps: Sequence[int], *, sampled: bool
) -> ConsistencySlice:
    """The mean over categories; counts, and what is said of failing prompts, over all prompts."""
    parts = _slices(counted, lambda each: each.category, k, steps, sampled=sampled)
    pooled = _slice("overall", list(counted), k, steps, sampled=sampled)
    curves = [part.curve for part in parts if part.curve]
    means = {
        "rate": mean_of_estimates([part.rate for part in parts]),
        "agreement": mean_of_estimates([part.agreement for part in parts]),
        "majority": mean_of_estimates([part.majority for part in parts]),
        "entropy_bits": _plain_mean(part.entropy_bits for part in parts),
        "unique": _plain_mean(part.unique for part in parts),
        "score_variance": _plain_mean(part.score_variance for part in parts),
        "curve": tuple(map(_mean_point, zip(*curves, strict=True))),
        "shares": {
            word: share
            for word in Capability
            if (share := mean_of_estimates([part.shares.get(word) for part in parts]))
        },
    }
    return pooled.model_copy(update=means)


def _mean_point(points: tuple[CurvePoint, ...]) -> CurvePoint:
    one = mean_of_estimates([point.pass_at for point in points])
    all_ = mean_of_estimates([point.pass_hat for point in points])
    assert one
    assert all_
    return CurvePoint(k=points[0].k, pass_at=one, pass_hat=all_)


def losses_of(whole: Sequence[PromptConsistency]) -> Losses | None:
    """Whether what is lost is lost on prompts that are never right, or on such as are sometimes.

    `whole` have several scored answers each; None without any. A prompt that was right and wrong is
    unstable for certain, so inconsistency needs only that the interval of the unstable share lies
    above a half. One that was never right may be unstable unseen: of those that are right in
    `FAINT_RATE` of draws, n answers show 1 - (1 - rate)^n. So capability needs an interval below
    half of that: then at most half of what fails is right so often. It needs `LEAST_FAILING` too.
    """
    failing = [each for each in whole if each.capability is not Capability.CAN]
    if not whole:
        return None
    share = _share_of(Capability.UNSTABLE, failing)
    if share is None:
        return Losses(cause=Cause.NONE)
    wrong = sum(each.scored - each.right for each in failing)
    unstable = [each for each in failing if each.capability is Capability.UNSTABLE]
    seen = 1 - (1 - FAINT_RATE) ** min(each.scored for each in failing)
    cause = Cause.BOTH
    if share.low > 0.5:
        cause = Cause.INCONSISTENCY
    elif share.high < 0.5 * seen and len(failing) >= LEAST_FAILING:
        cause = Cause.CAPABILITY
    lost = sum(each.scored - each.right for each in unstable)
    return Losses(cause=cause, unstable=share, to_inconsistency=lost / wrong)


def _at(index: int, chance: str) -> _Measure:
    def measure(prompt: PromptConsistency) -> float | None:
        chances = prompt.pass_at if chance == "pass_at" else prompt.pass_hat
        return chances[index]

    return measure


def _majority_right(prompt: PromptConsistency) -> float | None:
    return None if prompt.majority_right is None else float(prompt.majority_right)


def _share_of(word: Capability, prompts: Sequence[PromptConsistency]) -> Estimate | None:
    return _mean(prompts, lambda each: float(each.capability is word))


def _mean(prompts: Iterable[PromptConsistency], measure: _Measure) -> Estimate | None:
    """Weighted mean over the prompts that have a value, as in a run's summary."""
    rows = [(value, each) for each in prompts if (value := measure(each)) is not None]
    return estimate(
        [value for value, _ in rows],
        [each.weight for _, each in rows],
        [each.group for _, each in rows],
    )


def _plain_mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
