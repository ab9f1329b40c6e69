"""Having a run's answers marked, so many at a time."""

from collections.abc import Callable, Iterable

from punie.judging.ask import Judge, Told, Untold, in_flight
from punie.judging.prompt import Marking, Marks, marking
from punie.records.judgement import Judged, JudgeFault, JudgeFaultKind, Judgement, Rubric
from punie.records.result import EvalResult
from punie.records.suite import EvalPrompt

HOPELESS_IN_A_ROW = 8
"""After so many requests in a row that were not answered at all, and one for each in flight, the
judge is taken to be gone."""

Answered = tuple[EvalPrompt, EvalResult]
Record = Callable[[Judged], None]
"""Keeps a judgement."""


async def mark_all(
    answers: Iterable[Answered], rubric: Rubric, judge: Judge, record: Record, *, concurrency: int
) -> bool:
    """Have each answer marked and hand what the judge said to `record` at once.

    Gives whether all were asked: False once the judge's `stop` is set, or where the judge answers
    no more. What `record` raises ends all.
    """
    unanswered = 0

    async def mark(answer: Answered) -> bool:
        nonlocal unanswered
        prompt, result = answer
        asked = marking(rubric, prompt, result.completion)
        said = await judge.ask(asked.question)
        if said is None:
            return False
        record(judged(result, asked, said))
        gone = isinstance(said, Untold) and said.kind is JudgeFaultKind.UNANSWERED
        unanswered = unanswered + 1 if gone else 0
        return unanswered < HOPELESS_IN_A_ROW + concurrency

    return await in_flight(answers, mark, concurrency=concurrency)


def judged(result: EvalResult, asked: Marking, said: Told[Marks] | Untold) -> Judged:
    """What a judge said of one answer, as a record."""
    place = {
        "prompt_id": result.prompt_id,
        "prompt_hash": result.prompt_hash,
        "repeat": result.repeat,
        "answer_hash": asked.answer_hash,
        "answer_chars": asked.answer_chars,
        "altered": asked.altered,
        "clipped": asked.clipped,
    }
    if isinstance(said, Untold):
        told = {"asked": said.asked, "tokens_in": said.tokens_in, "tokens_out": said.tokens_out}
        return JudgeFault.model_validate(
            {**place, **told, "kind": said.kind, "message": said.message}
        )
    reply = said.reply
    told = {"asked": reply.asked, "tokens_in": reply.tokens_in, "tokens_out": reply.tokens_out}
    return Judgement.model_validate(
        {
            **place,
            **told,
            "marks": said.value.marks,
            "reason": said.value.reason,
            "repaired": said.repaired,
            "cached": said.cached,
        }
    )
