"""A made-up run for tests of the reports: no model gave these answers."""

import random
from collections.abc import Sequence

from punie.analysis.summary import Tally
from punie.records.expect import (
    Exact,
    Expect,
    ExpectedCall,
    Json,
    Keywords,
    Number,
    Python,
    ToolCalls,
)
from punie.records.result import (
    CallForm,
    Completion,
    Culprit,
    EvalFault,
    EvalResult,
    FaultKind,
    Outcome,
    Score,
    ToolCall,
)
from punie.records.run import (
    EvalReport,
    ModelIdentity,
    Provenance,
    Run,
    RunStatus,
    Sources,
)
from punie.records.suite import EvalPrompt, EvalSuite, Message, Sampling, Tool
from punie.records.trust import Checks, Finding, Incident, IncidentKind, Level

Rows = list[tuple[EvalPrompt, Outcome]]

WEATHER = Tool(
    name="get_weather",
    description="Current weather of a city.",
    parameters={
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        },
        "required": ["city"],
    },
)
EVENT = Tool(name="create_event", description="Puts an event into the calendar.")
PASSED = Checks(
    findings=tuple(
        Finding(name=name, level=Level.OK, sentence=sentence)
        for name, sentence in (
            ("tools", "The model saw the tools, and its call came back as a call."),
            ("seed", "The same seed gave the same answer twice."),
            ("concurrency", "Answers at 8 in flight are those of one by one."),
            ("context", "The longest prompt and its answer fit the model's context."),
        )
    ),
    seconds=1.9,
)
WARNED = Checks(
    findings=(
        *PASSED.findings[:1],
        Finding(
            name="seed",
            level=Level.WARNING,
            sentence="The same seed gave two different answers.",
            consequence="a second run will differ by chance, so small differences mean nothing",
            details={"asked": 2, "different": 1},
        ),
        Finding(
            name="concurrency",
            level=Level.NOTE,
            sentence="At 8 in flight 2 of 8 answers differ from those of one by one.",
            consequence="The run asks 4 at a time instead.",
        ),
        *PASSED.findings[3:],
    ),
    seconds=2.6,
)
INCIDENTS = (
    Incident(
        at="2026-11-21T01:52:49+00:00",
        kind=IncidentKind.RESTARTED,
        what="The server was killed while it answered (exit -9), probably out of memory.",
    ),
    Incident(
        at="2026-11-21T02:31:10+00:00",
        kind=IncidentKind.SLEPT,
        what="The clock jumped by 38 min while 4 prompts were in flight; they were asked again.",
    ),
    Incident(
        at="2026-11-22T07:05:00+00:00",
        kind=IncidentKind.RESUMED,
        what="12 prompts were still owed.",
    ),
)
CITIES = ("Lisbon", "Oslo", "Nairobi", "Lima", "Kyoto", "Tallinn", "Accra", "Porto")


def synthetic_report(
    number: int = 72,
    *,
    seed: int = 7,
    fault_share: float = 0.04,
    status: RunStatus = RunStatus.DONE,
    demo: bool = False,
    adapter: str | None = None,
    troubled: bool = False,
) -> tuple[EvalReport, Rows]:
    """A run of `number` prompts in three categories, with misses of many kinds.

    In a `troubled` one checks warned, the server was restarted, and answers came on a second try.
    """
    rng = random.Random(seed)
    makers = (_tool_row, _code_row, _reasoning_row)
    size = -(-number // len(makers))
    rows = [makers[at // size](rng, at % size) for at in range(number)]
    rows = [
        (prompt, _fault(rng, prompt) if rng.random() < fault_share else outcome)
        for prompt, outcome in rows
    ]
    if troubled:
        rows = [
            (prompt, _on_a_later_try(outcome) if at % 9 == 4 else outcome)
            for at, (prompt, outcome) in enumerate(rows)
        ]
    report = report_of(rows, status=status, demo=demo, adapter=adapter)
    return (with_trust(report, WARNED, INCIDENTS) if troubled else report), rows


def with_trust(
    report: EvalReport, checks: Checks | None, incidents: tuple[Incident, ...] = ()
) -> EvalReport:
    """The report of the same run after these checks and incidents."""
    update = {"checks": checks, "incidents": incidents}
    return report.model_copy(update={"run": report.run.model_copy(update=update)})


def _on_a_later_try(outcome: Outcome) -> Outcome:
    if isinstance(outcome, EvalFault):
        return outcome
    failures = (FaultKind.SERVER_DIED, FaultKind.CONNECTION_LOST)
    return outcome.model_copy(update={"attempts": 3, "failures": failures})


def report_of(
    rows: Sequence[tuple[EvalPrompt, Outcome]],
    *,
    status: RunStatus = RunStatus.DONE,
    demo: bool = False,
    adapter: str | None = None,
) -> EvalReport:
    """The report of these rows, its summary computed from them."""
    tally = Tally(prompt for prompt, _ in rows)
    for prompt, outcome in rows:
        tally.add(prompt, outcome)
    model = ModelIdentity(
        name="smollm2-135m",
        backend="mlx",
        weights_hash="5b" * 32,
        template_hash="c4" * 32,
        parameters=134_515_008,
        dtype="float32",
        adapter=adapter,
        adapter_hash="a7" * 32 if adapter else None,
        builtin_demo=demo,
    )
    run = Run(
        id="20261121-0152-k3f9",
        created_at="2026-11-21T01:52:07+00:00",
        suite_name="baseline",
        suite_version="1",
        suite_hash="e1" * 32,
        suite_source="builtin",
        model=model,
        sampling=Sampling(seed=7),
        concurrency=8,
        tools_mode="prompt",
        provenance=Provenance(
            command="punie eval baseline --concurrency 8",
            versions={"punie": "0.1.0", "mlx": "0.32.4", "mlx-lm": "0.32.2", "python": "3.11.9"},
            hardware="2 cores, 24 GB",
            platform="Linux x86_64",
            git_commit="38339c2f00d1",
            git_dirty=True,
        ),
        sources=Sources(suite="builtin", model="smollm2-135m"),
        status=status,
        summary=tally.summary(wall_s=93.4, peak_memory_bytes=812_000_000),
    )
    suite = EvalSuite(
        name="baseline",
        description="Tool calls, small programs and short reasoning.",
        prompts=(),
    )
    return EvalReport(run=run, suite=suite)


def a_result(
    prompt: EvalPrompt, completion: Completion, *scores: Score, started_at: str = ""
) -> EvalResult:
    """A result whose score is the mean of its scorers'."""
    return EvalResult(
        prompt_id=prompt.id,
        prompt_hash=prompt.hash,
        started_at=started_at,
        completion=completion,
        scores=scores,
        score=sum(s.value for s in scores) / len(scores) if scores else None,
        passed=all(s.passed for s in scores) if scores else None,
    )


def _completion(rng: random.Random, **fields: object) -> Completion:
    tokens = rng.randint(12, 160)
    first = rng.lognormvariate(-1.6, 0.45)
    return Completion.model_validate(
        {
            "latency_s": first + tokens / rng.gauss(61, 7),
            "first_token_s": first,
            "prompt_tokens": rng.randint(60, 420),
            "completion_tokens": tokens,
            **fields,
        }
    )


def _started(rng: random.Random) -> str:
    return f"2026-11-21T01:5{rng.randint(2, 3)}:{rng.randint(10, 59)}+00:00"


def _tool_row(rng: random.Random, index: int) -> tuple[EvalPrompt, Outcome]:
    city = CITIES[index % len(CITIES)]
    abstain = index % 6 == 5
    question = "Who wrote Ulysses?" if abstain else f"How warm is it in {city}, in Celsius?"
    wanted = ExpectedCall(
        name="get_weather",
        arguments={"city": city, "unit": {"any_of": ["celsius", "c"], "optional": True}},
    )
    prompt = EvalPrompt(
        id=f"tool-{'abstain' if abstain else 'weather'}-{index + 1:02}",
        messages=(
            Message(role="system", content="You answer briefly and use the tools where they help."),
            Message(role="user", content=question),
        ),
        tools=(WEATHER, EVENT),
        expect=Expect(tool_calls=ToolCalls(calls=() if abstain else (wanted,))),
        category="tool_calling",
        role=rng.choice(("coder", "researcher")),
        tags=("abstain",) if abstain else ("single call",),
        must_pass=index == 2,
    )
    draw = rng.random()
    right = ToolCall(name="get_weather", arguments={"city": city}, form=CallForm.TAGGED)
    if draw < 0.4 and not abstain:
        score = Score(scorer="tool_calls", value=1, passed=True, note="the call is right")
        return prompt, a_result(
            prompt, _completion(rng, tool_calls=(right,)), score, started_at=_started(rng)
        )
    made, culprit, note = _tool_miss(rng, city, abstain=abstain)
    score = Score(scorer="tool_calls", value=0, passed=False, culprit=culprit, note=note)
    if culprit is None:
        score = Score(scorer="tool_calls", value=1, passed=True, note="no call, as expected")
    text = "" if made else f"I am sorry, I do not know about {city}. Perhaps look outside?"
    answer = _completion(rng, tool_calls=(made,) if made else (), text=text)
    return prompt, a_result(prompt, answer, score, started_at=_started(rng))


def _tool_miss(
    rng: random.Random, city: str, *, abstain: bool
) -> tuple[ToolCall | None, Culprit | None, str]:
    if abstain:
        if rng.random() < 0.5:
            return None, None, ""
        made = ToolCall(name="get_weather", arguments={"city": "Ulysses"}, form=CallForm.BARE)
        return made, Culprit.SHOULD_ABSTAIN, "expected no call, got get_weather"
    misses = (
        (None, Culprit.NOT_CALLED, "expected get_weather, got prose"),
        (
            ToolCall(name="get_forecast", arguments={"city": city}, form=CallForm.TAGGED),
            Culprit.WRONG_NAME,
            "expected get_weather, got get_forecast",
        ),
        (
            ToolCall(name="get_weather", arguments={"city": "Paris", "days": 3}),
            Culprit.WRONG_VALUE,
            f'city: expected "{city}", got "Paris"',
        ),
        (
            ToolCall(
                name="get_weather", arguments=None, raw='{"city": "' + city, form=CallForm.BARE
            ),
            Culprit.TRUNCATED,
            "the arguments end in the middle",
        ),
    )
    return rng.choices(misses, (5, 2, 3, 1))[0]


def _code_row(rng: random.Random, index: int) -> tuple[EvalPrompt, Outcome]:
    name = ("median", "flatten", "slugify", "chunk", "is_prime", "rotate")[index % 6]
    prompt = EvalPrompt(
        id=f"code-{name}-{index + 1:02}",
        messages=(
            Message(role="user", content=f"Write a Python function `{name}` with doctests."),
        ),
        expect=Expect(python=Python(defines=(name,)), keywords=Keywords(all=("return", ">>>"))),
        category="code_generation",
        role="coder",
        tags=("python",),
    )
    doctest = f'    """Gives the {name}.\n\n    >>> {name}([])\n    """'
    source = f"```python\ndef {name}(values):\n{doctest}\n    return values\n```"
    draw = rng.random()
    if draw < 0.35:
        scores = [
            Score(scorer="python", value=1, passed=True),
            Score(scorer="keywords", value=1, passed=True),
        ]
        text = source
    elif draw < 0.75:
        text = source.replace(">>>", "e.g.")
        scores = [
            Score(scorer="python", value=1, passed=True),
            Score(
                scorer="keywords",
                value=0.5,
                passed=False,
                culprit=Culprit.MISSING_KEYWORD,
                note='1 of 2 words: ">>>" is missing',
                details={"met": 1, "conditions": 2},
            ),
        ]
    else:
        text = source.replace("):", ")")
        scores = [
            Score(
                scorer="python",
                value=0,
                passed=False,
                culprit=Culprit.SYNTAX_ERROR,
                note="line 1: expected ':'",
            ),
            Score(scorer="keywords", value=1, passed=True),
        ]
    return prompt, a_result(prompt, _completion(rng, text=text), *scores, started_at=_started(rng))


def _reasoning_row(rng: random.Random, index: int) -> tuple[EvalPrompt, Outcome]:
    each, boxes = rng.randint(3, 19), rng.randint(3, 19)
    kind = index % 4
    expect = Expect(number=Number(value=each * boxes))
    question = f"{boxes} boxes hold {each} pens each. How many pens are there?"
    text, right = f"There are {boxes} boxes of {each}, so {each * boxes} pens.", rng.random() < 0.4
    culprit, wrong = Culprit.WRONG_ANSWER, f"That makes {each + boxes} pens in all."
    note = f"expected {each * boxes}, got {each + boxes}"
    if kind == 3:
        expect = Expect(json=Json(gold={"boxes": boxes, "pens": each * boxes}))
        question += ' Answer as JSON with "boxes" and "pens".'
        text = f'{{"boxes": {boxes}, "pens": {each * boxes}}}'
        culprit, wrong, note = Culprit.INVALID_JSON, "boxes=3, pens", "no JSON in the answer"
    elif kind == 2:
        expect = Expect(exact=Exact(values=("yes",)))
        question = f"Is {2 * each} even? Answer yes or no."
        text, wrong, note = "Yes.", "No.", 'expected "yes", got "No."'
    prompt = EvalPrompt(
        id=f"reason-{('pens', 'count', 'parity', 'json')[kind]}-{index + 1:02}",
        messages=(Message(role="user", content=question),),
        expect=expect,
        category="reasoning",
        role=rng.choice(("researcher", "reviewer")),
        tags=("arithmetic", "json") if kind == 3 else ("arithmetic",),
    )
    scorer = next(each.kind for each in expect)
    score = (
        Score(scorer=scorer, value=1, passed=True)
        if right
        else Score(scorer=scorer, value=0, passed=False, culprit=culprit, note=note)
    )
    return prompt, a_result(
        prompt, _completion(rng, text=text if right else wrong), score, started_at=_started(rng)
    )


def _fault(rng: random.Random, prompt: EvalPrompt) -> EvalFault:
    kind, message = rng.choice(
        (
            (FaultKind.TIMEOUT, "no answer within 120 s"),
            (FaultKind.CONNECTION_LOST, "the server closed the connection"),
        )
    )
    return EvalFault(
        prompt_id=prompt.id,
        prompt_hash=prompt.hash,
        attempts=4,
        started_at=_started(rng),
        kind=kind,
        message=message,
        elapsed_s=120.4,
    )
