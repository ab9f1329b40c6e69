"""`self_check`: the instrument looks at itself before it measures.

A few short questions out of the suite show whether the numbers will mean what they seem to mean:
whether the adapter takes effect, tools arrive, a seed repeats, answers stay the same in company and
out of the cache, and every prompt fits. What is found is stored with the run; no check ends it.
"""

import time
from collections.abc import Awaitable
from dataclasses import replace

from punie.evaluation.needs import check_needs, shortfalls
from punie.evaluation.probes.adapter import adapter_alone, adapter_effect
from punie.evaluation.probes.concurrency import MOST_IN_FLIGHT, answers_together
from punie.evaluation.probes.context import context_fits
from punie.evaluation.probes.questions import (
    NotAnswered,
    Questions,
    asked_shortly,
    is_ours,
    sample,
)
from punie.evaluation.probes.repetition import (
    CACHE,
    SEED,
    cache_agrees,
    follow_up,
    greedy_repeats,
    repeat,
    seed_repeats,
)
from punie.evaluation.probes.tools import tools_arrive
from punie.records.run import Run
from punie.records.suite import EvalPrompt, EvalSuite
from punie.records.trust import Checks, Finding, Level
from punie.serving.client import ChatClient
from punie.serving.endpoint import Endpoint

OUR_PROMPTS, THEIR_PROMPTS = 4, 2
"""Prompts that are asked: fewer of somebody else's endpoint, where each may cost money."""
THEIRS_IN_FLIGHT = 8
"""What an eval has in flight unless it is told otherwise."""


async def self_check(suite: EvalSuite, endpoint: Endpoint, run: Run) -> Run:
    """The run's head with what was found, and with the concurrency that it should have.

    Call it inside the endpoint's context, with the head from `new_run`, and hand what it gives to
    `run_evaluation`. A check that a fault of the machine prevents is a finding that says so. Raises
    InputError for what the endpoint cannot do.
    """
    check_needs(suite, endpoint, run)
    began = time.perf_counter()
    shortly = asked_shortly(endpoint)
    async with ChatClient(shortly) as client:
        check = _SelfCheck(suite, endpoint, run, Questions(client, suite, run))
        if endpoint.base_model is not None:
            async with ChatClient(replace(shortly, model=endpoint.base_model)) as bare:
                await check.adapter(Questions(bare, suite, run))
        elif endpoint.identity.adapter is not None:
            check.findings.append(adapter_alone(endpoint.server))
        await check.company()
        await check.repetition()
        await check.tools()
        await check.context()
    seconds = time.perf_counter() - began
    checks = Checks(findings=tuple(check.findings), seconds=round(seconds, 3))
    return run.model_copy(update={"checks": checks, "concurrency": check.concurrency})


class _SelfCheck:
    """One self-check under way: what it asks, and what it has found so far."""

    def __init__(
        self, suite: EvalSuite, endpoint: Endpoint, run: Run, questions: Questions
    ) -> None:
        self.findings: list[Finding] = []
        self.concurrency = run.concurrency
        self._suite = suite
        self._endpoint = endpoint
        self._run = run
        self._questions = questions
        self._ours = is_ours(endpoint)
        self._prompts = sample(suite.prompts, OUR_PROMPTS if self._ours else THEIR_PROMPTS)

    async def adapter(self, base: Questions) -> None:
        """Ask the base, then the adapter."""
        numbers = self._endpoint.abilities.token_ids
        effect = adapter_effect(base, self._questions, self._prompts[::2], numbers=numbers)
        await self._make("adapter", effect)

    async def company(self) -> None:
        """Ask alone and among others."""

        async def check() -> Finding:
            finding, self.concurrency = await answers_together(
                self._questions,
                self._prompts,
                self._run,
                in_flight=min(self._most, self._tried()),
                most=self._most,
                ours=self._ours,
            )
            return finding

        await self._make("concurrency", check())

    async def repetition(self) -> None:
        """Ask again."""
        began = time.perf_counter()
        asked: list[EvalPrompt] = self._prompts[:1]
        if self._ours:
            asked = [*asked, *map(follow_up, asked)]
        try:
            repeated = await repeat(self._questions, asked)
        except NotAnswered as failure:
            self._keep(_not_made(SEED, failure), began)
            self._keep(_not_made(CACHE, failure), began)
            return
        self._keep(cache_agrees(repeated), began)
        if self._suite.sampling.temperature == 0:
            self._keep(greedy_repeats(repeated, ours=self._ours), began)
        elif missing := [*shortfalls(self._suite, self._endpoint)]:
            self.findings += missing
        else:
            drawn = seed_repeats(self._questions, self._prompts[0], self._suite.sampling)
            await self._make(SEED, drawn)

    async def tools(self) -> None:
        """Ask with tools and without."""
        prompts, run = self._suite.prompts, self._run
        await self._make("tools", tools_arrive(self._questions, prompts, run, self._endpoint))

    async def context(self) -> None:
        """Count the longest prompts."""
        longest = self._suite.sampling.max_tokens
        context = self._endpoint.context_length
        fits = context_fits(self._questions, self._suite.prompts, longest, context)
        await self._make("context", fits)

    @property
    def _most(self) -> int:
        """How many questions this run will ever have in flight."""
        return min(self._run.concurrency, len(self._suite.prompts) * self._run.repeats)

    def _tried(self) -> int:
        """How many questions to ask at once, at most."""
        if self._ours:
            return MOST_IN_FLIGHT
        if self._endpoint.requests_per_minute is not None:
            return 1  # the declared pace decides how many are in flight
        return THEIRS_IN_FLIGHT

    async def _make(self, name: str, check: Awaitable[Finding]) -> None:
        began = time.perf_counter()
        try:
            finding = await check
        except NotAnswered as failure:
            finding = _not_made(name, failure)
        self._keep(finding, began)

    def _keep(self, finding: Finding, began: float) -> None:
        seconds = round(time.perf_counter() - began, 3)
        details = {**finding.details, "seconds": seconds}
        self.findings.append(finding.model_copy(update={"details": details}))


def _not_made(name: str, failure: NotAnswered) -> Finding:
    return Finding(
        name=name,
        level=Level.UNKNOWN,
        sentence=f"The check of {name} could not be made: {failure.fault.message}",
        consequence="what it would have found is not known",
        details={"fault": failure.fault.kind.value},
    )
