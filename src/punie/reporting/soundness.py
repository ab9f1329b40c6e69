"""Whether a measurement holds: its self-checks, and what befell the machine.

A wrong answer says something about the model; all that stands here says something about the
measurement, so reports keep the two apart.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from punie.records.run import Run, RunStatus
from punie.records.summary import Summary
from punie.records.trust import Checks, Finding, Incident, IncidentKind, Level
from punie.reporting.numbers import count, counted
from punie.text import one_line

SENTENCE = 400
"""Characters of a finding's or an incident's text that are shown."""

_ENDED = {
    RunStatus.INTERRUPTED: "the run was interrupted",
    RunStatus.FAILED: "the run failed before its end",
    RunStatus.RUNNING: "the run has not ended",
}
_WORST_FIRST = {Level.WARNING: 0, Level.NOTE: 1, Level.UNKNOWN: 2, Level.OK: 3}


class Soundness(NamedTuple):
    """A judgement of the measurement, never of the model.

    `unchecked` is a run that went well and that nobody asked to check itself.
    """

    level: Literal["sound", "care", "unchecked"]
    sentence: str


class Event(NamedTuple):
    """An incident, ready to show."""

    at: str
    kind: str
    what: str


def soundness(run: Run, summary: Summary) -> Soundness:
    """The judgement in one sentence, with its reasons."""
    if not summary.answered:
        return Soundness("care", "Nothing was measured: no request was answered.")
    mended = _mended(run, summary)
    tail = f" {mended[0].upper()}{mended[1:]}." if mended else ""
    if concerns := _concerns(run, summary):
        return Soundness("care", f"Read with care: {_listed(concerns)}.{tail}")
    if run.checks is None:
        told = "Every request was answered. No self-checks were made, so nothing more is known."
        return Soundness("unchecked", f"{told}{tail}")
    return Soundness(
        "sound", f"Sound: {_passed(run.checks)}, and every request was answered.{tail}"
    )


def _passed(checks: Checks) -> str:
    """What the self-checks say where none of them warned."""
    levels = [each.level for each in checks.findings]
    if Level.NOTE in levels:
        return "no self-check found anything serious"
    if unknown := levels.count(Level.UNKNOWN):
        passed = counted(levels.count(Level.OK), "self-check")
        return f"{passed} passed, {count(unknown)} could not be told"
    return "every self-check passed"


def _concerns(run: Run, summary: Summary) -> list[str]:
    """What keeps a reader from taking the numbers as they stand."""
    found = [_ENDED[run.status]] if run.status in _ENDED else []
    if any(each.kind is IncidentKind.GAVE_UP for each in run.incidents):
        found.append("the server was given up")
    if summary.faults:
        found.append(f"{counted(summary.faults, 'request')} could not be measured")
    unchecked = run.checks is not None and run.checks.skipped
    if run.checks and unchecked:
        found.append(f"no self-checks were made{_of_a_part(run.checks)} (--no-checks)")
    warnings = [each for each in findings(run.checks) if each.level is Level.WARNING]
    if warnings:
        names = _listed([one_line(each.name, 40) for each in warnings])
        # What was found without asking anything, where no self-checks were made, is none of them.
        what = "finding" if unchecked else "self-check"
        found.append(f"{counted(len(warnings), what)} warned ({names})")
    return found


def _of_a_part(checks: Checks) -> str:
    """Which answers had no self-checks; empty where it was all of them."""
    return " for a part of the answers" if checks.partly else ""


def _mended(run: Run, summary: Summary) -> str:
    """What went wrong and was put right, so that the numbers stand."""
    parts: list[str] = []
    if summary.retried:
        parts.append(f"{counted(summary.retried, 'answer')} came on a later try")
    for kind, words in (
        (IncidentKind.RESTARTED, "the server was restarted"),
        (IncidentKind.SLEPT, "the machine slept"),
        (IncidentKind.KILLED, "punie was killed"),
        (IncidentKind.RESUMED, "the run was resumed"),
    ):
        if number := sum(each.kind is kind for each in run.incidents):
            parts.append(f"{words} {_times(number)}")
    return _listed(parts)


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{count(number)} times")


def _listed(parts: Sequence[str]) -> str:
    """Write `a, b and c`."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def findings(checks: Checks | None) -> list[Finding]:
    """What the checks found, the worst first."""
    found = checks.findings if checks else ()
    return sorted(found, key=lambda each: _WORST_FIRST[each.level])


def notable(checks: Checks | None) -> list[Finding]:
    """What a reader of the numbers must see of the findings, the worst first.

    What could not be told is left out where nothing follows from it.
    """
    return [
        each
        for each in findings(checks)
        if each.level is not Level.OK and (each.level is not Level.UNKNOWN or each.consequence)
    ]


def checks_line(checks: Checks | None, *, named: bool = True) -> str:
    """The checks in a few words: `all 6 passed`; empty where nobody asked for any.

    With `named`, a run without self-checks says what was looked at all the same.
    """
    if checks is None:
        return ""
    if checks.skipped:
        if named and checks.findings and not checks.partly:
            names = _listed([one_line(each.name, 40) for each in checks.findings])
            return f"{names} looked at, the others skipped (--no-checks)"
        told = f"skipped{_of_a_part(checks)} (--no-checks)"
        return f"{told}; {_counts(checks)}" if checks.partly and checks.findings else told
    if not checks.findings:
        return "none applies here"
    return _counts(checks)


def _counts(checks: Checks) -> str:
    levels = [each.level for each in checks.findings]
    passed = levels.count(Level.OK)
    if passed == len(levels):
        return f"all {count(passed)} passed" if passed > 1 else "passed"
    unknown = levels.count(Level.UNKNOWN)
    parts = [
        f"{count(passed)} passed" if passed else "",
        f"{count(unknown)} could not be told" if unknown else "",
        counted(levels.count(Level.WARNING), "warning") if Level.WARNING in levels else "",
        counted(levels.count(Level.NOTE), "note") if Level.NOTE in levels else "",
    ]
    return ", ".join(part for part in parts if part)


def said(finding: Finding) -> str:
    """A finding and what follows from it, on one line."""
    return one_line(f"{_sentence(finding.sentence)} {follows(finding)}", SENTENCE)


def follows(finding: Finding) -> str:
    """What follows from a finding, as a sentence; empty where nothing does."""
    return _sentence(finding.consequence)


def _sentence(text: str) -> str:
    words = text.strip()
    end = "" if words.endswith((".", "!", "?", "…")) else "."
    return f"{words[0].upper()}{words[1:]}{end}" if words else ""


def timeline(run: Run) -> list[Event]:
    """The run's incidents in the order of their time, each with its time of day.

    The day is said only where it is another than the run's own.
    """
    timed = [(_moment(each.at), each) for each in run.incidents]
    timed.sort(key=lambda pair: pair[0] or datetime.max.replace(tzinfo=UTC))
    return [
        Event(_time_of(moment, each, run), each.kind.value, one_line(each.what, SENTENCE))
        for moment, each in timed
    ]


def _moment(written: str) -> datetime | None:
    """An ISO time in UTC; None where a hand has written something else."""
    try:
        moment = datetime.fromisoformat(written)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _time_of(moment: datetime | None, incident: Incident, run: Run) -> str:
    if moment is None:
        return one_line(incident.at, 40)
    day = "" if run.created_at[:10] == f"{moment:%Y-%m-%d}" else f"{moment:%Y-%m-%d} "
    return f"{day}{moment:%H:%M} UTC"


def retries(summary: Summary) -> str:
    """How many answers needed another try, and why: empty where none did."""
    if not summary.retried:
        return ""
    head = f"{counted(summary.retried, 'answer')} came on a later try"
    ranked = sorted(summary.retry_reasons.items(), key=lambda item: (-item[1], item[0]))
    why = ", ".join(f"{one_line(kind, 60)} ({count(number)})" for kind, number in ranked)
    return f"{head}; before it: {why}" if why else head
