"""One overall score with weights that a person declared, in both runs."""

from collections.abc import Mapping, Sequence

from punie.analysis.paired import stratified_difference
from punie.analysis.statistics import mean_of_means
from punie.records.compared import WeightedScore
from punie.records.comparison import Comparison
from punie.records.summary import Estimate


def weighted_score(comparison: Comparison, weights: Mapping[str, float]) -> WeightedScore:
    """The mean over categories, each with its weight, of both scores and of their difference.

    Intervals by MOVER (see `mean_of_means`). `weights` are at least 0, in any unit; categories that
    it does not name have none. Those that nothing was compared of are `missing`, and the others'
    weights sum to 1 without them: then it is not the score that was declared, and says so.
    """
    named = {each.name: each for each in comparison.categories}
    wanted = {name: weight for name, weight in weights.items() if weight > 0}
    measured = {
        name: weight
        for name, weight in wanted.items()
        if name in named and named[name].difference is not None
    }
    total = sum(measured.values())
    slices = [named[name] for name in measured]
    shares = [weight / total for weight in measured.values()]
    differences = [each.difference for each in slices if each.difference is not None]
    return WeightedScore(
        weights=dict(zip(measured, shares, strict=True)),
        base=_mean([each.base for each in slices], shares),
        current=_mean([each.current for each in slices], shares),
        difference=stratified_difference(differences, weights=shares) if differences else None,
        missing=tuple(name for name in wanted if name not in measured),
    )


def _mean(parts: Sequence[Estimate | None], shares: Sequence[float]) -> Estimate | None:
    """None where there is no part, or one of them has no score."""
    known = [part for part in parts if part is not None]
    if not known or len(known) < len(parts):
        return None
    limits = [(part.value, (part.low, part.high)) for part in known]
    mean, (low, high) = mean_of_means(limits, weights=shares)
    return Estimate(value=mean, low=low, high=high, n=sum(part.n for part in known))
