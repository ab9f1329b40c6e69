"""Checking the journal: each entry must say what its run says, and the table what they say.

Everything is recomputed from the entry's folder alone: scores from scorers, the summary from the
rows, front matter, results and charts from the summary. Prose is never looked at.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from punie.errors import Problem
from punie.journal.canonical import key_line, row_line
from punie.journal.charts import charts_of
from punie.journal.entry import front_values, plain_verdict, results_of, sha256
from punie.journal.folder import (
    ENTRY,
    JOURNAL,
    README,
    RUN,
    entry_folders,
    find_entry,
)
from punie.journal.note_check import StoredBenchmark, StoredRun, check_note
from punie.journal.reading import Entry, edits_of, read_entry
from punie.journal.record import RunRecord, make_row
from punie.journal.replay import report_of
from punie.journal.table import readme
from punie.journal.written import Written, check_place, check_written
from punie.records.run import Run
from punie.records.summary import Summary
from punie.records.trust import IncidentKind
from punie.reporting.markdown import WRITTEN_ALIKE


@dataclass(frozen=True, slots=True)
class JournalCheck:
    """What a check found. `warnings` are findings that do not fail it."""

    entries: tuple[str, ...]
    findings: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def check_journal(
    root: Path,
    entries: Sequence[str] = (),
    *,
    strict: bool = False,
    stored: StoredRun | None = None,
    benchmarks: StoredBenchmark | None = None,
) -> JournalCheck:
    """Check the named entries, or all of them and the table, and return every finding at once.

    A table that is not up to date is a warning unless `strict`: on a branch it may lag behind. With
    `stored` and `benchmarks`, what the database has is compared with it; an entry that another one
    supersedes is not, and one that a resumption outdated is a warning. Raises InputError for a name
    that is no entry.
    """
    whole = entry_folders(root / JOURNAL)
    read = [
        read_entry(root, folder)
        for folder in ([find_entry(root, name) for name in entries] if entries else whole)
    ]
    others = [read_entry(root, folder) for folder in whole] if entries else read
    superseded = {entry.supersedes for entry in others}
    recorded = {
        entry.record.run.id: entry.record
        for entry in others
        if entry.record is not None and entry.id not in superseded
    }
    for entry in read:
        current = entry.id not in superseded
        if entry.kind is None:
            _check_entry(entry, stored if current else None)
        else:
            check_note(
                entry,
                entry.kind,
                current=current,
                stored=benchmarks,
                runs=stored,
                recorded=recorded,
            )
    findings = [problem for entry in read for problem in entry.problems]
    warnings = [warning for entry in read for warning in entry.warnings]
    stale = [] if entries else list(_check_readme(root, read))
    return JournalCheck(
        entries=tuple(entry.id for entry in read),
        findings=(*findings, *(stale if strict else ())),
        warnings=(*warnings, *(() if strict else stale)),
    )


def _check_entry(entry: Entry, stored: StoredRun | None) -> None:
    record, content = entry.record, entry.run_json
    if record is None or content is None:
        return
    check_place(entry, RUN, content, record.entry.id)
    for line, what in edits_of(record, content):
        entry.add(RUN, line, what)
    if record.run.summary is None:
        return
    if record.entry.baseline is None:
        expected = plain_verdict(record.run.summary)
        if record.entry.verdict != expected:
            verdict = record.entry.verdict
            entry.add(
                RUN, key_line(content, "entry"), f"verdict is {verdict}, the run gives {expected}"
            )
    check_written(entry, _written(record, content))
    if stored:
        _check_stored(entry, record, stored)


def _written(record: RunRecord, content: bytes) -> Written:
    """What the record's entry must hold; of another punie's entry only hashes are known."""
    alike = record.results_format in WRITTEN_ALIKE
    charts = charts_of(report_of(record)) if alike else {}
    return Written(
        file=RUN,
        content=content,
        id=record.entry.id,
        front=front_values(record, sha256(content)),
        results=results_of(record) if alike else None,
        results_sha256=record.results_sha256,
        charts={name: chart.svg.encode() for name, chart in charts.items()},
        chart_hashes=record.charts,
        source="this run",
    )


def _check_stored(entry: Entry, record: RunRecord, stored: StoredRun) -> None:
    found = stored(record.run.id)
    if found is None:
        return
    run, rows = found
    content = entry.run_json or b""
    outdated = _resumptions(run) > _resumptions(record.run)
    if outdated:
        what = (
            f"outdated by a resumption of run {run.id}; to supersede it:"
            f" punie journal new GOAL --run {run.id} --supersedes {entry.id}"
        )
        entry.warn(RUN, key_line(content, "run"), what)
    elif _silent(run) != _silent(record.run):
        entry.add(
            RUN, key_line(content, "run"), f"run {run.id} has another summary in the database"
        )
    kept = {(row.id, row.repeat): index for index, row in enumerate(record.rows)}
    for prompt, outcome in rows:
        row = make_row(prompt, outcome, text=record.entry.text)
        row = row.as_of(record.results_format)
        index = kept.pop((row.id, row.repeat), None)
        if index is None:
            if not outdated:
                what = f"prompt {row.id} of the database is missing"
                entry.add(RUN, key_line(content, "rows"), what)
        elif outdated and record.rows[index].fault:
            continue  # asked again since
        elif record.rows[index].model_copy(update={"judged": None}) != row:
            entry.add(RUN, row_line(content, index), f"prompt {row.id} differs from the database")
    for (prompt_id, _), index in kept.items():
        entry.add(RUN, row_line(content, index), f"prompt {prompt_id} is not in the database")


def _silent(run: Run) -> Summary | None:
    """The numbers without what faults said, which an entry does not keep."""
    return run.summary and run.summary.model_copy(update={"fault_details": {}})


def _resumptions(run: Run) -> int:
    return sum(each.kind is IncidentKind.RESUMED for each in run.incidents)


def _check_readme(root: Path, entries: Sequence[Entry]) -> Iterator[Problem]:
    name = f"{JOURNAL}/{README}"
    path = root / JOURNAL / README
    if not entries and not path.exists():
        return
    ids = {entry.id for entry in entries}
    for entry in entries:
        replaced = entry.supersedes
        if replaced and replaced not in ids:
            what = f"supersedes {replaced}, which is not in this journal"
            yield Problem(f"{entry.relative}/{ENTRY}", 0, 0, "", what)
    try:
        found = path.read_text("utf-8").split("\n")
    except FileNotFoundError:
        yield Problem(name, 0, 0, "", "is missing: run punie journal render")
        return
    except (OSError, UnicodeDecodeError) as error:
        yield Problem(name, 0, 0, "", f"cannot be read: {error}")
        return
    expected = readme(entries).split("\n")
    if found != expected:
        pairs = enumerate(zip(found, expected, strict=False), 1)
        shorter = min(len(found), len(expected))
        line = next((n for n, (was, should) in pairs if was != should), shorter)
        yield Problem(name, line, 0, "", "is not up to date: run punie journal render")
