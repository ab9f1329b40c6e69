"""From a judge's marks to the numbers of a run: pure.

As with scores, the answers to one prompt are averaged first, and the mean is over categories.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from punie.analysis.duel import kendall_tau
from punie.analysis.estimates import estimate, mean_of_estimates
from punie.analysis.spending import cost_of, total
from punie.records.judgement import (
    Dimension,
    DimensionScore,
    Judged,
    JudgeFault,
    JudgeIdentity,
    Judgement,
    JudgeSummary,
    Rubric,
)
from punie.records.suite import EvalPrompt
from punie.records.summary import Estimate

_Measure = Callable[[Judgement], float]


@dataclass(slots=True)
class _PromptMarks:
    """The judgements of one prompt's answers."""

    prompt: EvalPrompt
    judgements: list[Judgement] = field(default_factory=list[Judgement])
    lacking: int = 0
    """How often it was asked and has no marks."""


def judge_summary(
    judged: Iterable[tuple[EvalPrompt, Judged]],
    *,
    judge: JudgeIdentity,
    rubric: Rubric,
    answers: int,
    unmarked: Iterable[EvalPrompt] = (),
    prices: tuple[float, float] | None = None,
    family: str = "",
    calibrated: str = "",
) -> JudgeSummary:
    """All numbers of the judged answers, of `answers` that the run has.

    `unmarked` has a prompt for each answer that was not judged yet, and for each fault of the run.
    `prices` are those of a million tokens read and written; the cost is None unless the judge's
    server counted them for every question that was asked. Faults have no part in a mean.
    """
    every = list(judged)
    prompts: dict[str, _PromptMarks] = {}
    for prompt, each in every:
        of = prompts.setdefault(prompt.id, _PromptMarks(prompt))
        if isinstance(each, Judgement):
            of.judgements.append(each)
        else:
            of.lacking += 1
    for prompt in unmarked:
        prompts.setdefault(prompt.id, _PromptMarks(prompt)).lacking += 1
    marked = [each for _, each in every if isinstance(each, Judgement)]
    kinds = Counter(each.kind.value for _, each in every if isinstance(each, JudgeFault))
    by_category: dict[str, list[_PromptMarks]] = {}
    for each in prompts.values():
        by_category.setdefault(each.prompt.category, []).append(each)
    whole = list(by_category.values())
    marks_of = [[each for each in members if each.judgements] for members in whole]
    groups = [members for members in marks_of if members]
    lacks = bool(groups) and any(each.lacking for each in prompts.values())
    asked = [each for _, each in every if not (isinstance(each, Judgement) and each.cached)]
    return JudgeSummary(
        judge=judge,
        rubric=rubric,
        answers=answers,
        judged=len(marked),
        faults=kinds.total(),
        fault_kinds=dict(sorted(kinds.items(), key=lambda item: (-item[1], item[0]))),
        repaired=sum(each.repaired for each in marked),
        asked_again=sum(each.asked > 1 for each in asked),
        cached=sum(each.cached for each in marked),
        altered=sum(each.altered for _, each in every),
        clipped=sum(each.clipped for _, each in every),
        score=_mean(groups, lambda each: rubric.score(each.marks)),
        at_worst=_with_lacking(whole, rubric, 0.0) if lacks else None,
        at_best=_with_lacking(whole, rubric, 1.0) if lacks else None,
        dimensions=tuple(
            scored for each in rubric.dimensions if (scored := _dimension(each, groups))
        ),
        length_correlation=kendall_tau(
            [each.answer_chars for each in marked], [rubric.score(e.marks) for e in marked]
        ),
        tokens_in=total(each.tokens_in for each in asked),
        tokens_out=total(each.tokens_out for each in asked),
        cost=cost_of(asked, prices),
        family=family,
        calibrated=calibrated,
    )


def _dimension(dimension: Dimension, groups: Sequence[list[_PromptMarks]]) -> DimensionScore | None:
    score = _mean(groups, lambda each: dimension.share(each.marks[dimension.name]))
    if score is None:
        return None
    return DimensionScore(
        name=dimension.name,
        score=score,
        mark=dimension.mark(score.value),
        mark_low=dimension.mark(score.low),
        mark_high=dimension.mark(score.high),
        lowest=dimension.lowest,
        highest=dimension.highest,
        weight=dimension.weight,
    )


def _mean(groups: Sequence[list[_PromptMarks]], measure: _Measure) -> Estimate | None:
    """Mean over categories of the mean over prompts of the mean over repeats."""
    return _mean_of(groups, lambda each: [measure(judgement) for judgement in each.judgements])


def _with_lacking(
    groups: Sequence[list[_PromptMarks]], rubric: Rubric, share: float
) -> Estimate | None:
    """The mean over the whole rubric, with this score for every answer that has no marks."""

    def scores(prompt: _PromptMarks) -> list[float]:
        given = [rubric.score(each.marks) for each in prompt.judgements]
        return [*given, *([share] * prompt.lacking)]

    return _mean_of(groups, scores)


def _mean_of(
    groups: Sequence[list[_PromptMarks]], scores: Callable[[_PromptMarks], list[float]]
) -> Estimate | None:
    def of(prompt: _PromptMarks) -> float:
        values = scores(prompt)
        return min(1.0, max(0.0, sum(values) / len(values)))

    return mean_of_estimates(
        estimate(
            [of(each) for each in members],
            [each.prompt.weight for each in members],
            [each.prompt.group for each in members],
        )
        for members in groups
    )
