"""`entry.md` as text: front matter, the region that punie owns, and the person's prose.

Front matter is one `key: value` a line, each value in JSON, which is also YAML: GitHub and other
tools read it, and every value has its line. Lines end in a line feed alone.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

BEGIN = "<!-- punie:begin results -->"
END = "<!-- punie:end -->"
_RULE = "---"
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_BULLET = re.compile(r"^(?:[-*+]|\d+[.)]|#+|>)\s+")


@dataclass(frozen=True, slots=True)
class Field:
    """One value of the front matter and the line on which it stands."""

    line: int
    value: JsonValue


@dataclass(slots=True)
class Document:
    """An entry's text, taken apart. Lines count from 1; `problems` are (line, what)."""

    lines: list[str]
    front: dict[str, Field] = field(default_factory=dict[str, Field])
    results: list[str] | None = None
    results_line: int = 0
    """The line of the region's first line, or of the file's last where there is no region."""
    problems: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])


def front_matter(values: Mapping[str, JsonValue]) -> str:
    """Write the head of an entry."""
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    return "\n".join([_RULE, *lines, _RULE])


def region(results: str) -> str:
    """Mark the results as punie's."""
    return f"{BEGIN}\n\n{results}\n\n{END}"


def parse(text: str) -> Document:
    """Take an entry apart. What cannot be read is a problem, never an exception."""
    document = Document(lines=text.split("\n"))
    _read_front(document)
    _read_results(document)
    return document


def _read_front(document: Document) -> None:
    if document.lines[0] != _RULE:
        document.problems.append((1, "the front matter is missing: the first line must be ---"))
        return
    for number, line in enumerate(document.lines[1:], 2):
        if line == _RULE:
            return
        key, colon, value = line.partition(": ")
        if not colon:
            document.problems.append((number, "no `key: value` of the front matter"))
            continue
        if key in document.front:
            document.problems.append((number, f"{key} stands twice in the front matter"))
            continue
        try:
            document.front[key] = Field(number, json.loads(value))
        except (ValueError, RecursionError):
            document.problems.append((number, f"the value of {key} is no JSON"))
            document.front[key] = Field(number, value)
    document.problems.append((len(document.lines), "the front matter has no end: --- is missing"))


def _read_results(document: Document) -> None:
    begins = [n for n, line in enumerate(document.lines, 1) if line == BEGIN]
    ends = [n for n, line in enumerate(document.lines, 1) if line == END]
    document.results_line = len(document.lines)
    for marker, places in ((BEGIN, begins), (END, ends)):
        if not places:
            document.problems.append((len(document.lines), f"the line {marker} is missing"))
        document.problems += [(n, f"the line {marker} stands twice") for n in places[1:]]
    if begins and ends and begins[0] < ends[0]:
        document.results_line = begins[0] + 1
        document.results = document.lines[begins[0] : ends[0] - 1]
    elif begins and ends:
        document.problems.append((ends[0], f"{END} stands before {BEGIN}"))


def first_line_of(document: Document, section: str) -> str:
    """The first line of prose under `## SECTION`, without its list or heading mark; else ''."""
    heading = f"## {section}"
    if heading not in document.lines:
        return ""
    rest = document.lines[document.lines.index(heading) + 1 :]
    length = next((n for n, line in enumerate(rest) if line.startswith("## ")), len(rest))
    prose = _COMMENT.sub("", "\n".join(rest[:length]))
    line = next((line.strip() for line in prose.split("\n") if line.strip()), "")
    return _BULLET.sub("", line)
