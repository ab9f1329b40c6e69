"""What `punie doctor` found out about one thing of this machine."""

from enum import StrEnum

from punie.records.base import Record


class State(StrEnum):
    """Whether a thing is as punie needs it."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


class Checkup(Record):
    """One line of the doctor's table."""

    name: str
    """The thing, e.g. `memory`; unique in a table where it can be."""
    state: State
    found: str
    """What was seen, in a few words; never a key."""
    mend: str = ""
    """The command or the step that mends it."""


def ok(name: str, found: str) -> Checkup:
    """A thing that is as it should be."""
    return Checkup(name=name, state=State.OK, found=found)


def note(name: str, found: str, mend: str = "") -> Checkup:
    """A thing that works, but that one should know of."""
    return Checkup(name=name, state=State.NOTE, found=found, mend=mend)


def problem(name: str, found: str, mend: str = "") -> Checkup:
    """A thing that will make something fail."""
    return Checkup(name=name, state=State.PROBLEM, found=found, mend=mend)
