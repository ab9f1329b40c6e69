"""Labels on disk: one a line, each safe before the next is asked for."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Self

from pydantic import JsonValue, ValidationError

from punie.errors import InputError, Problem
from punie.reading import open_regular
from punie.records.base import digest
from punie.records.labels import Label, LabelKey
from punie.sources.faults import wording
from punie.sources.json_rows import MAX_ROW_BYTES, JsonRow, json_rows

SHOWN = 10
"""Problems of a file that are named."""
OPENING = b'{"schema_version":'
"""How the line of each label begins."""
HINT = "mend or delete these lines; punie label writes one label a line"


def read_labels(path: Path) -> list[Label]:
    """The labels of a file, the last word on each answer. A torn last label is left out.

    Raises InputError with the place of every line that is no label.
    """
    labels: dict[LabelKey, Label] = {}
    problems: list[Problem] = []
    torn = _torn_at(path) is not None
    rows = list(json_rows(path, str(path)))
    for at, row in enumerate(rows):
        if isinstance(row, Problem):
            if torn and at == len(rows) - 1:
                break
            problems.append(row)
            continue
        try:
            label = Label.model_validate_json(json.dumps(row.data))
        except ValidationError as error:
            problems += _problems(row, error)
            continue
        # Whoever went back said it anew: in the order of the file it counts as the later one.
        labels.pop(label.key, None)
        labels[label.key] = label
    if problems:
        more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        shown = [str(each) for each in problems[:SHOWN]]
        raise InputError("\n".join([*shown, *more]), hint=HINT)
    return list(labels.values())


def _problems(row: JsonRow, error: ValidationError) -> Iterable[Problem]:
    for each in error.errors(include_url=False):
        yield row.problem(each["loc"], wording(each["type"], each["msg"], each["input"]))


def labels_hash(labels: Iterable[Label]) -> str:
    """SHA-256 over what was said of which answers, in whatever order."""
    said = sorted(each.model_dump_json(exclude={"at", "seed"}) for each in labels)
    return digest(list[JsonValue](said))


def _torn_at(path: Path) -> int | None:
    """Where a last line begins that is the beginning of a label and no more, so that it is owed.

    A last line that is whole counts, with its end or without; one that was never going to be a
    label is somebody's, and stays.
    """
    try:
        with open_regular(path) as file:
            begins = _last_line(file)
            file.seek(begins)
            line = file.read(MAX_ROW_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _refusal(path, error) from None
    begun = line and (line.startswith(OPENING) or OPENING.startswith(line))
    return begins if begun and not _is_json(line) else None


def _last_line(file: BinaryIO) -> int:
    """Where the text after the last newline begins; the end of the file if nothing follows it."""
    at = file.seek(0, os.SEEK_END)
    while at > 0:
        step = min(at, 4096)
        file.seek(at - step)
        found = file.read(step).rfind(b"\n")
        if found >= 0:
            return at - step + found + 1
        at -= step
    return 0


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


class LabelFile:
    """A file that labels are appended to: each is on the disk when `add` returns.

    What is there already stays, but for a torn label, which is cut off before the first one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mended = False

    def __enter__(self) -> Self:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab")
        except OSError as error:
            raise _refusal(self.path, error) from None
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, label: Label) -> None:
        """Append one label, durably."""
        if not self._mended:
            self._mend_end()
        line = label.model_dump_json(exclude_none=True).encode() + b"\n"
        self._file.write(line)
        self._file.flush()
        os.fsync(self._file.fileno())

    def _mend_end(self) -> None:
        torn = _torn_at(self.path)
        if torn is not None:
            self._file.truncate(torn)
        with open_regular(self.path) as file:
            if _last_line(file) < file.seek(0, os.SEEK_END):
                self._file.write(b"\n")
        self._mended = True


def _refusal(path: Path, error: OSError) -> InputError:
    return InputError(
        f"{path}: {error.strerror or error}", hint="give a file that can be written: --output"
    )
