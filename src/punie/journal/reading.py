"""An entry as it lies on disk, with whatever is wrong with its files."""

from dataclasses import dataclass, field
from pathlib import Path

from punie.errors import InputError, Problem
from punie.journal.canonical import RecordError
from punie.journal.document import Document, parse
from punie.journal.folder import ENTRY, RUN
from punie.journal.record import RunRecord, decode

MAX_BYTES = 256 * 1024 * 1024
"""A larger file is refused unread."""


@dataclass(slots=True)
class Entry:
    """What could be read of an entry's folder. `problems` name files relative to the project."""

    root: Path
    folder: Path
    document: Document | None = None
    run_json: bytes | None = None
    record: RunRecord | None = None
    problems: list[Problem] = field(default_factory=list[Problem])
    warnings: list[Problem] = field(default_factory=list[Problem])
    """What is true of it, and no fault of its files."""

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.folder.name

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
    """Read one run.json. Raises InputError with every problem and its line, OSError."""
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path}: is larger than {MAX_BYTES // 2**20} MB")
    try:
        return decode(path.read_bytes())
    except RecordError as error:
        problems = [str(Problem(str(path), line, 0, "", what)) for line, what in error.problems]
        raise InputError("\n".join(problems), hint="restore it from git") from error


def read_entry(root: Path, folder: Path) -> Entry:
    """Read an entry. What is wrong with it is in its `problems`; nothing is raised."""
    entry = Entry(root=root, folder=folder)
    entry.run_json = entry.read(RUN)
    if entry.run_json is not None:
        try:
            entry.record = decode(entry.run_json)
        except RecordError as error:
            for line, what in error.problems:
                entry.add(RUN, line, what)
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
