"""What the instrument found out about itself, and what befell the machine while it measured."""

from enum import StrEnum

from pydantic import Field, JsonValue

from punie.records.base import Record


class Level(StrEnum):
    """How much a finding matters to who reads the numbers."""

    OK = "ok"
    UNKNOWN = "not told"
    """The check could not be made here, so nothing passed and nothing failed."""
    NOTE = "note"
    WARNING = "warning"


class Finding(Record):
    """What one check found. `sentence` says what, `consequence` what follows for the numbers."""

    name: str
    """The check, e.g. `adapter`, `tools`, `seed`, `concurrency`, `context`, `cache`, `memory`."""
    level: Level
    sentence: str
    consequence: str = ""
    details: dict[str, JsonValue] = Field(default_factory=dict)


class Checks(Record):
    """The self-checks of one run. `skipped` stamps a run that was told not to make them.

    What is found without asking anything, such as `memory` and `degenerate`, stands in either case.
    """

    findings: tuple[Finding, ...] = ()
    skipped: bool = False
    partly: bool = False
    """With `skipped`: a part of the answers had checks, and another part, resumed or before, none.
    """
    seconds: float = 0.0


class IncidentKind(StrEnum):
    """What happened to the machine."""

    RESTARTED = "server restarted"
    GAVE_UP = "server given up"
    SLEPT = "machine slept"
    RESUMED = "run resumed"
    KILLED = "punie killed"


class Incident(Record):
    """One event that is no answer and no fault of a prompt, but that a reader must know of."""

    at: str
    """UTC, ISO 8601."""
    kind: IncidentKind
    what: str
    """Why it happened, in one sentence."""
