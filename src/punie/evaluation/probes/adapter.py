"""Whether the adapter changes the output: the base is asked first, the adapter last."""

from collections.abc import Sequence

from pydantic import JsonValue

from punie.evaluation.probes.questions import Questions, said
from punie.records.result import Completion
from punie.records.suite import EvalPrompt
from punie.records.trust import Finding, Level

NAME = "adapter"
SAME_LOGPROB = 1e-2
"""Answers whose probabilities differ by less than 1 % are the same: models in 16 bits round so."""


def adapter_alone(server: str) -> Finding:
    """What is said where nobody answers without the adapter."""
    return Finding(
        name=NAME,
        level=Level.UNKNOWN,
        sentence=f"{server} holds the adapter and no base beside it, so their answers were not "
        "compared.",
        consequence="compare with a run of the base to see what the adapter changes",
    )


async def adapter_effect(
    base: Questions, adapted: Questions, prompts: Sequence[EvalPrompt], *, numbers: bool
) -> Finding:
    """Compare words and probabilities of the base's answers with those of the adapter.

    `numbers`: the answers come with probabilities. Without them a small effect is not seen. The
    adapter is asked after the base, so an answer that differs also shows that the server holds
    the adapter again. Raises NotAnswered.
    """
    before = [await base.ask(prompt) for prompt in prompts]
    after = [await adapted.alone(prompt) for prompt in prompts]
    pairs = list(zip(before, after, strict=True))
    words = sum(said(one) != said(other) for one, other in pairs)
    probabilities = sum(_differ(one, other) for one, other in pairs)
    details: dict[str, JsonValue] = {
        "prompts": len(pairs),
        "words": words,
        "probabilities": probabilities,
    }
    if words:
        sentence = f"The adapter changes what is said on {words} of {len(pairs)} prompts."
        return Finding(name=NAME, level=Level.OK, sentence=sentence, details=details)
    if probabilities:
        return Finding(
            name=NAME,
            level=Level.NOTE,
            sentence="The adapter changes the probabilities of words, but not the words "
            f"themselves, at the start of {len(pairs)} answers.",
            consequence="the numbers below may hardly differ from those of the base model",
            details=details,
        )
    if not numbers:
        return Finding(
            name=NAME,
            level=Level.NOTE,
            sentence=f"The adapter changes no word at the start of {len(pairs)} answers; what it "
            "changes of their probabilities this server does not tell.",
            consequence="the numbers below may be those of the base model",
            details=details,
        )
    return Finding(
        name=NAME,
        level=Level.WARNING,
        sentence=f"The adapter changes nothing: {len(pairs)} answers are those of the base model.",
        consequence="the numbers below are those of the base model",
        details=details,
    )


def _differ(one: Completion, other: Completion) -> bool:
    if one.logprob is None or other.logprob is None:
        return one.logprob is not other.logprob
    return abs(one.logprob - other.logprob) > SAME_LOGPROB
