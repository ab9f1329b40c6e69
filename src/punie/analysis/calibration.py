"""How far a judge says what people say, and whether a gate may rest on it. Pure.

Marks are compared on their scale, where one off is a small disagreement; right or wrong, and which
of two is better, as plain names.
"""

from collections.abc import Hashable, Sequence
from typing import TypeVar

from punie.analysis.kappa import cohen_kappa, kappa_interval
from punie.records.duel import DuelOutcome
from punie.records.judgement import Rubric
from punie.records.labels import Agreement

MIN_LABELS = 50
"""Labels below which nothing is gated: the interval of kappa is too wide to mean anything."""
MIN_KAPPA = 0.4
"""The least lower bound of kappa: what Landis and Koch 1977, "The measurement of observer agreement
for categorical data", call moderate begins above it."""
RIGHT_FROM = 0.75
"""A judge's score from which on it is taken to call an answer right: a mean mark of 4 of 5."""
_STEPS = 4
"""Overall scores are compared as levels from 1 to 5: so many steps."""

L = TypeVar("L", bound=Hashable)
Marks = dict[str, int]


def of_marks(
    rubric: Rubric, pairs: Sequence[tuple[Marks, Marks]], *, seed: int
) -> tuple[Agreement, ...]:
    """Agreement over the whole rubric, then on each dimension; pairs are (person's, judge's)."""
    overall = [(_level(rubric, said), _level(rubric, judged)) for said, judged in pairs]
    found = [agreement("overall", overall, range(1, _STEPS + 2), quadratic=True, seed=seed)]
    for each in rubric.dimensions:
        marks = [(said[each.name], judged[each.name]) for said, judged in pairs]
        scale = range(each.lowest, each.highest + 1)
        found.append(agreement(each.name, marks, scale, quadratic=True, seed=seed))
    return tuple(found)


def of_right(
    rubric: Rubric, pairs: Sequence[tuple[bool, Marks]], *, seed: int
) -> tuple[Agreement, ...]:
    """Agreement on what is right: a judge calls it so whose score is at least `RIGHT_FROM`."""
    words = {True: "right", False: "wrong"}
    called = [
        (words[right], words[rubric.score(marks) >= RIGHT_FROM - 1e-9]) for right, marks in pairs
    ]
    levels = ("wrong", "right")
    return (agreement("right or wrong", called, levels, quadratic=False, seed=seed),)


def of_duels(
    pairs: Sequence[tuple[DuelOutcome, DuelOutcome]], *, seed: int
) -> tuple[Agreement, ...]:
    """Agreement on which of two answers is better."""
    levels = (DuelOutcome.LOSS, DuelOutcome.TIE, DuelOutcome.WIN)
    return (agreement("which is better", pairs, levels, quadratic=False, seed=seed),)


def _level(rubric: Rubric, marks: Marks) -> int:
    return 1 + int(_STEPS * rubric.score(marks) + 0.5)


def agreement(
    name: str, pairs: Sequence[tuple[L, L]], levels: Sequence[L], *, quadratic: bool, seed: int
) -> Agreement:
    """Kappa with its interval and the table behind it.

    Pairs, at least one, are (person's, judge's). Raises ValueError for what is none of the levels.
    """
    said, judged = [a for a, _ in pairs], [b for _, b in pairs]
    scale = list(levels) if quadratic else None
    interval = kappa_interval(said, judged, seed=seed, scale=scale)
    places = {level: at for at, level in enumerate(levels)}
    table = [[0] * len(places) for _ in places]
    for one, other in pairs:
        table[places[one]][places[other]] += 1
    return Agreement(
        name=name,
        quadratic=quadratic,
        kappa=cohen_kappa(said, judged, scale=scale),
        low=interval[0] if interval else None,
        high=interval[1] if interval else None,
        agreed=sum(a == b for a, b in pairs) / len(pairs),
        n=len(pairs),
        levels=tuple(str(level) for level in levels),
        table=tuple(tuple(row) for row in table),
    )


def kappa_of(found: Agreement) -> float | None:
    """Kappa anew from its table; None where it has none, or where the table is no such table."""
    levels = range(len(found.levels))
    cells = [(a, b, n) for a, row in enumerate(found.table) for b, n in enumerate(row)]
    square = len(found.table) == len(levels) and all(len(r) == len(levels) for r in found.table)
    if not square or any(n < 0 for *_, n in cells) or sum(n for *_, n in cells) != found.n:
        return None
    said = [a for a, _, n in cells for _ in range(n)]
    judged = [b for _, b, n in cells for _ in range(n)]
    return cohen_kappa(said, judged, scale=levels if found.quadratic else None) if said else None


def why_not(found: Sequence[Agreement]) -> str:
    """Why no gate may rest on this judge, in one sentence; empty where one may."""
    if not found:
        return "the judge gave no usable word on any labelled answer"
    first = found[0]
    if first.n < MIN_LABELS:
        return f"{first.n} labels are too few to gate: {MIN_LABELS} are needed"
    if first.kappa is None or first.low is None:
        return "person and judge always say the same one thing, which chance explains as well"
    if first.low < MIN_KAPPA:
        bound = f"its lower bound is {first.low:.2f} and {MIN_KAPPA:g} is needed"
        return f"kappa is {first.kappa:.2f}, but {bound}"
    return ""
