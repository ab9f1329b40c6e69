"""Which texts of one set stand, wholly or nearly, in texts of another.

- Shorter than 8 words: only the same words count.
- Up to 50 words: half of the runs of 8 words do (PaLM's rule has 70 %).
- Longer: one run of 13 words does, as in GPT-3's paper (Brown et al., 2020, appendix C); of plain
  text half of them, because prose quotes.

What stands in more than ten different texts is a template's wording and counts for nothing, as in
the same paper.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from punie.datasets.checking.texts import Shingle, Words, shingles_of

SHORT, LONG = 8, 13
"""Words in a run, for short and for long texts."""
LONG_FROM = 50
"""Words."""
SHARE = 0.5
WORDING = 10
"""A run in more texts than this is wording."""
KNOWN = 0.8
"""From this share of its runs on, a text is made of known wording."""


@dataclass(frozen=True, slots=True)
class Sought:
    """A text that should not be found elsewhere."""

    words: Words
    prose: bool = False
    """Plain text, where a shared run may be a quotation."""

    @property
    def size(self) -> int:
        """Words in a run; 0 where only the same words count."""
        if len(self.words) < SHORT:
            return 0
        return SHORT if len(self.words) < LONG_FROM else LONG


@dataclass(frozen=True, slots=True)
class Match:
    """Text `sought` (a position) stands in text `source` (a position) by `share` of its runs."""

    source: int
    sought: int
    share: float

    @property
    def how(self) -> str:
        """For people."""
        return "the same words" if self.share == 1 else f"{self.share:.0%} of it"


class Overlap:
    """Looks for many texts in many others, through an index of what is sought."""

    def __init__(self, sought: Sequence[Sought]) -> None:
        self._sought = sought
        self._runs = [shingles_of(each.words, each.size) if each.size else () for each in sought]
        self._same: defaultdict[Words, list[int]] = defaultdict(list)
        self._holders: defaultdict[Shingle, list[int]] = defaultdict(list)
        for at, (each, runs) in enumerate(zip(sought, self._runs, strict=True)):
            self._same[each.words].append(at)
            for run in runs:
                self._holders[run].append(at)
        self._sizes = sorted({each.size for each in sought} - {0})
        self._counts: Counter[Shingle] = Counter()

    def matches(self, sources: Sequence[Words]) -> Iterator[Match]:
        """Every text that is found, with each text that it is found in; none is found twice there.

        Equal sources count once for what is wording.
        """
        different: defaultdict[Words, list[int]] = defaultdict(list)
        for at, words in enumerate(sources):
            different[words].append(at)
        shared = {words: self._shared(words) for words in different}
        self._counts = Counter(run for runs in shared.values() for run in runs)
        for words, positions in different.items():
            for sought, share in self._found(words, shared[words]).items():
                for at in positions:
                    yield Match(at, sought, share)

    def known_wording(self) -> list[int]:
        """What is made of the wording of the sources that `matches` went through last."""
        return [
            at
            for at, runs in enumerate(self._runs)
            if runs and sum(self._counts[run] > WORDING for run in runs) >= KNOWN * len(runs)
        ]

    def _shared(self, words: Words) -> list[Shingle]:
        runs = (zip(*(words[at:] for at in range(size)), strict=False) for size in self._sizes)
        return list(dict.fromkeys(run for each in runs for run in each if run in self._holders))

    def _found(self, words: Words, shared: Sequence[Shingle]) -> dict[int, float]:
        found = dict.fromkeys(self._same.get(words, ()), 1.0)
        rare = [run for run in shared if self._counts[run] <= WORDING]
        hits = Counter(at for run in rare for at in self._holders[run])
        held = set(shared)
        for at, count in hits.items():
            runs = self._runs[at]
            if at not in found and self._is_enough(at, count, len(held.intersection(runs))):
                found[at] = min(count / len(runs), 0.99)
        return found

    def _is_enough(self, at: int, rare: int, all_of_them: int) -> bool:
        """Whether so many runs of a text make a match; most of them must not be wording."""
        if self._sought[at].size == LONG and not self._sought[at].prose:
            return rare > 0
        return all_of_them >= SHARE * len(self._runs[at]) and 2 * rare >= all_of_them
