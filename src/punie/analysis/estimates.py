"""From the scores of prompts to a mean with its interval: of one category, and over categories."""

from collections.abc import Hashable, Iterable, Sequence

from punie.analysis.statistics import effective_n, mean_of_means, weighted_mean, wilson
from punie.records.summary import Estimate


def estimate(
    values: Sequence[float], weights: Sequence[float], groups: Sequence[Hashable]
) -> Estimate | None:
    """Weighted mean of scores in [0, 1], one a prompt; prompts of one group are a cluster.

    A prompt without weight has no part in a score. None where no other is left.
    """
    rows = list(zip(values, weights, clusters_of(groups), strict=True))
    counted = [row for row in rows if row[1] > 0]
    if not counted:
        return None
    values, weights = [row[0] for row in counted], [row[1] for row in counted]
    mean = weighted_mean(values, weights)
    low, high = wilson(mean, effective_n(values, weights, [row[2] for row in counted]))
    return Estimate(value=mean, low=low, high=high, n=len(counted))


def mean_of_estimates(parts: Iterable[Estimate | None]) -> Estimate | None:
    """The headline: the mean over the categories that have a scored prompt."""
    measured = [part for part in parts if part is not None]
    if not measured:
        return None
    mean, (low, high) = mean_of_means([(part.value, (part.low, part.high)) for part in measured])
    return Estimate(value=mean, low=low, high=high, n=sum(part.n for part in measured))


def clusters_of(groups: Sequence[Hashable]) -> list[Hashable]:
    """A cluster for each prompt; one without a group is its own, by a number that no group has."""
    return [index if group is None else group for index, group in enumerate(groups)]


def clusters_of_questions(prompts: Iterable[tuple[str | None, str]]) -> list[Hashable]:
    """As `clusters_of`, of (group, hash): prompts of one hash are one question, asked again.

    Where they stand in several groups, these are one cluster. An empty hash is not known.
    """
    prompts = list(prompts)
    asked = [question for _, question in prompts if question]
    if all(group is None for group, _ in prompts) and len(set(asked)) == len(asked):
        return list(range(len(prompts)))
    parent: dict[Hashable, Hashable] = {}

    def root(key: Hashable) -> Hashable:
        while (above := parent.setdefault(key, key)) != key:
            parent[key] = parent[above]  # halves the path, so that long chains stay cheap
            key = parent[key]
        return key

    own: list[Hashable] = []
    for index, (group, question) in enumerate(prompts):
        own.append(("prompt", index) if group is None else ("group", group))
        if question:
            parent[root(own[-1])] = root(("hash", question))
    return [root(each) for each in own]
