"""The prompts that one difference is about: all of a comparison, or one slice of it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from punie.analysis.estimates import clusters_of_questions, estimate, mean_of_estimates
from punie.analysis.paired import difference_over_categories, independent_of, wider
from punie.analysis.pairing import Asked, Paired
from punie.analysis.unpaired import unpaired_difference
from punie.records.comparison import Difference, Pair, Side
from punie.records.summary import Estimate

T = TypeVar("T")
_Read = Sequence[tuple[Asked, float | None]]
Reading = Callable[[Side], float | None]
"""What one side gives to a mean; None where it has no part in it."""


def score_of(side: Side) -> float | None:
    """The score, averaged over the answers."""
    return side.score


def passed_of(side: Side) -> float | None:
    """The share of answers that passed."""
    return side.passed


def filled(value: float) -> Reading:
    """Read the score with each answer that a fault took in place of `value`.

    A prompt that was answered and not scored expects nothing, so it has no part.
    """

    def read(side: Side) -> float | None:
        asked = side.answers + side.faults
        if not asked or (side.score is None and side.answers):
            return None
        return ((side.score or 0.0) * side.answers + value * side.faults) / asked

    return read


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """Prompts by category, paired or as two samples; `whole` means them over categories.

    A slice that cuts across categories is one mean over its prompts, as in a run's summary.
    """

    unpaired: bool
    whole: bool = False
    pairs: list[Pair] = field(default_factory=list[Pair])
    base: list[Asked] = field(default_factory=list[Asked])
    current: list[Asked] = field(default_factory=list[Asked])
    """All prompts of the runs, whether they are in a pair or not."""

    @classmethod
    def all_of(cls, paired: Paired) -> "Portion":
        """Give the portion that is everything."""
        return cls(
            unpaired=paired.how == "unpaired",
            whole=True,
            pairs=list(paired.pairs),
            base=list(paired.base),
            current=list(paired.current),
        )

    @property
    def scored(self) -> list[Pair]:
        """The pairs that were scored in both runs."""
        return [p for p in self.pairs if p.base.score is not None and p.current.score is not None]

    @property
    def faults(self) -> int:
        """How many prompts a fault kept from being compared."""
        if self.unpaired:
            return sum(not each.side.answers for each in (*self.base, *self.current))
        return sum(
            bool(each.base.faults or each.current.faults)
            for each in self.pairs
            if each.base.score is None or each.current.score is None
        )

    def base_mean(self) -> Estimate | None:
        """The base's score over what is compared."""
        if self.unpaired:
            return self._mean((each, each.side.score) for each in self.base)
        return self._mean((each, each.base.score) for each in self.scored)

    def current_mean(self) -> Estimate | None:
        """The current run's score over what is compared."""
        if self.unpaired:
            return self._mean((each, each.side.score) for each in self.current)
        return self._mean((each, each.current.score) for each in self.scored)

    def own_mean(self, fault: float) -> Estimate | None:
        """The current run's score over all its prompts, faults taken for answers of score `fault`.

        None where nothing was scored.
        """
        if all(each.side.score is None for each in self.current):
            return None
        read = filled(fault)
        return self._mean((each, read(each.side)) for each in self.current)

    def difference(self, before: Reading, after: Reading) -> Difference | None:
        """The current run's mean minus the base's; None where there is nothing to compare."""
        if self.unpaired:
            return self._unpaired(
                [(each, before(each.side)) for each in self.base],
                [(each, after(each.side)) for each in self.current],
            )
        rows = [(each, before(each.base), after(each.current)) for each in self.pairs]
        compared = [(p, a, b) for p, a, b in rows if a is not None and b is not None]
        compared = [each for each in compared if each[0].weight > 0]
        if not compared:
            return None
        return difference_over_categories(
            [before for _, before, _ in compared],
            [after for _, _, after in compared],
            [pair.category if self.whole else "" for pair, _, _ in compared],
            weights=[pair.weight for pair, _, _ in compared],
            clusters=clusters_of_questions((pair.group, pair.hash) for pair, _, _ in compared),
        )

    def _unpaired(self, base: _Read, current: _Read) -> Difference | None:
        """As two readings, like that of pairs: see `difference_over_categories`."""
        first, second = self._mean(base), self._mean(current)
        if first is None or second is None:
            return None
        (before, few), (after, many) = map(self._as_one, (base, current))
        as_one = unpaired_difference(before, after)
        return wider(
            unpaired_difference(first, second),
            as_one.model_copy(update={"independent": min(few, many)}),
        )

    def _as_one(self, rows: _Read) -> tuple[Estimate, float]:
        """The mean over categories as that of one sample, and how many independent prompts it has.

        Some prompt that has weight was scored.
        """
        scored = [(each, value) for each, value in rows if value is not None and each.weight > 0]
        totals: dict[str, float] = {}
        for each, _ in scored:
            totals[each.category] = totals.get(each.category, 0.0) + each.weight
        weights = [
            each.weight / totals[each.category] if self.whole else each.weight for each, _ in scored
        ]
        clusters = clusters_of_questions((each.group, each.hash) for each, _ in scored)
        found = estimate([value for _, value in scored], weights, clusters)
        assert found
        independent = independent_of(weights, clusters)
        return found, found.n if independent is None else independent

    def if_faults(self, *, base: float, current: float) -> Difference | None:
        """The difference with each answer that a fault took for one of these scores.

        None where no fault took one, or nothing was scored in both runs.
        """
        sides = [side for pair in self.pairs for side in (pair.base, pair.current)]
        if self.unpaired:
            sides = [each.side for each in (*self.base, *self.current)]
        if not any(side.faults for side in sides):
            return None
        if self.difference(score_of, score_of) is None:
            return None
        return self.difference(filled(base), filled(current))

    def _mean(self, rows: Iterable[tuple[Asked | Pair, float | None]]) -> Estimate | None:
        valued = ((prompt, (prompt, value)) for prompt, value in rows if value is not None)
        return mean_of_estimates(
            estimate(
                [value for _, value in part],
                [prompt.weight for prompt, _ in part],
                [prompt.group for prompt, _ in part],
            )
            for part in self._by_category(valued)
        )

    def _by_category(self, rows: Iterable[tuple[Asked | Pair, T]]) -> list[list[T]]:
        parts: dict[str, list[T]] = {}
        for prompt, row in rows:
            parts.setdefault(prompt.category if self.whole else "", []).append(row)
        return list(parts.values())


def portions(paired: Paired, names: Callable[[Asked | Pair], Iterable[str]]) -> dict[str, Portion]:
    """The slices of one kind, in the order in which the current run meets them.

    Paired, these are the slices that have a pair; otherwise those that both runs have.
    """
    found: dict[str, Portion] = {}
    unpaired = paired.how == "unpaired"

    def at(name: str) -> Portion:
        return found.setdefault(name, Portion(unpaired=unpaired))

    for each in paired.current:
        for name in names(each):
            at(name).current.append(each)
    for each in paired.base:
        for name in names(each):
            at(name).base.append(each)
    for each in paired.pairs:
        for name in names(each):
            at(name).pairs.append(each)
    return {
        name: portion
        for name, portion in found.items()
        if portion.pairs or (unpaired and portion.base and portion.current)
    }
