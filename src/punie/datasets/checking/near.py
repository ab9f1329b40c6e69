"""Near duplicates among many texts, exactly: a join on sets of shingles with a prefix filter.

Two sets with a Jaccard similarity of at least t share one of the first `n - ceil(t n) + 1` elements
of either, when the elements of both stand in one order (Bayardo, Ma and Srikant, 2007; Xiao et al.,
2008). With the rarest first, hardly any pair has to be compared, and none is missed or guessed, as
it would be with MinHash.
"""

import math
from collections import Counter, defaultdict
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
    counts = Counter(shingle for text in texts for shingle in shingles_of(text, SHINGLE))
    sets: list[frozenset[Shingle]] = [frozenset()] * len(texts)
    holders: defaultdict[Shingle, list[int]] = defaultdict(list)
    for later, text in enumerate(texts):
        mine = shingles_of(text, SHINGLE)
        if not mine:
            continue
        size = len(mine)
        prefix = sorted(mine, key=lambda each: (counts[each], each))
        del prefix[size - math.ceil(NEAR * size) + 1 :]
        candidates = {earlier for shingle in prefix for earlier in holders.get(shingle, ())}
        found = next((each for each in sorted(candidates) if _near(mine, sets[each])), None)
        if found is not None:
            yield found, later
            continue
        sets[later] = mine
        for shingle in prefix:
            holders[shingle].append(later)


def _near(one: frozenset[Shingle], other: frozenset[Shingle]) -> bool:
    small, large = sorted((len(one), len(other)))
    if small < NEAR * large:
        return False
    both = len(one & other)
    return both >= NEAR * (small + large - both)
