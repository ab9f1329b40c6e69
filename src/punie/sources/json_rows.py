"""The rows of a JSONL file, one at a time, each with the place of everything in it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from punie.errors import InputError, Problem
from punie.reading import open_regular
from punie.sources.yaml_source import (
    MAX_DEPTH,
    DataPath,
    NotReadableError,
    YamlSource,
    decoded,
    number_of,
    path_text,
)

MAX_ROW_BYTES = 8 * 1024 * 1024


class JsonRow:
    """One line of a JSONL file, parsed. Raises `NotReadableError` where it is no JSON."""

    def __init__(self, file: str, line: int, text: str) -> None:
        self.file = file
        self.line = line
        self.problems: list[Problem] = []
        self._text = text
        self.data = self._read()

    def problem(self, path: DataPath, what: str, *, key: bool = False) -> Problem:
        """Build a problem at the place of `path` in this row."""
        return Problem(self.file, self.line, self._column(path, key=key), path_text(path), what)

    def _column(self, path: DataPath, *, key: bool) -> int:
        # JSON is (nearly) YAML, whose parser knows places. What it refuses are escaped surrogates,
        # so escapes are blanked at the same width; a row it still refuses is pointed at as a whole.
        try:
            source = YamlSource(self.file, re.sub(r"\\u[0-9a-fA-F]{4}", "______", self._text))
        except NotReadableError:
            return 1
        return source.place(path, key=key)[1]

    def _read(self) -> Any:
        text = self._text
        if text.count("[") + text.count("{") > MAX_DEPTH:
            self._bound_depth()
        try:
            data = _decode(text, self)
        except json.JSONDecodeError as error:
            what = f"is no JSON: {error.msg[:1].lower()}{error.msg[1:]}"
            raise NotReadableError(Problem(self.file, self.line, error.pos + 1, "", what)) from None
        if "\\ud" in text.lower():
            self._refuse_half_characters(data)
        return data

    def _bound_depth(self) -> None:
        depth = 0
        for match in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', self._text):
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
            if depth > MAX_DEPTH:
                what = f"is nested deeper than {MAX_DEPTH} levels"
                place = (self.line, match.start() + 1)
                raise NotReadableError(Problem(self.file, *place, "", what))

    def _refuse_half_characters(self, data: Any) -> None:
        try:
            json.dumps(data, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            half = re.search(r"\\u[dD][89a-fA-F]", self._text)
            column = half.start() + 1 if half else 1
            what = "an escape is half of a surrogate pair, which is no character"
            raise NotReadableError(Problem(self.file, self.line, column, "", what)) from None


def json_inside(text: str) -> Any:
    """Parse JSON that stands in a text of a row, as a call's arguments; None where it is none."""
    try:
        row = JsonRow("", 1, text)
    except NotReadableError:
        return None
    return None if row.problems else row.data


def json_rows(path: Path, file: str) -> Iterator[JsonRow | Problem]:
    """Stream the rows of a JSONL file, or the problem of a line that is none; skip blank lines.

    Raises `InputError` where the file cannot be read.
    """
    try:
        with open_regular(path) as stream:
            for line in range(1, 2**63):
                raw = stream.readline(MAX_ROW_BYTES + 1)
                if not raw:
                    return
                if len(raw) > MAX_ROW_BYTES:
                    what = f"the line is longer than {MAX_ROW_BYTES // 2**20} MiB"
                    yield Problem(file, line, 1, "", what)
                    return
                if raw.isspace():
                    continue
                try:
                    yield JsonRow(file, line, decoded(raw, file, line=line).rstrip("\r\n"))
                except NotReadableError as error:
                    yield error.problem
    except OSError as error:
        raise InputError(
            f"{file}: {error.strerror or error}", hint="rows are JSON in a file, one object a line"
        ) from None


class _DoubtError(ValueError):
    """Something in the text has to be looked at more closely."""


def _decode(text: str, row: JsonRow) -> Any:
    try:
        return _SOUND.decode(text)
    except ValueError:
        return _decode_with_problems(text, row)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        raise _DoubtError
    return mapping


def _finite(spelling: str) -> float:
    value = number_of(spelling, whole=False)
    if value is None:
        raise _DoubtError
    return value


def _refuse(_: str) -> None:
    raise _DoubtError


_SOUND = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite, parse_constant=_refuse)
"""Reads nearly every row, fast; for the others it only says that something is wrong."""


def _decode_with_problems(text: str, row: JsonRow) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        mapping = dict(pairs)
        if len(mapping) < len(pairs):
            seen: set[str] = set()
            for key, _ in pairs:
                if key in seen:
                    row.problems.append(_repeated_key(row, text, key))
                seen.add(key)
        return mapping

    def constant(name: str) -> None:
        column = text.find(name) + 1
        row.problems.append(Problem(row.file, row.line, column, "", f"{name} is no JSON"))

    def number(spelling: str) -> float | None:
        value = number_of(spelling, whole=not set(spelling) & set(".eE"))
        if value is None:
            column = text.find(spelling) + 1
            row.problems.append(Problem(row.file, row.line, column, "", "this number is too large"))
        return value

    return json.loads(
        text,
        object_pairs_hook=unique,
        parse_constant=constant,
        parse_float=number,
        parse_int=number,
    )


def _repeated_key(row: JsonRow, text: str, key: str) -> Problem:
    spelled = re.escape(json.dumps(key, ensure_ascii=False)) + r"\s*:"
    places = [match.start() + 1 for match in re.finditer(spelled, text)]
    column = places[1] if len(places) > 1 else 1
    return Problem(row.file, row.line, column, key, "this key stands here a second time")
