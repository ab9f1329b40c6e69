"""A run with everything in it: repeats, faults, roles, tags, must-pass, hostile names and text."""

from collections.abc import Sequence
from typing import Any

from punie.analysis.summary import Tally
from punie.records.expect import Exact, Expect, ExpectedCall, ToolCalls
from punie.records.result import (
    Completion,
    Culprit,
    EvalFault,
    EvalResult,
    FaultKind,
    Outcome,
    Score,
    ToolCall,
)
from punie.records.run import EvalReport, ModelIdentity, Provenance, Run, RunStatus
from punie.records.suite import EvalPrompt, EvalSuite, Message, Sampling
from punie.records.trust import Checks, Finding, Incident, IncidentKind, Level

Row = tuple[EvalPrompt, Outcome]

HOSTILE = "```\n````\n<img src=x onerror=alert(1)>\n![p](http://evil.example/p.png) @octocat #1 | x"


def prompts() -> list[EvalPrompt]:
    four = Expect(exact=Exact(values=("4",)))

    def one(
        name: str,
        said: str = "What is 2 + 2?",
        *,
        category: str = "reasoning",
        expect: Expect = four,
        **more: Any,
    ) -> EvalPrompt:
        return EvalPrompt(
            id=name,
            hash=f"{len(name):064x}",
            messages=(Message(role="user", content=said),),
            category=category,
            expect=expect,
            **more,
        )

    weather = Expect(tool_calls=ToolCalls(calls=(ExpectedCall(name="weather"),)))
    return [
        one("sum", role="coder", tags=("easy",)),
        one("pipe|id", role="coder", weight=2.0),
        one("hostile", HOSTILE, category="code_generation", role="tester", must_pass=True),
        one("weather", "Weather in Oslo?", category="tool_calling", group="w", expect=weather),
        one("lost", role="tester", tags=("easy", "late")),
    ]


def answer(
    prompt: EvalPrompt,
    value: float,
    repeat: int = 0,
    *,
    text: str = "4",
    culprit: Culprit = Culprit.WRONG_ANSWER,
    **more: Any,
) -> EvalResult:
    score = Score(
        scorer="exact",
        value=value,
        passed=value == 1,
        culprit=None if value == 1 else culprit,
        note="" if value == 1 else "expected 4, found <b>5</b>",
    )
    return EvalResult(
        prompt_id=prompt.id,
        prompt_hash=prompt.hash,
        repeat=repeat,
        completion=Completion(
            text=text,
            latency_s=0.25 + repeat + len(prompt.id) / 10,
            first_token_s=0.1,
            prompt_tokens=20,
            completion_tokens=5,
            **more,
        ),
        scores=(score,),
        score=value,
        passed=value == 1,
    )


def on_a_second_try(result: EvalResult) -> EvalResult:
    return result.model_copy(
        update={
            "attempts": 2,
            "failures": (FaultKind.SERVER_DIED,),
            "started_at": "2026-11-21T01:51:30+00:00",
        }
    )


CHECKS = Checks(
    findings=(
        Finding(
            name="seed",
            level=Level.WARNING,
            sentence=f"The same seed gave two answers: {HOSTILE.replace('octocat', 'mallory')}",
            consequence="Small differences mean nothing.",
            details={"asked": 2, "first": HOSTILE},
        ),
        Finding(name="pipe|name", level=Level.NOTE, sentence="/home/jane/m.gguf has no tools."),
        Finding(name="context", level=Level.OK, sentence="All prompts fit."),
    ),
    seconds=1.5,
)
INCIDENTS = (
    Incident(
        at="2026-11-21T01:51:00+00:00",
        kind=IncidentKind.RESTARTED,
        what="Killed (exit -9); gpu-box.lan:8000 at http://10.0.0.7/v1 said | /var/log/jane/x.log",
    ),
)


def rows(*, text: str = HOSTILE) -> list[Row]:
    total, pipe, hostile, weather, lost = prompts()
    missed = Culprit.NOT_CALLED
    where = "http://192.168.1.5/ at /home/jane/x"
    fault = EvalFault(
        prompt_id="lost", prompt_hash=lost.hash, kind=FaultKind.TIMEOUT, message=where
    )
    call = ToolCall(name="get_weather", arguments={"city": "Oslo"})
    return [
        (total, answer(total, 1)),
        (total, answer(total, 1, 1)),
        (pipe, answer(pipe, 0, text="5")),
        (pipe, answer(pipe, 1, 1)),
        (hostile, answer(hostile, 0, text=text, finish_reason="length")),
        (hostile, answer(hostile, 0.5, 1, text=text)),
        (weather, answer(weather, 0, text="", culprit=missed, tool_calls=(call,))),
        (weather, on_a_second_try(answer(weather, 1, 1, recovered=True, cached_tokens=12))),
        (lost, fault),
        (lost, answer(lost, 1, 1)),
    ]


def report(of: Sequence[Row], *, suite: str = "baseline", **more: Any) -> EvalReport:
    tally = Tally()
    for prompt, outcome in of:
        tally.add(prompt, outcome)
    fields: dict[str, Any] = {
        "id": "r1",
        "created_at": "2026-11-21T01:50:00Z",
        "suite_name": suite,
        "suite_version": "1",
        "suite_hash": "b" * 64,
        "suite_source": "builtin",
        "model": ModelIdentity(
            name="smollm2-135m",
            backend="mlx",
            url="http://127.0.0.1:8123/v1",
            weights_hash="c" * 64,
            parameters=135_000_000,
            dtype="float32",
        ),
        "sampling": Sampling(seed=7),
        "concurrency": 4,
        "repeats": 2,
        "provenance": Provenance(
            command="punie eval baseline --journal 'first baseline'",
            versions={"punie": "0.1.0", "mlx": "0.32.4"},
            hardware="Apple M1, 8 cores, 32 GB",
            platform="macOS 26",
            git_commit="d" * 40,
            git_dirty=True,
        ),
        "checks": CHECKS,
        "incidents": INCIDENTS,
        "status": RunStatus.DONE,
        "summary": tally.summary(wall_s=3.5, peak_memory_bytes=512_000_000),
    }
    run = Run.model_validate({**fields, **more})
    return EvalReport(run=run, suite=EvalSuite(name=suite, prompts=(), hash=run.suite_hash))
