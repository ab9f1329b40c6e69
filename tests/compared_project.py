"""A project with runs that can be compared: made-up answers in a real database."""

from pathlib import Path
from typing import Any

from punie.analysis.summary import Tally
from punie.records.expect import Exact, Expect
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
from punie.records.suite import EvalPrompt, EvalSuite, Message, Sampling, prompt_hash, suite_hash
from punie.store.runs import RunStore

WRONG = "wrong, says the model"


def a_suite(size: int, *, name: str = "desk", roles: tuple[str, ...] = ()) -> EvalSuite:
    """`size` prompts in two categories, each with one right answer."""
    prompts: list[EvalPrompt] = []
    for at in range(size):
        messages = (Message(role="user", content=f"What is {at} plus one?"),)
        expect = Expect(exact=Exact(values=(str(at + 1),)))
        prompts.append(
            EvalPrompt(
                id=f"{name}-{at:04}",
                messages=messages,
                expect=expect,
                category=("sums", "words")[at % 2],
                role=roles[at % len(roles)] if roles else None,
                hash=prompt_hash(messages, (), expect),
            )
        )
    whole = tuple(prompts)
    return EvalSuite(name=name, prompts=whole, hash=suite_hash(name, Sampling(), whole))


def outcome_of(prompt: EvalPrompt, mark: str, *, latency_s: float = 0.5) -> Outcome:
    """What a mark stands for: `1` right, `0` wrong, `x` a fault."""
    if mark == "x":
        return EvalFault(
            prompt_id=prompt.id,
            prompt_hash=prompt.hash,
            kind=FaultKind.TIMEOUT,
            message="no answer within 10 s",
        )
    right = mark == "1"
    expected = prompt.expect.exact
    assert expected is not None
    score = Score(
        scorer="exact",
        value=float(right),
        passed=right,
        culprit=None if right else Culprit.WRONG_ANSWER,
        note="expected the sum",
    )
    text = expected.values[0] if right else WRONG
    return EvalResult(
        prompt_id=prompt.id,
        prompt_hash=prompt.hash,
        started_at="2026-11-21T10:00:00.000Z",
        completion=Completion(text=text, latency_s=latency_s, completion_tokens=4),
        scores=(score,),
        score=float(right),
        passed=right,
    )


def add_run(
    project: Path,
    suite: EvalSuite,
    marks: str,
    *,
    run_id: str,
    model: str = "tiny",
    adapter: str | None = None,
    status: RunStatus = RunStatus.DONE,
    **head: Any,
) -> Run:
    """Keep a run whose answers are `marks`, one a prompt; what they do not reach was not asked."""
    identity = ModelIdentity(
        name=model,
        backend="mlx",
        weights_hash=f"weights of {model}",
        adapter=adapter,
        adapter_hash=f"adapter {adapter}" if adapter else None,
    )
    began = head.pop("created_at", f"2026-11-21T10:00:{len(run_id) % 60:02}.000Z")
    run = Run(
        id=run_id,
        created_at=began,
        suite_name=suite.name,
        suite_version=suite.version,
        suite_hash=suite.hash,
        suite_source="data/suites/desk.yaml",
        model=identity,
        sampling=suite.sampling,
        concurrency=1,
        provenance=Provenance(command=f"punie eval {suite.name}"),
        **head,
    )
    outcomes = [outcome_of(p, mark) for p, mark in zip(suite.prompts, marks, strict=False)]
    tally = Tally(suite.prompts)
    for prompt, outcome in zip(suite.prompts, outcomes, strict=False):
        tally.add(prompt, outcome)
    summary = tally.summary(wall_s=1.0, peak_memory_bytes=10**9)
    run = run.model_copy(update={"status": status, "summary": summary})
    with RunStore(project) as store:
        store.create(run, suite)
        store.add(run.id, outcomes)
    return run
