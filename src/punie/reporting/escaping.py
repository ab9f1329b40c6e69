"""Text from outside made harmless in GitHub-flavoured markdown: pure functions.

Names, ids and goals may hold anything, and a model's answer is hostile. GitHub links mentions and
issue references after it has undone backslashes and entities, so a zero-width space parts them.
"""

import re
from collections.abc import Sequence

from punie.reporting.numbers import NOTHING
from punie.text import one_line, visible

LONGEST = 400
"""Characters of one line of prose; what is longer ends in an ellipsis."""

_IMAGE = re.compile(r"!\[([^\]\n]*)\](?:\([^)\n]*\)|\[[^\]\n]*\])")
_TAG = re.compile(r"<([A-Za-z/!?][^<>]*)>")
_OPEN_TAG = re.compile(r"<(?=[A-Za-z/!?])")

_SPECIAL = re.compile(r"://|\bwww\.|\bGH-(?=\d)|[\\`*_\[\]<>&|~#$@]", re.IGNORECASE)
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "$": "&#36;"}
_PART = "&#8203;"
_LIST_MARK = re.compile(r"^([-+=])|^(\d{1,9})([.)])")
_CODE_BREAKERS = re.compile(r"[`|\\]")


def defang(text: str) -> str:
    """Turn HTML tags into `⟨tag⟩` and images into `[image: text]`: readable, but inert anywhere."""
    text = _IMAGE.sub(r"[image: \1]", text)
    return _OPEN_TAG.sub("⟨", _TAG.sub(r"⟨\1⟩", text)).replace("-->", "--⟩")


def escape(text: str) -> str:
    """Write `text` as one line of prose, or one table cell, that shows exactly its characters."""
    line = one_line(text, LONGEST)
    escaped = _SPECIAL.sub(lambda match: _escaped(match, line), line)
    return _LIST_MARK.sub(lambda m: f"\\{m[1]}" if m[1] else f"{m[2]}\\{m[3]}", escaped)


def _escaped(match: re.Match[str], line: str) -> str:
    mark = match.group()
    before, after = line[: match.start()][-1:], line[match.end() :][:1]
    if len(mark) > 1:
        return f":{_PART}//" if mark == "://" else f"{mark}{_PART}"
    if mark in _ENTITIES:
        return _ENTITIES[mark]
    if mark == "@":
        return f"@{_PART}" if after.isalnum() or after == "_" else "@"
    if mark == "#":
        return f"\\#{_PART}" if after.isdigit() else "\\#"
    if mark == "_" and before.isalnum() and after.isalnum():
        return "_"
    return f"\\{mark}"


def code(text: str) -> str:
    """Write a name as a code span, or as escaped prose where it holds what would break one."""
    line = one_line(text, LONGEST)
    if not line:
        return NOTHING
    return escape(line) if _CODE_BREAKERS.search(line) else f"`{line}`"


def fence(text: str, language: str = "") -> str:
    """Write `text` as a fenced block that nothing inside can close, without HTML or images."""
    body = defang(visible(text)).rstrip("\n")
    longest = max((len(run) for run in re.findall(r"`+", body)), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}{language}\n{body}\n{ticks}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Write a table of cells that are already markdown; columns in `right` are flush right.

    Columns are padded, so that a reviewer can read the source.
    """
    widths = [max(3, *(len(row[at]) for row in [heads, *rows])) for at in range(len(heads))]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    rule = [
        f"{'-' * (width - 1)}:" if at in right else "-" * width for at, width in enumerate(widths)
    ]
    return "\n".join([line(heads), line(rule), *(line(row) for row in rows)])
