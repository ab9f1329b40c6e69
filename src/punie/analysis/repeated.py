"""All answers to one prompt: how many different ones, how often the commonest, how many right."""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Sequence
from statistics import fmean, variance

from punie.analysis.repeats import pass_at_k, pass_hat_k
from punie.records.consistency import Capability, Mark, PromptConsistency
from punie.records.result import Completion, EvalResult, Outcome
from punie.records.suite import EvalPrompt
from punie.text import one_line

Normalise = Callable[[EvalPrompt, Completion], str]
"""Gives equal texts for answers that are the same one."""
SHOWN = 80
"""Characters of an answer that are kept, to be shown."""


class RepeatedPrompt:
    """What is kept of one prompt while its outcomes come, in any order."""

    __slots__ = ("_answers", "_marks", "_prompt", "_scores", "_shown")

    def __init__(self, prompt: EvalPrompt) -> None:
        self._prompt = prompt
        self._marks: dict[int, Mark] = {}
        self._scores: list[float] = []
        self._answers: dict[int, tuple[bytes, bool | None]] = {}
        self._shown: dict[bytes, str] = {}

    def add(self, outcome: Outcome, normal: str | None) -> None:
        """Count one outcome; `normal` is its answer in normal form, None where it is not kept."""
        if not isinstance(outcome, EvalResult):
            self._marks[outcome.repeat] = Mark.FAULT
            return
        passed = outcome.passed
        self._marks[outcome.repeat] = (
            Mark.UNSCORED if passed is None else Mark.RIGHT if passed else Mark.WRONG
        )
        if outcome.score is not None:
            self._scores.append(outcome.score)
        if normal is not None:
            key = hashlib.blake2b(normal.encode("utf-8", "surrogatepass"), digest_size=12).digest()
            self._answers[outcome.repeat] = key, passed
            self._shown.setdefault(key, one_line(normal, SHOWN) or "(empty answer)")

    @property
    def answered(self) -> int:
        """Answers that came."""
        return len(self._marks) - list(self._marks.values()).count(Mark.FAULT)

    @property
    def scored(self) -> int:
        """Answers that are right or wrong."""
        return sum(mark in {Mark.RIGHT, Mark.WRONG} for mark in self._marks.values())

    @property
    def right(self) -> int:
        """Answers that passed."""
        return list(self._marks.values()).count(Mark.RIGHT)

    def counted(self, repeats: int, steps: Sequence[int]) -> PromptConsistency:
        """The prompt's numbers, with a mark for each of `repeats` and a chance for each k."""
        prompt, n, right = self._prompt, self.scored, self.right
        answers = [self._answers[at] for at in sorted(self._answers)]
        counts = Counter(key for key, _ in answers)
        highest = max(counts.values(), default=0)
        # Of equally frequent answers the one that came first: counts keep that order.
        majority = next((key for key, number in counts.items() if number == highest), None)
        several = len(self._scores) > 1
        return PromptConsistency(
            id=prompt.id,
            hash=prompt.hash,
            category=prompt.category,
            role=prompt.role,
            group=prompt.group,
            weight=prompt.weight,
            marks=tuple(self._marks.get(at, Mark.UNASKED) for at in range(repeats)),
            answers=self.answered,
            scored=n,
            right=right,
            unique=len(counts) or None,
            rate=highest / counts.total() if counts else None,
            entropy_bits=entropy_bits(list(counts.values())) if counts else None,
            pair_agreement=pair_agreement(list(counts.values())),
            score_mean=fmean(self._scores) if self._scores else None,
            score_variance=variance(self._scores) if several else None,
            pass_at=tuple(pass_at_k(n, right, k) if k <= n else None for k in steps),
            pass_hat=tuple(pass_hat_k(n, right, k) if k <= n else None for k in steps),
            capability=capability(n, right) if n > 1 else None,
            majority=self._shown[majority] if majority else None,
            majority_right=next((passed for key, passed in answers if key == majority), None),
            majority_tied=list(counts.values()).count(highest) > 1,
        )


def capability(scored: int, right: int) -> Capability:
    """Whether a prompt with these answers, at least one, is answered never, sometimes or always."""
    if right == 0:
        return Capability.CANNOT
    return Capability.CAN if right == scored else Capability.UNSTABLE


def entropy_bits(counts: Sequence[int]) -> float:
    """Shannon entropy -Σ p log2 p of the shares of `counts`, of which at least one is above 0.

    Source: Shannon 1948, "A mathematical theory of communication".
    """
    total = sum(counts)
    return math.fsum(-n / total * math.log2(n / total) for n in counts if n) + 0.0


def pair_agreement(counts: Sequence[int]) -> float | None:
    """Share of the pairs of answers that are the same one: Σ n(n-1) / N(N-1); None below two.

    One less than this is the Gini-Simpson index of the answers. Source: Simpson 1949,
    "Measurement of diversity".
    """
    total = sum(counts)
    if total < 2:
        return None
    return sum(n * (n - 1) for n in counts) / (total * (total - 1))
