"""From outcomes, one at a time, to a run's numbers.

The mean over prompts comes first: the answers to one prompt are averaged, so `n` counts prompts and
repeats never pose as more of them. The headline is the mean over categories of these means: a large
category does not drown a small one.
"""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from punie.analysis.estimates import estimate, mean_of_estimates
from punie.analysis.statistics import spread, weighted_mean, wilson
from punie.records.result import EvalFault, EvalResult, Outcome
from punie.records.suite import EvalPrompt
from punie.records.summary import Estimate, Slice, Summary

MESSAGES = 100
"""Different messages of one kind of fault that are counted; the commonest is among the first."""


@dataclass(slots=True)
class _PromptTally:
    """What is kept of one prompt: its place in the slices, and sums over its repeats."""

    category: str
    role: str | None
    tags: tuple[str, ...]
    group: str | None
    must_pass: bool
    weight: float
    answered: int = 0
    faults: int = 0
    scored: int = 0
    passed: int = 0
    score_sum: float = 0.0

    @classmethod
    def of(cls, prompt: EvalPrompt) -> "_PromptTally":
        """Take what is needed from a prompt that has no outcome yet."""
        return cls(
            category=prompt.category,
            role=prompt.role,
            tags=prompt.tags,
            group=prompt.group,
            must_pass=prompt.must_pass,
            weight=prompt.weight,
        )

    @property
    def score(self) -> float:
        """Mean score of the scored answers. At least one is there."""
        return min(1.0, self.score_sum / self.scored)

    @property
    def passed_share(self) -> float:
        """Share of the scored answers that passed. At least one is there."""
        return self.passed / self.scored


class _RunningMean:
    """Weighted mean of one category, correct after every answer."""

    __slots__ = ("total", "weight")

    def __init__(self) -> None:
        self.total = 0.0
        self.weight = 0.0


class Tally:
    """A run's numbers, built up as outcomes come, in any order.

    `prompts` gives the order in which slices stand in the summary: theirs, then that of first
    outcomes. It keeps a few hundred bytes per prompt and eight or sixteen per answer; outcomes and
    prompts are not kept.
    """

    def __init__(self, prompts: Iterable[EvalPrompt] = ()) -> None:
        self._prompts = {prompt.id: _PromptTally.of(prompt) for prompt in prompts}
        self._running: dict[str, _RunningMean] = {}
        self._latency = array("d")
        self._first_token = array("d")
        self._fault_kinds: Counter[str] = Counter()
        self._messages: dict[str, Counter[str]] = {}
        self._culprits: Counter[str] = Counter()
        self._unscored = 0
        self._truncated = 0
        self._recovered = 0
        self._retried = 0
        self._retry_reasons: Counter[str] = Counter()
        self._tokens_in = 0
        self._tokens_out = 0
        self._counted_in = 0
        self._counted_out = 0

    def add(self, prompt: EvalPrompt, outcome: Outcome) -> None:
        """Count one outcome of `prompt`; each repeat of it is added once."""
        tally = self._prompts.get(prompt.id)
        if tally is None:
            tally = self._prompts[prompt.id] = _PromptTally.of(prompt)
        if isinstance(outcome, EvalResult):
            self._retried += outcome.attempts > 1
            self._retry_reasons.update(kind.value for kind in outcome.failures)
            tally.answered += 1
            self._count_answer(outcome)
            self._count_score(tally, outcome)
        else:
            tally.faults += 1
            self._fault_kinds[outcome.kind.value] += 1
            self._count_message(outcome)

    def _count_message(self, fault: EvalFault) -> None:
        messages = self._messages.setdefault(fault.kind.value, Counter())
        if fault.message and (fault.message in messages or len(messages) < MESSAGES):
            messages[fault.message] += 1

    def _commonest(self) -> dict[str, str]:
        """The commonest message of each kind of fault that has one."""
        counted = sorted(self._messages.items())
        ranked = {kind: _most_frequent_first(messages) for kind, messages in counted}
        return {kind: next(iter(messages)) for kind, messages in ranked.items() if messages}

    def _count_answer(self, result: EvalResult) -> None:
        completion = result.completion
        self._latency.append(completion.latency_s)
        if completion.first_token_s is not None:
            self._first_token.append(completion.first_token_s)
        if completion.prompt_tokens is not None:
            self._tokens_in += completion.prompt_tokens
            self._counted_in += 1
        if completion.completion_tokens is not None:
            self._tokens_out += completion.completion_tokens
            self._counted_out += 1
        self._truncated += completion.finish_reason == "length"
        self._recovered += completion.recovered
        if (culprit := result.culprit) is not None:
            self._culprits[culprit.value] += 1

    def _count_score(self, tally: _PromptTally, result: EvalResult) -> None:
        if result.score is None:
            self._unscored += 1
            return
        before = tally.score if tally.scored else None
        tally.scored += 1
        tally.score_sum += result.score
        tally.passed += bool(result.passed)
        running = self._running.setdefault(tally.category, _RunningMean())
        if before is None:
            running.weight += tally.weight
            running.total += tally.weight * tally.score
        else:
            running.total += tally.weight * (tally.score - before)

    def running_score(self) -> float | None:
        """Headline score so far, in time proportional to the number of categories."""
        means = [each.total / each.weight for each in self._running.values() if each.weight > 0]
        return sum(means) / len(means) if means else None

    def summary(
        self,
        *,
        wall_s: float,
        peak_memory_bytes: int | None = None,
        prices: tuple[float, float] | None = None,
    ) -> Summary:
        """All numbers so far.

        `wall_s` is the run's wall time in seconds, `prices` those of a million tokens read and
        written. Prompts without an outcome are left out. `answered`, `unscored`, `faults` and
        `retried` count outcomes, so with repeats `answered + faults` is more than `prompts`;
        `retried` are the answers that took more than one request, and `retry_reasons` why their
        earlier ones failed. Tokens are summed where the server
        counted them; the cost is None unless it counted them for every answer. A must-pass prompt
        has failed if any of its answers did.
        """
        prompts = [each for each in self._prompts.values() if each.answered or each.faults]
        answered = len(self._latency)
        tokens_out = self._tokens_out if self._counted_out else None
        return Summary(
            score=_headline(prompts, lambda prompt: prompt.score),
            passed=_headline(prompts, lambda prompt: prompt.passed_share),
            answered_rate=_answered_rate(prompts),
            prompts=len(prompts),
            repeats=max((prompt.answered + prompt.faults for prompt in prompts), default=0),
            answered=answered,
            unscored=self._unscored,
            faults=self._fault_kinds.total(),
            fault_kinds=_most_frequent_first(self._fault_kinds),
            fault_details=self._commonest(),
            culprits=_most_frequent_first(self._culprits),
            must_pass_failed=self._must_pass_failed(),
            truncated=self._truncated,
            recovered=self._recovered,
            retried=self._retried,
            retry_reasons=_most_frequent_first(self._retry_reasons),
            categories=_slices((prompt.category, prompt) for prompt in prompts),
            roles=_slices((prompt.role, prompt) for prompt in prompts if prompt.role is not None),
            tags=_slices((tag, prompt) for prompt in prompts for tag in dict.fromkeys(prompt.tags)),
            latency=spread(self._latency),
            first_token=spread(self._first_token),
            tokens_in=self._tokens_in if self._counted_in else None,
            tokens_out=tokens_out,
            tokens_per_second=tokens_out / wall_s
            if tokens_out is not None and wall_s > 0
            else None,
            wall_s=wall_s,
            peak_memory_bytes=peak_memory_bytes,
            cost=self._cost(prices),
        )

    def _must_pass_failed(self) -> tuple[str, ...]:
        return tuple(
            sorted(
                prompt_id
                for prompt_id, prompt in self._prompts.items()
                if prompt.must_pass and prompt.passed < prompt.scored
            )
        )

    def _cost(self, prices: tuple[float, float] | None) -> float | None:
        answered = len(self._latency)
        if prices is None or not answered or {self._counted_in, self._counted_out} != {answered}:
            return None
        return (self._tokens_in * prices[0] + self._tokens_out * prices[1]) / 1e6


_Measure = Callable[[_PromptTally], float]


def _estimate(prompts: Iterable[_PromptTally], measure: _Measure) -> Estimate | None:
    scored = [prompt for prompt in prompts if prompt.scored]
    return estimate(
        [measure(prompt) for prompt in scored],
        [prompt.weight for prompt in scored],
        [prompt.group for prompt in scored],
    )


def _headline(prompts: list[_PromptTally], measure: _Measure) -> Estimate | None:
    by_category = _grouped((prompt.category, prompt) for prompt in prompts)
    return mean_of_estimates(_estimate(members, measure) for members in by_category.values())


def _answered_rate(prompts: list[_PromptTally]) -> Estimate | None:
    """Share of requests that were answered, averaged over prompts; weights play no part."""
    if not prompts:
        return None
    shares = [prompt.answered / (prompt.answered + prompt.faults) for prompt in prompts]
    mean = weighted_mean(shares, [1.0] * len(shares))
    low, high = wilson(mean, len(shares))
    return Estimate(value=mean, low=low, high=high, n=len(shares))


def _grouped(pairs: Iterable[tuple[str, _PromptTally]]) -> dict[str, list[_PromptTally]]:
    groups: dict[str, list[_PromptTally]] = {}
    for name, prompt in pairs:
        groups.setdefault(name, []).append(prompt)
    return groups


def _slices(pairs: Iterable[tuple[str, _PromptTally]]) -> tuple[Slice, ...]:
    return tuple(
        Slice(
            name=name,
            score=_estimate(members, lambda prompt: prompt.score),
            passed=_estimate(members, lambda prompt: prompt.passed_share),
            prompts=len(members),
            answered=sum(prompt.answered for prompt in members),
            faults=sum(prompt.faults for prompt in members),
        )
        for name, members in _grouped(pairs).items()
    )


def _most_frequent_first(counts: Counter[str]) -> dict[str, int]:
    """Counts in an order that does not hang on which outcome came first."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
