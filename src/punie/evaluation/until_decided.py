"""Asking until a sequential test decides between this run and another one's answers."""

from collections.abc import Callable, Mapping, Sequence

from punie.records.result import EvalResult, Outcome
from punie.records.suite import EvalPrompt

Test = Callable[[int, int], bool]
"""Whether so many prompts gained and lost decide it, however often one looks."""


class UntilDecided:
    """Pairs each outcome with the other run's answer; called with it, says whether that decides.

    `prompts` are those of the run in the order in which they are asked, `other` says of a prompt's
    hash whether the other run got it right; prompts that are missing there, that a fault took or
    that expect nothing are neither gained nor lost.

    The test looks at prompts in their order, never in that of the answers: short answers come
    first, and may be right more often than long ones.
    """

    def __init__(
        self, prompts: Sequence[EvalPrompt], other: Mapping[str, bool], test: Test
    ) -> None:
        self._order = [prompt.id for prompt in prompts]
        self._other = other
        self._test = test
        self._ahead: dict[str, int] = {}
        self._seen = 0
        self.gained = 0
        """Wrong there, right here; of the prompts that the test has looked at."""
        self.lost = 0
        self.after: int | None = None
        """Prompts after which it was decided."""

    def __call__(self, prompt: EvalPrompt, outcome: Outcome) -> bool:
        """Whether it is decided, with this outcome and all before it."""
        self._ahead[prompt.id] = self._change(prompt, outcome)
        while self.after is None and self._seen < len(self._order):
            change = self._ahead.pop(self._order[self._seen], None)
            if change is None:  # still being asked
                break
            self._seen += 1
            self.gained += change > 0
            self.lost += change < 0
            if change and self._test(self.gained, self.lost):
                self.after = self._seen
        return self.after is not None

    def _change(self, prompt: EvalPrompt, outcome: Outcome) -> int:
        before = self._other.get(prompt.hash)
        if before is None or not isinstance(outcome, EvalResult) or outcome.passed is None:
            return 0
        return int(outcome.passed) - int(before)
