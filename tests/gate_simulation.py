"""Models whose true difference is known, for tests of a gate and for its bench."""

import random
from collections.abc import Callable, Iterator, Sequence
from functools import cache

from punie.analysis.paired import difference_over_categories, paired_difference
from punie.analysis.sequential import decided
from punie.records.comparison import Difference

Draw = Callable[[random.Random, int, float, float], Difference]
"""The difference of two runs: from a generator, a number of prompts, the share of them that come
out differently, and the true loss."""


Scores = tuple[list[float], list[float]]


def answers(both: int, gained: int, lost: int, neither: int) -> Scores:
    first = [1.0] * both + [0.0] * gained + [1.0] * lost + [0.0] * neither
    second = [1.0] * both + [1.0] * gained + [0.0] * lost + [0.0] * neither
    return first, second


@cache
def right_or_wrong(both: int, gained: int, lost: int, neither: int) -> Difference:
    return paired_difference(*answers(both, gained, lost, neither))


def counts(
    draw: random.Random, n: int, discordance: float, loss: float, right: float
) -> tuple[int, int, int, int]:
    """Right-or-wrong answers by a base model that is right in so many cases."""
    gained, lost = (discordance - loss) / 2, (discordance + loss) / 2
    cells = (right - lost, gained, lost, 1 - right - gained)
    drawn = draw.choices(range(4), cells, k=n)
    return drawn.count(0), drawn.count(1), drawn.count(2), drawn.count(3)


def one_category(right: float) -> Draw:
    return lambda draw, n, discordance, loss: right_or_wrong(
        *counts(draw, n, discordance, loss, right)
    )


def categories(sizes: Sequence[int], rights: Sequence[float]) -> Draw:
    """Independent categories of so many prompts, by a base that is right in so many cases."""

    def drawn(draw: random.Random, discordance: float, loss: float) -> Iterator[Scores]:
        for size, right in zip(sizes, rights, strict=True):
            yield answers(*counts(draw, size, discordance, loss, right))

    def difference(draw: random.Random, _n: int, discordance: float, loss: float) -> Difference:
        parts = list(drawn(draw, discordance, loss))
        names = [str(at) for at, size in enumerate(sizes) for _ in range(size)]
        first, second = ([x for part in parts for x in part[arm]] for arm in (0, 1))
        return difference_over_categories(first, second, names)

    return difference


def four_categories(draw: random.Random, n: int, discordance: float, loss: float) -> Difference:
    return categories([n // 4] * 4, (0.5, 0.7, 0.8, 0.8))(draw, n, discordance, loss)


def spanning(each: int) -> Draw:
    """Passages with one question in each of so many categories, of which 7 in 10 fare alike."""

    def difference(draw: random.Random, n: int, discordance: float, loss: float) -> Difference:
        def answer() -> tuple[float, float]:
            both, gained, lost, _ = counts(draw, 1, discordance, loss, 0.6)
            return float(both + lost), float(both + gained)

        rows: list[tuple[float, float]] = []
        for _ in range(n // each):
            alike = answer()
            rows += [alike if draw.random() < 0.7 else answer() for _ in range(each)]
        first, second = zip(*rows, strict=True)
        return difference_over_categories(
            first,
            second,
            [str(at % each) for at in range(len(rows))],
            clusters=[at // each for at in range(len(rows))],
        )

    return difference


def graded(draw: random.Random, n: int, discordance: float, loss: float) -> Difference:
    """Scores of which most stay, some move by a third, and a few fall to nothing."""
    whole = max(0.0, loss)  # the share that falls from 1 to 0; thirds go either way alike
    moved = (discordance - whole) / 2
    shares = (whole, moved, moved, 1 - discordance)
    before_after = ((1.0, 0.0), (2 / 3, 1.0), (1.0, 2 / 3), (1.0, 1.0))
    first, second = zip(*draw.choices(before_after, shares, k=n), strict=True)
    return paired_difference(first, second)


def passages(draw: random.Random, n: int, discordance: float, loss: float) -> Difference:
    """Right-or-wrong answers in groups of five, of which some lose and gain more than others."""
    first: list[float] = []
    second: list[float] = []
    for _ in range(n // 5):
        # Beta distributions of mean `each` that are as informative as five observations.
        gains, losses = (
            draw.betavariate(5 * each, 5 * (1 - each))
            for each in (discordance - loss, discordance + loss)
        )
        for _ in range(5):
            right = draw.random() < 0.5
            changes = draw.random() < (losses if right else gains)
            first.append(float(right))
            second.append(float(right != changes))
    return paired_difference(first, second, clusters=[at // 5 for at in range(len(first))])


KINDS: dict[str, Draw] = {
    "half right": one_category(0.5),
    "four of five right": one_category(0.8),
    "four categories": four_categories,
    "graded": graded,
    "passages of five": passages,
    "passages across four": spanning(4),
}


def prompts_until_decided(
    draw: random.Random, gain: float, lose: float, most: int
) -> tuple[int | None, bool]:
    """After how many prompts the test decides (None: not among `most`), and whether for a gain."""
    gained = lost = 0
    for prompt in range(1, most + 1):
        chance = draw.random()
        if chance >= gain + lose:
            continue
        gained, lost = gained + (chance < gain), lost + (chance >= gain)
        if decided(gained, lost):
            return prompt, gained > lost
    return None, False
