"""Whether the same question gets the same answer: with a seed, and out of the prompt cache."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic import JsonValue

from punie.evaluation.probes.questions import Questions, said
from punie.records.result import Completion
from punie.records.suite import EvalPrompt, Message, Sampling
from punie.records.trust import Finding, Level

SEED, CACHE = "seed", "cache"


@dataclass(frozen=True, slots=True)
class Repeated:
    """One prompt asked twice, and a third time where the answers differ."""

    prompt: EvalPrompt
    first: Completion
    second: Completion
    third: Completion | None = None

    @property
    def same(self) -> bool:
        """Whether the second answer is the first one."""
        return said(self.first) == said(self.second)

    @property
    def cached(self) -> int:
        """Tokens of the second prompt that came from the cache, more than of the first."""
        return (self.second.cached_tokens or 0) - (self.first.cached_tokens or 0)

    @property
    def by_cache(self) -> bool:
        """Whether the cache changed the answer: a hit differs, and a further hit agrees with it."""
        agrees = self.third is not None and said(self.third) == said(self.second)
        return not self.same and self.cached > 0 and agrees


async def repeat(questions: Questions, prompts: Sequence[EvalPrompt]) -> list[Repeated]:
    """Ask each prompt again, one at a time. Raises NotAnswered."""
    found: list[Repeated] = []
    for prompt in prompts:
        first = await questions.alone(prompt)
        both = Repeated(prompt, first, await questions.ask(prompt))
        found.append(both if both.same else replace(both, third=await questions.ask(prompt)))
    return found


def follow_up(prompt: EvalPrompt) -> EvalPrompt:
    """The prompt with two more turns: it shares all of its beginning with the prompt."""
    turns = (
        Message(role="assistant", content="I see."),
        Message(role="user", content="Go on."),
    )
    return replace(prompt, id=f"{prompt.id} and on", messages=prompt.messages + turns)


async def seed_repeats(questions: Questions, prompt: EvalPrompt, sampling: Sampling) -> Finding:
    """Draw with the run's seed twice; for runs above temperature 0. Raises NotAnswered."""
    at = f"temperature {sampling.temperature:g}"
    if sampling.seed is None:
        sentence = f"Answers are drawn at {at} without a seed: another run draws others."
        return Finding(name=SEED, level=Level.OK, sentence=sentence)
    first, second = await questions.draw(prompt), await questions.draw(prompt)
    if said(first) == said(second):
        sentence = f"The same seed gives the same answer at {at}."
        return Finding(name=SEED, level=Level.OK, sentence=sentence)
    return Finding(
        name=SEED,
        level=Level.WARNING,
        sentence=f"The seed is ignored: the same one gave two answers to {prompt.id} at {at}.",
        consequence="this run cannot be repeated answer by answer",
        details={"prompt": prompt.id, "seed": sampling.seed},
    )


def greedy_repeats(repeated: Sequence[Repeated], *, ours: bool) -> Finding:
    """What asking twice at temperature 0 says of runs at temperature 0."""
    unsteady = [each.prompt.id for each in repeated if not each.same and not each.by_cache]
    if not unsteady:
        sentence = "The same question at temperature 0 gives the same answer."
        return Finding(name=SEED, level=Level.OK, sentence=sentence)
    return Finding(
        name=SEED,
        level=Level.WARNING if ours else Level.NOTE,
        sentence=f"The same question got two answers at temperature 0 ({', '.join(unsteady)}).",
        consequence="another run of the same suite would score a little otherwise",
        details={"prompts": list(unsteady)},
    )


def cache_agrees(repeated: Sequence[Repeated]) -> Finding:
    """What asking twice says of the prompt cache."""
    changed = [each.prompt.id for each in repeated if each.by_cache]
    hits = [each for each in repeated if each.cached > 0]
    details: dict[str, JsonValue] = {
        "hits": len(hits),
        "cached_tokens": sum(each.cached for each in hits),
    }
    if changed:
        return Finding(
            name=CACHE,
            level=Level.WARNING,
            sentence=f"A prompt out of the prompt cache got another answer ({', '.join(changed)}).",
            consequence="answers below hang on what was asked before them; start the server "
            "without a prompt cache if it can do that",
            details={**details, "prompts": list(changed)},
        )
    if not hits:
        sentence = "No question was answered from a prompt cache."
        return Finding(name=CACHE, level=Level.UNKNOWN, sentence=sentence, details=details)
    sentence = f"The prompt cache changes no answer ({len(hits)} questions came from it)."
    return Finding(name=CACHE, level=Level.OK, sentence=sentence, details=details)
