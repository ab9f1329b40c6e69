"""The one dispatch from a prompt's expectations to scores, and the two scorers people call alone.

Everything here is pure: no clock, no file, no network, no randomness. A model's answer, however
hostile, never raises; a suite that cannot be used (a broken regular expression or JSON Schema)
raises InputError.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from punie.records.expect import (
    Exact,
    Expectation,
    ExpectedCall,
    Json,
    Keywords,
    Number,
    Python,
    ToolCalls,
)
from punie.records.result import Completion, Score
from punie.records.suite import EvalPrompt, Tool
from punie.scoring.answers import score_exact, score_number
from punie.scoring.calls import structured_calls
from punie.scoring.keywords import score_keywords
from punie.scoring.python_source import score_python
from punie.scoring.structured import score_json
from punie.scoring.text import answer_text
from punie.scoring.tool_calls import score_tool_calls

Answer = str | Completion | Sequence[Mapping[str, Any]]
"""An answer as people have it: its text, its completion, or the tool calls of its message."""


def score_prompt(prompt: EvalPrompt, completion: Completion) -> tuple[Score, ...]:
    """One score for each thing that the prompt expects, in the order of `Expect`'s fields."""
    text = answer_text(completion)
    return tuple(_score(each, completion, text, prompt.tools) for each in prompt.expect)


def overall(scores: Sequence[Score]) -> tuple[float, bool] | None:
    """An answer's score, the weighted mean, and whether every scorer passed; None without any."""
    if not scores:
        return None
    total = sum(score.weight for score in scores)
    mean = sum(score.weight * score.value for score in scores) / total
    return min(max(mean, 0.0), 1.0), all(score.passed for score in scores)


def score_keyword_presence(
    answer: str | Completion,
    keywords: Sequence[str] = (),
    *,
    any_of: Sequence[str] = (),
    none_of: Sequence[str] = (),
    case: bool = False,
) -> Score:
    """How many of the `keywords` stand in an answer as whole words; `.value` is the share.

    >>> score_keyword_presence("Paris is the capital of France.", ["paris", "Seine"]).value
    0.5
    """
    expectation = Keywords(all=tuple(keywords), any=tuple(any_of), none=tuple(none_of), case=case)
    completion = _completion(answer)
    return score_keywords(expectation, completion, answer_text(completion))


def score_tool_calling(
    answer: Answer,
    expected: Sequence[ExpectedCall | Mapping[str, Any]],
    *,
    tools: Sequence[Tool] = (),
    ordered: bool = False,
    strict: bool = True,
) -> Score:
    """Whether an answer makes the expected calls; `.culprit` and `.note` say why not.

    `answer` is the answer's text, a completion, or a list of calls: `{"name", "arguments"}` each,
    or `message.tool_calls` as OpenAI's API gives it. `expected` are calls `{"name", "arguments"}`;
    none means that the model should not call. Without `tools`, calls in a text are looked for under
    the expected names. Raises ValueError for calls of another shape.

    >>> made = [{"name": "add", "arguments": {"a": 4, "b": 8}}]
    >>> score_tool_calling(made, [{"name": "add", "arguments": {"a": 4, "b": 7}}]).note
    'expected add.b = 7, got 8'
    """
    calls = tuple(
        call if isinstance(call, ExpectedCall) else ExpectedCall(**call) for call in expected
    )
    expectation = ToolCalls(calls=calls, ordered=ordered, strict=strict)
    completion = _completion(answer)
    return score_tool_calls(expectation, completion, answer_text(completion), tools)


def _completion(answer: Answer) -> Completion:
    if isinstance(answer, Completion):
        return answer
    if isinstance(answer, str):
        return Completion(text=answer)
    return Completion(tool_calls=structured_calls([dict(call) for call in answer]))


def _score(
    expectation: Expectation, completion: Completion, text: str, tools: Sequence[Tool]
) -> Score:
    match expectation:
        case Keywords():
            return score_keywords(expectation, completion, text)
        case Exact():
            return score_exact(expectation, completion, text)
        case Number():
            return score_number(expectation, completion, text)
        case Json():
            return score_json(expectation, completion, text)
        case ToolCalls():
            return score_tool_calls(expectation, completion, text, tools)
        case Python():
            return score_python(expectation, completion, text)
