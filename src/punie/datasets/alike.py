"""Rows that ask the same or nearly: what the check of leakage would find between two splits."""

from collections.abc import Iterator, Sequence

from punie.datasets.checking.overlap import Overlap, Sought
from punie.datasets.checking.texts import Prompts, Words
from punie.records.dataset import Row

MOST_ROWS = 20_000
"""Above it rows are not compared with each other: the index of their words would take gigabytes."""


class AlikeRows:
    """The prompts of rows as words, to be looked for in each other."""

    def __init__(self, rows: Sequence[Row]) -> None:
        prompts = Prompts(rows, ())
        self._words = [prompts.of_row(row) for row in rows]
        self._prose = [row.text is not None for row in rows]

    def pairs(self, sources: Sequence[int], sought: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Positions of a row of `sources` and of one of `sought` whose prompt it holds."""
        owners = [(at, words) for at in sources for words in self._words[at]]
        kept = [(at, words) for at in sought for words in self._words[at][:1]]
        overlap = Overlap([Sought(words, prose=self._prose[at]) for at, words in kept])
        texts: list[Words] = [words for _, words in owners]
        for match in overlap.matches(texts):
            source, found = owners[match.source][0], kept[match.sought][0]
            if source != found:
                yield source, found
