# pyright: reportUnknownMemberType=false
# (the stubs of yaml.parse leave its stream and its events untyped)
"""YAML as JSON data, with the place of every value, and a `Problem` for everything else.

The text is read as events of the parser (libyaml's where it is there), not through a loader: so the
depth is bounded before anything recurses, all duplicate keys are reported at once, and scalars
follow YAML 1.2's JSON schema. There `no`, `012`, `1:30` and `2026-11-21` are the texts that the
author wrote, where YAML 1.1 would have made them False, 10, 90 and a date.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import yaml

from punie.errors import Problem
from punie.reading import read_regular

MAX_BYTES = 32 * 1024 * 1024
MAX_DEPTH = 64
_AHEAD = 1000
"""Elements of a list whose places are looked up together, at least."""

DataPath = tuple[str | int, ...]
"""Keys and indices from the root of the data to a value."""

Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORDS: dict[str, bool | None] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


class NotReadableError(Exception):
    """The text cannot be read any further; `problem` says where and why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class _EnoughError(Exception):
    """All places that were asked for are known."""


class YamlSource:
    """One YAML document: its `data`, its `problems`, and the place of every value in it.

    Raises `NotReadableError` at the first thing that ends reading (syntax, depth, an alias).
    """

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._text = text
        self._keys: dict[DataPath, tuple[int, int]] | None = None
        self._values: dict[DataPath, tuple[int, int]] = {}
        self._complete = False
        self._enough: DataPath | None = None
        """Where looking up places may end."""
        self.data = self._read()

    def place(self, path: DataPath, *, key: bool = False) -> tuple[int, int]:
        """Give line and column (from 1) of the value at `path`, or of its key.

        What is not in the text (a missing key) stands where the mapping around it stands. Places
        are only computed when the first one is asked for: a good suite never pays for them, and one
        of many prompts only for those before its first problems.
        """
        if not self._is_placed(path):
            self._place_up_to(path)
        if key and self._keys and path in self._keys:
            return self._keys[path]
        while path and path not in self._values:
            path = path[:-1]
        return self._values.get(path, (1, 1))

    def problem(self, path: DataPath, what: str, *, key: bool = False) -> Problem:
        """Build a problem at the place of `path`."""
        return Problem(self.file, *self.place(path, key=key), path_text(path), what)

    def _is_placed(self, path: DataPath) -> bool:
        element = _element(path)
        return self._complete or (element is not None and _later(element, 1) in self._values)

    def _place_up_to(self, path: DataPath) -> None:
        """Read again, now with places, past the element of a list in which `path` stands."""
        self._keys, self._values = {}, {}
        element = _element(path)
        self._enough = _later(element, element[1] + _AHEAD) if element else None
        known, self.problems = self.problems, []
        try:
            self._read()
            self._complete = True
        except _EnoughError:
            pass
        self.problems = known

    def _read(self) -> Any:
        events = cast("Iterator[Any]", yaml.parse(self._text, Loader=Loader))
        try:
            next(events)  # the stream starts
            if isinstance(next(events), yaml.StreamEndEvent):
                raise NotReadableError(Problem(self.file, 1, 1, "", "the file is empty"))
            data = self._value(events, next(events), (), 0)
            next(events)  # the document ends
            following = next(events)
        except yaml.MarkedYAMLError as error:
            raise NotReadableError(self._syntax_problem(error)) from None
        except yaml.reader.ReaderError as error:
            # libyaml counts the bytes before the character, the Python parser the characters.
            before = self._text.encode()[: error.position].decode(errors="ignore")
            what = f"the character U+{int(error.character):04X} is not allowed in YAML"
            raise NotReadableError(Problem(self.file, *line_column(before), "", what)) from None
        if not isinstance(following, yaml.StreamEndEvent):
            where = _mark(following)
            what = "a second document starts here; a suite is one document"
            raise NotReadableError(Problem(self.file, *where, "", what))
        return data

    def _syntax_problem(self, error: yaml.MarkedYAMLError) -> Problem:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        what = ", ".join(part for part in (error.context, error.problem) if part)
        indentation = re.match(r"\s*", "".join(self._text.splitlines()[line - 1 : line]))
        if indentation and "\t" in indentation[0]:
            what += " (indent with spaces, not tabs)"
        return Problem(self.file, line, column, "", what)

    def _value(self, events: Iterator[Any], event: Any, path: DataPath, depth: int) -> Any:
        if self._keys is not None:
            self._values[path] = _mark(event)
            if path == self._enough:
                raise _EnoughError
        if isinstance(event, yaml.AliasEvent):
            what = "aliases (*name) are not supported: quote the text, or repeat the value"
            raise NotReadableError(Problem(self.file, *_mark(event), path_text(path), what))
        if event.anchor is not None or event.tag is not None:
            what = "anchors (&name) and tags (!name) are not supported: quote the text"
            raise NotReadableError(Problem(self.file, *_mark(event), path_text(path), what))
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        if depth >= MAX_DEPTH:
            what = f"is nested deeper than {MAX_DEPTH} levels"
            raise NotReadableError(Problem(self.file, *_mark(event), "", what))
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Any] = []
            while not isinstance(event := next(events), yaml.SequenceEndEvent):
                items.append(self._value(events, event, (*path, len(items)), depth + 1))
            return items
        return self._mapping(events, path, depth)

    def _mapping(self, events: Iterator[Any], path: DataPath, depth: int) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                what = "a key must be a plain text"
                raise NotReadableError(Problem(self.file, *_mark(event), path_text(path), what))
            key = str(event.value)
            here = (*path, key)
            if key in mapping:
                what = "this key stands here a second time"
                self.problems.append(Problem(self.file, *_mark(event), path_text(here), what))
            elif self._keys is not None:
                self._keys[here] = _mark(event)
            mapping[key] = self._value(events, next(events), here, depth + 1)
        return mapping

    def _scalar(self, event: yaml.ScalarEvent, path: DataPath) -> str | float | bool | None:
        text = str(event.value)
        if not event.implicit[0]:  # quoted, or a block
            return text
        if text in _WORDS:
            return _WORDS[text]
        match = _NUMBER.fullmatch(text)
        if match is None:
            return text
        number = number_of(text, whole=match[1] is None and match[2] is None)
        if number is None:
            what = "this number is too large"
            self.problems.append(Problem(self.file, *_mark(event), path_text(path), what))
        return number


def number_of(text: str, *, whole: bool) -> float | None:
    """Read a JSON number, or give None where it is beyond what a float or Python's int holds."""
    if whole:
        return int(text) if len(text) <= 4000 else None
    number = float(text)
    return number if abs(number) != float("inf") else None


def path_text(path: DataPath) -> str:
    """Write a path as people do: `prompts[3].expect.json`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def line_column(before: str) -> tuple[int, int]:
    """Give the place (from 1) that follows the text `before`."""
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def read_text(path: Path, file: str) -> str:
    """Read a file of at most `MAX_BYTES` as UTF-8, or raise `NotReadableError`."""
    try:
        raw = read_regular(path, MAX_BYTES)
    except OSError as error:
        raise NotReadableError(Problem(file, 0, 0, "", error.strerror or str(error))) from None
    return decoded(raw, file)


def decoded(raw: bytes, file: str, *, line: int = 1) -> str:
    """Decode UTF-8 without a byte order mark, or raise `NotReadableError` with the place."""
    if raw.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        what = "starts with a byte order mark: save the file as UTF-8 without one"
        raise NotReadableError(Problem(file, line, 1, "", what))
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        row, column = line_column(raw[: error.start].decode())
        what = f"byte 0x{raw[error.start]:02X} is not UTF-8: save the file as UTF-8"
        raise NotReadableError(Problem(file, line + row - 1, column, "", what)) from None


def _element(path: DataPath) -> tuple[str, int] | None:
    """Give the key and index of the top list's element in which `path` stands."""
    match path:
        case (str(key), int(index), *_):
            return key, index
        case _:
            return None


def _later(element: tuple[str, int], steps: int) -> DataPath:
    return element[0], element[1] + steps


def _mark(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1
