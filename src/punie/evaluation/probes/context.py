"""Whether every prompt fits the model's context, with room for its answer."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from pydantic import JsonValue

from punie.evaluation.probes.questions import Questions
from punie.records.suite import EvalPrompt
from punie.records.trust import Finding, Level

NAME = "context"
TEMPLATE_BYTES = 2048
"""More than chat templates add by themselves."""
MOST_BYTES_PER_TOKEN = 16
"""A prompt that is too long even so is not asked: it would cost the most, and end badly."""
MOST_ASKED = 3
MOST_NAMED = 8


async def context_fits(
    questions: Questions, prompts: Sequence[EvalPrompt], max_tokens: int, context: int | None
) -> Finding:
    """Compare prompts and their answers with the context, in tokens. Raises NotAnswered.

    A token has at least one byte, so a prompt with fewer bytes than the context has tokens needs no
    question. Of the others the longest are asked for one token, to hear the server's own count of
    theirs; the most tokens for a byte among them judge the rest.
    """
    if context is None:
        sentence = "This endpoint does not tell how long its context is."
        return Finding(name=NAME, level=Level.UNKNOWN, sentence=sentence)
    room = {each.id: context - (each.max_tokens or max_tokens) for each in prompts}
    size = {each.id: _bytes(each) for each in prompts}
    unsure = [each for each in prompts if size[each.id] + TEMPLATE_BYTES > room[each.id]]
    unsure.sort(key=lambda each: size[each.id], reverse=True)
    counted: dict[str, int] = {}
    for prompt in unsure:
        if len(counted) == MOST_ASKED:
            break
        if size[prompt.id] <= MOST_BYTES_PER_TOKEN * context:
            tokens = (await questions.ask(prompt, max_tokens=1)).prompt_tokens
            if tokens is None:
                return _uncounted(context)
            counted[prompt.id] = tokens
    per_byte = max(
        (tokens / max(1, size[name]) for name, tokens in counted.items()),
        default=1 / MOST_BYTES_PER_TOKEN,
    )
    too_long = [
        each.id for each in unsure if counted.get(each.id, size[each.id] * per_byte) > room[each.id]
    ]
    details: dict[str, JsonValue] = {"context": context, "counted": {**counted}}
    if not too_long:
        sentence = f"Every prompt fits the context of {context} tokens, with its answer."
        return Finding(name=NAME, level=Level.OK, sentence=sentence, details=details)
    more = f" and {len(too_long) - MOST_NAMED} more" if len(too_long) > MOST_NAMED else ""
    return Finding(
        name=NAME,
        level=Level.WARNING,
        sentence=f"{len(too_long)} of {len(prompts)} prompts do not fit the context of {context} "
        f"tokens with the longest answer they may get: {', '.join(too_long[:MOST_NAMED])}{more}.",
        consequence="such an answer may lose its sense or be cut; shorten the prompts, or lower "
        "--max-tokens",
        details={**details, "prompts": [*too_long]},
    )


def _uncounted(context: int) -> Finding:
    return Finding(
        name=NAME,
        level=Level.UNKNOWN,
        sentence="The endpoint counts no tokens, so nobody can tell whether the longest prompts "
        f"fit the context of {context} tokens.",
        consequence="prompts that do not fit may become faults",
    )


def _bytes(prompt: EvalPrompt) -> int:
    """Bytes of the prompt's text, its calls, and its tools written with indents."""
    size = 0
    for message in prompt.messages:
        size += len((message.content or "").encode("utf-8", "replace"))
        size += sum(len(call.function.arguments.encode()) + 64 for call in message.tool_calls)
    if prompt.tools:
        size += len(json.dumps([asdict(tool) for tool in prompt.tools], indent=4).encode())
    return size
