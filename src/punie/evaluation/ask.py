"""Asking one prompt: pacing, tools, tries and pauses, scoring.

A try ends in an outcome or in a pause (`Later`). A prompt that pauses gives its place to another
one: waiting for a slow-down to pass costs nobody's time.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from punie.errors import ServerError
from punie.evaluation.clock import SLEPT_S, Clock
from punie.models.tools_prompt import tools_in_system_prompt
from punie.records.result import Completion, EvalFault, EvalResult, FaultKind, Outcome
from punie.records.suite import EvalPrompt, Sampling
from punie.scoring.score import overall, score_prompt
from punie.serving.client import ChatClient, RequestFailed
from punie.serving.patience import LOST, Pacer, Patience
from punie.serving.request import ChatRequest

T = TypeVar("T")
NATIVE, IN_PROMPT = "native", "prompt"
"""How tools reach the model: rendered by its own template, or written into the system turn."""


@dataclass(slots=True)
class Case:
    """One prompt on its way to an outcome, over all of its tries."""

    prompt: EvalPrompt
    repeat: int = 0
    failures: list[FaultKind] = field(default_factory=list[FaultKind])
    last: RequestFailed | None = None
    started_at: str = ""
    began: float = 0.0

    def begin(self) -> None:
        """Note the time of the first try."""
        if not self.started_at:
            self.started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
            self.began = time.perf_counter()

    def fault(self) -> EvalFault:
        """The prompt as one that could not be measured, for the last try's reason."""
        assert self.last is not None
        return EvalFault(
            prompt_id=self.prompt.id,
            prompt_hash=self.prompt.hash,
            repeat=self.repeat,
            attempts=len(self.failures),
            failures=tuple(self.failures[:-1]),
            started_at=self.started_at,
            kind=self.failures[-1],
            message=self.last.message,
            elapsed_s=time.perf_counter() - self.began,
        )

    def result(self, completion: Completion, memory_bytes: int | None) -> EvalResult:
        """The prompt's answer, scored."""
        scores = score_prompt(self.prompt, completion)
        score, passed = overall(scores) or (None, None)
        return EvalResult(
            prompt_id=self.prompt.id,
            prompt_hash=self.prompt.hash,
            repeat=self.repeat,
            attempts=len(self.failures) + 1,
            failures=tuple(self.failures),
            started_at=self.started_at,
            server_memory_bytes=memory_bytes,
            completion=completion,
            scores=scores,
            score=score,
            passed=passed,
        )


def seed_of(seed: int, case: Case) -> int:
    """The seed of one asking of one prompt, below 2^31, which every server takes.

    Repeats that shared a seed would be one draw. Prompts that shared one would be drawn with the
    same random numbers: their answers would be lucky together, and an interval over prompts too
    narrow. It hangs on what is asked alone, so that two runs with one seed draw alike.
    """
    key = f"{seed} {case.prompt.hash or case.prompt.id} {case.repeat}"
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4]) >> 1


@dataclass(frozen=True, slots=True)
class Later:
    """Try again after so many seconds."""

    pause_s: float


class Asker:
    """Tries cases, over one client. `on_nap` hears how many seconds the machine slept."""

    def __init__(
        self,
        client: ChatClient,
        *,
        sampling: Sampling,
        tools_mode: str,
        patience: Patience | None = None,
        clock: Clock | None = None,
        on_nap: Callable[[float], None] = lambda _: None,
        stop: asyncio.Event | None = None,
    ) -> None:
        self._client = client
        self._keeper = client.endpoint.keeper
        self._sampling = sampling
        self._tools_mode = tools_mode
        self._patience = patience or Patience()
        self._clock = clock or Clock()
        self._on_nap = on_nap
        self._stop = stop or asyncio.Event()
        self.pacer = Pacer(client.endpoint.requests_per_minute)

    async def attempt(self, case: Case) -> Outcome | Later:
        """Send the case's request once; no network error gets out."""
        await self.pacer.turn(self._stop)
        if self._keeper is not None and not self._keeper.open:
            await self._unless_stopped(self._keeper.opened())
        if self._stop.is_set():
            return Later(0.0)
        case.begin()
        life = 0
        before = self._clock.ahead()
        try:
            async with self._turn() as life:
                before = self._clock.ahead()
                completion = await self._ask(self._request(case), life)
        except RequestFailed as fault:
            if nap := self._slept(before):
                return self._again(case, FaultKind.SLEPT, nap)
            return await self._after(case, fault, life)
        if nap := self._slept(before):
            # Its latency is not the model's.
            return self._again(case, FaultKind.SLEPT, nap)
        if self._keeper is None:
            return case.result(completion, None)
        self._keeper.answered()
        return case.result(completion, self._keeper.memory_bytes)

    async def _ask(self, request: ChatRequest, life: int) -> Completion:
        """Send the request; a server of our own that is silent for long is looked at meanwhile.

        An answer that is not streamed gives no sign of life before its end.
        """
        silence_s = self._client.endpoint.first_token_s
        if self._keeper is None or silence_s is None or not request.tools:
            return await self._client.ask(request)
        asking = asyncio.ensure_future(self._client.ask(request))
        try:
            while not (await asyncio.wait({asking}, timeout=silence_s))[0]:
                with suppress(ServerError):  # the request ends with the server
                    await self._keeper.revive(life)
            return asking.result()
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    @asynccontextmanager
    async def _turn(self) -> AsyncGenerator[int]:
        if self._keeper is None:
            yield 0
            return
        async with self._keeper.turn() as life:
            yield life

    async def _after(self, case: Case, fault: RequestFailed, life: int) -> Outcome | Later:
        """What follows from a request that failed."""
        if self._keeper is not None and fault.kind in LOST:
            return await self._revived(case, fault, life)
        if (fault.retry_after_s or 0.0) > self._patience.longest_wait_s:
            fault.message += f"; it asks to come back in {fault.retry_after_s:.0f} s"
            fault.retryable = False
        elif fault.retry_after_s:
            self.pacer.hold(fault.retry_after_s)
        return self._again(case, fault.kind, fault)

    async def _revived(self, case: Case, fault: RequestFailed, life: int) -> Outcome | Later:
        """Have our own server looked at; the prompts that were in flight are asked once more."""
        assert self._keeper is not None
        try:
            reason = await self._unless_stopped(self._keeper.revive(life))
        except ServerError as error:
            why = error.message.partition("\n")[0]  # without the log
            gone = RequestFailed(FaultKind.SERVER_DIED, why, retryable=False)
            return self._again(case, FaultKind.SERVER_DIED, gone)
        if reason is None:
            return self._again(case, fault.kind, fault)
        died = RequestFailed(FaultKind.SERVER_DIED, reason)
        return self._again(case, FaultKind.SERVER_DIED, died, pause=False)

    async def _unless_stopped(self, work: Coroutine[Any, Any, T]) -> T | None:
        """What `work` gives; None if the run is stopped before, and the work is left."""
        working = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return working.result() if working.done() else None
        finally:
            working.cancel()
            stopping.cancel()
            await asyncio.gather(working, stopping, return_exceptions=True)

    def _again(
        self, case: Case, kind: FaultKind, fault: RequestFailed, *, pause: bool = True
    ) -> Outcome | Later:
        case.failures.append(kind)
        case.last = fault
        if not fault.retryable or self._patience.spent(
            case.failures, ours=self._keeper is not None
        ):
            return case.fault()
        return Later(self._patience.pause_s(len(case.failures), fault) if pause else 0.0)

    def _slept(self, before: float) -> RequestFailed | None:
        """The nap as a fault, if the machine slept since the clocks were read."""
        nap_s = self._clock.ahead() - before
        if nap_s < SLEPT_S:
            return None
        self._on_nap(nap_s)
        return RequestFailed(FaultKind.SLEPT, f"the machine slept for {nap_s:.0f} s meanwhile")

    def _request(self, case: Case) -> ChatRequest:
        prompt, sampling = case.prompt, self._sampling
        changes: dict[str, int] = {}
        if prompt.max_tokens is not None:
            changes["max_tokens"] = prompt.max_tokens
        if sampling.seed is not None:
            changes["seed"] = seed_of(sampling.seed, case)
        if changes:
            sampling = sampling.model_copy(update=changes)
        request = ChatRequest(messages=prompt.messages, sampling=sampling, tools=prompt.tools)
        if prompt.tools and self._tools_mode == IN_PROMPT:
            messages = tools_in_system_prompt(prompt.messages, prompt.tools)
            request = replace(request, messages=messages, tools=())
        return request
