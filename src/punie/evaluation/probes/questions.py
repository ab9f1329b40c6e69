"""`Questions`: short questions out of the suite, asked the way that the run will ask it."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import cycle, islice

from pydantic import JsonValue

from punie.evaluation.ask import LOST, Asker, Case, Later, Patience
from punie.records.base import canonical_json
from punie.records.expect import Expect
from punie.records.result import Completion, EvalFault, FaultKind
from punie.records.run import Run
from punie.records.suite import EvalPrompt, EvalSuite
from punie.serving.client import ChatClient
from punie.serving.endpoint import Endpoint

SHORT_TOKENS = 8
"""The longest answer to a question: a big model on a slow machine writes a few tokens a second."""
SHORT_CHARACTERS = 400
"""A prompt within this is preferred: reading it costs little."""
LONG_CHARACTERS = 4000
"""Where the short ones are too few, prompts within this are asked as well: about 1000 tokens."""
TOOL_CHARACTERS = 400
"""What a tool's signature counts for."""
QUESTION_S = 60.0
"""Somebody else's endpoint answers a short question within this, or the check is not made."""
HASTE = Patience(attempts=2, slow_downs=2, longest_wait_s=10.0)


class NotAnswered(Exception):  # noqa: N818 - it reads as what happened
    """A question that got no answer, for a fault of the machine: the check cannot be made."""

    def __init__(self, fault: EvalFault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class Questions:
    """Asks at temperature 0, at most `SHORT_TOKENS` long, and remembers first answers.

    Once the endpoint is lost every further question fails at once. Raises NotAnswered.
    """

    def __init__(self, client: ChatClient, suite: EvalSuite, run: Run) -> None:
        greedy = suite.sampling.model_copy(update={"temperature": 0.0, "seed": None})
        self._sampling = suite.sampling
        self._greedy = Asker(client, sampling=greedy, tools_mode=run.tools_mode, patience=HASTE)
        self._drawn = Asker(
            client, sampling=suite.sampling, tools_mode=run.tools_mode, patience=HASTE
        )
        self._alone: dict[str, Completion] = {}
        self._lost: EvalFault | None = None

    async def alone(self, prompt: EvalPrompt) -> Completion:
        """The answer to a prompt when it was asked for the first time with nothing beside it."""
        if prompt.id not in self._alone:
            self._alone[prompt.id] = await self.ask(prompt)
        return self._alone[prompt.id]

    async def ask(self, prompt: EvalPrompt, *, max_tokens: int = SHORT_TOKENS) -> Completion:
        """Ask now, at temperature 0."""
        return await self._answer(self._greedy, prompt, max_tokens)

    async def draw(self, prompt: EvalPrompt) -> Completion:
        """Ask now, sampled as in the run."""
        return await self._answer(self._drawn, prompt, SHORT_TOKENS)

    async def together(
        self, prompts: Sequence[EvalPrompt], in_flight: int
    ) -> list[tuple[EvalPrompt, Completion]]:
        """The answers when so many are asked at once, each prompt at least once."""
        asked = list(islice(cycle(prompts), max(in_flight, len(prompts))))
        places = asyncio.Semaphore(in_flight)

        async def one(prompt: EvalPrompt) -> Completion:
            async with places:
                return await self.ask(prompt)

        asking = [asyncio.create_task(one(prompt)) for prompt in asked]
        try:
            return list(zip(asked, await asyncio.gather(*asking), strict=True))
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    async def _answer(self, asker: Asker, prompt: EvalPrompt, max_tokens: int) -> Completion:
        if self._lost is not None:
            raise NotAnswered(self._lost)
        longest = min(max_tokens, prompt.max_tokens or self._sampling.max_tokens)
        case = Case(replace(prompt, max_tokens=longest, expect=Expect()))  # nothing to score
        outcome = await asker.attempt(case)
        while isinstance(outcome, Later):
            await asyncio.sleep(outcome.pause_s)
            outcome = await asker.attempt(case)
        if isinstance(outcome, EvalFault):
            if outcome.kind in LOST or outcome.kind is FaultKind.SERVER_DIED:
                self._lost = outcome
            raise NotAnswered(outcome)
        return outcome.completion


def is_ours(endpoint: Endpoint) -> bool:
    """Whether punie started the server, so that nobody else asks it anything."""
    return endpoint.identity.backend != "endpoint"


def asked_shortly(endpoint: Endpoint) -> Endpoint:
    """The endpoint for questions: whole answers, with probabilities where it gives them."""
    abilities = replace(endpoint.abilities, streaming=False)
    if is_ours(endpoint):
        return replace(endpoint, abilities=abilities)
    return replace(endpoint, abilities=abilities, timeout_s=min(QUESTION_S, endpoint.timeout_s))


def sample(prompts: Iterable[EvalPrompt], count: int) -> list[EvalPrompt]:
    """At most `count` different prompts, from the shortest to longer ones.

    Their lengths differ, because that is what goes wrong in batches; the long ones are left out
    where there are enough others, because reading them takes long, and the very long ones always,
    but for a single one where there is nothing else.
    """
    different = {prompt.messages: prompt for prompt in prompts}.values()
    by_length = sorted(different, key=characters)
    short = [prompt for prompt in by_length if characters(prompt) <= SHORT_CHARACTERS]
    fair = [prompt for prompt in by_length[:count] if characters(prompt) <= LONG_CHARACTERS]
    chosen = max(short, fair, key=len) or by_length[:1]
    if len(chosen) <= count:
        return chosen
    return [chosen[index * (len(chosen) - 1) // max(1, count - 1)] for index in range(count)]


def characters(prompt: EvalPrompt) -> int:
    """Characters of the prompt's turns, and about as many as its tools have."""
    turns = sum(len(message.content or "") for message in prompt.messages)
    return turns + TOOL_CHARACTERS * len(prompt.tools)


def said(answer: Completion) -> str:
    """All that the model said, in a form that can be compared."""
    calls: list[JsonValue] = [[call.name, call.arguments, call.raw] for call in answer.tool_calls]
    return canonical_json([answer.text, answer.reasoning, calls])
