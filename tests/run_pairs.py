"""Two runs of a few prompts for the tests of comparisons: no model gave these answers."""

from collections.abc import Sequence
from typing import Any

from punie.analysis.compare import compare
from punie.analysis.pairing import How, arm_of, pair
from punie.records.comparison import Comparison
from punie.records.result import (
    Completion,
    Culprit,
    EvalFault,
    EvalResult,
    FaultKind,
    Outcome,
    Score,
)
from punie.records.run import ModelIdentity, Provenance, Run, RunStatus
from punie.records.suite import EvalPrompt, Message, Sampling
from punie.records.summary import Summary
from punie.records.trust import Checks

Rows = list[tuple[EvalPrompt, Outcome]]
FAULT = None
"""In a list of scores: the answer was lost."""
SMALL = Summary(
    score=None,
    passed=None,
    answered_rate=None,
    prompts=1,
    repeats=1,
    answered=1,
    unscored=0,
    faults=0,
    peak_memory_bytes=8_000_000_000,
)


def a_run(run_id: str = "base", **changed: Any) -> Run:
    """A finished run whose checks found nothing."""
    fields: dict[str, Any] = {
        "id": run_id,
        "created_at": "2026-11-21T10:00:00+00:00",
        "suite_name": "greenhouse",
        "suite_version": "1",
        "suite_hash": "e1" * 32,
        "suite_source": "data/suites/greenhouse.yaml",
        "model": ModelIdentity(name="small", backend="mlx", weights_hash="5b" * 32),
        "sampling": Sampling(),
        "concurrency": 1,
        "provenance": Provenance(hardware="2 cores, 24 GB", platform="Linux x86_64"),
        "status": RunStatus.DONE,
        "checks": Checks(),
        "summary": SMALL,
    }
    return Run(**{**fields, **changed})


def adapted(run_id: str = "current", **changed: Any) -> Run:
    """The same with an adapter."""
    model = a_run().model.model_copy(update={"adapter": "greenhouse", "adapter_hash": "a7" * 32})
    return a_run(run_id, **{"model": model, **changed})


def a_prompt(name: str, **changed: Any) -> EvalPrompt:
    """A prompt whose hash says its words."""
    words = changed.pop("words", name)
    fields: dict[str, Any] = {
        "id": name,
        "messages": (Message(role="user", content=words),),
        "hash": f"h-{words}",
    }
    return EvalPrompt(**{**fields, **changed})


def an_answer(
    prompt: EvalPrompt, score: float | None, *, repeat: int = 0, seconds: float = 1.0
) -> EvalResult:
    """An answer that scored so much; one below 1 has not passed."""
    culprit = Culprit.WRONG_ANSWER if score is not None and score < 1 else None
    scores = (
        (Score(scorer="exact", value=score, passed=score == 1, culprit=culprit),)
        if score is not None
        else ()
    )
    return EvalResult(
        prompt_id=prompt.id,
        prompt_hash=prompt.hash,
        repeat=repeat,
        completion=Completion(latency_s=seconds, first_token_s=seconds / 4, completion_tokens=10),
        scores=scores,
        score=score,
        passed=None if score is None else score == 1,
    )


def a_fault(prompt: EvalPrompt, *, repeat: int = 0) -> EvalFault:
    """An answer that was lost."""
    return EvalFault(
        prompt_id=prompt.id,
        prompt_hash=prompt.hash,
        repeat=repeat,
        kind=FaultKind.TIMEOUT,
        message="no answer within 120 s",
    )


def rows_of(scores: Sequence[float | None], *, seconds: float = 0.0, **changed: Any) -> Rows:
    """One prompt a score, `p000` and so on; `FAULT` is a lost answer. Without a time by default."""
    prompts = [a_prompt(f"p{at:03}", **changed) for at in range(len(scores))]
    return [
        (prompt, a_fault(prompt) if score is FAULT else an_answer(prompt, score, seconds=seconds))
        for prompt, score in zip(prompts, scores, strict=True)
    ]


def cells(both: int, gained: int, lost: int, neither: int) -> tuple[list[float], list[float]]:
    """Scores of the base and of the current run with these four counts."""
    base = [1.0] * both + [0.0] * gained + [1.0] * lost + [0.0] * neither
    current = [1.0] * both + [1.0] * gained + [0.0] * lost + [0.0] * neither
    return base, current


def compared(
    base: Rows,
    current: Rows,
    *,
    how: How = "paired",
    runs: tuple[Run, Run] | None = None,
    **changed: Any,
) -> Comparison:
    """Both runs' rows as a comparison."""
    before, after = runs or (a_run(), adapted())
    return compare(before, after, pair(arm_of(base), arm_of(current), how), **changed)
