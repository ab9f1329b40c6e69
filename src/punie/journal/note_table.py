"""The cumulative tables of comparisons, trainings and benchmarks: pure."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from punie.adapters.manifest import result_of
from punie.analysis.served_by import served_by
from punie.journal.benchmark import BenchmarkRecord
from punie.journal.comparison import ComparisonRecord
from punie.journal.document import first_line_of
from punie.journal.folder import ENTRY, place_of
from punie.journal.note import NoteRecord
from punie.journal.reading import Entry
from punie.journal.training import TrainingRecord
from punie.records.adapter import AdapterManifest, AdapterResult, LossPoint
from punie.records.benchmark import BenchmarkResult
from punie.records.run import Run
from punie.reporting import comparison_wording as words
from punie.reporting import numbers
from punie.reporting.escaping import code, escape, table
from punie.reporting.loss import sparkline
from punie.reporting.training_markdown import loss, result_words
from punie.text import one_line

NOTE_LENGTH = 160
_BLOCKS = 16
_TRAININGS = [
    "Step",
    "Adapter",
    "Base",
    "Data",
    "Steps",
    "Validation loss, lowest",
    "Loss",
    "s/iteration",
    "Peak memory",
    "Results, 95 % interval",
    "Notes",
    "Entry",
]
_BENCHMARKS = [
    "Step",
    "Model",
    "Shape",
    "s/iteration",
    "Peak memory",
    "Verdict",
    "Served, one at a time",
    "Hardware",
    "Notes",
    "Entry",
]


_COMPARISONS = [
    "Step",
    "Suite",
    "Base",
    "Current",
    "Difference, points",
    "In words",
    "Gate",
    "Decision",
    "Notes",
    "Entry",
]


class _Line(NamedTuple):
    entry: Entry
    note: NoteRecord
    replaced_by: str | None

    @property
    def step(self) -> str:
        goal = escape(self.note.entry.goal)
        return f"~~{goal}~~" if self.replaced_by else goal

    @property
    def notes(self) -> str:
        document = self.entry.document
        parts = [f"superseded by {code(self.replaced_by)}"] if self.replaced_by else []
        if conclusion := first_line_of(document, "Conclusion") if document else "":
            parts.append(escape(one_line(conclusion, NOTE_LENGTH)))
        return "; ".join(parts)

    @property
    def link(self) -> str:
        head = self.note.entry
        place = place_of(Path(), head.id).as_posix()
        return f"[{head.date[:10]} {head.date[11:16]}]({place}/{ENTRY})"


def note_sections(entries: Sequence[Entry], replaced: Mapping[str, str]) -> list[str]:
    """The tables of comparisons, trainings and benchmarks, newest first, where there are any.

    `entries` are the journal's, `replaced` gives for an entry the one that supersedes it. A
    training's results are those that it brought along and those of the runs' entries.
    """
    lines = [
        _Line(entry, entry.note, replaced.get(entry.id))
        for entry in sorted(entries, key=lambda each: each.id, reverse=True)
        if entry.note
    ]
    runs = [each.record.run for each in entries if each.record and each.id not in replaced]
    trainings = [
        _training(line, line.note.whole, runs)
        for line in lines
        if isinstance(line.note, TrainingRecord)
    ]
    benchmarks = [
        _benchmark(line, line.note) for line in lines if isinstance(line.note, BenchmarkRecord)
    ]
    comparisons = [
        _comparison(line, line.note) for line in lines if isinstance(line.note, ComparisonRecord)
    ]
    sections: list[str] = []
    if comparisons:
        sections.append(f"## Comparisons\n\n{table(_COMPARISONS, comparisons, right=(4,))}")
    if trainings:
        sections.append(f"## Trainings\n\n{table(_TRAININGS, trainings, right=(4, 7, 8))}")
    if benchmarks:
        sections.append(f"## Benchmarks\n\n{table(_BENCHMARKS, benchmarks, right=(3, 4))}")
    return sections


def _comparison(line: _Line, record: ComparisonRecord) -> list[str]:
    compared = record.compared
    first = compared.comparisons[0]
    base, current = words.titles(first)
    return [
        line.step,
        code(first.current.suite_name),
        escape(base),
        escape(current),
        words.difference(first.score),
        f"**{escape(words.word_of(first))}**",
        escape(words.gate_line(compared.gate)) if compared.gate else numbers.NOTHING,
        escape(compared.decision.action.value) if compared.decision else numbers.NOTHING,
        line.notes,
        line.link,
    ]


def _training(line: _Line, manifest: AdapterManifest, runs: Iterable[Run]) -> list[str]:
    training, data = manifest.training, manifest.data
    return [
        line.step,
        code(manifest.name),
        code(manifest.base.name),
        f"{code(data.name)} @{code(numbers.short_hash(data.hash))}",
        numbers.count(training.steps),
        _lowest(training.losses),
        _curve(training.losses),
        numbers.duration(training.seconds_per_iteration),
        numbers.byte_size(training.peak_memory_bytes),
        _results(manifest, runs),
        line.notes,
        line.link,
    ]


def _lowest(points: Iterable[LossPoint]) -> str:
    found = [(each.valid, each.step) for each in points if each.valid is not None]
    if not found:
        return numbers.NOTHING
    lowest, step = min(found)
    return f"{loss(lowest)} at {numbers.count(step)}"


def _curve(points: Iterable[LossPoint]) -> str:
    """The validation losses, or the training's where nothing was validated."""
    known = list(points)
    values = [each.valid for each in known if each.valid is not None]
    if len(values) < 2:
        values = [each.train for each in known if each.train is not None]
    return sparkline(values, _BLOCKS)


def _results(manifest: AdapterManifest, runs: Iterable[Run]) -> str:
    """Each suite's newest result on each backend, of the runs that measured these weights."""
    found = {each.run: each for each in manifest.results}
    found |= {
        run.id: result_of(run, manifest)
        for run in runs
        if run.model.adapter_hash == manifest.adapter_hash
    }
    newest: dict[tuple[str, str, str], AdapterResult] = {}
    for each in sorted(found.values(), key=lambda result: (result.created_at, result.run)):
        newest[each.suite, each.suite_hash, each.served_by] = each
    said = [f"{code(each.suite)} {result_words(each)}" for each in newest.values()]
    return "; ".join(said) or numbers.NOTHING


def _benchmark(line: _Line, record: BenchmarkRecord) -> list[str]:
    result = record.result
    measured, decision = result.training, result.decision
    return [
        line.step,
        code(result.model.name),
        escape(str(measured.shape)) if measured else numbers.NOTHING,
        numbers.duration(measured.seconds_per_iter) if measured else numbers.NOTHING,
        numbers.byte_size(measured.peak_memory_bytes if measured else None),
        escape(decision.pace.value) if decision else numbers.NOTHING,
        _served(record),
        _hardware(result),
        line.notes,
        line.link,
    ]


def _hardware(result: BenchmarkResult) -> str:
    """With the backend where it is not mlx: the seconds are its own."""
    told = [result.provenance.hardware]
    told += [served_by(result.model)] if result.model.backend != "mlx" else []
    return escape(", ".join(filter(None, told))) or numbers.NOTHING


def _served(record: BenchmarkRecord) -> str:
    """Speeds of one request at a time, of the shortest prompts."""
    cells = record.result.serving.cells if record.result.serving else ()
    alone = [each for each in cells if each.concurrency == 1 and each.generation_rate]
    if not alone:
        return numbers.NOTHING
    cell = min(alone, key=lambda each: each.prompt_tokens)
    generated = numbers.rate(cell.generation_rate.median if cell.generation_rate else None)
    read = f", prompt {numbers.rate(cell.prompt_rate.median)}" if cell.prompt_rate else ""
    return f"{generated}{read}"
