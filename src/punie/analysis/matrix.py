"""Three runs or more, each with each: differences, and what stays clear when all are tested."""

from collections.abc import Sequence
from itertools import combinations

from punie.analysis.holm import holm
from punie.analysis.pairing import Arm, How, pair
from punie.analysis.portion import Portion, score_of
from punie.analysis.signs import sign_test
from punie.records.compared import Matrix, MatrixCell
from punie.records.comparison import Difference
from punie.records.run import Run


def matrix_of(runs: Sequence[tuple[Run, Arm]], titles: Sequence[str], how: How) -> Matrix:
    """Every pair of runs, in the order given.

    Each pair is tested by the sign test of the prompts that one scored higher than the other (of
    right-or-wrong prompts that is McNemar's), and Holm's procedure holds all tests together at 5 %.
    Samples without pairs have no such test.
    """
    found = [
        (first, second, *_between(arm, other, how))
        for (first, arm), (second, other) in combinations(runs, 2)
    ]
    tested = [p for _, _, _, p in found if p is not None]
    adjusted = iter(holm(tested))
    cells = tuple(
        MatrixCell(
            row=first.id,
            column=second.id,
            difference=difference,
            p=p,
            adjusted=next(adjusted) if p is not None else None,
        )
        for first, second, difference, p in found
    )
    return Matrix(runs=tuple(run.id for run, _ in runs), titles=tuple(titles), cells=cells)


def _between(base: Arm, current: Arm, how: How) -> tuple[Difference | None, float | None]:
    portion = Portion.all_of(pair(base, current, how))
    difference = portion.difference(score_of, score_of)
    if how == "unpaired" or difference is None:
        return difference, None
    gaps = [(p.current.score or 0.0) - (p.base.score or 0.0) for p in portion.scored]
    return difference, sign_test(sum(gap > 0 for gap in gaps), sum(gap < 0 for gap in gaps))
