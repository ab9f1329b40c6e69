"""`journal/README.md`: the cumulative table, derived from the entries' files and nothing else."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from punie.analysis.served_by import served_alike, served_by
from punie.errors import InputError, JournalError
from punie.journal.document import first_line_of
from punie.journal.folder import ENTRY, JOURNAL, README, entry_folders, place_of, replace_readme
from punie.journal.note_table import NOTE_LENGTH, note_sections
from punie.journal.reading import Entry, read_entry
from punie.journal.record import RunRecord
from punie.records.run import ModelIdentity
from punie.records.summary import Summary
from punie.reporting import numbers
from punie.reporting.escaping import code, escape, table
from punie.reporting.markdown import sparkline
from punie.reporting.wording import decided_part
from punie.text import one_line

GENERATED = "<!-- Written by `punie journal render`: what is edited here is lost. -->"


@dataclass(frozen=True, slots=True)
class _Step:
    """One line of the table."""

    record: RunRecord
    conclusion: str
    superseded_by: str | None

    @property
    def summary(self) -> Summary | None:
        return self.record.run.summary


def render_journal(root: Path) -> Path:
    """Write `journal/README.md` from the entries and return its path.

    Raises JournalError where an entry cannot be read, InputError where a README stands there that
    punie did not write, and StoreError where it cannot be written.
    """
    path = root / JOURNAL / README
    if path.exists() and not is_generated(path):
        raise InputError(
            f"{JOURNAL}/{README} was not written by punie",
            hint="rename it; the table of the journal takes its place",
        )
    entries = [read_entry(root, folder) for folder in entry_folders(root / JOURNAL)]
    if problems := [each for entry in entries for each in entry.problems]:
        raise JournalError(
            "\n".join(str(problem) for problem in problems),
            hint="restore these files from git: entries are never edited",
        )
    return replace_readme(root, readme(entries).encode())


def is_generated(path: Path) -> bool:
    """Whether a README begins with punie's mark."""
    with path.open("rb") as file:
        return file.read(len(GENERATED.encode())) == GENERATED.encode()


def readme(entries: Iterable[Entry]) -> str:
    """The cumulative tables, one per suite, of trainings and of benchmarks, newest first: pure.

    Entries without a readable record are left out.
    """
    found = [entry for entry in entries if entry.record or entry.note]
    replaced = {entry.supersedes: entry.id for entry in found if entry.supersedes}
    suites: dict[str, list[_Step]] = {}
    for entry in sorted(found, key=lambda each: each.id, reverse=True):
        if entry.record is None:
            continue
        conclusion = first_line_of(entry.document, "Conclusion") if entry.document else ""
        step = _Step(entry.record, conclusion, replaced.get(entry.id))
        suites.setdefault(entry.record.run.suite_name, []).append(step)
    entries_said = numbers.counted(len(found), "entry", "entries")
    intro = f"{entries_said}, newest first." if found else "No entry yet: `punie journal new GOAL`."
    sections = [_section(name, steps) for name, steps in suites.items()]
    notes = note_sections(found, replaced)
    return "\n\n".join([GENERATED, "# Experiment journal", intro, *sections, *notes]) + "\n"


def _section(name: str, steps: Sequence[_Step]) -> str:
    several = len({step.record.run.suite_hash for step in steps}) > 1
    categories = list(
        dict.fromkeys(
            each.name for step in steps if step.summary for each in step.summary.categories
        )
    )
    heads = ["Step", "Dataset", "Adapter", "Overall", "95 % interval"]
    right = [3, 4, *range(5, 5 + len(categories))]
    heads += [*map(escape, categories), "Notes", "Run"]
    served = len({served_by(step.record.run.model) for step in steps}) > 1
    rows = [_row(step, categories, several=several, served=served) for step in steps]
    parts = [f"## {escape(name)}", _trend(steps), table(heads, rows, right=right)]
    return "\n\n".join(part for part in parts if part)


def _trend(steps: Sequence[_Step]) -> str:
    """Scores of the newest form of the suite, where there are at least two that were served alike.

    A line for each way of serving: what changes with the backend is no progress of the model.
    """
    newest = steps[0].record.run.suite_hash
    scores: dict[ModelIdentity, list[float]] = {}
    for step in reversed(steps):
        run, summary = step.record.run, step.summary
        counts = run.suite_hash == newest and not step.superseded_by
        counts = counts and run.decided_after is None  # else a part of the suite
        if counts and summary and summary.score:
            how = next((each for each in scores if served_alike(each, run.model)), run.model)
            scores.setdefault(how, []).append(summary.score.value)
    several = len(scores) > 1
    return "\n\n".join(
        f"Overall{f' on {escape(served_by(how))}' if several else ''}, oldest to newest: "
        f"{sparkline(values)}"
        for how, values in scores.items()
        if len(values) > 1
    )


def _row(step: _Step, categories: Sequence[str], *, several: bool, served: bool) -> list[str]:
    entry, run, summary = step.record.entry, step.record.run, step.summary
    score = summary.score if summary else None
    goal = escape(entry.goal)
    link = f"{place_of(Path(), entry.id).as_posix()}/{ENTRY}"
    means = {
        each.name: each.score.value
        for each in (summary.categories if summary else ())
        if each.score
    }
    return [
        f"~~{goal}~~" if step.superseded_by else goal,
        code(entry.dataset.name) if entry.dataset else "—",
        code(run.model.adapter) if run.model.adapter else "—",
        numbers.percent(score.value if score else None),
        numbers.interval(score),
        *(numbers.percent(means.get(name)) for name in categories),
        _notes(step, several=several, served=served),
        f"[{entry.date[:10]} {entry.date[11:16]}]({link})",
    ]


def _notes(step: _Step, *, several: bool, served: bool) -> str:
    run = step.record.run
    # What stands behind somebody's URL may well have been trained.
    base = run.model.adapter is None and run.model.backend != "endpoint"
    parts = [code(run.model.name) + (" untrained" if base else "")]
    if served:
        parts.append(escape(served_by(run.model)))
    if step.summary and (part := decided_part(run, step.summary)):
        parts.append(part)
    if several:
        parts.append(
            f"suite {escape(run.suite_version)} @{code(numbers.short_hash(run.suite_hash))}"
        )
    if step.record.entry.verdict != "measured":
        parts.append(f"**{escape(step.record.entry.verdict)}**")
    if step.superseded_by:
        parts.append(f"superseded by {code(step.superseded_by)}")
    if step.conclusion:
        parts.append(escape(one_line(step.conclusion, NOTE_LENGTH)))
    return "; ".join(parts)
