"""Which texts of one set stand, wholly or nearly, in texts of another.

- Shorter than 8 words: only the same words count.
- Up to 50 words: half of the runs of 8 words do (PaLM's rule has 70 %).
- Longer: one run of 13 words does, as in GPT-3's paper (Brown et al., 2020, appendix C); of plain
  text half of them, because prose quotes.

What stands in more than ten different texts (in fewer, where there are only some dozens) is a
template's wording and counts for nothing, as in the same paper. But a text that stands in one other
as a whole is always found.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from punie.datasets.checking.texts import SHORT, Asked, Shingle, Words, shingles_of, wording_from

LONG = 13
"""Words in a run, for long texts; for shorter ones there are `SHORT`."""
LONG_FROM = 50
"""Words."""
SHARE = 0.5
WORDING = 11
"""A run in so many texts is wording, however many there are."""
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
        self._runs = [
            shingles_of(each.words, each.size) if each.size else frozenset[Shingle]()
            for each in sought
        ]
        self._same: defaultdict[Words, list[int]] = defaultdict(list)
        self._holders: defaultdict[Shingle, list[int]] = defaultdict(list)
        for at, (each, runs) in enumerate(zip(sought, self._runs, strict=True)):
            if not each.size:
                self._same[each.words].append(at)
            for run in runs:
                self._holders[run].append(at)
        self._sizes = sorted({each.size for each in sought} - {0})
        self._counts: Counter[Shingle] = Counter()
        self._wording = WORDING
        self._rarest: dict[Shingle, list[int]] = {}
        self._telling: dict[int, frozenset[Shingle]] = {}

    def matches(self, sources: Sequence[Asked]) -> Iterator[Match]:
        """Every text that is found, with each text that it is found in; none is found twice there.

        Equal sources count once for what is wording.
        """
        different: defaultdict[Asked, list[int]] = defaultdict(list)
        for at, asked in enumerate(sources):
            different[asked].append(at)
        shared = {asked: self._shared(asked.words) for asked in different}
        self._counts = Counter(run for runs in shared.values() for run in runs)
        self._wording = min(WORDING, wording_from(len(different)))
        self._rarest = self._by_rarest_run()
        self._telling = {}
        for asked, positions in different.items():
            for sought, share in self._found(asked, shared[asked]).items():
                for at in positions:
                    yield Match(at, sought, share)

    def known_wording(self) -> list[int]:
        """What is made of the wording of the sources that `matches` went through last."""
        return [
            at
            for at, runs in enumerate(self._runs)
            if runs and sum(self._is_wording(run) for run in runs) >= KNOWN * len(runs)
        ]

    def _is_wording(self, run: Shingle) -> bool:
        return self._counts[run] >= self._wording

    def _shared(self, words: Words) -> list[Shingle]:
        runs = (zip(*(words[at:] for at in range(size)), strict=False) for size in self._sizes)
        return list(dict.fromkeys(run for each in runs for run in each if run in self._holders))

    def _by_rarest_run(self) -> dict[Shingle, list[int]]:
        """What may stand somewhere as a whole, by the run of it that the fewest sources have.

        Only there has it to be looked for, and mostly no source has that run.
        """
        found: defaultdict[Shingle, list[int]] = defaultdict(list)
        for at, runs in enumerate(self._runs):
            if runs and self._counts[rarest := min(runs, key=self._counts.__getitem__)]:
                found[rarest].append(at)
        return dict(found)

    def _found(self, asked: Asked, shared: Sequence[Shingle]) -> dict[int, float]:
        found = {at: 1.0 for words in asked.short for at in self._same.get(words, ())}
        held = set(shared)
        whole = (at for run in shared for at in self._rarest.get(run, ()))
        found |= {at: 1.0 for at in whole if held >= self._runs[at]}
        rare = [run for run in shared if not self._is_wording(run)]
        hits = Counter(at for run in rare for at in self._holders[run])
        for at, count in hits.items():
            runs = self._runs[at]
            if at not in found and self._is_enough(at, count, held):
                found[at] = min(count / len(runs), 0.99)
        return found

    def _is_enough(self, at: int, rare: int, held: set[Shingle]) -> bool:
        """Whether the runs of a text that are held make a match; wording alone makes none."""
        if self._sought[at].size == LONG and not self._sought[at].prose:
            return not held.isdisjoint(self._telling_runs(at))
        runs = self._runs[at]
        all_of_them = len(held.intersection(runs))
        return all_of_them >= SHARE * len(runs) and 2 * rare >= all_of_them

    def _telling_runs(self, at: int) -> frozenset[Shingle]:
        """The runs of a long text that have half their words or more outside of wording.

        An instruction goes on with the first words of what it is about. A run that is mostly the
        instruction tells no more than that two texts begin alike.
        """
        if at not in self._telling:
            words = self._sought[at].words
            runs = list(zip(*(words[first:] for first in range(LONG)), strict=False))
            own = [True] * len(words)
            for first, run in enumerate(runs):
                if self._is_wording(run):
                    own[first : first + LONG] = [False] * LONG
            self._telling[at] = frozenset(
                run
                for first, run in enumerate(runs)
                if not self._is_wording(run) and 2 * sum(own[first : first + LONG]) >= LONG
            )
        return self._telling[at]
