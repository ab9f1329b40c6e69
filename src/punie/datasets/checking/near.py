"""Near duplicates among many texts, exactly: a join on sets of shingles with a prefix filter.

Two sets with a Jaccard similarity of at least t share one of the first `n - ceil(t n) + 1` elements
of either, when the elements of both stand in one order (Bayardo, Ma and Srikant, 2007; Xiao et al.,
2008). With the rarest first, hardly any pair has to be compared, and none is missed or guessed, as
it would be with MinHash.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

from punie.datasets.checking.texts import Shingle, Words, shingles_of

SHINGLE = 5
"""Words."""
NEAR = 0.8
"""Jaccard similarity from which two texts are nearly the same."""


def near_pairs(texts: Sequence[Words]) -> Iterator[tuple[int, int]]:
    """Positions of texts that are nearly those of an earlier one, each with that one.

    What is near to an earlier text is not compared with later ones: a thousand variants of one text
    are reported as variants of the first.
    """
    sets, counts = _ranked(texts)
    holders: defaultdict[int, list[int]] = defaultdict(list)
    for later, mine in enumerate(sets):
        prefix = sorted(mine)[: len(mine) - math.ceil(NEAR * len(mine)) + 1]
        shared = [shingle for shingle in prefix if counts[shingle] > 1]
        candidates = {earlier for shingle in shared for earlier in holders.get(shingle, ())}
        found = next((each for each in sorted(candidates) if _near(mine, sets[each])), None)
        if found is not None:
            yield found, later
            continue
        for shingle in shared:
            holders[shingle].append(later)


def _ranked(texts: Sequence[Words]) -> tuple[list[frozenset[int]], list[int]]:
    """The shingles of each text as numbers, the rarest first, and how many texts have each."""
    numbers: dict[Shingle, int] = {}
    sets = [
        [numbers.setdefault(shingle, len(numbers)) for shingle in shingles_of(text, SHINGLE)]
        for text in texts
    ]
    counts = [0] * len(numbers)
    for each in sets:
        for number in each:
            counts[number] += 1
    order = sorted(range(len(counts)), key=counts.__getitem__)
    ranks = [0] * len(counts)
    for rank, number in enumerate(order):
        ranks[number] = rank
    ranked = [frozenset(map(ranks.__getitem__, each)) for each in sets]
    return ranked, [counts[number] for number in order]


def _near(one: frozenset[int], other: frozenset[int]) -> bool:
    small, large = sorted((len(one), len(other)))
    if small < NEAR * large:
        return False
    both = len(one & other)
    return both >= NEAR * (small + large - both)
