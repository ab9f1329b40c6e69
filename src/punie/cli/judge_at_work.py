"""A judge that is served, connected and ready to be asked."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from punie.cli.judge_served import JudgeWish, checked_judge, judge_served
from punie.cli.signals import Signals
from punie.cli.wish import chosen_concurrency
from punie.judging.ask import GRACE_S, Judge, forces_schema, identity_of
from punie.judging.cache import Cache, MemoryCache
from punie.records.judgement import Reply
from punie.records.suite import Message
from punie.serving.client import ChatClient
from punie.settings import Loaded

if TYPE_CHECKING:
    from punie.store.judgements import JudgementStore

STOPPING = (
    f"ending after the questions in flight, in {GRACE_S:.0f} s at most; "
    "Ctrl-C again to end now (all is kept)"
)


@dataclass(frozen=True, slots=True)
class AtWork:
    """Who judges, how many questions may be in flight, and what a million tokens cost.

    `stop` is set once somebody asks for an end: what is in flight is let end.
    """

    judge: Judge
    concurrency: int
    prices: tuple[float, float] | None
    stop: asyncio.Event


@asynccontextmanager
async def judge_at_work(
    wish: JudgeWish,
    settings: Loaded,
    questions: Iterable[tuple[Message, ...]],
    *,
    prompt_hash: str,
    log: Path,
    cache: Cache,
    heard: Signals,
) -> AsyncGenerator[AtWork]:
    """Serve or connect the judge that was asked for, until the block ends.

    Raises InputError for what cannot judge, ModelError, ServerError or EndpointError where nobody
    does.
    """
    async with judge_served(wish, settings, log, questions) as service:
        endpoint = service.endpoint
        concurrency = chosen_concurrency(checked_judge(wish, settings)[0], settings)
        if service.memory is not None:
            concurrency = min(concurrency, service.memory.concurrency)
        identity = identity_of(
            endpoint.identity, prompt_hash=prompt_hash, rubric_hash=wish.rubric.hash
        )
        async with ChatClient(endpoint) as client:
            forced = await forces_schema(client)
            with heard.draining(STOPPING) as stop:
                judge = Judge(client, identity, cache=cache, forced=forced, stop=stop)
                yield AtWork(judge, concurrency, endpoint.prices, stop)


class RunsCache:
    """The replies of a project, each noted for the runs that it is used for.

    Without a run that lies in the project nothing is kept beyond the command. `runs` is set anew
    where one judge goes from runs to other runs.
    """

    def __init__(self, store: "JudgementStore | None", runs: Sequence[str]) -> None:
        self._cache: Cache = MemoryCache() if store is None else store
        self._store = store
        self.runs = runs

    def get(self, key: str) -> Reply | None:
        """The reply to a question that was asked before, if any."""
        reply = self._cache.get(key)
        if reply is not None:
            self._use(key)
        return reply

    def put(self, key: str, reply: Reply) -> None:
        """Keep a reply."""
        self._cache.put(key, reply)
        self._use(key)

    def _use(self, key: str) -> None:
        if self._store is not None:
            for run in self.runs:
                self._store.use(run, key)
