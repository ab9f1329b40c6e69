"""Checking an entry of a training or of a benchmark, and a training's against its adapter."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pydantic import JsonValue

from punie.analysis.pairing import arm_of
from punie.errors import ModelError
from punie.journal.benchmark import BenchmarkRecord, private_benchmark
from punie.journal.canonical import key_line, row_line
from punie.journal.comparison import ComparisonRecord
from punie.journal.entry import sha256
from punie.journal.folder import BENCHMARK, COMPARISON, TRAINING
from punie.journal.note import NoteKind, NoteRecord
from punie.journal.reading import Entry
from punie.journal.recompute import same
from punie.journal.record import RunRecord
from punie.journal.replay import rows_of
from punie.journal.side_row import ArmName, side_rows
from punie.journal.training import TrainingRecord, private
from punie.journal.written import Written, check_place, check_written
from punie.models.manifest import ADAPTERS, MANIFEST, read_manifest
from punie.records.adapter import AdapterManifest
from punie.records.benchmark import BenchmarkResult
from punie.records.result import Outcome
from punie.records.run import Run
from punie.records.suite import EvalPrompt

_FOLDERS = re.compile(r"[^\s'\"=:,]*[/\\]")


StoredBenchmark = Callable[[str], BenchmarkResult | None]
"""Gives a benchmark of the database by its id, None where the database does not have it."""


StoredRun = Callable[[str], tuple[Run, Iterable[tuple[EvalPrompt, Outcome]]] | None]
"""Gives a run of the database by its id, None where the database does not have it."""


def check_note(
    entry: Entry,
    kind: NoteKind[Any],
    *,
    current: bool,
    stored: StoredBenchmark | None,
    runs: StoredRun | None,
    recorded: Mapping[str, RunRecord],
) -> None:
    """Note everything in the entry that its record does not give.

    Where no later entry replaces it (`current`), a training is compared with its adapter's
    `punie.json`, a benchmark and the runs of a comparison with the database, where they are there;
    the runs also with the run.json of the journal's other entries, `recorded` by their ids.
    """
    record, content = entry.note, entry.note_json
    if record is None or content is None:
        return
    check_place(entry, kind.file, content, record.entry.id)
    if kind.encode(record) != content:
        entry.add(kind.file, 0, "is not in punie's canonical form, so it was edited")
    try:
        for doubt in kind.doubts(record):
            entry.add(kind.file, key_line(content, doubt.key), doubt.what)
        written = _written(kind, record, content)
    except (ArithmeticError, ValueError) as error:
        entry.add(kind.file, 0, f"its numbers cannot be computed: {error}")
        return
    check_written(entry, written)
    if current and isinstance(record, TrainingRecord):
        _check_adapter(entry, record, content)
    if current and isinstance(record, BenchmarkRecord) and stored:
        _check_benchmark(entry, record, content, stored)
    if current and isinstance(record, ComparisonRecord):
        if runs:
            _check_runs(entry, record, content, runs, "the database")
        _check_runs(entry, record, content, _recorded(record, recorded), "its run.json")


def _written(kind: NoteKind[Any], record: NoteRecord, content: bytes) -> Written:
    alike = record.results_format in kind.written_alike
    charts = kind.charts(record) if alike else {}
    return Written(
        file=kind.file,
        content=content,
        id=record.entry.id,
        front=kind.front_values(record, sha256(content)),
        results=kind.region(record) if alike else None,
        results_sha256=record.results_sha256,
        charts={name: chart.svg.encode() for name, chart in charts.items()},
        chart_hashes=record.charts,
        source=f"this {kind.noun}",
    )


def _check_adapter(entry: Entry, record: TrainingRecord, content: bytes) -> None:
    """Compare with `adapters/NAME/punie.json`, but for what was measured since."""
    place = f"{ADAPTERS}/{record.manifest.name}/{MANIFEST}"
    line = key_line(content, "manifest")
    if "/" in record.manifest.name or record.manifest.name.startswith("."):
        entry.add(TRAINING, line, f"{record.manifest.name} is no adapter's name")
        return
    try:
        found = read_manifest(entry.root / ADAPTERS / record.manifest.name)
    except ModelError as error:
        entry.warn(TRAINING, line, f"cannot be compared: {error.message}")
        return
    if found is None:
        return
    kept = record.whole
    alike = [
        getattr(kept, key) == getattr(found, key)
        for key in ("created_at", "weights_hash", "adapter_hash")
    ]
    if not any(alike):
        what = f"{place} is another adapter of this name by now: it is not compared"
        entry.warn(TRAINING, line, what)
        return
    ours, theirs = _comparable(kept), _comparable(private(found, entry.root))
    for path in sorted(ours.keys() | theirs.keys()):
        if not same(ours.get(path), theirs.get(path)):
            what = f"{path} is {ours.get(path)}, {place} has {theirs.get(path)}"
            key = "losses" if path.startswith("training.losses") else "manifest"
            entry.add(TRAINING, key_line(content, key), what)


def _check_benchmark(
    entry: Entry, record: BenchmarkRecord, content: bytes, stored: StoredBenchmark
) -> None:
    found = stored(record.result.id)
    if found is None:
        return
    line = key_line(content, "result")
    ours, theirs = _comparable(record.result), _comparable(private_benchmark(found, entry.root))
    for path in sorted(ours.keys() | theirs.keys()):
        if not same(ours.get(path), theirs.get(path)):
            what = f"{path} is {ours.get(path)}, the database has {theirs.get(path)}"
            entry.add(BENCHMARK, line, what)


def _recorded(record: ComparisonRecord, recorded: Mapping[str, RunRecord]) -> StoredRun:
    """The journal's own records of a comparison's runs, but those of before a resumption."""
    heads = {run.id: run for two in record.runs for run in (two.base, two.current)}

    def found(run_id: str) -> tuple[Run, Iterable[tuple[EvalPrompt, Outcome]]] | None:
        theirs = recorded.get(run_id)
        if theirs is None or len(theirs.run.incidents) != len(heads[run_id].incidents):
            return None
        return theirs.run, rows_of(theirs)

    return found


def _check_runs(
    entry: Entry, record: ComparisonRecord, content: bytes, runs: StoredRun, where: str
) -> None:
    """Compare each row of a comparison with what is kept of its runs elsewhere."""
    for number, two in enumerate(record.runs):
        arms: tuple[tuple[ArmName, Run], ...] = (("base", two.base), ("current", two.current))
        for name, run in arms:
            found = runs(run.id)
            if found is None:
                continue
            kept = {
                row.id: (index, row)
                for index, row in enumerate(record.rows)
                if (row.pair, row.arm) == (number, name)
            }
            for row in side_rows(number, name, arm_of(found[1])):
                index, ours = kept.pop(row.id, (None, None))
                if index is None:
                    what = f"prompt {row.id} of run {run.id} is missing"
                    entry.add(COMPARISON, key_line(content, "rows"), what)
                elif ours != row:
                    what = f"prompt {row.id} of run {run.id} differs from {where}"
                    entry.add(COMPARISON, row_line(content, index), what)
            for index, row in kept.values():
                what = f"prompt {row.id} of run {run.id} is not in {where}"
                entry.add(COMPARISON, row_line(content, index), what)


def _comparable(record: AdapterManifest | BenchmarkResult) -> dict[str, Any]:
    """Every value by its path, without results; of paths only the last part, as machines differ."""
    data: dict[str, Any] = record.model_dump(mode="json", exclude={"results"})
    return {path.removeprefix("."): _named(value) for path, value in _all(data)}


def _all(value: JsonValue, path: str = "") -> Iterator[tuple[str, JsonValue]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _all(each, f"{path}.{key}")
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _all(each, f"{path}[{index}]")
    else:
        yield path, value


def _named(value: JsonValue) -> JsonValue:
    return _FOLDERS.sub("", value) if isinstance(value, str) else value
