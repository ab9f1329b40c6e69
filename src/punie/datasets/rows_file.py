"""A JSONL file of training rows: all of its rows, or everything that is wrong with it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from punie.datasets.forms import FileRows
from punie.datasets.tools import ToolSets
from punie.errors import DataError, InputError, Problem
from punie.records.dataset import Row
from punie.sources.faults import FormError
from punie.sources.json_rows import JsonRow, json_rows
from punie.sources.yaml_source import DataPath

SHOWN = 20
"""Problems that are shown, over all files of a dataset; all are counted."""
HINT = "mend these lines; punie data show looks at the file again"


class _Place(Protocol):
    def problem(self, path: DataPath, what: str, *, key: bool = False) -> Problem:
        """Build a problem at the place of `path`."""
        ...


@dataclass(slots=True)
class Problems:
    """What is wrong with the files of a dataset: the first `SHOWN`, and how many there are."""

    shown: list[Problem] = field(default_factory=list[Problem])
    found: int = 0

    def add(self, problem: Problem) -> None:
        """Count a problem, and keep it while there is room."""
        self.found += 1
        if len(self.shown) < SHOWN:
            self.shown.append(problem)

    def report(self, at: _Place, faults: Iterable[FormError]) -> None:
        """Count faults of a row; their places are only looked up while there is room."""
        for each in faults:
            self.found += 1
            if len(self.shown) < SHOWN:
                self.shown.append(at.problem(each.path, each.what, key=each.key))

    def stop(self) -> None:
        """Raise `DataError` if there is any problem."""
        if self.found:
            raise DataError(self.shown, hint=HINT, found=self.found)


@dataclass(frozen=True, slots=True)
class FileContent:
    """The rows of a file, its size in bytes, and what there is to say about it."""

    rows: tuple[Row, ...]
    bytes: int
    notes: tuple[str, ...] = ()


def read_rows(path: Path, file: str, tools: ToolSets, problems: Problems) -> FileContent:
    """Read a JSONL of rows; what is wrong with it is added to `problems`.

    `file` is the name that rows and problems carry. Blank lines at the end are passed over, for
    text editors leave them; elsewhere they are faults, because mlx_lm fails on them. Raises
    InputError where the file cannot be read.
    """
    reader = FileRows(file, tools)
    rows: list[Row] = []
    last = 0
    for each in json_rows(path, file):
        for blank in range(last + 1, each.line):
            problems.add(Problem(file, blank, 1, "", "the line is blank"))
        last = each.line
        if not isinstance(each, JsonRow):
            problems.add(each)
        elif each.problems:
            for problem in each.problems:
                problems.add(problem)
        else:
            faults: list[FormError] = []
            row = reader.read(each.data, each.line, faults)
            problems.report(each, faults)
            if row is not None:
                rows.append(row)
    if not last:
        problems.add(Problem(file, 0, 0, "", _empty(path)))
    notes = [f"{file}: {note}" for note in _notes(reader, len(rows))]
    return FileContent(rows=tuple(rows), bytes=_size(path, file), notes=tuple(notes))


def _empty(path: Path) -> str:
    if path.stem in {"valid", "test"}:
        return "has no rows: leave the file away, or let punie data split make it"
    return "has no rows"


def _notes(reader: FileRows, rows: int) -> Iterable[str]:
    if reader.ignored:
        keys = [f"{key} ({n:,} rows)" if n != rows else key for key, n in reader.ignored.items()]
        more = f" and {len(keys) - 8} more" if len(keys) > 8 else ""
        yield f"keys that training does not use: {', '.join(keys[:8])}{more}"


def _size(path: Path, file: str) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise InputError(f"{file}: {error.strerror or error}") from None
