"""Which prompts two runs share: by what was asked, not by where it stood in a file.

A run's rows are read once and their texts are let go, so two runs of many thousand prompts are
compared in a few megabytes.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Literal, TypeVar

from punie.errors import InputError
from punie.records.comparison import Pair, Side
from punie.records.result import Culprit, EvalFault, EvalResult, FaultKind, Outcome
from punie.records.run import Run, RunStatus
from punie.records.suite import EvalPrompt
from punie.text import listed, one_line

How = Literal["paired", "intersected", "unpaired"]
"""Ids that a message names before it counts the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One prompt of one run, without its words, and what came of it."""

    id: str
    hash: str
    side: Side
    category: str = "general"
    role: str | None = None
    tags: tuple[str, ...] = ()
    group: str | None = None
    must_pass: bool = False
    weight: float = 1.0


Labelled = TypeVar("Labelled", Asked, Pair)
Arm = tuple[Asked, ...]
"""All prompts of one run, in the order in which they were first met."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """Two runs, and what of them belongs together.

    `pairs` stand by id, so that no number depends on the order of rows. What `changed` has the same
    id in both runs and other words or expectations. Of what is `relabelled`, the words are the same
    and category, role, tags, group, weight or must-pass are not: those of the current run count.
    """

    how: How
    base: Arm
    current: Arm
    pairs: tuple[Pair, ...] = ()
    only_base: tuple[str, ...] = ()
    only_current: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    relabelled: tuple[str, ...] = ()
    labels_before: Mapping[str, Asked] = field(default_factory=dict[str, Asked])
    """What the base says of each prompt that is relabelled, by its id in the current run."""

    def with_labels_before(self) -> "Paired":
        """Give the same with what is relabelled as it was labelled in the base."""
        before = self.labels_before
        return replace(
            self,
            current=tuple(_labelled(each, before.get(each.id)) for each in self.current),
            pairs=tuple(_labelled(each, before.get(each.id)) for each in self.pairs),
            relabelled=(),
            labels_before={},
        )

    @property
    def faulted(self) -> tuple[str, ...]:
        """Ids of the pairs in which a fault took an answer."""
        return tuple(each.id for each in self.pairs if each.base.faults or each.current.faults)


def arm_of(rows: Iterable[tuple[EvalPrompt, Outcome]]) -> Arm:
    """What a run's rows say of each prompt; repeats are averaged. The rows are read once."""
    sums: dict[str, _Sums] = {}
    for prompt, outcome in rows:
        if prompt.id not in sums:
            sums[prompt.id] = _Sums(prompt)
        sums[prompt.id].add(outcome)
    return tuple(each.asked() for each in sums.values())


def arm_of_rates(right: int, total: int, *, role: str | None = None) -> Arm:
    """A plain rate, such as 298 of 302 collected interactions, as a run that can be compared.

    Its prompts are known by their number alone, so it is compared unpaired.
    """
    return tuple(
        Asked(
            id=f"{role or 'interaction'}-{at + 1}",
            hash="",
            side=Side(score=float(at < right), passed=float(at < right), answers=1),
            role=role,
        )
        for at in range(total)
    )


def pair(base: Arm, current: Arm, how: How = "paired") -> Paired:
    """Put together what both runs asked.

    First prompts of the same id and hash. Then, of what is left, those of the same hash: a prompt
    that was renamed or renumbered is the same prompt, since it was asked and scored by the same
    words. The k-th of several with one hash goes with the k-th, by id. Prompts whose hash is not
    known are only paired by id with others like them.
    """
    if how == "unpaired":
        return Paired(how=how, base=base, current=current)
    before, after = ({each.id: each for each in arm} for arm in (base, current))
    matched = [
        (each, after[name])
        for name, each in before.items()
        if name in after and after[name].hash == each.hash
    ]
    for each, other in matched:
        del before[each.id], after[other.id]
    renamed = list(_of_one_hash(before, after))
    for each, other in renamed:
        del before[each.id], after[other.id]
    both = sorted([*matched, *renamed], key=lambda two: two[1].id)
    labels_before = {two[1].id: two[0] for two in both if _labels(two[0]) != _labels(two[1])}
    return Paired(
        how=how,
        base=base,
        current=current,
        pairs=tuple(_pair(*two) for two in both),
        only_base=tuple(name for name in before if name not in after),
        only_current=tuple(name for name in after if name not in before),
        changed=tuple(sorted(before.keys() & after.keys())),
        relabelled=tuple(labels_before),
        labels_before=labels_before,
    )


def refusal(base: Run, current: Run, paired: Paired) -> InputError | None:
    """Why these two runs cannot be compared in this way, to be raised; None where they can.

    `paired` asks that both asked the same prompts: none changed, none missing but those that an
    early end spared. `intersected` asks for one prompt in common, `unpaired` for one in each.
    A run beside itself says nothing of another one.
    """
    if base.id == current.id:
        return InputError(
            f"{_named(base)} is given twice: a run cannot be compared with itself",
            hint="punie runs list shows the others",
        )
    if paired.how == "unpaired":
        empty = [run for run, arm in ((base, paired.base), (current, paired.current)) if not arm]
        return _nothing_in(empty[0]) if empty else None
    if not paired.base or not paired.current:
        return _nothing_in(current if paired.base else base)
    if not paired.pairs:
        return InputError(
            f"{_named(base)} and {_named(current)} have no prompt in common",
            hint="run both on one suite, or compare them as two independent samples: --unpaired",
        )
    if paired.how == "intersected":
        return None
    return _difference_of_suites(base, current, paired)


def _difference_of_suites(base: Run, current: Run, paired: Paired) -> InputError | None:
    instead = "--intersect compares only what both runs asked in the same words"
    if paired.changed:
        return InputError(
            f"{_counted(paired.changed, 'prompt')} changed words or expectations between "
            f"{base.id} and {current.id}: {listed(paired.changed)}",
            hint=f"run the base again on the suite as it is now; {instead}",
        )
    for run, other, missing in (
        (current, base, paired.only_base),
        (base, current, paired.only_current),
    ):
        if not missing or run.decided_after is not None:
            continue
        unfinished = run.status is not RunStatus.DONE
        why = f" (its status: {run.status})" if unfinished else ""
        first = (
            f"finish it: punie eval --resume {run.id}" if unfinished else "run both on one suite"
        )
        return InputError(
            f"{_named(run)} lacks {_counted(missing, 'prompt')} that {other.id} asked{why}: "
            f"{listed(missing)}",
            hint=f"{first}; {instead}",
        )
    return None


def _nothing_in(run: Run) -> InputError:
    return InputError(
        f"{_named(run)} has no answers, so there is nothing to compare",
        hint=f"its status is {run.status}; punie runs show {run.id} says more",
    )


def _named(run: Run) -> str:
    return f"run {run.id} (suite {one_line(run.suite_name, 60)})"


def _counted(ids: tuple[str, ...], noun: str) -> str:
    return f"{len(ids):,} {noun}{'s' * (len(ids) != 1)}"


def _of_one_hash(
    before: dict[str, Asked], after: dict[str, Asked]
) -> Iterator[tuple[Asked, Asked]]:
    known: dict[str, list[Asked]] = {}
    for name in sorted(before, reverse=True):
        if before[name].hash:
            known.setdefault(before[name].hash, []).append(before[name])
    for name in sorted(after):
        if same := known.get(after[name].hash):
            yield same.pop(), after[name]


def _labels(asked: Asked) -> tuple[object, ...]:
    labels = (asked.category, asked.role, asked.tags, asked.group)
    return (*labels, asked.must_pass, asked.weight)


def _labelled(prompt: Labelled, labels: Asked | None) -> Labelled:
    """A prompt with the labels of another."""
    if labels is None:
        return prompt
    return replace(
        prompt,
        category=labels.category,
        role=labels.role,
        tags=labels.tags,
        group=labels.group,
        must_pass=labels.must_pass,
        weight=labels.weight,
    )


def _pair(base: Asked, current: Asked) -> Pair:
    return Pair(
        id=current.id,
        hash=current.hash,
        base=base.side,
        current=current.side,
        category=current.category,
        role=current.role,
        tags=current.tags,
        group=current.group,
        must_pass=current.must_pass,
        weight=current.weight,
    )


class _Sums:
    """What is kept of one prompt while its outcomes come, in any order."""

    __slots__ = ("culprit", "fault", "faults", "first", "latency", "prompt", "scores", "tokens")

    def __init__(self, prompt: EvalPrompt) -> None:
        self.prompt = Asked(
            id=prompt.id,
            hash=prompt.hash,
            side=Side(),
            category=prompt.category,
            role=prompt.role,
            tags=tuple(dict.fromkeys(prompt.tags)),
            group=prompt.group,
            must_pass=prompt.must_pass,
            weight=prompt.weight,
        )
        self.scores: list[tuple[float, bool]] = []
        self.latency: list[float] = []
        self.first: list[float] = []
        self.tokens: list[int] = []
        self.faults = 0
        self.fault: tuple[int, FaultKind] | None = None
        """The first by number of repeat, with its kind."""
        self.culprit: tuple[int, Culprit] | None = None

    def add(self, outcome: Outcome) -> None:
        if isinstance(outcome, EvalFault):
            self.faults += 1
            if self.fault is None or outcome.repeat < self.fault[0]:
                self.fault = outcome.repeat, outcome.kind
            return
        self._add_times(outcome)
        if outcome.score is not None:
            self.scores.append((outcome.score, bool(outcome.passed)))
        culprit = outcome.culprit
        if culprit and (self.culprit is None or outcome.repeat < self.culprit[0]):
            self.culprit = outcome.repeat, culprit

    def _add_times(self, outcome: EvalResult) -> None:
        completion = outcome.completion
        self.latency.append(completion.latency_s)
        if completion.first_token_s is not None:
            self.first.append(completion.first_token_s)
        if completion.completion_tokens is not None:
            self.tokens.append(completion.completion_tokens)

    def asked(self) -> Asked:
        side = Side(
            score=min(1.0, fmean(score for score, _ in self.scores)) if self.scores else None,
            passed=fmean(passed for _, passed in self.scores) if self.scores else None,
            answers=len(self.latency),
            faults=self.faults,
            fault=self.fault[1] if self.fault else None,
            culprit=self.culprit[1] if self.culprit else None,
            latency_s=fmean(self.latency) if self.latency else None,
            first_token_s=fmean(self.first) if self.first else None,
            tokens_out=round(fmean(self.tokens)) if self.tokens else None,
        )
        return replace(self.prompt, side=side)
