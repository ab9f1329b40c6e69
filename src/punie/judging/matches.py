"""Which answers of two runs stand against each other: the first ones to the same prompt."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from punie.judging.transcript import answer_of
from punie.records.result import EvalResult, Outcome
from punie.records.suite import EvalPrompt


class AnswerPair(NamedTuple):
    """One prompt and what both runs answered to it."""

    prompt: EvalPrompt
    base: EvalResult
    current: EvalResult

    @property
    def equal(self) -> bool:
        """Whether both runs gave the same answer: its text and its calls."""
        return answer_of(self.base.completion) == answer_of(self.current.completion)


class Matches(NamedTuple):
    """All pairs, in the order of the current run."""

    found: list[AnswerPair]
    unanswered: int
    """Prompts that both runs asked and only one of them, or none, has an answer to."""


class _Asked(NamedTuple):
    prompt: EvalPrompt
    answer: EvalResult | None


def matches_of(
    base: Iterable[tuple[EvalPrompt, Outcome]], current: Iterable[tuple[EvalPrompt, Outcome]]
) -> Matches:
    """Pair two runs by what was asked. Of repeats the first that was answered stands for all."""
    before, after = _asked(base), _asked(current)
    shared = [(before[key], now) for key, now in after.items() if key in before]
    found = [
        AnswerPair(now.prompt, was.answer, now.answer)
        for was, now in shared
        if was.answer and now.answer
    ]
    return Matches(found, len(shared) - len(found))


def first_answers(
    rows: Iterable[tuple[EvalPrompt, Outcome]],
) -> list[tuple[EvalPrompt, EvalResult]]:
    """The first answer to each prompt of a run that has one, in the run's order."""
    return [(each.prompt, each.answer) for each in _asked(rows).values() if each.answer]


def _asked(rows: Iterable[tuple[EvalPrompt, Outcome]]) -> dict[tuple[str, int], _Asked]:
    """Each prompt by its hash and by how many before it have the same one."""
    by_id: dict[str, _Asked] = {}
    for prompt, outcome in rows:
        known = by_id.get(prompt.id)
        if isinstance(outcome, EvalResult):
            if known is None or known.answer is None or outcome.repeat < known.answer.repeat:
                by_id[prompt.id] = _Asked(prompt, outcome)
        elif known is None:
            by_id[prompt.id] = _Asked(prompt, None)
    seen: Counter[str] = Counter()
    asked: dict[tuple[str, int], _Asked] = {}
    for each in by_id.values():
        asked[each.prompt.hash, seen[each.prompt.hash]] = each
        seen[each.prompt.hash] += 1
    return asked
