"""Does every prompt fit the model's context, with room for its answer?"""

import json
from collections.abc import Sequence
from dataclasses import asdict

from punie.evaluation.probes.questions import Questions
from punie.records.suite import EvalPrompt
from punie.records.trust import Finding, Level

NAME = "context"
TEMPLATE_BYTES = 2048
"""More than any chat template adds by itself."""
LEAST_BYTES_PER_TOKEN = 1
MOST_BYTES_PER_TOKEN = 16
MOST_ASKED = 3
MOST_NAMED = 8


async def context_fits(
    questions: Questions, prompts: Sequence[EvalPrompt], max_tokens: int, context: int | None
) -> Finding:
    """Compare prompt and answer with the context, in tokens. Raises NotAnswered.

    A token has at least one byte, so a prompt with fewer bytes than the context has room for needs
    no question. Of the others the longest are asked for one token, and the server's own count of
    their tokens is taken; how many bytes a token has there judges the rest.
    """
    if context is None:
        sentence = "How long the context is, this endpoint does not tell."
        return Finding(name=NAME, level=Level.OK, sentence=sentence)
    need = {prompt.id: _bytes(prompt) for prompt in prompts}
    answer = {prompt.id: prompt.max_tokens or max_tokens for prompt in prompts}
    unsure = [
        prompt
        for prompt in prompts
        if (need[prompt.id] + TEMPLATE_BYTES) / LEAST_BYTES_PER_TOKEN + answer[prompt.id] > context
    ]
    details: dict[str, int | list[str] | dict[str, int]] = {"context": context}
    if not unsure:
        sentence = f"Every prompt fits the context of {context} tokens, with its answer."
        return Finding(name=NAME, level=Level.OK, sentence=sentence, details=details)
    unsure.sort(key=lambda prompt: need[prompt.id], reverse=True)
    hopeless = [p for p in unsure if need[p.id] > MOST_BYTES_PER_TOKEN * context]
    counted: dict[str, int] = {}
    for prompt in unsure[len(hopeless) : len(hopeless) + MOST_ASKED]:
        tokens = (await questions.ask(prompt, max_tokens=1)).prompt_tokens
        if tokens is None:
            break
        counted[prompt.id] = tokens
    per_byte = max((tokens / max(1, need[id_]) for id_, tokens in counted.items()), default=0.0)
    too_long = [
        prompt.id
        for prompt in unsure
        if prompt in hopeless
        or counted.get(prompt.id, need[prompt.id] * per_byte) + answer[prompt.id] > context
    ]
    details["counted"] = counted
    if not too_long:
        sentence = f"Every prompt fits the context of {context} tokens, with its answer."
        return Finding(name=NAME, level=Level.OK, sentence=sentence, details=details)
    named = ", ".join(too_long[:MOST_NAMED])
    more = f" and {len(too_long) - MOST_NAMED} more" if len(too_long) > MOST_NAMED else ""
    return Finding(
        name=NAME,
        level=Level.WARNING,
        sentence=f"{len(too_long)} prompts with room for their answers are longer than the "
        f"context of {context} tokens: {named}{more}.",
        consequence="their answers are not what the model was made for; shorten them, or lower "
        "--max-tokens",
        details={**details, "prompts": too_long},
    )


def _bytes(prompt: EvalPrompt) -> int:
    """Bytes of the prompt's text, its calls, and its tools written with indents."""
    size = 0
    for message in prompt.messages:
        size += len((message.content or "").encode())
        size += sum(len(call.function.arguments.encode()) + 64 for call in message.tool_calls)
    if prompt.tools:
        size += len(json.dumps([asdict(tool) for tool in prompt.tools], indent=4).encode())
    return size
