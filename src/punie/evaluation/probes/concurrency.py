"""Whether answers at this run's concurrency are those of one by one; else it is lowered."""

from collections.abc import Sequence

from pydantic import JsonValue

from punie.evaluation.probes.questions import Questions, said
from punie.records.run import Run
from punie.records.suite import EvalPrompt
from punie.records.trust import Finding, Level

NAME = "concurrency"
MOST_IN_FLIGHT = 16
"""Where mlx-lm's mixed-up answers were seen (its issue 965); more only cost more."""


async def answers_together(
    questions: Questions,
    prompts: Sequence[EvalPrompt],
    run: Run,
    *,
    in_flight: int,
    most: int,
    ours: bool,
) -> tuple[Finding, int]:
    """The finding, and the concurrency that the run should have. Raises NotAnswered.

    `in_flight` are tried; `most` is what the run will ever have in flight. Half of the prompts are
    asked alone first and then among others, so that the batch continues what is cached; the other
    half first among others, so that the batch reads them too.
    """
    if most < 2:
        sentence = "One prompt at a time is asked, so none can disturb another."
        return Finding(name=NAME, level=Level.OK, sentence=sentence), run.concurrency
    if in_flight < 2:
        return _untried(most), run.concurrency
    for prompt in prompts[::2]:
        await questions.alone(prompt)
    differing = await _differing(questions, prompts, in_flight)
    if not differing:
        return _alike(max(in_flight, len(prompts)), in_flight, most), run.concurrency
    for prompt in differing:
        if said(await questions.ask(prompt)) != said(await questions.alone(prompt)):
            return _cannot_tell(prompt), run.concurrency
    wrong = f"{len(differing)} of {len(prompts)} answers with {in_flight} in flight are not those "
    sentence = f"{wrong}of one by one."
    details: dict[str, JsonValue] = {
        "in_flight": in_flight,
        "prompts": [each.id for each in differing],
    }
    if not ours:
        finding = Finding(
            name=NAME,
            level=Level.NOTE,
            sentence=sentence,
            consequence="what else this endpoint serves changes answers; --concurrency 1 may help",
            details=details,
        )
        return finding, run.concurrency
    lower = in_flight // 2
    while lower > 1 and await _differing(questions, prompts, lower):
        lower //= 2
    finding = Finding(
        name=NAME,
        level=Level.WARNING,
        sentence=sentence,
        consequence=f"the concurrency is lowered from {run.concurrency} to {lower}; "
        "the run takes longer",
        details={**details, "asked": run.concurrency, "used": lower},
    )
    return finding, lower


async def _differing(
    questions: Questions, prompts: Sequence[EvalPrompt], in_flight: int
) -> list[EvalPrompt]:
    """The prompts of which an answer among others is not the one alone."""
    answers = await questions.together(prompts, in_flight)
    differing = {
        prompt.id
        for prompt, answer in answers
        if said(answer) != said(await questions.alone(prompt))
    }
    return [prompt for prompt in prompts if prompt.id in differing]


def _alike(answers: int, in_flight: int, most: int) -> Finding:
    """No answer differed, as far as that was tried."""
    details: dict[str, JsonValue] = {"in_flight": in_flight, "answers": answers}
    sentence = f"{answers} short answers with {in_flight} in flight are those of one by one."
    if in_flight >= most:
        return Finding(name=NAME, level=Level.OK, sentence=sentence, details=details)
    return Finding(
        name=NAME,
        level=Level.NOTE,
        sentence=f"{sentence[:-1]}; this run has up to {most}, which was not tried.",
        consequence=f"whether {most} in flight change answers is not known; "
        f"--concurrency {in_flight} stays within what was tried",
        details={**details, "most": most},
    )


def _untried(most: int) -> Finding:
    """The endpoint has a declared pace, which the questions of a check would use up."""
    return Finding(
        name=NAME,
        level=Level.NOTE,
        sentence=f"Answers in company were not tried at the declared pace; this run has up to "
        f"{most} in flight.",
        consequence="whether company changes answers is not known",
        details={"most": most},
    )


def _cannot_tell(prompt: EvalPrompt) -> Finding:
    return Finding(
        name=NAME,
        level=Level.NOTE,
        sentence=f"Answers differ even one by one ({prompt.id}), so nobody can tell what asking "
        "several at once changes.",
        consequence="the concurrency stays as it is",
        details={"prompts": [prompt.id]},
    )
