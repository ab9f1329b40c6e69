"""Two stored runs of one suite, made without a model: what labels and duels are about."""

from pathlib import Path

from punie.analysis.summary import Tally
from punie.records.expect import Exact, Expect
from punie.records.result import Completion, EvalResult, Outcome
from punie.records.run import ModelIdentity, Run, RunStatus
from punie.records.suite import EvalPrompt, EvalSuite, Message, Sampling, prompt_hash, suite_hash
from punie.store.runs import RunStore

BASE, TUNED = "20261101-1000-base-aaaa", "20261102-1000-tuned-bbbb"


def prompt(number: int, *, category: str = "general") -> EvalPrompt:
    messages = (Message(role="user", content=f"Question {number}?"),)
    expect = Expect(exact=Exact(values=(f"Fact {number}",)))
    return EvalPrompt(
        id=f"p{number}",
        hash=prompt_hash(messages, (), expect),
        messages=messages,
        expect=expect,
        category=category,
    )


def store_run(
    project: Path, run_id: str, prompts: list[EvalPrompt], outcomes: list[Outcome]
) -> None:
    suite = EvalSuite(
        name="facts",
        prompts=tuple(prompts),
        hash=suite_hash("facts", Sampling(), tuple(prompts)),
    )
    by_id = {each.id: each for each in prompts}
    tally = Tally(prompts)
    for outcome in outcomes:
        tally.add(by_id[outcome.prompt_id], outcome)
    run = Run(
        id=run_id,
        created_at=f"{run_id[:4]}-{run_id[4:6]}-{run_id[6:8]}T10:00:00+00:00",
        suite_name=suite.name,
        suite_version="1",
        suite_hash=suite.hash,
        suite_source="data/suites/facts.yaml",
        model=ModelIdentity(name=f"secret-{run_id[14:18]}", backend="mlx"),
        sampling=Sampling(),
        concurrency=1,
        status=RunStatus.DONE,
        summary=tally.summary(wall_s=1.0),
    )
    with RunStore(project) as store:
        store.create(run, suite)
        store.add(run_id, outcomes)


def answer(prompt: EvalPrompt, text: str) -> EvalResult:
    right = text == f"Fact {prompt.id[1:]}"
    return EvalResult(
        prompt_id=prompt.id,
        prompt_hash=prompt.hash,
        completion=Completion(text=text, latency_s=0.1),
        score=float(right),
        passed=right,
    )


def two_runs(project: Path, answers: list[tuple[str, str]], *, categories: int = 1) -> None:
    """Store a base and a tuned run; `answers` are (base's, tuned's) to one prompt after another."""
    (project / ".punie").mkdir(exist_ok=True)
    prompts = [
        prompt(number, category=f"category-{number % categories}") for number in range(len(answers))
    ]
    for run_id, side in ((BASE, 0), (TUNED, 1)):
        outcomes: list[Outcome] = [
            answer(each, both[side]) for each, both in zip(prompts, answers, strict=True)
        ]
        store_run(project, run_id, prompts, outcomes)
