"""`run.json`: what an entry keeps of its run, enough to recompute every number of the entry.

Its text is that of `punie.journal.canonical`, each prompt on a line of its own.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Self

from pydantic import Field, JsonValue, model_validator

from punie.journal.canonical import canonical_text, read_canonical
from punie.records.base import SCHEMA_VERSION, Record
from punie.records.expect import Expect
from punie.records.judgement import Judged, JudgeFault, JudgeFaultKind
from punie.records.result import (
    CallForm,
    Culprit,
    EvalFault,
    FaultKind,
    Outcome,
    ToolCall,
)
from punie.records.run import EvalReport, Run
from punie.records.suite import EvalPrompt, Message
from punie.records.summary import Summary
from punie.records.trust import Checks
from punie.reporting.privacy import Privacy
from punie.reporting.wording import http_status

_ROWS = "rows"

# Bounds within which the numbers of a run can be computed, whatever a file says.
_Share = Annotated[float, Field(ge=0, le=1)]
_Weight = Annotated[float, Field(ge=0, le=1e9)]
_Seconds = Annotated[float, Field(ge=0, le=1e9)]
_Count = Annotated[int, Field(ge=0, le=10**12)]


class Dataset(Record):
    """What an adapter was trained on: a name for people, SHA-256 of the content."""

    name: str
    hash: str


class EntryHead(Record):
    """What the front matter says beyond the run itself."""

    id: str
    date: str
    """UTC, ISO 8601, to the minute."""
    goal: str
    dataset: Dataset | None = None
    baseline: str | None = None
    """Id of the run that this one was compared with."""
    verdict: str
    supersedes: str | None = None
    """Id of the entry that this one replaces."""
    text: bool = False
    """Prompts and answers are kept."""


class Spoken(Record):
    """The words of one prompt, kept only where the project wants them in git."""

    messages: tuple[Message, ...]
    expect: Expect = Expect()
    answer: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    notes: tuple[str, ...] = ()
    """Each score's note, in the order of `scores`."""


class ScoreRow(Record):
    """What one scorer said."""

    scorer: str
    value: _Share
    passed: bool
    weight: Annotated[float, Field(gt=0, le=1e9)] = 1.0
    culprit: Culprit | None = None
    details: dict[str, JsonValue] = Field(default_factory=dict)
    """Without an entry's text only its numbers: words may be the model's."""


class JudgedRow(Record):
    """What the run's judge said of one answer: marks, or why there are none."""

    marks: dict[str, Annotated[int, Field(ge=0, le=100)]] = Field(default_factory=dict[str, int])
    fault: JudgeFaultKind | None = None
    reason: str = ""
    """Kept only with an entry's text."""
    answer_chars: _Count = 0
    repaired: bool = False
    cached: bool = False
    altered: bool = False
    clipped: bool = False
    asked: _Count = 1
    tokens_in: _Count | None = None
    tokens_out: _Count | None = None


class PromptRow(Record):
    """One outcome with its prompt's place in the suite. `fault` is set or the answer's fields."""

    id: str
    hash: str
    category: str = "general"
    role: str | None = None
    tags: tuple[str, ...] = ()
    group: str | None = None
    must_pass: bool = False
    weight: _Weight = 1.0
    repeat: _Count = 0
    attempts: _Count = 1
    failures: tuple[FaultKind, ...] = ()
    """Why the earlier requests for this prompt failed."""
    started_at: str = ""
    fault: FaultKind | None = None
    score: _Share | None = None
    passed: bool | None = None
    culprit: Culprit | None = None
    scores: tuple[ScoreRow, ...] = ()
    latency_s: _Seconds | None = None
    first_token_s: _Seconds | None = None
    prompt_tokens: _Count | None = None
    completion_tokens: _Count | None = None
    cached_tokens: _Count | None = None
    finish_reason: str = "stop"
    recovered: bool = False
    clipped: bool = False
    forms: tuple[CallForm, ...] = ()
    """How each tool call stood in the answer."""
    judged: JudgedRow | None = None
    spoken: Spoken | None = None

    @model_validator(mode="after")
    def _is_one_outcome(self) -> Self:
        answered = self.latency_s is not None
        if answered == (self.fault is not None):
            msg = "needs either an answer's latency_s or a fault"
            raise ValueError(msg)
        if self.fault and self.judged:
            msg = "has a fault, so nobody judged it"
            raise ValueError(msg)
        if self.fault and (self.scores or self.score is not None or self.passed is not None):
            msg = "has a fault, so it has no score"
            raise ValueError(msg)
        if self.spoken and answered and len(self.spoken.notes) != len(self.scores):
            msg = "needs a note for each score"
            raise ValueError(msg)
        return self

    def as_of(self, results_format: int) -> Self:
        """The row as a punie of this format kept it."""
        if results_format > 1:
            return self
        scores = tuple(each.model_copy(update={"details": {}}) for each in self.scores)
        since = ("failures", "started_at", "cached_tokens", "clipped", "forms")
        kept = {name: type(self).model_fields[name].default for name in since}
        return self.model_copy(update={**kept, "scores": scores})


class RunRecord(Record):
    """The content of `run.json`."""

    schema_version: int
    results_format: int
    """`RESULTS_FORMAT` of the punie that wrote the results."""
    results_sha256: str = ""
    """Of the marked region in entry.md, as UTF-8."""
    charts: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of each chart, by file name."""
    entry: EntryHead
    run: Run
    rows: tuple[PromptRow, ...]


def make_record(
    report: EvalReport,
    rows: Iterable[tuple[EvalPrompt, Outcome]],
    entry: EntryHead,
    *,
    results_format: int,
    privacy: Privacy,
    judged: Mapping[tuple[str, int], Judged] | None = None,
) -> RunRecord:
    """Keep a run without its words (unless `entry.text`), absolute paths and addresses.

    `judged` is what its judge said, by prompt and repeat. Without it the judge is left out: an
    entry holds no number that cannot be computed from its rows.
    """
    judged = judged or {}
    run = privacy.run(report.run)
    if not judged:
        run = run.model_copy(update={"judged": None})
    if run.summary:
        run = run.model_copy(update={"summary": _without_messages(run.summary)})
    if not entry.text:
        run = run.model_copy(update={"checks": _without_words(run.checks)})
    return RunRecord(
        schema_version=SCHEMA_VERSION,
        results_format=results_format,
        entry=entry,
        run=run,
        rows=tuple(
            make_row(
                prompt,
                outcome,
                text=entry.text,
                judged=judged.get((prompt.id, outcome.repeat)) if run.judged else None,
            )
            for prompt, outcome in rows
        ),
    )


def make_row(
    prompt: EvalPrompt, outcome: Outcome, *, text: bool, judged: Judged | None = None
) -> PromptRow:
    """One outcome as a row. A fault's message is left out: it names hosts and paths."""
    place: dict[str, Any] = {
        "id": prompt.id,
        "hash": outcome.prompt_hash,
        "category": prompt.category,
        "role": prompt.role,
        "tags": prompt.tags,
        "group": prompt.group,
        "must_pass": prompt.must_pass,
        "weight": prompt.weight,
        "repeat": outcome.repeat,
        "attempts": outcome.attempts,
        "failures": outcome.failures,
        "started_at": outcome.started_at,
    }
    if isinstance(outcome, EvalFault):
        spoken = Spoken(messages=prompt.messages, expect=prompt.expect) if text else None
        return PromptRow(**place, fault=outcome.kind, spoken=spoken)
    answer = outcome.completion
    spoken = Spoken(
        messages=prompt.messages,
        expect=prompt.expect,
        answer=answer.text,
        tool_calls=answer.tool_calls,
        notes=tuple(score.note for score in outcome.scores),
    )
    return PromptRow(
        **place,
        score=outcome.score,
        passed=outcome.passed,
        culprit=outcome.culprit,
        scores=tuple(
            ScoreRow(
                scorer=each.scorer,
                value=each.value,
                passed=each.passed,
                weight=each.weight,
                culprit=each.culprit,
                details=each.details if text else _numbers(each.details),
            )
            for each in outcome.scores
        ),
        latency_s=answer.latency_s,
        first_token_s=answer.first_token_s,
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.completion_tokens,
        cached_tokens=answer.cached_tokens,
        finish_reason=answer.finish_reason,
        recovered=answer.recovered,
        clipped=answer.clipped,
        forms=tuple(each.form for each in answer.tool_calls),
        judged=_judged_row(judged, text=text) if judged else None,
        spoken=spoken if text else None,
    )


def _judged_row(judged: Judged, *, text: bool) -> JudgedRow:
    """What a judge said, without its words: they may repeat the answer's."""
    place = judged.model_dump(include={"answer_chars", "altered", "clipped", "asked"})
    tokens = judged.model_dump(include={"tokens_in", "tokens_out"})
    if isinstance(judged, JudgeFault):
        return JudgedRow(**place, **tokens, fault=judged.kind)
    return JudgedRow(
        **place,
        **tokens,
        marks=judged.marks,
        reason=judged.reason if text else "",
        repaired=judged.repaired,
        cached=judged.cached,
    )


def _without_messages(summary: Summary) -> Summary:
    """The numbers with no more of a fault's message than its HTTP status: it names hosts, paths."""
    found = {kind: http_status(text) for kind, text in summary.fault_details.items()}
    details = {kind: status for kind, status in found.items() if status}
    return summary.model_copy(update={"fault_details": details})


def _numbers(details: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {key: value for key, value in details.items() if isinstance(value, int | float)}


def _without_words(checks: Checks | None) -> Checks | None:
    """Checks whose details are numbers alone: what was asked and answered stays out of git."""
    if checks is None:
        return None
    found = [
        each.model_copy(update={"details": _numbers(each.details)}) for each in checks.findings
    ]
    return checks.model_copy(update={"findings": tuple(found)})


def encode(record: RunRecord) -> bytes:
    """The one text of a record, UTF-8. A lone surrogate becomes a question mark."""
    return canonical_text(record, rows=_ROWS)


def decode(content: bytes) -> RunRecord:
    """Read a record. Raises RecordError with every problem."""
    return read_canonical(content, RunRecord, rows=_ROWS)
