"""Rows that ask the same or nearly: what the check of leakage would find between two splits."""

from collections.abc import Iterator, Sequence

from punie.datasets.checking.overlap import Overlap, Sought
from punie.datasets.checking.texts import Prompts
from punie.records.dataset import Row

MOST_ROWS = 20_000
"""Above it rows are not compared with each other: the index of their words would take gigabytes."""


class AlikeRows:
    """The prompts of rows as words, to be looked for in each other."""

    def __init__(self, rows: Sequence[Row]) -> None:
        prompts = Prompts(rows, ())
        self._asked = [prompts.of_row(row) for row in rows]
        self._prose = [row.text is not None for row in rows]

    def pairs(self, sources: Sequence[int], sought: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Positions of a row of `sources` and of one of `sought` whose prompt it holds."""
        kept = [at for at in sought if self._asked[at].words]
        overlap = Overlap([Sought(self._asked[at].words, prose=self._prose[at]) for at in kept])
        for match in overlap.matches([self._asked[at] for at in sources]):
            source, found = sources[match.source], kept[match.sought]
            if source != found:
                yield source, found
