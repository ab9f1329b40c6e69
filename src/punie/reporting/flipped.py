"""The prompts that flipped, with what was asked and what each run answered, in order of worth."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import groupby, zip_longest
from typing import NamedTuple

from punie.records.comparison import Bucket, Flip
from punie.records.result import EvalFault, Outcome
from punie.records.suite import EvalPrompt

_Rows = Callable[[Collection[str]], Iterable[tuple[EvalPrompt, Outcome]]]
_Asked = tuple[EvalPrompt, tuple[Outcome, ...]]
_Key = tuple[str, str]


class FlippedRow(NamedTuple):
    """One flipped prompt with the outcomes of both runs, one for each repeat."""

    flip: Flip
    prompt: EvalPrompt
    base: Sequence[Outcome]
    current: Sequence[Outcome]


def flipped_rows(flips: Sequence[Flip], base: _Rows, current: _Rows) -> Iterator[FlippedRow]:
    """Regressed prompts first, then fixed ones, then those that fail still.

    `base` and `current` begin to give a run's rows anew, those of the prompts with given hashes;
    each is read once for every bucket. The texts of one prompt are held at a time where both runs
    asked in the same order, and no more than a bucket's in any other.
    """
    for bucket in Bucket:
        wanted = {(flip.id, flip.hash): flip for flip in flips if flip.bucket is bucket}
        if wanted:
            hashes = {digest for _, digest in wanted}
            yield from _of_bucket(wanted, _asked(base(hashes)), _asked(current(hashes)))


def telling(outcomes: Sequence[Outcome]) -> tuple[int, Outcome]:
    """Of a prompt's answers the one that says most, with its place: the first that did not pass."""
    ranked = sorted(enumerate(outcomes), key=lambda each: (_rank(each[1]), each[0]))
    return ranked[0]


def _rank(outcome: Outcome) -> int:
    if isinstance(outcome, EvalFault):
        return 2
    return 1 if outcome.passed else 0


def _asked(rows: Iterable[tuple[EvalPrompt, Outcome]]) -> Iterator[_Asked]:
    for _, group in groupby(rows, key=lambda row: (row[0].id, row[0].hash)):
        found = list(group)
        yield found[0][0], tuple(outcome for _, outcome in found)


def _of_bucket(
    wanted: dict[_Key, Flip], base: Iterator[_Asked], current: Iterator[_Asked]
) -> Iterator[FlippedRow]:
    """A flip has the id that its prompt has in the current run; in the base it may have another."""
    before: dict[_Key, tuple[Outcome, ...]] = {}
    after: dict[_Key, _Asked] = {}
    for one, other in zip_longest(base, current):
        if one:
            before[one[0].id, one[0].hash] = one[1]
        if other and (key := (other[0].id, other[0].hash)) in wanted:
            after[key] = other
        yield from _met(wanted, before, after)
    for key in sorted(after):
        renamed = next((each for each in sorted(before) if each[1] == key[1]), None)
        if renamed:
            prompt, outcomes = after[key]
            yield FlippedRow(wanted[key], prompt, before.pop(renamed), outcomes)


def _met(
    wanted: dict[_Key, Flip],
    before: dict[_Key, tuple[Outcome, ...]],
    after: dict[_Key, _Asked],
) -> Iterator[FlippedRow]:
    for key in [key for key in after if key in before]:
        prompt, outcomes = after.pop(key)
        yield FlippedRow(wanted[key], prompt, before.pop(key), outcomes)
