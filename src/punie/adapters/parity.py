"""Does an adapter answer the same in every form? Compared prompt by prompt with the served one.

Pure: answers of several runs in, one line for each form out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import JsonValue

from punie.analysis.paired import paired_difference
from punie.records.base import canonical_json, digest
from punie.records.comparison import Difference
from punie.records.result import EvalResult, Outcome
from punie.records.run import Run
from punie.records.suite import EvalPrompt


class Form(StrEnum):
    """A form of the model that goes through the suite."""

    BASE = "base"
    SERVED = "adapter"
    ELSEWHERE = "adapter, another backend"
    LOADED_PACKED = "adapter, packed while loading"
    FUSED = "fused"
    PACKED = "fused, quantised"
    PLAIN = "fused, Hugging Face"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Answer:
    """What matters of one answer for a comparison."""

    prompt_hash: str
    score: float | None
    passed: bool | None
    said: str
    """A hash of its text and calls."""
    cluster: str
    """Prompts that share a passage have one name here; others their own."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One form, its run, and its answers by prompt. Prompts that faulted have none."""

    form: Form
    title: str
    run: Run
    answers: Mapping[str, Answer] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Against:
    """How a form does against the served adapter, over the prompts that both answered."""

    difference: Difference | None
    """None where no prompt was scored in both."""
    lost: tuple[str, ...]
    """Prompts with a lower score than by the served adapter."""
    gained: tuple[str, ...]
    """Prompts with a higher one."""
    reworded: int
    """Answers with the same score and other words."""
    compared: int

    @property
    def clearly_worse(self) -> bool:
        """Whether it loses more than chance explains."""
        return self.difference is not None and self.difference.clearly_below

    @property
    def verdict(self) -> str:
        """One line for people."""
        if not self.compared:
            return "no prompt was answered by both"
        if not (self.lost or self.gained):
            if not self.reworded:
                return "same answers"
            return f"same scores, {self.reworded} of {self.compared} answers worded otherwise"
        number = len(self.lost) + len(self.gained)
        verb = "differs" if number == 1 else "differ"
        flips = f"{number} of {self.compared} prompts {verb}: "
        flips += f"{len(self.lost)} lost, {len(self.gained)} gained"
        if self.clearly_worse:
            return f"{flips}; clearly worse"
        better = self.difference is not None and self.difference.clearly_above
        return f"{flips}; {'clearly better' if better else 'no clear difference'}"


def answers_of(rows: Iterable[tuple[EvalPrompt, Outcome]]) -> dict[str, Answer]:
    """The answers of a run of one repeat, by prompt."""
    return {
        prompt.id: Answer(
            prompt_hash=outcome.prompt_hash,
            score=outcome.score,
            passed=outcome.passed,
            said=_said(outcome),
            cluster=f"group {prompt.group}" if prompt.group else f"prompt {prompt.id}",
        )
        for prompt, outcome in rows
        if isinstance(outcome, EvalResult)
    }


def against(served: Arm, other: Arm) -> Against:
    """Compare `other` with the served adapter. Prompts that are not the same are left out."""
    pairs = {
        name: (ours, other.answers[name])
        for name, ours in served.answers.items()
        if name in other.answers and other.answers[name].prompt_hash == ours.prompt_hash
    }
    scored = {
        name: (ours.score, theirs.score, ours.cluster)
        for name, (ours, theirs) in pairs.items()
        if ours.score is not None and theirs.score is not None
    }
    lost = tuple(name for name, (a, b, _) in scored.items() if b < a)
    gained = tuple(name for name, (a, b, _) in scored.items() if b > a)
    moved = {*lost, *gained}
    reworded = sum(a.said != b.said for name, (a, b) in pairs.items() if name not in moved)
    difference = None
    if scored:
        first, second, clusters = zip(*scored.values(), strict=True)
        difference = paired_difference(first, second, clusters=clusters)
    return Against(difference, lost, gained, reworded, len(pairs))


def _said(outcome: EvalResult) -> str:
    answer = outcome.completion
    calls: list[JsonValue] = [
        [call.name, canonical_json(call.arguments), call.raw] for call in answer.tool_calls
    ]
    return digest([answer.text, calls])
