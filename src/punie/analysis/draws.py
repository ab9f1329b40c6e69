"""Whether the repeats of a run are separate draws, or one answer over and over.

A server that ignores the temperature, gives every request one seed, or answers from a cache makes
any model look perfectly consistent. Answers are compared to the letter here: a model that is sure
of its answer still words a long one in several ways.
"""

import math
from collections import Counter
from collections.abc import Iterator
from itertools import combinations

from pydantic import JsonValue

from punie.records.base import canonical_json
from punie.records.result import Completion, EvalResult, Outcome
from punie.records.trust import Finding, Level

NAME = "repeats"
LEAST_PROMPTS = 8
"""With fewer prompts that have several answers, being alike is no surprise."""
NEARLY_ALL = 0.9
LONG = 80
"""Characters from which on equal draws are a surprise: some twenty tokens were chosen alike."""
CHANCE = 1e-3
"""Two repeats that agree more often than chance explains to this degree are a pattern."""
MOST_PROMPTS, MOST_REPEATS = 1000, 32
"""What is remembered; a server that repeats itself does so from the beginning."""


class Draws:
    """Compares the repeats of each prompt, one outcome at a time, in bounded memory."""

    def __init__(self) -> None:
        self._answers: dict[str, dict[int, int]] = {}
        self._long: set[str] = set()

    def add(self, outcome: Outcome) -> None:
        """Remember one outcome; faults are no answers."""
        if not isinstance(outcome, EvalResult) or outcome.repeat >= MOST_REPEATS:
            return
        name = outcome.prompt_id
        if name not in self._answers and len(self._answers) >= MOST_PROMPTS:
            return
        written = _written(outcome.completion)
        self._answers.setdefault(name, {})[outcome.repeat] = hash(written)
        if len(written) >= LONG:
            self._long.add(name)

    def finding(self, temperature: float) -> Finding:
        """What the repeats so far look like, drawn at `temperature`.

        `details["separate"]` is whether they are to be taken for separate draws; it is null where
        there are too few to tell.
        """
        several = {name: each for name, each in self._answers.items() if len(each) > 1}
        varied = {name: each for name, each in several.items() if len(set(each.values())) > 1}
        same, asked = len(several) - len(varied), len(several)
        most = max(map(len, several.values()), default=0)
        details: dict[str, JsonValue] = {"prompts": asked, "same": same, "separate": None}
        if temperature == 0:
            return _at_zero(same, asked, details)
        at = f"temperature {temperature:g}"
        if asked < LEAST_PROMPTS:
            few = "1 prompt" if asked == 1 else f"{asked} prompts"
            sentence = f"{few} with several answers are too few to tell whether repeats are draws."
            return _found(Level.UNKNOWN, sentence, "", details)
        if same >= NEARLY_ALL * asked:
            long = len(self._long & (several.keys() - varied.keys()))
            return _alike(same, asked, most, at, details, surprising=2 * long >= same)
        details["separate"] = True
        if pattern := next(_patterns(list(varied.values())), None):
            one, other, equal, both = pattern
            sentence = (
                f"Repeats {one + 1} and {other + 1} gave the same answer, to the letter, to {equal}"
                f" of the {both} prompts whose answers vary at all; other repeats did not."
            )
            why = "the server repeats draws (a cache, or seeds that it reads as one): there are "
            why += "fewer separate answers than repeats"
            return _found(Level.WARNING, sentence, why, {**details, "alike": [one, other]})
        sentence = f"Repeats are separate draws: {len(varied)} of {asked} prompts got several "
        return _found(Level.OK, f"{sentence}answers at {at}.", "", details)


def _at_zero(same: int, asked: int, details: dict[str, JsonValue]) -> Finding:
    details["separate"] = False
    if same == asked:
        sentence = "At temperature 0 all answers to a prompt are the same one, as they should be."
        return _found(Level.OK, sentence, "", details)
    return _found(
        Level.NOTE,
        f"At temperature 0 the answers to {asked - same} of {asked} prompts differ.",
        "the machine's rounding decides there, as with answers calculated in company",
        details,
    )


def _alike(
    same: int,
    asked: int,
    most: int,
    at: str,
    details: dict[str, JsonValue],
    *,
    surprising: bool,
) -> Finding:
    """Nearly all prompts got one answer over and over: a surprise where the answers are long."""
    sentence = f"All answers (up to {most}) to {same} of {asked} prompts are the same to the letter"
    if not surprising:
        sentence += f" at {at}; they are short, so a model that is sure would do that too."
        return _found(Level.NOTE, sentence, _TELL, {**details, "separate": True})
    why = "the server may ignore the temperature, give every request one seed, or answer from a "
    why += f"cache: then repeats say no more than one answer. {_TELL[0].upper()}{_TELL[1:]}"
    return _found(Level.WARNING, f"{sentence} at {at}.", why, {**details, "separate": False})


_TELL = "at --temperature 2 even a sure model wavers: answers that stay the same there tell it"


def _patterns(varied: list[dict[int, int]]) -> Iterator[tuple[int, int, int, int]]:
    """Pairs of repeats that agree far more often than pairs do, with how often, of how many.

    By the binomial tail at the rate of all pairs, over the number of pairs (Bonferroni).
    """
    asked: Counter[tuple[int, int]] = Counter()
    equal: Counter[tuple[int, int]] = Counter()
    for answers in varied:
        for pair in combinations(sorted(answers), 2):
            asked[pair] += 1
            equal[pair] += answers[pair[0]] == answers[pair[1]]
    rate = equal.total() / asked.total() if asked else 0.0
    for (one, other), both in asked.items():
        alike = equal[one, other]
        enough = both >= LEAST_PROMPTS and alike >= NEARLY_ALL * both
        if enough and len(asked) * _at_least(alike, both, rate) < CHANCE:
            yield one, other, alike, both


def _at_least(hits: int, n: int, rate: float) -> float:
    """P(X >= hits) of a binomial X: the sum of its probabilities."""
    return math.fsum(
        math.comb(n, at) * rate**at * (1 - rate) ** (n - at) for at in range(hits, n + 1)
    )


def _found(level: Level, sentence: str, consequence: str, details: dict[str, JsonValue]) -> Finding:
    return Finding(
        name=NAME, level=level, sentence=sentence, consequence=consequence, details=details
    )


def _written(completion: Completion) -> str:
    made = completion.tool_calls
    calls: list[JsonValue] = [[call.name, call.arguments, call.raw] for call in made]
    return completion.text.strip() + (canonical_json(calls) if calls else "")
