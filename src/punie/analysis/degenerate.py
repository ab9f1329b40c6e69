"""Whether a model still answers, or says one thing, or nothing, whatever it is asked.

Such runs have scores like any other. They are told from suites whose right answers are all alike by
what the scorers said of the common answer.
"""

from dataclasses import dataclass

from pydantic import JsonValue

from punie.records.base import canonical_json
from punie.records.result import Completion, EvalResult, Outcome
from punie.records.trust import Finding, Level

NAME = "degenerate"
LEAST_PROMPTS = 8
"""With fewer answers, being alike is no surprise."""
NEARLY_ALL = 0.9
MANY_EMPTY = 0.2
WRONG_SHARE = 0.25
"""Of the prompts that share an answer, so many must want another one for a warning."""
MOST_REMEMBERED = 1000
"""Different answers that are counted apart. What nearly all prompts get is among them."""

SAYS_LITTLE = "the score says little about the model: look"


@dataclass(slots=True)
class _Count:
    prompts: int = 0
    right: int = 0


class AnswerCounts:
    """Counts equal and empty answers, one outcome at a time, in bounded memory.

    Only the first answer to each prompt counts: repeats of one prompt are alike by nature.
    """

    def __init__(self) -> None:
        self._answered = 0
        self._by_answer: dict[int, _Count] = {}
        self._empty = 0
        self._reasoned_only = 0

    def add(self, outcome: Outcome) -> None:
        """Count one outcome; faults are no answers."""
        if not isinstance(outcome, EvalResult) or outcome.repeat:
            return
        self._answered += 1
        completion = outcome.completion
        if not completion.text.strip() and not completion.tool_calls:
            if not outcome.passed:
                self._empty += 1
                self._reasoned_only += bool(completion.reasoning)
            return
        key = hash(_content(completion))
        if key in self._by_answer or len(self._by_answer) < MOST_REMEMBERED:
            count = self._by_answer.setdefault(key, _Count())
            count.prompts += 1
            count.right += bool(outcome.passed)

    def finding(self) -> Finding:
        """What the answers so far look like together; the gravest is said."""
        answered = self._answered
        common = max(self._by_answer.values(), key=lambda each: each.prompts, default=_Count())
        wrong = common.prompts - common.right
        if answered < LEAST_PROMPTS:
            counted = "1 answer is" if answered == 1 else f"{answered} answers are"
            few = f"{counted} too few to look at together."
            return self._found(Level.UNKNOWN, few)
        if common.prompts >= NEARLY_ALL * answered and wrong >= WRONG_SHARE * common.prompts:
            return self._found(
                Level.WARNING,
                f"{common.prompts} of {answered} prompts got the same answer, right for "
                f"{common.right} of them.",
                f"{SAYS_LITTLE} at the answers, the chat template and the adapter",
            )
        if self._empty >= MANY_EMPTY * answered:
            after = f", {self._reasoned_only} of them after reasoning" * bool(self._reasoned_only)
            return self._found(
                Level.WARNING,
                f"{self._empty} of {answered} answers are empty{after}.",
                f"{SAYS_LITTLE} at max_tokens, the stop words and the chat template",
            )
        if common.prompts == answered and wrong:
            return self._found(
                Level.NOTE,
                f"All {answered} prompts got the same answer, wrong for {wrong} of them.",
                "the score is that of a constant answer",
            )
        return self._found(Level.OK, "Answers differ as prompts do, or are right to be alike.")

    def _found(self, level: Level, sentence: str, consequence: str = "") -> Finding:
        details: dict[str, JsonValue] = {
            "answered": self._answered,
            "different": len(self._by_answer),
            "empty": self._empty,
        }
        return Finding(
            name=NAME, level=level, sentence=sentence, consequence=consequence, details=details
        )


def _content(completion: Completion) -> str:
    made = completion.tool_calls
    calls: list[JsonValue] = [[call.name, call.arguments, call.raw] for call in made]
    return canonical_json([completion.text.strip(), calls])
