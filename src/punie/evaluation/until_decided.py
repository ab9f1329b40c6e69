"""Asking until a sequential test decides between this run and another one's answers."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from punie.records.result import EvalResult, Outcome
from punie.records.suite import EvalPrompt

Test = Callable[[int, int], bool]
"""Whether so many flips gained and lost decide it, however often one looks."""


class UntilDecided:
    """Pairs each outcome with the other run's answer; called with it, says whether that decides.

    `prompts` are those of the run in the order in which they are asked, `other` says of a prompt's
    hash whether the other run got it right; prompts that are missing there, that a fault took or
    that have no weight are neither gained nor lost.

    The test looks at prompts in their order, never in that of the answers: short answers come
    first, and may be right more often than long ones. The prompts of a group are one flip, once all
    of them are there, and it looks only while each category has prompts left: what it decides is
    said of the mean over categories.
    """

    def __init__(
        self, prompts: Sequence[EvalPrompt], other: Mapping[str, bool], test: Test
    ) -> None:
        self._order = [prompt.id for prompt in prompts]
        self._units = {
            each.id: ("group", each.group) if each.group else ("prompt", each.id)
            for each in prompts
        }
        self._open = Counter(self._units.values())
        self._net: Counter[tuple[str, str]] = Counter()
        self._until = _last_look(each for each in enumerate(prompts, 1) if _counts(each[1], other))
        self._other = other
        self._test = test
        self._ahead: dict[str, int] = {}
        self._seen = 0
        self.gained = 0
        """Wrong there, right here; of the prompts that the test has looked at, groups as one."""
        self.lost = 0
        self.after: int | None = None
        """Prompts after which it was decided."""

    def __call__(self, prompt: EvalPrompt, outcome: Outcome) -> bool:
        """Whether it is decided, with this outcome and all before it."""
        self._ahead[prompt.id] = self._change(prompt, outcome)
        while self.after is None and self._seen < len(self._order):
            name = self._order[self._seen]
            change = self._ahead.pop(name, None)
            if change is None:  # still being asked
                break
            self._seen += 1
            if self._flips(name, change) and self._seen <= self._until:
                self.after = self._seen if self._test(self.gained, self.lost) else None
        return self.after is not None

    def _flips(self, name: str, change: int) -> bool:
        """Whether this answer makes a flip: with it, all of its group is there."""
        unit = self._units[name]
        self._net[unit] += change
        self._open[unit] -= 1
        if self._open[unit] or not self._net[unit]:
            return False
        self.gained += self._net[unit] > 0
        self.lost += self._net[unit] < 0
        return True

    def _change(self, prompt: EvalPrompt, outcome: Outcome) -> int:
        if not _counts(prompt, self._other):
            return 0
        if not isinstance(outcome, EvalResult) or outcome.passed is None:
            return 0
        return int(outcome.passed) - int(self._other[prompt.hash])


def _counts(prompt: EvalPrompt, other: Mapping[str, bool]) -> bool:
    return prompt.weight > 0 and prompt.hash in other


def _last_look(counting: Iterable[tuple[int, EvalPrompt]]) -> int:
    """The place of the last prompt of the category that ends first."""
    last = {prompt.category: place for place, prompt in counting}
    return min(last.values(), default=0)
