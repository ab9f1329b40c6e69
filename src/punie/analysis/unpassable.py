"""Bounds that a number of prompts cannot pass, whatever the answers are."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from punie.analysis.estimates import clusters_of
from punie.analysis.gate_entries import entry_for
from punie.analysis.gate_wording import part_of, slice_of
from punie.analysis.paired import PASSES, TWO_SIDED, newcombe_paired
from punie.analysis.rule import FEWEST, ROUNDING
from punie.analysis.statistics import effective_n, mean_of_means, wilson
from punie.records.comparison import Comparison, SliceComparison
from punie.records.gate import Gates, JudgeGate, SliceGate, SuiteGate
from punie.records.suite import EvalPrompt, EvalSuite
from punie.sizes import counted

MOST = 100_000
"""More prompts than this are no advice."""
Counts = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteFacts:
    """How many prompts of a suite can be scored: in each category, role and tag.

    Prompts that share a group, or differ in weight, count as fewer: as many independent ones as
    say as much where all are right.
    """

    name: str
    categories: Counts
    roles: Counts = field(default_factory=dict[str, float])
    tags: Counts = field(default_factory=dict[str, float])
    prompts: int = 0
    """All of them: a judge is asked about answers that nothing is expected of too."""

    def sizes(self, bounds: SuiteGate | SliceGate) -> list[float]:
        """The prompts that bounds rest on: of each category, or of one slice."""
        if isinstance(bounds, SuiteGate):
            return list(self.categories.values())
        kind, name = slice_of(bounds)
        counts = {"category": self.categories, "role": self.roles, "tag": self.tags}[kind]
        return [counts[name]] if name in counts else []


def facts_of_suite(suite: EvalSuite) -> SuiteFacts:
    """Count the prompts that a run of this suite is going to ask and score."""
    scored = [each for each in suite.prompts if each.weight > 0 and any(each.expect)]
    return SuiteFacts(
        name=suite.name,
        categories=_counted((each.category, each) for each in scored),
        roles=_counted((each.role, each) for each in scored if each.role is not None),
        tags=_counted((tag, each) for each in scored for tag in dict.fromkeys(each.tags)),
        prompts=len(suite.prompts),
    )


def facts_of_comparison(comparison: Comparison) -> SuiteFacts:
    """Count the prompts that the current run was scored on."""

    def counts(slices: Sequence[SliceComparison]) -> dict[str, float]:
        return {each.name: float(each.at_best.n) for each in slices if each.at_best}

    return SuiteFacts(
        name=comparison.current.suite_name,
        categories=counts(comparison.categories),
        roles=counts(comparison.roles),
        tags=counts(comparison.tags),
        prompts=comparison.pairs,
    )


def unpassable(
    gates: Gates, suites: Iterable[SuiteFacts], *, own_suite: str | None = None
) -> tuple[str, ...]:
    """A sentence for each bound on these suites that cannot be passed with so few prompts.

    It can be asked before a run. A floor is held against all answers right, a gain and a margin
    against all wrong before and right now. The first suite is the one that was asked for: a judge's
    bounds are for it. Suites that the gate does not speak of have none.
    """
    found: list[str] = []
    for number, facts in enumerate(suites):
        if gates.judge and number == 0:
            found += _of_judge(gates.judge, facts.prompts)
        entry = entry_for(gates, facts.name, own_suite)
        if entry is not None:
            for bounds in (entry[1], *entry[1].slices):
                found += _sentences(bounds, facts)
    return tuple(found)


def _sentences(bounds: SuiteGate | SliceGate, facts: SuiteFacts) -> Iterator[str]:
    sizes, name = facts.sizes(bounds), part_of(facts.name, bounds)
    if not sizes:
        return
    if (floor := bounds.floor_percent) is not None:
        needed = _needed(sizes, lambda each: _all_right(each) >= floor / 100)
        if needed is not None:
            yield f"{name}: a floor of {floor:g} % needs {_there(sizes, needed, 'all right')}"
    if (gain := bounds.minimum_gain_points) is not None:
        needed = _needed(sizes, lambda each: _enough(each) and _all_gained(each) > gain / 100)
        if needed is not None:
            asked = f"a gain of more than {gain:g} points"
            yield f"{name}: {asked} needs {_there(sizes, needed, 'all gained')}"
    if (margin := bounds.margin_points) is not None:
        needed = _needed(sizes, lambda each: _enough(each) and _all_gained(each) > -margin / 100)
        if needed is not None:
            asked = f"a margin of {margin:g} points"
            yield f"{name}: {asked} needs {_there(sizes, needed, 'all gained')}"


def _of_judge(gate: JudgeGate, prompts: int) -> Iterator[str]:
    """A sentence for each bound that a judge who is all for the current run could not pass."""
    if not prompts:
        return
    if (rate := gate.win_rate_percent) is not None:
        needed = _needed([prompts], lambda each: _all_right(each) > rate / 100)
        if needed is not None:
            there = _there([prompts], needed, "all won")
            yield f"judge: a win rate of more than {rate:g} % needs {there}"
    if (score := gate.score_percent) is not None:
        needed = _needed([prompts], lambda each: _all_right(each) >= score / 100)
        if needed is not None:
            there = _there([prompts], needed, "all with the highest marks")
            yield f"judge: a score of {score:g} % needs {there}"


def _there(sizes: Sequence[float], needed: float, how: str) -> str:
    there = math.floor(sum(sizes) + 1e-9)
    verb = "is" if there == 1 else "are"
    if math.isinf(needed):
        return f"more than {MOST:,} prompts, {how}; there {verb} {there:,}"
    return f"{counted(round(needed), 'prompt')}, {how}; there {verb} {there:,}"


def _needed(sizes: Sequence[float], passes: Callable[[Sequence[float]], bool]) -> float | None:
    """How many prompts would pass, in the same proportions; None where those there are can."""
    if passes(sizes):
        return None
    total = sum(sizes)

    def enough(prompts: int) -> bool:
        return passes([size * prompts / total for size in sizes])

    if not enough(MOST):
        return math.inf
    low, high = math.floor(total), MOST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _enough(sizes: Sequence[float]) -> bool:
    return sum(sizes) >= FEWEST - ROUNDING


def _all_right(sizes: Sequence[float]) -> float:
    """The lower end of the interval of a score where every answer is right."""
    return mean_of_means([(1.0, wilson(1.0, size, TWO_SIDED)) for size in sizes])[1][0]


def _all_gained(sizes: Sequence[float]) -> float:
    """The lower bound of the difference where every answer was wrong and is right."""
    parts = [(1.0, newcombe_paired(0, size, 0, 0, PASSES)) for size in sizes]
    return mean_of_means(parts, lowest=-1.0)[1][0]


def _counted(named: Iterable[tuple[str, EvalPrompt]]) -> dict[str, float]:
    prompts: dict[str, list[EvalPrompt]] = {}
    for name, prompt in named:
        prompts.setdefault(name, []).append(prompt)
    return {name: _size(members) for name, members in prompts.items()}


def _size(prompts: Sequence[EvalPrompt]) -> float:
    weights = [each.weight for each in prompts]
    clusters = clusters_of([each.group for each in prompts])
    return effective_n([1.0] * len(prompts), weights, clusters)
