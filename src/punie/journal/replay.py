"""From a run record back to a report: what results are written from and numbers recomputed from."""

from collections.abc import Collection, Iterator

from punie.journal.record import PromptRow, RunRecord
from punie.records.expect import Expect
from punie.records.judgement import Judged, JudgeFault, Judgement
from punie.records.result import (
    CallForm,
    Completion,
    EvalFault,
    EvalResult,
    Outcome,
    Score,
    ToolCall,
)
from punie.records.run import EvalReport
from punie.records.suite import EvalPrompt, EvalSuite


def prompt_of(row: PromptRow) -> EvalPrompt:
    """The prompt of a row, as far as the row knows it."""
    return EvalPrompt(
        id=row.id,
        hash=row.hash,
        category=row.category,
        role=row.role,
        tags=row.tags,
        group=row.group,
        must_pass=row.must_pass,
        weight=row.weight,
        messages=row.spoken.messages if row.spoken else (),
        expect=row.spoken.expect if row.spoken else Expect(),
    )


def outcome_of(row: PromptRow) -> Outcome:
    """The outcome of a row, as far as the row knows it."""
    if row.fault is not None:
        return EvalFault(
            prompt_id=row.id,
            prompt_hash=row.hash,
            repeat=row.repeat,
            attempts=row.attempts,
            failures=row.failures,
            started_at=row.started_at,
            kind=row.fault,
            message="",
        )
    notes = row.spoken.notes if row.spoken else ("",) * len(row.scores)
    return EvalResult(
        prompt_id=row.id,
        prompt_hash=row.hash,
        repeat=row.repeat,
        attempts=row.attempts,
        failures=row.failures,
        started_at=row.started_at,
        completion=Completion(
            text=row.spoken.answer if row.spoken else "",
            tool_calls=row.spoken.tool_calls if row.spoken else _wordless(row.forms),
            finish_reason=row.finish_reason,
            latency_s=row.latency_s or 0.0,
            first_token_s=row.first_token_s,
            prompt_tokens=row.prompt_tokens,
            completion_tokens=row.completion_tokens,
            cached_tokens=row.cached_tokens,
            recovered=row.recovered,
            clipped=row.clipped,
        ),
        scores=tuple(
            Score(
                scorer=each.scorer,
                value=each.value,
                passed=each.passed,
                weight=each.weight,
                culprit=each.culprit,
                note=note,
                details=each.details,
            )
            for each, note in zip(row.scores, notes, strict=True)
        ),
        score=row.score,
        passed=row.passed,
    )


def judged_of(row: PromptRow) -> Judged | None:
    """What the run's judge said of a row's answer, as far as the row knows it."""
    said = row.judged
    if said is None:
        return None
    place = {"prompt_id": row.id, "prompt_hash": row.hash, "repeat": row.repeat, "answer_hash": ""}
    told = said.model_dump(include={"answer_chars", "altered", "clipped", "asked"})
    tokens = said.model_dump(include={"tokens_in", "tokens_out"})
    if said.fault is not None:
        return JudgeFault(**place, **told, **tokens, kind=said.fault)
    return Judgement(
        **place,
        **told,
        **tokens,
        marks=said.marks,
        reason=said.reason,
        repaired=said.repaired,
        cached=said.cached,
    )


def _wordless(forms: tuple[CallForm, ...]) -> tuple[ToolCall, ...]:
    """Calls of which only the form is known."""
    return tuple(ToolCall(name="", arguments=None, form=form) for form in forms)


def rows_of(
    record: RunRecord, hashes: Collection[str] | None = None
) -> Iterator[tuple[EvalPrompt, Outcome]]:
    """Each row as its prompt and its outcome, in the record's order.

    With `hashes` only those of the prompts that have them.
    """
    for row in record.rows:
        if hashes is None or row.hash in hashes:
            yield prompt_of(row), outcome_of(row)


def report_of(record: RunRecord) -> EvalReport:
    """The report that an entry's results are written from."""
    prompts = {row.id: prompt_of(row) for row in record.rows}
    suite = EvalSuite(
        name=record.run.suite_name,
        version=record.run.suite_version,
        hash=record.run.suite_hash,
        source=record.run.suite_source,
        prompts=tuple(prompts.values()),
    )
    return EvalReport(
        run=record.run, suite=suite, outcomes=tuple(outcome_of(row) for row in record.rows)
    )
