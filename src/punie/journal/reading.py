"""An entry as it lies on disk, with whatever is wrong with its files."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from punie.errors import InputError, Problem
from punie.journal.canonical import RecordError, key_line, row_line
from punie.journal.document import Document, parse
from punie.journal.folder import ENTRY, RECORDS, RUN
from punie.journal.kinds import KINDS
from punie.journal.note import NoteKind, NoteRecord
from punie.journal.recompute import problems_of
from punie.journal.record import RunRecord, decode, encode
from punie.reading import read_regular

MAX_BYTES = 256 * 1024 * 1024
"""A larger file is refused unread."""


@dataclass(slots=True)
class Entry:
    """What could be read of an entry's folder. `problems` name files relative to the project."""

    root: Path
    folder: Path
    document: Document | None = None
    run_json: bytes | None = None
    """The run's record as it lies on disk; None for other kinds of entries."""
    record: RunRecord | None = None
    kind: NoteKind[Any] | None = None
    """Of an entry that is no run's."""
    note_json: bytes | None = None
    note: NoteRecord | None = None
    problems: list[Problem] = field(default_factory=list[Problem])
    warnings: list[Problem] = field(default_factory=list[Problem])
    """What is true of it, and no fault of its files."""

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def supersedes(self) -> str | None:
        """Id of the entry that this one replaces."""
        kept = self.record or self.note
        return kept.entry.supersedes if kept else None

    def add(self, name: str, line: int, what: str) -> None:
        """Note a problem of one of the entry's files; line 0 is the whole file."""
        self.problems.append(Problem(f"{self.relative}/{name}", line, 0, "", what))

    def warn(self, name: str, line: int, what: str) -> None:
        """Note something that does not make the entry wrong."""
        self.warnings.append(Problem(f"{self.relative}/{name}", line, 0, "", what))

    @property
    def relative(self) -> str:
        """The folder, relative to the project where it lies inside."""
        inside = self.folder.is_relative_to(self.root)
        return (self.folder.relative_to(self.root) if inside else self.folder).as_posix()

    def read(self, name: str) -> bytes | None:
        """One file's bytes; None, and a problem, where it is missing, a link, or cannot be read."""
        path = self.folder / name
        try:
            if path.is_symlink():
                self.add(name, 0, "is a link; entries are plain files")
            elif not path.is_file():
                self.add(name, 0, "is missing")
            elif path.stat().st_size > MAX_BYTES:
                self.add(name, 0, f"is larger than {MAX_BYTES // 2**20} MB")
            else:
                return path.read_bytes()
        except OSError as error:
            self.add(name, 0, f"cannot be read: {error.strerror or error}")
        return None


def read_record(path: Path) -> RunRecord:
    """Read one run.json. Raises InputError with every problem and its line, OSError.

    One whose numbers do not follow from its rows, or that is written otherwise than punie writes
    it, was edited: nothing can be held against it.
    """
    content = read_regular(path, MAX_BYTES)
    try:
        record = decode(content)
    except RecordError as error:
        raise _refused(path, error.problems) from error
    if problems := list(edits_of(record, content)):
        raise _refused(path, problems)
    return record


def _refused(path: Path, problems: Iterable[tuple[int, str]]) -> InputError:
    told = [str(Problem(str(path), line, 0, "", what)) for line, what in problems]
    return InputError("\n".join(told), hint="restore it from git")


def edits_of(record: RunRecord, content: bytes) -> Iterator[tuple[int, str]]:
    """Yield (line, what) for all in a record's text that its rows do not give."""
    if encode(record) != content:
        yield 0, "is not in punie's canonical form, so it was edited"
    for problem in problems_of(record):
        place = key_line(content, "run") if problem.row is None else row_line(content, problem.row)
        yield place, problem.what


def read_entry(root: Path, folder: Path) -> Entry:
    """Read an entry. What is wrong with it is in its `problems`; nothing is raised."""
    entry = Entry(root=root, folder=folder)
    _read_record(entry)
    text = entry.read(ENTRY)
    if text is not None:
        try:
            entry.document = parse(text.decode("utf-8").replace("\r\n", "\n"))
        except UnicodeDecodeError as error:
            entry.add(ENTRY, text[: error.start].count(b"\n") + 1, "is not UTF-8")
    if entry.document:
        for line, what in entry.document.problems:
            entry.add(ENTRY, line, what)
    return entry


def _read_record(entry: Entry) -> None:
    names = [name for name in RECORDS if (entry.folder / name).exists()]
    for name in names[1:]:
        entry.add(name, 0, f"an entry has one record, and here is {names[0]} too")
    name = names[0] if names else RUN
    content = entry.read(name)
    entry.kind = KINDS.get(name)
    if content is None:
        return
    try:
        if entry.kind is None:
            entry.run_json = content
            entry.record = decode(content)
        else:
            entry.note_json = content
            entry.note = entry.kind.decode(content)
    except RecordError as error:
        for line, what in error.problems:
            entry.add(name, line, what)
