"""A run as JSON, JSONL or CSV, written piece by piece so that a long run needs no memory."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator

from punie.analysis.served_by import served_by
from punie.errors import InputError
from punie.records.result import EvalResult
from punie.records.run import Run
from punie.store.runs import Row
from punie.text import inert_json, visible

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet would run; a quote before it keeps it text."""
CSV_COLUMNS = (
    "run", "suite", "model", "adapter", "served_by", "prompt", "repeat", "category", "role", "tags",
    "status", "score", "passed", "culprit", "note", "fault", "attempts", "asked_again", "latency_s",
    "first_token_s", "prompt_tokens", "completion_tokens", "finish_reason", "prompt_hash",
    "answer",
)  # fmt: skip


def as_json(run: Run, rows: Iterable[Row]) -> Iterator[str]:
    """One object: the run's head and all its outcomes."""
    yield f'{{"run": {inert_json(run.model_dump_json())}, "outcomes": ['
    for position, row in enumerate(rows):
        yield (",\n" if position else "\n") + _json_line(run, row)
    yield "\n]}\n"


def as_jsonl(run: Run, rows: Iterable[Row]) -> Iterator[str]:
    """One outcome a line, each with the names of its run, suite and model."""
    for row in rows:
        yield _json_line(run, row) + "\n"


def as_csv(run: Run, rows: Iterable[Row]) -> Iterator[str]:
    """One outcome a line, without nested values."""
    yield _csv_line(CSV_COLUMNS)
    for row in rows:
        flat = _flat(run, row)
        flat["tags"] = " ".join(row[0].tags)
        flat["asked_again"] = ", ".join(kind.value for kind in row[1].failures)
        yield _csv_line([_safe_cell(flat.get(column)) for column in CSV_COLUMNS])


FORMATS: dict[str, Callable[[Run, Iterable[Row]], Iterator[str]]] = {
    "json": as_json,
    "jsonl": as_jsonl,
    "csv": as_csv,
}


def format_of(name: str) -> str:
    """The format that a file's ending asks for. Raises InputError for any other."""
    ending = name.rpartition(".")[2].lower()
    if ending not in FORMATS:
        raise InputError(
            f"{name}: results are written as {', '.join(FORMATS)}",
            hint="end the file's name in .jsonl, .json or .csv",
        )
    return ending


def _json_line(run: Run, row: Row) -> str:
    return inert_json(json.dumps(_flat(run, row), ensure_ascii=False))


def _flat(run: Run, row: Row) -> dict[str, object]:
    prompt, outcome = row
    flat: dict[str, object] = {
        "run": run.id,
        "suite": run.suite_name,
        "model": run.model.name,
        "adapter": run.model.adapter,
        "served_by": served_by(run.model),
        "prompt": prompt.id,
        "repeat": outcome.repeat,
        "category": prompt.category,
        "role": prompt.role,
        "tags": list(prompt.tags),
        "prompt_hash": prompt.hash,
        "attempts": outcome.attempts,
        "failures": [kind.value for kind in outcome.failures],
        "started_at": outcome.started_at,
    }
    if not isinstance(outcome, EvalResult):
        return flat | {
            "status": "fault",
            "fault": outcome.kind.value,
            "note": outcome.message,
            "elapsed_s": outcome.elapsed_s,
        }
    completion = outcome.completion
    status = {True: "passed", False: "failed", None: "unscored"}[outcome.passed]
    return flat | {
        "status": status,
        "score": outcome.score,
        "passed": outcome.passed,
        "culprit": outcome.culprit.value if outcome.culprit else None,
        "note": next((s.note for s in outcome.scores if s.note and not s.passed), ""),
        "scores": [score.model_dump(mode="json") for score in outcome.scores],
        "latency_s": completion.latency_s,
        "first_token_s": completion.first_token_s,
        "prompt_tokens": completion.prompt_tokens,
        "completion_tokens": completion.completion_tokens,
        "finish_reason": completion.finish_reason,
        "recovered": completion.recovered,
        "answer": completion.text,
        "reasoning": completion.reasoning,
        "tool_calls": [call.model_dump(mode="json") for call in completion.tool_calls],
    }


def _csv_line(cells: Iterable[object]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()


def _safe_cell(value: object) -> object:
    if isinstance(value, str):
        # What a spreadsheet would run is looked for before it is made visible.
        return f"'{visible(value)}" if value.startswith(FORMULA_STARTS) else visible(value)
    return "" if value is None else value
