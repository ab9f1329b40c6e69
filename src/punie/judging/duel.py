"""Which of two answers is better: asked twice, each answer once in the first place.

The order alone moves many judges, so one that does not say the same in both orders says nothing of
the answers: a tie.
"""

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from functools import cache, partial
from typing import Any, NamedTuple

from punie.analysis.duel import settled
from punie.judging.ask import Judge, Told, Untold, in_flight
from punie.judging.mark import HOPELESS_IN_A_ROW
from punie.judging.matches import AnswerPair
from punie.judging.prompt import GUARD, MAX_REASON, closed_object
from punie.judging.question import Question
from punie.judging.quoting import code_for, fenced, quoted
from punie.judging.reading import CODE, Read, UnreadableError
from punie.judging.transcript import answer_of, question_of, reference_of
from punie.records.base import digest
from punie.records.duel import Duel, DuelOutcome
from punie.records.judgement import Dimension, JudgeFaultKind, Rubric
from punie.records.result import Completion
from punie.records.suite import EvalPrompt, Message
from punie.scoring.json_text import show

BETTER = "better"
_TASK = (
    "You are an examiner. Two answers were given to one question. You say which of them is the"
    " better one by a rubric, or that neither is. Which of them stands first says nothing. A long"
    " answer is not better for being long, nor a confident one for being confident. Where a"
    " reference is given, what contradicts it is wrong; another wording is not. Where neither is"
    " clearly better, say tie."
)


class Place(StrEnum):
    """Where the better answer stood, in a judge's words."""

    FIRST = "first"
    SECOND = "second"
    TIE = "tie"


class Choice(NamedTuple):
    """What a judge says of two answers, and why."""

    better: Place
    reason: str


def choosing(
    rubric: Rubric, prompt: EvalPrompt, first: Completion, second: Completion
) -> Question[Choice]:
    """Ask which of two answers, shown in this order, is better by `rubric`."""
    asked, reference = quoted(question_of(prompt)).text, quoted(reference_of(prompt.expect)).text
    answers = [quoted(answer_of(each)).text for each in (first, second)]
    code = code_for(rubric.hash, asked, reference, *answers)
    parts = ["The question that was put:", fenced("QUESTION", asked, code)]
    if reference:
        parts += ["What a right answer has:", fenced("REFERENCE", reference, code)]
    for name, completion, text in zip(("first", "second"), (first, second), answers, strict=True):
        parts += [f"The {name} answer:", fenced(name.upper(), text, code)]
        if not text.strip():
            parts.append(f"The {name} answer is empty.")
        if completion.finish_reason == "length":
            parts.append(f"The {name} answer ended at its token limit.")
    parts.append(_form(code))
    system = f"{_TASK}\n\n{_rubric_text(rubric)}\n\n{GUARD.format(code=code)}"
    return Question(
        messages=(
            Message(role="system", content=system),
            Message(role="user", content="\n\n".join(parts)),
        ),
        code=code,
        schema=closed_object(
            {
                CODE: {"type": "string"},
                "reason": {"type": "string"},
                BETTER: {"type": "string", "enum": [place.value for place in Place]},
            }
        ),
        take=take_choice,
        max_tokens=rubric.max_tokens,
    )


def take_choice(found: dict[str, Any]) -> Read[Choice]:
    """The choice in a judge's object; another spelling of it is a repair.

    Raises UnreadableError where it says of neither place, and not of a tie, that it is better.
    """
    given = found.get(BETTER)
    if given is None:
        raise UnreadableError(JudgeFaultKind.MISSING, f"it does not say {BETTER}")
    try:
        better = Place(given.strip().lower() if isinstance(given, str) else "")
    except ValueError:
        why = f"{BETTER} should be first, second or tie, not {show(given, 40)}"
        raise UnreadableError(JudgeFaultKind.FORM, why) from None
    reason = found.get("reason")
    said = reason if isinstance(reason, str) else ""
    clean = given == better and isinstance(reason, str) and set(found) == {CODE, "reason", BETTER}
    return Read(Choice(better, said[:MAX_REASON]), repaired=not clean)


async def judge_duel(judge: Judge, rubric: Rubric, match: AnswerPair) -> Duel | None:
    """Ask in both orders; None where the judge was stopped before it had answered both.

    Equal answers are a tie without asking.
    """
    known = partial(_duel, match)
    if match.equal:
        return known(outcome=DuelOutcome.TIE, equal=True)
    told: list[Told[Choice]] = []
    base, current = match.base.completion, match.current.completion
    for first, second in ((current, base), (base, current)):
        said = await judge.ask(choosing(rubric, match.prompt, first, second))
        if said is None:
            return None
        if isinstance(said, Untold):
            return known(
                current_first=_outcomes(told)[0],
                fault=said.kind,
                fault_message=said.message,
                **_spent([*told, said]),
            )
        told.append(said)
    current_first, base_first = _outcomes(told)
    assert current_first is not None
    assert base_first is not None
    return known(
        outcome=settled(current_first, base_first),
        current_first=current_first,
        base_first=base_first,
        reasons=tuple(each.value.reason for each in told),
        **_spent(told),
    )


async def judge_duels(
    matches: Iterable[AnswerPair],
    rubric: Rubric,
    judge: Judge,
    record: Callable[[Duel], None],
    *,
    concurrency: int,
) -> bool:
    """Have each match judged, and hand each duel to `record` at once, in no certain order.

    Gives whether all were: False once the judge's `stop` is set, or where it answers no more.
    """
    unanswered = 0

    async def judge_one(match: AnswerPair) -> bool:
        nonlocal unanswered
        duel = await judge_duel(judge, rubric, match)
        if duel is None:
            return False
        record(duel)
        gone = duel.fault is JudgeFaultKind.UNANSWERED
        unanswered = unanswered + 1 if gone else 0
        return unanswered < HOPELESS_IN_A_ROW + concurrency

    return await in_flight(matches, judge_one, concurrency=concurrency)


_BY_PLACE = (
    {Place.FIRST: DuelOutcome.WIN, Place.SECOND: DuelOutcome.LOSS, Place.TIE: DuelOutcome.TIE},
    {Place.FIRST: DuelOutcome.LOSS, Place.SECOND: DuelOutcome.WIN, Place.TIE: DuelOutcome.TIE},
)
"""What a place means for the current run: while its answer stands first, and while it does not."""


def _outcomes(told: list[Told[Choice]]) -> tuple[DuelOutcome | None, DuelOutcome | None]:
    said = [by_place[each.value.better] for by_place, each in zip(_BY_PLACE, told, strict=False)]
    return said[0] if said else None, said[1] if len(said) > 1 else None


def _duel(match: AnswerPair, **said: Any) -> Duel:
    prompt = match.prompt
    base, current = (answer_of(each.completion) for each in (match.base, match.current))
    shown = [] if said.get("equal") else [quoted(base), quoted(current)]
    return Duel(
        id=prompt.id,
        hash=prompt.hash,
        category=prompt.category,
        role=prompt.role,
        group=prompt.group,
        base_length=len(base),
        current_length=len(current),
        altered=any(each.altered for each in shown),
        clipped=any(each.clipped for each in shown),
        **said,
    )


def _spent(said: Sequence[Told[Choice] | Untold]) -> dict[str, Any]:
    """What the judgements took; those from the cache took nothing."""
    now = [each for each in said if isinstance(each, Untold) or not each.cached]
    counts = [each.reply if isinstance(each, Told) else each for each in now]
    read = [each.tokens_in for each in counts if each.tokens_in is not None]
    written = [each.tokens_out for each in counts if each.tokens_out is not None]
    return {
        "asked": sum(each.asked for each in counts),
        "cached": sum(isinstance(each, Told) and each.cached for each in said),
        "tokens_in": sum(read) if read else None,
        "tokens_out": sum(written) if written else None,
    }


@cache
def prompt_hash() -> str:
    """SHA-256 of all words around a rubric, a question and two answers."""
    example = Rubric(
        dimensions=(Dimension(name="d", question="Q?", levels={1: "bad", 5: "good"}),), about="A"
    )
    asked = EvalPrompt(id="p", messages=(Message(role="user", content="Q <|x|>\u200b"),))
    ended = Completion(text="", finish_reason="length")
    messages = choosing(example, asked, ended, ended).messages
    return digest([message.content or "" for message in messages])


def _rubric_text(rubric: Rubric) -> str:
    """What counts; the marks of the rubric mean nothing between two answers."""
    lines = ["The rubric:", *([rubric.about] if rubric.about else [])]
    equal = len({each.weight for each in rubric.dimensions}) == 1
    for each in rubric.dimensions:
        weight = "" if equal else f" (weight {each.weight:g})"
        lines.append(f"- {each.name}{weight}: {each.question}")
    return "\n".join(lines)


def _form(code: str) -> str:
    return (
        "Now say which answer is better, the one between the marker lines FIRST or the one between"
        " the marker lines SECOND, by the rubric alone. Write one JSON object and nothing else:\n"
        f'{{"{CODE}": "{code}", "reason": "at most 60 words", '
        f'"{BETTER}": "first", "second" or "tie"}}'
    )
