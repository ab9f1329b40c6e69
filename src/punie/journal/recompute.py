"""Every number of a run record, computed again from its rows."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import JsonValue

from punie.analysis.judged import judge_summary
from punie.analysis.summary import Tally
from punie.journal.record import PromptRow, RunRecord
from punie.journal.replay import judged_of, outcome_of, prompt_of
from punie.records.judgement import Dimension, Judgement, JudgeSummary
from punie.records.result import EvalFault
from punie.records.summary import Summary
from punie.scoring.score import overall

TOLERANCE = 1e-9
"""Relative and absolute: sums in another order differ in their last digits."""

_MEASURED = frozenset({"wall_s", "peak_memory_bytes", "cost", "fault_details"})
"""What is not in the rows: the clock, the memory, prices and messages that no record holds."""
_SLICES = ("categories", "roles", "tags")


class RowProblem(NamedTuple):
    """`row` is an index into the rows, None for the run's summary."""

    row: int | None
    what: str


def problems_of(record: RunRecord) -> list[RowProblem]:
    """What in a record does not follow from its rows."""
    return [*_rows(record.rows), *_summary(record), *_judged(record)]


def _rows(rows: tuple[PromptRow, ...]) -> Iterator[RowProblem]:
    seen: set[tuple[str, int]] = set()
    prompts: dict[str, dict[str, JsonValue]] = {}
    for index, row in enumerate(rows):
        if (row.id, row.repeat) in seen:
            yield RowProblem(index, f"repeat {row.repeat} of prompt {row.id} stands twice")
        seen.add((row.id, row.repeat))
        place = row.model_dump(
            mode="json",
            include={"hash", "category", "role", "tags", "group", "must_pass", "weight"},
        )
        if prompts.setdefault(row.id, place) != place:
            yield RowProblem(index, f"prompt {row.id} differs between its repeats")
        yield from (RowProblem(index, f"prompt {row.id}: {what}") for what in _row(row))


def _row(row: PromptRow) -> Iterator[str]:
    outcome = outcome_of(row)
    if isinstance(outcome, EvalFault):
        return
    score, passed = overall(outcome.scores) or (None, None)
    if not same(row.score, score):
        yield f"score is {row.score}, its scorers give {score}"
    if row.passed is not passed:
        yield f"passed is {row.passed}, its scorers give {passed}"
    if row.culprit is not outcome.culprit:
        yield f"culprit is {row.culprit}, its scorers give {outcome.culprit}"


def _summary(record: RunRecord) -> Iterator[RowProblem]:
    stated = record.run.summary
    if stated is None:
        yield RowProblem(None, "the run has no summary")
        return
    try:
        computed = summary_of(record, stated)
    except (ArithmeticError, ValueError) as error:
        yield RowProblem(None, f"its numbers cannot be computed: {error}")
        return
    found, expected = _comparable(stated), _comparable(computed)
    for path in sorted(found.keys() | expected.keys()):
        if not same(found.get(path), expected.get(path)):
            yield RowProblem(
                None, f"{path} is {found.get(path)}, the rows give {expected.get(path)}"
            )


def _judged(record: RunRecord) -> Iterator[RowProblem]:
    """What the judge's numbers do not share with the marks in the rows."""
    stated = record.run.judged
    pairs = [
        (index, row, said)
        for index, row in enumerate(record.rows)
        if (said := judged_of(row)) is not None
    ]
    if stated is None:
        yield from (RowProblem(index, f"prompt {r.id}: nobody judged") for index, r, _ in pairs)
        return
    names = {each.name: each for each in stated.rubric.dimensions}
    for index, row, said in pairs:
        if isinstance(said, Judgement) and not _fits(said.marks, names):
            yield RowProblem(index, f"prompt {row.id}: its marks are none of the rubric's")
            return
    computed = judge_summary(
        [(prompt_of(row), said) for _, row, said in pairs],
        judge=stated.judge,
        rubric=stated.rubric,
        answers=sum(row.fault is None for row in record.rows),
        unmarked=[prompt_of(row) for row in record.rows if judged_of(row) is None],
        family=stated.family,
        calibrated=stated.calibrated,
    ).model_copy(update={"cost": stated.cost})
    found, expected = (
        dict(_flat("judged", {**each.model_dump(mode="json"), "dimensions": _by_name(each)}))
        for each in (stated, computed)
    )
    for path in sorted(found.keys() | expected.keys()):
        if not same(found.get(path), expected.get(path)):
            yield RowProblem(
                None, f"{path} is {found.get(path)}, the rows give {expected.get(path)}"
            )


def _fits(marks: dict[str, int], dimensions: dict[str, Dimension]) -> bool:
    return marks.keys() == dimensions.keys() and all(
        dimensions[name].lowest <= mark <= dimensions[name].highest for name, mark in marks.items()
    )


def _by_name(summary: JudgeSummary) -> dict[str, JsonValue]:
    return {each.name: each.model_dump(mode="json") for each in summary.dimensions}


def summary_of(record: RunRecord, stated: Summary) -> Summary:
    """The summary of a record's rows; wall time, memory and cost are taken from `stated`."""
    tally = Tally()
    for row in record.rows:
        tally.add(prompt_of(row), outcome_of(row))
    computed = tally.summary(wall_s=stated.wall_s, peak_memory_bytes=stated.peak_memory_bytes)
    return computed.model_copy(update={"cost": stated.cost})


def _comparable(summary: Summary) -> dict[str, Any]:
    """Every value of a summary by its path. Slices are keyed by name: their order is free."""
    data: dict[str, Any] = summary.model_dump(mode="json", exclude=set(_MEASURED))
    for key in _SLICES:
        data[key] = {each["name"]: each for each in data[key]}
    return dict(_flat("summary", data))


def _flat(path: str, value: JsonValue) -> Iterator[tuple[str, JsonValue]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _flat(f"{path}.{key}", each)
    else:
        yield path, value


def same(found: Any, expected: Any) -> bool:
    """Whether two values agree; numbers but for what another order of a sum changes."""
    if isinstance(found, float) or isinstance(expected, float):
        return (
            found is not None
            and expected is not None
            and math.isclose(found, expected, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
        )
    return found == expected
