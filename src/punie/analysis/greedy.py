"""Sampled answers against the greedy one: the same prompts, paired."""

from collections.abc import Iterable, Sequence

from punie.analysis.estimates import clusters_of_questions, estimate, mean_of_estimates
from punie.analysis.paired import difference_over_categories
from punie.analysis.pairing import Arm, Asked, arm_of, pair
from punie.analysis.same import same_model
from punie.records.comparison import Difference, Pair, Side
from punie.records.consistency import Consistency, GreedyComparison, PromptConsistency
from punie.records.result import Outcome
from punie.records.run import Run
from punie.records.suite import EvalPrompt
from punie.records.summary import Estimate


def is_greedy_twin(run: Run, sampled: Run) -> bool:
    """Whether a run asked the same suite of the same model and adapter, at temperature 0."""
    return (
        run.sampling.temperature == 0
        and run.suite_name == sampled.suite_name
        and same_model(run.model, sampled.model)
        and run.tools_mode == sampled.tools_mode
    )


def against_greedy(
    found: Consistency, run: Run, rows: Iterable[tuple[EvalPrompt, Outcome]]
) -> GreedyComparison | None:
    """Compare with the greedy `run`, over the prompts that both have answered and scored.

    Differences are means over categories of the paired differences. None without such a prompt.
    """
    asked = {each.id: each for each in found.prompts if each.scored >= found.k}
    pairs = [
        each
        for each in pair(arm_of(rows), _arm(list(asked.values())), "intersected").pairs
        if each.base.passed is not None
    ]
    if not pairs:
        return None
    voted = [each for each in pairs if asked[each.id].majority_right is not None]
    votes = {each.id: float(bool(asked[each.id].majority_right)) for each in voted}
    sampled = {each.id: each.current.passed or 0.0 for each in pairs}
    greedy = {each.id: each.base.passed or 0.0 for each in pairs}
    score = _mean(pairs, greedy)
    mean = _mean(pairs, sampled)
    difference = _difference(pairs, greedy, sampled)
    if score is None or mean is None or difference is None:
        return None
    return GreedyComparison(
        run=run,
        prompts=len(pairs),
        greedy=score,
        sampled=mean,
        majority=_mean(voted, votes),
        sampled_difference=difference,
        majority_difference=_difference(voted, greedy, votes),
    )


def _arm(prompts: Sequence[PromptConsistency]) -> Arm:
    return tuple(
        Asked(
            id=each.id,
            hash=each.hash,
            side=Side(passed=each.right / each.scored, answers=each.answers),
            category=each.category,
            role=each.role,
            group=each.group,
            weight=each.weight,
        )
        for each in prompts
    )


def _by_category(pairs: Iterable[Pair]) -> list[list[Pair]]:
    """The pairs of each category; one without weight has no part in a score."""
    groups: dict[str, list[Pair]] = {}
    for each in pairs:
        if each.weight > 0:
            groups.setdefault(each.category, []).append(each)
    return list(groups.values())


def _mean(pairs: Iterable[Pair], right: dict[str, float]) -> Estimate | None:
    return mean_of_estimates(
        estimate(
            [right[each.id] for each in group],
            [each.weight for each in group],
            [each.group for each in group],
        )
        for group in _by_category(pairs)
    )


def _difference(
    pairs: Iterable[Pair], first: dict[str, float], second: dict[str, float]
) -> Difference | None:
    scored = [each for each in pairs if each.weight > 0]
    if not scored:
        return None
    return difference_over_categories(
        [first[each.id] for each in scored],
        [second[each.id] for each in scored],
        [each.category for each in scored],
        weights=[each.weight for each in scored],
        clusters=clusters_of_questions((each.group, each.hash) for each in scored),
    )
