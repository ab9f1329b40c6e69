"""What a server cannot do is refused before anything is measured, or said of the run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fake_server import FakeServer
from punie.cli.checked import checked
from punie.cli.served import Served
from punie.cli.wish import Wish
from punie.errors import InputError
from punie.evaluation.checks import self_check
from punie.evaluation.run import new_run, run_evaluation
from punie.evaluation.side_by_side import Side, run_side_by_side
from punie.records.result import Outcome
from punie.records.run import ModelIdentity, Run
from punie.records.suite import EvalPrompt, EvalSuite, Message, Sampling, Tool
from punie.records.trust import Level
from punie.serving.endpoint import SAMPLING, Abilities, Endpoint
from punie.settings import Loaded, Settings

WEATHER = Tool(name="weather", description="The weather of a city.")
VLLM = ModelIdentity(name="m", backend="cuda", server="vllm")
THEIRS = ModelIdentity(name="m", backend="endpoint")
TRANSFORMERS = ModelIdentity(name="m", backend="cuda", server="transformers")


def a_suite(*, tools: tuple[Tool, ...] = (), **sampling: Any) -> EvalSuite:
    prompt = EvalPrompt(
        id="p", messages=(Message(role="user", content="Hi there"),), tools=tools, hash="h"
    )
    return EvalSuite(name="s", prompts=(prompt,), sampling=Sampling(**sampling), hash="h")


def at(server: FakeServer, identity: ModelIdentity = VLLM, **changes: Any) -> Endpoint:
    endpoint = Endpoint(base_url=server.url, model="m", identity=identity, timeout_s=5)
    return replace(endpoint, **changes)


async def test_native_tools_are_refused_where_nobody_reads_calls() -> None:
    suite = a_suite(tools=(WEATHER,))
    async with FakeServer() as server:
        unable = at(server, abilities=Abilities(tools=False))
        with pytest.raises(InputError, match="vLLM can give this model none") as refused:
            await run_evaluation(suite, unable, tools="native")
        with pytest.raises(InputError, match="s has prompts with tools"):
            await self_check(suite, unable, new_run(suite, unable, tools="native"))
        assert not server.requests
        written = await run_evaluation(suite, unable)
        await run_evaluation(a_suite(), unable, tools="native")
    assert "--tools prompt" in str(refused.value.hint)
    assert written.run.tools_mode == "prompt"
    assert "tools" not in server.requests[0].body


@pytest.mark.parametrize(
    ("name", "value"), [("top_p", 0.9), ("top_k", 4), ("min_p", 0.1), ("stop", ("END",))]
)
async def test_sampling_that_is_not_heeded_is_refused(name: str, value: Any) -> None:
    suite = a_suite(temperature=0.7, **{name: value})
    async with FakeServer() as server:
        deaf = at(server, TRANSFORMERS, abilities=Abilities(sampling=SAMPLING - {name}))
        with pytest.raises(InputError, match=f"{name}, which transformers serve") as refused:
            await run_evaluation(suite, deaf)
        assert not server.requests
        await run_evaluation(a_suite(temperature=0.7), deaf)
        await run_evaluation(suite, at(server, TRANSFORMERS))
    assert name in str(refused.value.hint)
    assert [name in seen.body for seen in server.requests] == [False, True]


async def test_of_two_sides_either_may_be_unable() -> None:
    async def keep(_kept: Outcome | Run) -> None:
        raise AssertionError("nothing was measured")

    suite = a_suite(temperature=0.7, min_p=0.1)
    async with FakeServer() as server:
        deaf = at(server, abilities=Abilities(sampling=SAMPLING - {"min_p"}))
        sides = [Side(each, new_run(suite, each), keep, keep) for each in (at(server), deaf)]
        with pytest.raises(InputError, match="min_p"):
            await run_side_by_side(suite, (sides[0], sides[1]))
    assert not server.requests


async def test_a_seed_that_nobody_heeds_is_not_sent_and_never_called_repeatable() -> None:
    suite = a_suite(temperature=0.7, seed=3)
    async with FakeServer() as server:  # answers alike, so only what is declared tells
        deaf = at(server, TRANSFORMERS, abilities=Abilities(seed=False))
        after = await self_check(suite, deaf, new_run(suite, deaf))
        greedy = await self_check(a_suite(), deaf, new_run(a_suite(), deaf))
    assert all("seed" not in seen.body for seen in server.requests)
    findings = {each.name: each for each in after.checks.findings} if after.checks else {}
    assert findings["seed"].level is Level.WARNING
    assert "transformers serve" in findings["seed"].sentence
    assert "cannot be repeated" in findings["seed"].consequence
    assert greedy.checks is not None
    assert {each.name: each.level for each in greedy.checks.findings}["seed"] is Level.OK


async def test_without_checks_what_is_missing_is_refused_and_said_all_the_same(
    tmp_path: Path,
) -> None:
    suite = a_suite(temperature=0.7, seed=3)
    settings = Loaded(tmp_path, Settings(), {})
    unchecked = Wish(checks=False, quiet=True)
    async with FakeServer() as server:
        deaf = at(server, THEIRS, abilities=Abilities(seed=False))
        run = await checked(unchecked, settings, suite, Served(deaf, None), new_run(suite, deaf))
        unable = at(server, THEIRS, abilities=Abilities(tools=False))
        native = a_suite(tools=(WEATHER,))
        head = new_run(native, unable, tools="native")
        with pytest.raises(InputError, match=f"{server.url} can give this model none"):
            await checked(unchecked, settings, native, Served(unable, None), head)
    assert not server.requests
    assert run.checks is not None
    assert run.checks.skipped
    assert [each.name for each in run.checks.findings] == ["seed"]


async def test_an_adapter_whose_base_is_not_beside_it_was_not_compared() -> None:
    adapted = TRANSFORMERS.model_copy(update={"adapter": "mine"})
    async with FakeServer() as server:
        alone = at(server, adapted)
        after = await self_check(a_suite(), alone, new_run(a_suite(), alone))
    findings = {each.name: each for each in after.checks.findings} if after.checks else {}
    assert findings["adapter"].level is Level.UNKNOWN
    assert "no base beside it" in findings["adapter"].sentence


async def test_without_probabilities_a_small_effect_is_not_called_none() -> None:
    async with FakeServer(replies=lambda _: "same") as server:
        blind = at(server, base_model="base")
        after = await self_check(a_suite(), blind, new_run(a_suite(), blind))
    findings = {each.name: each for each in after.checks.findings} if after.checks else {}
    assert findings["adapter"].level is Level.NOTE
    assert "does not tell" in findings["adapter"].sentence


async def test_ids_are_asked_of_vllm_by_its_own_name() -> None:
    suite = a_suite(tools=(WEATHER,))
    async with FakeServer() as server:
        for identity in (VLLM, VLLM.model_copy(update={"backend": "mlx", "server": None})):
            await run_evaluation(suite, at(server, identity, abilities=Abilities(token_ids=True)))
    assert [seen.body.get("return_token_ids") for seen in server.requests] == [True, None]
    assert all(seen.body["logprobs"] for seen in server.requests)
