"""Entries that are no run's: what they share, whatever they record.

A kind says how its record becomes front matter, results and charts, and what in the record does not
follow from the rest of it. Writing and checking are the same for all of them.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, Generic, NamedTuple, TypeVar

from pydantic import Field, JsonValue

from punie.errors import InputError, JournalError
from punie.journal.canonical import canonical_text, read_canonical
from punie.journal.charts import Chart
from punie.journal.document import front_matter
from punie.journal.entry import GOAL_LENGTH, sha256
from punie.journal.folder import ENTRY, add_folder, find_entry
from punie.journal.page import page
from punie.records.base import SCHEMA_VERSION, Record
from punie.text import one_line


class NoteHead(Record):
    """What the front matter says beyond the record itself."""

    id: str
    date: str
    """UTC, ISO 8601, to the minute."""
    goal: str
    supersedes: str | None = None
    """Id of the entry that this one replaces."""


class NoteRecord(Record):
    """The content of `training.json` or `benchmark.json`."""

    schema_version: int
    results_format: int
    """That of the kind, in the punie that wrote the results."""
    results_sha256: str = ""
    """Of the marked region in entry.md, as UTF-8."""
    charts: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of each chart, by file name."""
    entry: NoteHead


N = TypeVar("N", bound=NoteRecord)


class Doubt(NamedTuple):
    """Something in a record that does not follow from the rest: its top-level key, and what."""

    key: str
    what: str


class NoteKind(ABC, Generic[N]):
    """One kind of entry."""

    file: ClassVar[str]
    """The record's name in the entry's folder."""
    rows: ClassVar[str] = ""
    """The record's key whose elements have a line each."""
    noun: ClassVar[str]
    results_format: ClassVar[int] = 1
    """Grows when the same record would be written or drawn another way."""
    written_alike: ClassVar[frozenset[int]] = frozenset({1})
    """Formats whose results this punie still writes to the letter."""
    record: type[N]

    @abstractmethod
    def front(self, record: N) -> dict[str, JsonValue]:
        """The front matter between the goal and what replaces what."""

    @abstractmethod
    def results(self, record: N) -> str:
        """The marked region's text, without the charts."""

    @abstractmethod
    def charts(self, record: N) -> dict[str, Chart]:
        """The charts, by file name."""

    @abstractmethod
    def doubts(self, record: N) -> Iterator[Doubt]:
        """What in the record does not follow from the rest of it."""

    @abstractmethod
    def done(self, record: N) -> str:
        """What was done, as a markdown list."""

    @abstractmethod
    def command(self, record: N) -> str:
        """The command that did it."""

    def encode(self, record: N) -> bytes:
        """The record's one text."""
        return canonical_text(record, rows=self.rows)

    def decode(self, content: bytes) -> N:
        """Read a record. Raises RecordError with every problem."""
        return read_canonical(content, self.record, rows=self.rows)

    def front_values(self, record: N, record_sha256: str) -> dict[str, JsonValue]:
        """The front matter of an entry, in its order."""
        head = record.entry
        return {
            "id": head.id,
            "date": head.date,
            "goal": head.goal,
            **self.front(record),
            "supersedes": head.supersedes,
            f"{self.noun}_sha256": record_sha256,
        }

    def region(self, record: N) -> str:
        """The marked region's text, with the charts."""
        pictures = [f"![{chart.title}]({name})" for name, chart in self.charts(record).items()]
        return "\n\n".join([self.results(record), *pictures])

    def files(self, record: N) -> dict[str, bytes]:
        """Every file of a new entry. Raises JournalError where the record contradicts itself."""
        # What a check will read is what the entry is written from.
        record = self.decode(self.encode(record))
        if doubt := next(self.doubts(record), None):
            raise JournalError(
                f"the {self.noun} does not agree with itself: {doubt.what}",
                hint="only what was measured as a whole is journaled",
            )
        results = self.region(record)
        charts = {name: chart.svg.encode() for name, chart in self.charts(record).items()}
        hashes = {
            "results_sha256": sha256(results.encode()),
            "charts": {name: sha256(chart) for name, chart in charts.items()},
        }
        record = record.model_copy(update=hashes)
        content = self.encode(record)
        text = page(
            front=front_matter(self.front_values(record, sha256(content))),
            goal=record.entry.goal,
            date=record.entry.date,
            done=self.done(record),
            command=self.command(record),
            results=results,
            files=self._file_list(record),
        )
        return {ENTRY: text.encode(), self.file: content, **charts}

    def _file_list(self, record: N) -> str:
        lines = [f"- [{self.file}]({self.file}): the {self.noun}"]
        lines += [f"- [{name}]({name}): {each.title}" for name, each in self.charts(record).items()]
        return "\n".join(lines)


def write_note(
    kind: NoteKind[N],
    root: Path,
    make: Callable[[Mapping[str, object]], N],
    *,
    goal: str,
    supersedes: str | None,
    now: datetime | None,
) -> Path:
    """Write a new entry and return its folder; `make` adds what is recorded to the common fields.

    Raises InputError for an empty goal or an unknown entry to replace, JournalError where the
    record contradicts itself, and StoreError where the journal cannot be written.
    """
    shown = one_line(goal, GOAL_LENGTH)
    if not shown:
        raise InputError("the goal is empty", hint="say in a few words what was tried")
    replaced = find_entry(root, supersedes).name if supersedes else None
    moment = (now or datetime.now(UTC)).astimezone(UTC)

    def files(entry_id: str) -> Mapping[str, bytes]:
        date = f"{moment:%Y-%m-%dT%H:%MZ}"
        head = NoteHead(id=entry_id, date=date, goal=shown, supersedes=replaced)
        common = {
            "schema_version": SCHEMA_VERSION,
            "results_format": kind.results_format,
            "entry": head,
        }
        return kind.files(make(common))

    return add_folder(root, shown, moment, files)
