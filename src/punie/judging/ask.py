"""Asking a judge one structured question.

    identity = identity_of(endpoint.identity, prompt_hash=..., rubric_hash=...)
    async with ChatClient(endpoint) as client:
        judge = Judge(client, identity, cache=cache, forced=await forces_schema(client))
        said = await judge.ask(question)       # a Question[T] of judging/question.py
        match said:
            case Told():    said.value         # a T; said.repaired, said.cached, said.reply
            case Untold():  said.kind, said.message
            case None:      ...                # `stop` was set before it was asked

A question that was asked before is not asked again: its reply comes from the cache and is read as
if it had just come. One whose answer cannot be read is asked once more, with the reason. Requests
that fail are tried again with the patience of an eval. Temperature is 0.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from pydantic import JsonValue

from punie.analysis.served_by import served_by
from punie.analysis.spending import total
from punie.errors import ServerError
from punie.judging.cache import Cache
from punie.judging.question import Question
from punie.judging.reading import UnreadableError
from punie.records.judgement import JudgeFaultKind, JudgeIdentity, Reply
from punie.records.result import Completion, FaultKind
from punie.records.run import ModelIdentity
from punie.records.suite import Message, Sampling
from punie.serving.client import ChatClient, RequestFailed, without_key
from punie.serving.patience import LOST, Pacer, Patience
from punie.serving.request import ChatRequest

T = TypeVar("T")
W = TypeVar("W")
TRIES = 2
"""Times that a judge is asked until its answer can be read."""
GRACE_S = 10.0
"""What is in flight when somebody asks for an end is waited for so long: a judge may hang."""
SECRET = 8
"""Characters from which on a key may be one; shorter ones are placeholders, such as `none`."""


@dataclass(frozen=True, slots=True)
class Told(Generic[T]):
    """A judge's answer: its value, the words that it was read from, and how it came."""

    value: T
    reply: Reply
    repaired: bool = False
    cached: bool = False


@dataclass(frozen=True, slots=True)
class Untold:
    """No answer of use: why in a word and in a sentence, and what it cost all the same."""

    kind: JudgeFaultKind
    message: str
    asked: int = 0
    tokens_in: int | None = None
    tokens_out: int | None = None


def identity_of(model: ModelIdentity, *, prompt_hash: str, rubric_hash: str) -> JudgeIdentity:
    """Who judges, by what is served and by the words that it is asked with."""
    return JudgeIdentity(
        model=model.name,
        backend=model.backend,
        url=model.url if model.backend == "endpoint" else None,
        weights_hash=model.weights_hash,
        model_hash=model.model_hash,
        adapter_hash=model.adapter_hash,
        served=served_by(model) if model.backend == "cuda" else None,
        prompt_hash=prompt_hash,
        rubric_hash=rubric_hash,
    )


class Judge:
    """One judge, over one client.

    Setting `stop` asks no more and lets what is in flight end, if it does so within `grace_s`.
    """

    def __init__(
        self,
        client: ChatClient,
        identity: JudgeIdentity,
        *,
        cache: Cache,
        forced: bool = False,
        patience: Patience | None = None,
        stop: asyncio.Event | None = None,
        grace_s: float = GRACE_S,
    ) -> None:
        self.identity = identity
        self._client = client
        self._keeper = client.endpoint.keeper
        self._cache = cache
        self._forced = forced
        self._patience = patience or Patience()
        self._stop = stop or asyncio.Event()
        self._grace_s = grace_s
        self._pacer = Pacer(client.endpoint.requests_per_minute)
        self._asking: dict[str, asyncio.Lock] = {}

    async def ask(self, question: Question[T]) -> Told[T] | Untold | None:
        """The judge's answer, from the cache where it is there; None once `stop` is set.

        Of equal questions at the same time one is asked, the others wait for its reply.
        """
        key = question.key(self.identity.key)
        async with self._asking.setdefault(key, asyncio.Lock()):
            known = self._known(key, question)
            if known is not None:
                return known
            return None if self._stop.is_set() else await self._asked(question, key)

    async def _asked(self, question: Question[T], key: str) -> Told[T] | Untold | None:
        spent = _Spent()
        complaint = ""
        problem = UnreadableError(JudgeFaultKind.UNANSWERED, "")
        for _ in range(TRIES):
            try:
                completion = await self._completion(_request(question, complaint, self._forced))
            except RequestFailed as fault:
                return spent.untold(JudgeFaultKind.UNANSWERED, f"{fault.kind}: {fault.message}")
            if completion is None:
                return None
            spent.add(completion)
            try:
                read = question.read(completion)
            except UnreadableError as error:
                # The sentence may quote the judge, and so the judged; the kind is ours.
                problem, complaint = error, error.kind.value
                continue
            reply = spent.reply(completion.text)
            self._cache.put(key, reply)
            return Told(read.value, reply, repaired=read.repaired)
        return spent.untold(problem.kind, problem.why)

    def _known(self, key: str, question: Question[T]) -> Told[T] | None:
        reply = self._cache.get(key)
        if reply is None:
            return None
        try:
            read = question.read(Completion(text=reply.text))
        except UnreadableError:
            return None  # kept by a punie that read more leniently
        return Told(read.value, reply, repaired=read.repaired, cached=True)

    async def _completion(self, request: ChatRequest) -> Completion | None:
        """One answer, with patience. Raises RequestFailed; None if stopped while it waited."""
        failures: list[FaultKind] = []
        while True:
            await self._pacer.turn(self._stop)
            if self._stop.is_set():
                return None
            life = 0
            try:
                async with self._turn() as life:
                    return await self._answer(request)
            except RequestFailed as error:
                fault = await self._looked_at(error, life)
            failures.append(fault.kind)
            too_long = (fault.retry_after_s or 0.0) > self._patience.longest_wait_s
            ours = self._keeper is not None
            if not fault.retryable or too_long or self._patience.spent(failures, ours=ours):
                raise fault
            if fault.retry_after_s:
                self._pacer.hold(fault.retry_after_s)
            with suppress(TimeoutError):
                pause_s = self._patience.pause_s(len(failures), fault)
                await asyncio.wait_for(self._stop.wait(), pause_s)

    async def _answer(self, request: ChatRequest) -> Completion | None:
        """One answer, without our key; None if stopped and none came in the time of grace."""
        asking = asyncio.create_task(self._client.ask(request))
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait((asking, stopping), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait((asking,), timeout=self._grace_s)
            return self._keyless(asking.result()) if asking.done() else None
        finally:
            for task in (asking, stopping):
                task.cancel()
            await asyncio.gather(asking, stopping, return_exceptions=True)

    def _keyless(self, completion: Completion) -> Completion:
        """What is kept and shown; a key that is but a word, as for a server without keys, stays."""
        key = self._client.endpoint.api_key or ""
        if len(key) < SECRET:
            return completion
        return completion.model_copy(update={"text": without_key(key, completion.text)})

    @asynccontextmanager
    async def _turn(self) -> AsyncGenerator[int]:
        if self._keeper is None:
            yield 0
            return
        async with self._keeper.turn() as life:
            yield life
            self._keeper.answered()

    async def _looked_at(self, fault: RequestFailed, life: int) -> RequestFailed:
        """The fault, after a server of our own that may have died of it was started again."""
        if self._keeper is None or fault.kind not in LOST:
            return fault
        try:
            reason = await self._keeper.revive(life)
        except ServerError as error:
            why = error.message.partition("\n")[0]
            return RequestFailed(FaultKind.SERVER_DIED, why, retryable=False)
        return RequestFailed(FaultKind.SERVER_DIED, reason) if reason else fault


async def in_flight(
    work: Iterable[W], do: Callable[[W], Awaitable[bool]], *, concurrency: int
) -> bool:
    """Do all the work, so much at a time, until a `do` gives False; give whether none did.

    The first error ends all and is raised.
    """
    left = iter(work)
    going_on = True

    async def worker() -> None:
        nonlocal going_on
        while going_on and (each := next(left, None)) is not None:
            going_on = await do(each) and going_on

    tasks = [asyncio.create_task(worker()) for _ in range(concurrency)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return going_on


async def forces_schema(client: ChatClient) -> bool:
    """Whether the endpoint forces answers into a schema; by one short question if nobody knows.

    A server of our own has it among its abilities. No endpoint says so, and some take
    `response_format` and ignore it. The schema's one key stands nowhere in the words, so only who
    was forced can answer with it.
    """
    known = client.endpoint.abilities.schema
    if known is not None:
        return known
    number: dict[str, JsonValue] = {"type": "integer"}
    schema: dict[str, JsonValue] = {
        "type": "object",
        "properties": {"q7": number},
        "required": ["q7"],
        "additionalProperties": False,
    }
    request = ChatRequest(
        messages=(Message(role="user", content="How many days does a week have?"),),
        sampling=Sampling(temperature=0.0, max_tokens=32),
        schema=schema,
    )
    try:
        answer = await client.ask(request)
        return list(json.loads(answer.text)) == ["q7"]
    except (RequestFailed, ValueError, TypeError):
        return False


@dataclass(slots=True)
class _Spent:
    """What one question has taken so far."""

    asked: int = 0
    tokens_in: int | None = None
    tokens_out: int | None = None

    def add(self, completion: Completion) -> None:
        self.asked += 1
        self.tokens_in = total([self.tokens_in, completion.prompt_tokens])
        self.tokens_out = total([self.tokens_out, completion.completion_tokens])

    def reply(self, text: str) -> Reply:
        return Reply(
            text=text, asked=self.asked, tokens_in=self.tokens_in, tokens_out=self.tokens_out
        )

    def untold(self, kind: JudgeFaultKind, message: str) -> Untold:
        return Untold(kind, message, self.asked, self.tokens_in, self.tokens_out)


def _request(question: Question[T], complaint: str, forced: bool) -> ChatRequest:  # noqa: FBT001
    messages = question.messages
    if complaint:
        *before, last = messages
        again = f"{last.content}\n\nYour last answer could not be used: {complaint}. Answer again."
        messages = (*before, replace(last, content=again))
    return ChatRequest(
        messages=messages,
        sampling=Sampling(temperature=0.0, max_tokens=question.max_tokens),
        schema=question.schema if forced else None,
    )
