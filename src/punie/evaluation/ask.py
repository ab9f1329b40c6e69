"""Asking one prompt until it is answered or given up: pacing, retries, tools, scoring."""

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from punie.evaluation.tools_prompt import tools_in_system_prompt
from punie.records.result import Completion, EvalFault, EvalResult, FaultKind, Outcome
from punie.records.suite import EvalPrompt, Sampling
from punie.scoring.score import overall, score_prompt
from punie.serving.client import ChatClient, RequestFailed
from punie.serving.request import ChatRequest

NATIVE, IN_PROMPT = "native", "prompt"
"""How tools reach the model: rendered by its own template, or written into the system turn."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to go on with a request that fails.

    Pauses double from `first_pause_s` to `longest_pause_s`, each varied by up to a half so that
    clients do not return together. A server that says `Retry-After` is believed, up to
    `longest_wait_s`; being told to slow down does not use up `attempts`, only `slow_downs`.
    """

    attempts: int = 4
    slow_downs: int = 12
    first_pause_s: float = 0.5
    longest_pause_s: float = 15.0
    longest_wait_s: float = 120.0

    def pause_s(self, failures: int, fault: RequestFailed) -> float:
        """Seconds to wait after the `failures`-th failure, counted from 1."""
        pause = min(self.longest_pause_s, self.first_pause_s * 2 ** (failures - 1))
        pause *= random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
        return max(pause, min(fault.retry_after_s or 0.0, self.longest_wait_s))


class Pacer:
    """Hands out moments to send at, at most `per_minute` of them a minute, evenly spread."""

    def __init__(self, per_minute: float | None) -> None:
        self._gap_s = 60.0 / per_minute if per_minute else 0.0
        self._next = 0.0

    async def turn(self) -> None:
        """Wait for the next free moment."""
        if not self._gap_s:
            return
        now = time.monotonic()
        moment = max(now, self._next)
        self._next = moment + self._gap_s
        await asyncio.sleep(moment - now)


class Asker:
    """Turns a prompt into an outcome, over one client."""

    def __init__(
        self,
        client: ChatClient,
        *,
        sampling: Sampling,
        tools_mode: str,
        patience: Patience | None = None,
        died: Callable[[], str | None] = lambda: None,
        stop: asyncio.Event | None = None,
    ) -> None:
        self._client = client
        self._sampling = sampling
        self._tools_mode = tools_mode
        self._patience = patience or Patience()
        self._pacer = Pacer(client.endpoint.requests_per_minute)
        self._died = died
        self._stop = stop or asyncio.Event()

    async def ask(self, prompt: EvalPrompt, repeat: int = 0) -> Outcome:
        """The prompt's result, or its fault once patience ran out; no network error gets out."""
        request = self._request(prompt, repeat)
        started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        began = time.perf_counter()
        failures = slow_downs = 0
        while True:
            await self._pacer.turn()
            try:
                completion = await self._client.ask(request)
            except RequestFailed as fault:
                reason = self._died()
                if fault.kind is FaultKind.RATE_LIMITED and slow_downs < self._patience.slow_downs:
                    slow_downs += 1
                else:
                    failures += 1
                over = reason or self._stop.is_set() or failures >= self._patience.attempts
                if over or not fault.retryable:
                    return EvalFault(
                        prompt_id=prompt.id,
                        prompt_hash=prompt.hash,
                        repeat=repeat,
                        attempts=failures + slow_downs,
                        started_at=started_at,
                        kind=FaultKind.SERVER_DIED if reason else fault.kind,
                        message=reason or fault.message,
                        elapsed_s=time.perf_counter() - began,
                    )
                with suppress(TimeoutError):
                    pause_s = self._patience.pause_s(failures + slow_downs, fault)
                    await asyncio.wait_for(self._stop.wait(), pause_s)
            else:
                attempts = failures + slow_downs + 1
                return _result(prompt, completion, repeat, attempts, started_at)

    def _request(self, prompt: EvalPrompt, repeat: int) -> ChatRequest:
        sampling = self._sampling
        changes: dict[str, int] = {}
        if prompt.max_tokens is not None:
            changes["max_tokens"] = prompt.max_tokens
        if sampling.seed is not None and repeat:
            # Each repeat is another draw; the same seed would give the same answer again.
            changes["seed"] = sampling.seed + repeat
        if changes:
            sampling = sampling.model_copy(update=changes)
        request = ChatRequest(messages=prompt.messages, sampling=sampling, tools=prompt.tools)
        if prompt.tools and self._tools_mode == IN_PROMPT:
            messages = tools_in_system_prompt(prompt.messages, prompt.tools)
            request = replace(request, messages=messages, tools=())
        return request


def _result(
    prompt: EvalPrompt, completion: Completion, repeat: int, attempts: int, started_at: str
) -> EvalResult:
    scores = score_prompt(prompt, completion)
    score, passed = overall(scores) or (None, None)
    return EvalResult(
        prompt_id=prompt.id,
        prompt_hash=prompt.hash,
        repeat=repeat,
        attempts=attempts,
        started_at=started_at,
        completion=completion,
        scores=scores,
        score=score,
        passed=passed,
    )
