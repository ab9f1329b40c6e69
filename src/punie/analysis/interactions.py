"""From collected interactions, one at a time, to what they say together.

Memory stays bounded: eight bytes a duration and a length, which exact medians need, and bounded
counts of everything else.
"""

import math
import re
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from punie.analysis.statistics import spread, wilson
from punie.records.interactions import (
    Deviation,
    ErrorKind,
    Interaction,
    InteractionGroup,
    Interactions,
    Period,
    PlannedShare,
    Timeline,
)
from punie.records.summary import Estimate

GROUPS = 500
"""Different roles or providers beyond which the field is no role or provider."""
ERROR_KINDS = 1000
"""Different kinds of errors that are counted; the commonest is among the first."""
LISTED_ERRORS = 20
LONGEST_ERROR = 200
"""Characters of an error's first line that tell its kind."""
_HOUR = 3600
_DAY = 24 * _HOUR
_PERIODS = (
    ("hour", _HOUR, 72),
    ("day", _DAY, 92),
    ("week", 7 * _DAY, 104),
    ("four weeks", 28 * _DAY, 130),
    ("52 weeks", 364 * _DAY, 10**9),
)
"""Each period's name, its seconds, and how many of them may lie between the first and the last
interaction. Each is a multiple of the one before, so that counts can be joined as they are."""
_VARYING = re.compile(
    r"0x[0-9a-f]+|\b[0-9a-f-]{8,}\b|\d+(?:\.\d+)?|'[^']*'|\"[^\"]*\"", re.IGNORECASE
)


class TooManyGroupsError(ValueError):
    """More different roles or providers than anybody has."""

    def __init__(self, what: str) -> None:
        super().__init__(f"more than {GROUPS} different values of {what}")
        self.what = what


@dataclass(slots=True)
class _Outcomes:
    """Successes, failures and durations of one group."""

    count: int = 0
    successful: int = 0
    failed: int = 0
    durations: "array[float]" = field(default_factory=lambda: array("d"))

    def add(self, each: Interaction) -> None:
        self.count += 1
        if each.succeeded is not None:
            self.successful += each.succeeded
            self.failed += not each.succeeded
        if each.duration_s is not None:
            self.durations.append(each.duration_s)

    @property
    def success(self) -> Estimate | None:
        told = self.successful + self.failed
        return share(self.successful, told) if told else None


@dataclass(slots=True)
class _PeriodTally:
    count: int = 0
    successful: int = 0
    failed: int = 0
    timed: int = 0
    seconds: float = 0.0

    def join(self, other: "_PeriodTally") -> None:
        self.count += other.count
        self.successful += other.successful
        self.failed += other.failed
        self.timed += other.timed
        self.seconds += other.seconds


class _TimelineTally:
    """Counts by hour, and by longer periods as soon as there are too many."""

    def __init__(self) -> None:
        self._step = 0
        self._periods: dict[int, _PeriodTally] = {}
        self._first, self._last = math.inf, -math.inf

    def add(self, at: float, each: Interaction) -> None:
        self._first, self._last = min(self._first, at), max(self._last, at)
        period = self._periods.setdefault(int(at // _PERIODS[self._step][1]), _PeriodTally())
        told = each.succeeded is not None
        period.count += 1
        period.successful += told and bool(each.succeeded)
        period.failed += told and not each.succeeded
        if each.duration_s is not None:
            period.timed += 1
            period.seconds += each.duration_s
        while self._last - self._first > _PERIODS[self._step][1] * _PERIODS[self._step][2]:
            self._lengthen()

    def _lengthen(self) -> None:
        longer = _PERIODS[self._step + 1][1] // _PERIODS[self._step][1]
        joined: dict[int, _PeriodTally] = {}
        for number, period in self._periods.items():
            joined.setdefault(number // longer, _PeriodTally()).join(period)
        self._step, self._periods = self._step + 1, joined

    def timeline(self, untimed: int) -> Timeline | None:
        if not self._periods:
            return None
        name, seconds, _ = _PERIODS[self._step]
        return Timeline(
            period=name,
            seconds=seconds,
            periods=tuple(
                Period(
                    start=datetime.fromtimestamp(number * seconds, UTC).strftime("%Y-%m-%dT%H:%MZ"),
                    count=each.count,
                    successful=each.successful,
                    failed=each.failed,
                    mean_s=each.seconds / each.timed if each.timed else None,
                )
                for number, each in sorted(self._periods.items())
            ),
            untimed=untimed,
        )


class InteractionTally:
    """The numbers of collected interactions, built up as they come, in any order."""

    def __init__(self) -> None:
        self._all = _Outcomes()
        self._roles: dict[str, _Outcomes] = {}
        self._providers: dict[str, _Outcomes] = {}
        self._task_lengths = array("d")
        self._output_lengths = array("d")
        self._errors: Counter[str] = Counter()
        self._messages: dict[str, str] = {}
        self._timeline = _TimelineTally()
        self._timed = 0

    def add(self, each: Interaction) -> None:
        """Count one interaction. Raises TooManyGroupsError."""
        self._all.add(each)
        if each.role is not None:
            _group(self._roles, each.role, "role").add(each)
        if each.provider is not None:
            _group(self._providers, each.provider, "provider").add(each)
        if each.task_characters is not None:
            self._task_lengths.append(each.task_characters)
        if each.output_characters is not None:
            self._output_lengths.append(each.output_characters)
        if each.at is not None:
            self._timed += 1
            self._timeline.add(each.at, each)
        if each.succeeded is False:
            self._count_error(each.error)

    def summary(self, planned: Mapping[str, float] | None = None) -> Interactions:
        """Everything so far; `planned` gives a share in [0, 1] for each role."""
        total, told = self._all.count, self._all.successful + self._all.failed
        listed = sorted(self._errors.items(), key=lambda item: (-item[1], item[0]))[:LISTED_ERRORS]
        errors = tuple(ErrorKind(message=self._messages[k], count=n) for k, n in listed)
        with_role = sum(each.count for each in self._roles.values())
        with_provider = sum(each.count for each in self._providers.values())
        counts = {name: each.count for name, each in self._roles.items()}
        return Interactions(
            total=total,
            successful=self._all.successful,
            failed=self._all.failed,
            untold=total - told,
            success=self._all.success,
            duration=spread(self._all.durations),
            roles=_groups(self._roles, with_role),
            providers=_groups(self._providers, with_provider),
            without_role=total - with_role,
            without_provider=total - with_provider,
            task_length=spread(self._task_lengths),
            output_length=spread(self._output_lengths),
            errors=errors,
            other_errors=self._all.failed - sum(each.count for each in errors),
            timeline=self._timeline.timeline(total - self._timed),
            planned=against_plan(counts, planned) if planned and with_role else (),
        )

    def _count_error(self, message: str) -> None:
        first = message.strip().partition("\n")[0][:LONGEST_ERROR].strip()
        kind = _VARYING.sub("…", first)
        if kind in self._errors or len(self._errors) < ERROR_KINDS:
            self._errors[kind] += 1
            if self._messages.setdefault(kind, first) != first:
                self._messages[kind] = kind


def share(part: int, whole: int, confidence: float = 0.95) -> Estimate:
    """`part` of `whole` with Wilson's interval; `whole` is at least 1."""
    low, high = wilson(part / whole, whole, confidence)
    return Estimate(value=part / whole, low=low, high=high, n=whole)


def against_plan(
    counts: Mapping[str, int], planned: Mapping[str, float]
) -> tuple[PlannedShare, ...]:
    """Each role's planned share beside its actual one, and whether they clearly differ.

    A share clearly differs where the planned one lies outside of Wilson's interval at 1 - 0.05/k
    for k roles (Bonferroni: one wrong word in at most 5 % of all such tables). A role that nobody
    planned has a planned share of 0, which any interaction of it exceeds. At least one count.
    """
    whole = sum(counts.values())
    roles = [*planned, *(role for role in counts if role not in planned)]
    confidence = 1 - 0.05 / len(roles)
    return tuple(
        _planned_share(role, planned.get(role, 0.0), share(counts.get(role, 0), whole, confidence))
        for role in roles
    )


def _planned_share(role: str, planned: float, actual: Estimate) -> PlannedShare:
    deviation = Deviation.UNCLEAR
    if actual.low > planned or (planned == 0 and actual.value > 0):
        deviation = Deviation.MORE
    elif actual.high < planned:
        deviation = Deviation.FEWER
    return PlannedShare(role=role, planned=planned, actual=actual, deviation=deviation)


def _group(groups: dict[str, _Outcomes], name: str, what: str) -> _Outcomes:
    group = groups.get(name)
    if group is None:
        if len(groups) == GROUPS:
            raise TooManyGroupsError(what)
        group = groups[name] = _Outcomes()
    return group


def _groups(groups: Mapping[str, _Outcomes], whole: int) -> tuple[InteractionGroup, ...]:
    """The largest first."""
    ranked: Sequence[tuple[str, _Outcomes]] = sorted(
        groups.items(), key=lambda item: (-item[1].count, item[0])
    )
    return tuple(
        InteractionGroup(
            name=name,
            count=each.count,
            share=share(each.count, whole),
            success=each.success,
            duration=spread(each.durations),
        )
        for name, each in ranked
    )
