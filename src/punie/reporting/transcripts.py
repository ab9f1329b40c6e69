"""What a report shows when a prompt is opened: everything as text, many prompts to a gzip block."""

import base64
import gzip
import json
from typing import Any

from pydantic import TypeAdapter

from punie.records.result import Completion, EvalFault, EvalResult, Outcome, Score
from punie.records.suite import EvalPrompt, FunctionCall, Message
from punie.reporting import numbers
from punie.reporting.answers import call, expectation, literal, made_call, pretty
from punie.reporting.timings import speed
from punie.reporting.wording import culprit_words, fault_words, finish_words
from punie.text import visible

NOT_KEPT = "(not kept: the database of the run has it)"
_BLOCK_PROMPTS = 100
_BLOCK_CHARACTERS = 1_000_000

Transcript = dict[str, Any]
_ARGUMENTS: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


class Transcripts:
    """Gathers transcripts into blocks of base64 of gzip of JSON; holds one block at a time."""

    def __init__(self) -> None:
        self._waiting: list[str] = []
        self._characters = 0
        self.block = 0

    @property
    def full(self) -> bool:
        """True when the block should be taken before another transcript is added."""
        return len(self._waiting) >= _BLOCK_PROMPTS or self._characters >= _BLOCK_CHARACTERS

    def add(self, transcript: Transcript) -> str:
        """Add a transcript; gives its place as `BLOCK.INDEX`."""
        written = json.dumps(transcript, ensure_ascii=False, separators=(",", ":"))
        self._waiting.append(written)
        self._characters += len(written)
        return f"{self.block}.{len(self._waiting) - 1}"

    def take(self) -> str:
        """The block's base64, empty where nothing waits; the next one begins."""
        if not self._waiting:
            return ""
        # A lone surrogate that slipped through becomes \uXXXX, which is how JSON spells it.
        body = f"[{','.join(self._waiting)}]".encode(errors="backslashreplace")
        self._waiting.clear()
        self._characters = 0
        self.block += 1
        return base64.b64encode(gzip.compress(body, 9, mtime=0)).decode("ascii")


def transcript(prompt: EvalPrompt, outcome: Outcome, *, words: bool = True) -> Transcript:
    """One prompt with its outcome, every value a text that is ready to show.

    Without `words` it says that they were not kept, instead of showing none.
    """
    return asked(prompt, words=words) | answered(outcome, words=words)


def asked(prompt: EvalPrompt, *, words: bool = True) -> Transcript:
    """What was sent and expected."""
    shown: Transcript = {
        "messages": [{"role": "user", "title": "", "text": NOT_KEPT}],
        "tools": [
            {"name": tool.name, "text": f"{visible(tool.description)}\n{pretty(tool.parameters)}"}
            for tool in prompt.tools
        ],
        "expected": [{"title": "", "text": NOT_KEPT}],
        "traits": _traits(prompt),
    }
    if words:
        shown["messages"] = [_message(each) for each in prompt.messages]
        shown["expected"] = [
            {"title": each.kind.replace("_", " "), "text": expectation(each, multiline=True)}
            for each in prompt.expect
        ]
    return shown


def answered(outcome: Outcome, *, words: bool = True) -> Transcript:
    """What came back: a fault, or an answer with its scores."""
    if isinstance(outcome, EvalFault):
        told = fault_words(outcome.kind)
        return {
            "fault": {
                "title": str(outcome.kind),
                "text": visible(outcome.message) if words else NOT_KEPT,
                "meaning": f"{told.meaning} {told.remedy}",
            },
            "facts": _facts(
                ("attempts", numbers.count(outcome.attempts)),
                ("failed before", _failures(outcome)),
                ("given up after", numbers.duration(outcome.elapsed_s)),
                ("started", outcome.started_at),
            ),
        }
    shown: Transcript = {
        "answer": _answer(outcome.completion),
        "scores": [_score(each) for each in outcome.scores],
        "facts": _answer_facts(outcome),
    }
    if not words:
        shown["answer"]["text"] = NOT_KEPT
        for made in shown["answer"]["calls"]:
            made["text"] = NOT_KEPT
    return shown


def _message(message: Message) -> dict[str, str]:
    parts = [visible(message.content)] if message.content else []
    parts += [_history_call(made.function) for made in message.tool_calls]
    title = f"{message.role} · {visible(message.name)}" if message.name else message.role
    return {"role": message.role, "title": title, "text": "\n".join(parts)}


def _history_call(function: FunctionCall) -> str:
    try:
        arguments = _ARGUMENTS.validate_json(function.arguments)
    except ValueError:
        return f"{visible(function.name)}({visible(function.arguments)})"
    return call(function.name, arguments, multiline=True)


def _answer(answer: Completion) -> dict[str, Any]:
    return {
        "text": visible(answer.text),
        "reasoning": visible(answer.reasoning),
        "calls": [
            {"text": made_call(each, multiline=True), "form": f"read from {each.form}"}
            for each in answer.tool_calls
        ],
    }


def _score(score: Score) -> dict[str, Any]:
    return {
        "title": visible(score.scorer.replace("_", " ")),
        "value": numbers.score(score.value),
        "passed": score.passed,
        "culprit": str(score.culprit) if score.culprit else "",
        "meaning": culprit_words(score.culprit) if score.culprit else "",
        "note": visible(score.note),
        "details": [[visible(key), _detail(value)] for key, value in score.details.items()],
    }


def _detail(value: Any) -> str:
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, float):
        return f"{value:.3g}"
    return literal(value)


def _traits(prompt: EvalPrompt) -> str:
    traits = [prompt.category, prompt.role, *prompt.tags]
    traits += ["must pass"] if prompt.must_pass else []
    traits += [f"weight {prompt.weight:g}"] if prompt.weight != 1 else []
    return visible(" · ".join(trait for trait in traits if trait))


def _facts(*pairs: tuple[str, str]) -> list[list[str]]:
    return [[name, visible(value)] for name, value in pairs if value and value != numbers.NOTHING]


def _failures(outcome: Outcome) -> str:
    return ", ".join(kind.value for kind in outcome.failures)


def _answer_facts(outcome: EvalResult) -> list[list[str]]:
    answer = outcome.completion
    return _facts(
        ("finish", finish_words(answer.finish_reason)),
        ("latency", numbers.duration(answer.latency_s)),
        ("first token", numbers.duration(answer.first_token_s)),
        ("speed", numbers.rate(speed(answer))),
        ("tokens in", numbers.count(answer.prompt_tokens)),
        ("cached", numbers.count(answer.cached_tokens)),
        ("tokens out", numbers.count(answer.completion_tokens)),
        ("attempts", numbers.count(outcome.attempts) if outcome.attempts > 1 else ""),
        ("failed before", _failures(outcome)),
        ("text", "recovered: the server's parser had dropped it" if answer.recovered else ""),
        ("stored", "cut: the answer was longer than what is kept" if answer.clipped else ""),
        ("started", outcome.started_at),
    )
