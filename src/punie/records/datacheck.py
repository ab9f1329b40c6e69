"""What a look at training data found."""

from enum import StrEnum

from pydantic import Field, JsonValue
from pydantic.dataclasses import dataclass

from punie.records.base import SCHEMA_VERSION, SLIM, Record

SHOWN_PLACES = 20
"""A finding names so many places; `count` says how many there are."""


class Severity(StrEnum):
    """How much a finding matters. An error stops a training unless it is allowed."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True, config=SLIM)
class Place:
    """A row of a data file, or a prompt of a suite (`line` 0, `file` the suite's name)."""

    file: str
    line: int = 0
    what: str = ""
    """What stands there, in short; or the id of the suite's prompt."""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place} {self.what}" if self.what else place


class DataFinding(Record):
    """One kind of defect and where it is."""

    check: str
    """Such as `duplicates`, `leakage`, `length`, `template`."""
    severity: Severity
    what: str
    """One sentence, with the numbers."""
    places: tuple[Place, ...] = ()
    count: int = 0
    """Of all places."""
    hint: str = ""
    details: dict[str, JsonValue] = Field(default_factory=dict)


class DataReport(Record):
    """Everything that was found in one version of a dataset."""

    schema_version: int = SCHEMA_VERSION
    dataset_hash: str
    findings: tuple[DataFinding, ...] = ()
    leaked: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """By hash of a suite: the ids of its prompts that the training data holds, or nearly."""
    seconds: float = 0.0

    @property
    def errors(self) -> tuple[DataFinding, ...]:
        """What stops a training."""
        return tuple(each for each in self.findings if each.severity is Severity.ERROR)
