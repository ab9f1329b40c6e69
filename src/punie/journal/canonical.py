"""The one text of an entry's record: keys sorted, no spaces, each top-level key on its own line.

One of the keys may be a list, its rows: each of them has a line too. So a review shows what
changed, and a finding has a line.
"""

import json
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from punie.errors import JournalError
from punie.records.base import SCHEMA_VERSION, canonical_json

R = TypeVar("R", bound=BaseModel)


class RecordError(JournalError):
    """A file that is no record of an entry; `problems` are (line or 0, what)."""

    def __init__(self, problems: Sequence[tuple[int, str]]) -> None:
        super().__init__("; ".join(what for _, what in problems))
        self.problems = tuple(problems)


class _Version(BaseModel):
    schema_version: int


def canonical_text(record: BaseModel, *, rows: str = "") -> bytes:
    """Write a record as UTF-8. A lone surrogate becomes a question mark."""
    data = record.model_dump(mode="json", exclude_defaults=True)
    # A record without rows has an empty list, not no list.
    each = [canonical_json(row) for row in data.pop(rows, ())]
    parts = {key: canonical_json(value) for key, value in data.items()}
    if rows:
        parts[rows] = "[\n" + ",\n".join(each) + "\n]" if each else "[]"
    lines = ",\n".join(f"{json.dumps(key)}:{parts[key]}" for key in sorted(parts))
    return f"{{\n{lines}\n}}\n".encode("utf-8", "replace")


def read_canonical(content: bytes, kind: type[R], *, rows: str = "") -> R:
    """Read a record. Raises RecordError with every problem."""
    try:
        data: Any = json.loads(content.decode("utf-8"), parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise RecordError([(error.lineno, f"no JSON: {error.msg}")]) from error
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        raise RecordError([(0, f"no JSON: {error}")]) from error
    if not isinstance(data, dict):
        raise RecordError([(0, "should be a JSON object")])
    try:
        if (version := _Version.model_validate(data).schema_version) > SCHEMA_VERSION:
            raise RecordError([(0, f"written by a newer punie (schema {version}): upgrade punie")])
        return kind.model_validate(data)
    except ValidationError as error:
        raise RecordError([_problem(content, each, rows) for each in error.errors()]) from error


def key_line(content: bytes, key: str) -> int:
    """The line on which a top-level key stands in canonical text; 0 where it is not found."""
    start = json.dumps(key).encode() + b":"
    return next((n for n, text in enumerate(content.split(b"\n"), 1) if text.startswith(start)), 0)


def row_line(content: bytes, index: int, *, rows: str = "rows") -> int:
    """The line of a row in canonical text; 0 where the rows are not found."""
    line = key_line(content, rows)
    return line + 1 + index if line else 0


def _no_constant(name: str) -> None:
    msg = f"{name} is no number"
    raise ValueError(msg)


def _problem(content: bytes, error: Any, rows: str) -> tuple[int, str]:
    place: tuple[str | int, ...] = error["loc"]
    line = 0
    if len(place) > 1 and place[0] == rows and isinstance(place[1], int):
        line = row_line(content, place[1], rows=rows)
    elif place:
        line = key_line(content, str(place[0]))
    return line, f"{'.'.join(map(str, place))}: {error['msg']}"
