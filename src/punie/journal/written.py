"""Whether what punie wrote into an entry's folder still stands there as its record gives it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from pydantic import JsonValue

from punie.journal.canonical import key_line
from punie.journal.entry import sha256
from punie.journal.folder import ENTRY, JOURNAL, place_of
from punie.journal.reading import Entry
from punie.text import one_line

_QUOTED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What an entry's folder must hold, made anew from its record."""

    file: str
    """The record's name."""
    content: bytes
    """The record as it lies on disk."""
    id: str
    front: Mapping[str, JsonValue]
    results: str | None
    """The marked region; None where another punie wrote it and only its hash is known."""
    results_sha256: str
    charts: Mapping[str, bytes]
    """As far as this punie still draws them to the letter."""
    chart_hashes: Mapping[str, str]
    source: str
    """What the results are those of: `this run`."""


def check_place(entry: Entry, file: str, content: bytes, entry_id: str) -> None:
    """Note where a record lies in a folder that is not its own."""
    if entry_id != entry.id:
        what = f"is the record of {entry_id}, in the folder {entry.id}"
        entry.add(file, key_line(content, "entry"), what)
    elif not entry.folder.samefile(place_of(entry.root / JOURNAL, entry.id)):
        entry.add(file, 0, f"the entry lies in {entry.relative}, not in its year and month")


def check_written(entry: Entry, written: Written) -> None:
    """Note every difference of front matter, results and charts."""
    _check_front(entry, written)
    _check_results(entry, written)
    _check_charts(entry, written)


def _check_front(entry: Entry, written: Written) -> None:
    if entry.document is None:
        return
    front, expected = entry.document.front, written.front
    for key, value in expected.items():
        if key not in front:
            entry.add(ENTRY, 1, f"{key} is missing from the front matter")
        elif front[key].value != value:
            what = f"{key} is {front[key].value}, {written.file} gives {value}"
            entry.add(ENTRY, front[key].line, what)
    for key, found in front.items():
        if key not in expected:
            entry.add(ENTRY, found.line, f"{key} is not a key of the front matter")


def _check_results(entry: Entry, written: Written) -> None:
    if entry.document is None or entry.document.results is None:
        return
    found, first = entry.document.results, entry.document.results_line
    if written.results is None:
        # Written by another punie: the region is compared by the hash that the record keeps.
        if sha256("\n".join(found[1:-1]).encode()) != written.results_sha256:
            what = f"the results were edited: {written.file} has another hash of them"
            entry.add(ENTRY, first, what)
        return
    expected = ["", *written.results.split("\n"), ""]
    for line, what in _differences(found, expected, written):
        entry.add(ENTRY, first + line, what)
    if sha256(written.results.encode()) != written.results_sha256:
        line = key_line(written.content, "results_sha256")
        entry.add(
            written.file, line, f"results_sha256 is not that of the results of {written.source}"
        )


def _differences(
    found: Sequence[str], expected: Sequence[str], written: Written
) -> Iterator[tuple[int, str]]:
    matcher = SequenceMatcher(a=found, b=expected, autojunk=False)
    for kind, start, stop, other, other_stop in matcher.get_opcodes():
        if kind == "equal":
            continue
        for offset in range(max(stop - start, other_stop - other)):
            was = found[start + offset] if start + offset < stop else None
            should = expected[other + offset] if other + offset < other_stop else None
            line = min(start + offset, max(stop - 1, start))
            if was is None:
                yield line, f"missing from the results: {_quote(should)}"
            elif should is None:
                yield line, f"not in the results of {written.source}: {_quote(was)}"
            else:
                what = f"the results say {_quote(was)}, {written.file} gives {_quote(should)}"
                yield line, what


def _quote(line: str | None) -> str:
    return f"“{one_line(line or '', _QUOTED)}”"


def _check_charts(entry: Entry, written: Written) -> None:
    line = key_line(written.content, "charts")
    for name, chart in written.charts.items():
        if sha256(chart) != written.chart_hashes.get(name):
            entry.add(written.file, line, f"{name} is not the chart of {written.source}")
    for name, expected in written.chart_hashes.items():
        if "/" in name or name.startswith("."):
            entry.add(written.file, line, f"{name} is no chart's name")
            continue
        content = entry.read(name)
        if content is not None and sha256(content) != expected:
            entry.add(name, 0, f"was edited: {written.file} has another hash of it")
