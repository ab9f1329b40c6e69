"""Labels on disk: one a line, each safe before the next is asked for."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from pydantic import JsonValue, ValidationError

from punie.errors import InputError, Problem
from punie.records.base import digest
from punie.records.labels import Label, LabelKey
from punie.sources.faults import wording
from punie.sources.json_rows import JsonRow, json_rows

SHOWN = 10
"""Problems of a file that are named."""
HINT = "mend or delete these lines; punie label writes one label a line"


def read_labels(path: Path) -> list[Label]:
    """The labels of a file, the last word on each answer. A torn last line is left out.

    Raises InputError with the place of every line that is no label.
    """
    labels: dict[LabelKey, Label] = {}
    problems: list[Problem] = []
    torn = _torn_at(path) is not None
    rows = list(json_rows(path, str(path)))
    for at, row in enumerate(rows):
        if torn and at == len(rows) - 1:
            break
        if isinstance(row, Problem):
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
    """Where the last line begins if it has no end, so that what it says is owed again."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            at = size
            while at > 0:
                step = min(at, 4096)
                file.seek(at - step)
                found = file.read(step).rfind(b"\n")
                if found >= 0:
                    begins = at - step + found + 1
                    return None if begins == size else begins
                at -= step
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _refusal(path, error) from None
    return 0 if size else None


class LabelFile:
    """A file that labels are appended to: each is on the disk when `add` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Self:
        torn = _torn_at(self.path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab")
            if torn is not None:
                self._file.truncate(torn)
        except OSError as error:
            raise _refusal(self.path, error) from None
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, label: Label) -> None:
        """Append one label, durably."""
        line = label.model_dump_json(exclude_none=True).encode() + b"\n"
        self._file.write(line)
        self._file.flush()
        os.fsync(self._file.fileno())


def _refusal(path: Path, error: OSError) -> InputError:
    return InputError(
        f"{path}: {error.strerror or error}", hint="give a file that can be written: --output"
    )
