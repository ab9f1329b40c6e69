"""The instrument checks itself: each finding fires where it should, and only there."""

import asyncio
import itertools
import json
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import (
    load_file,  # pyright: ignore[reportUnknownVariableType]
    save_file,  # pyright: ignore[reportUnknownVariableType]
)

from fake_server import Behaviour, FakeServer, Reply, SeenRequest
from made_lora import made_lora
from punie.backends.local import serve_model
from punie.cli.measure import measure
from punie.cli.wish import Wish
from punie.errors import EXIT_INTERRUPTED, InputError
from punie.evaluation.checks import self_check
from punie.evaluation.probes.questions import (
    SHORT_CHARACTERS,
    SHORT_TOKENS,
    Questions,
    characters,
    said,
    sample,
)
from punie.evaluation.run import new_run, run_evaluation
from punie.records.result import EvalResult
from punie.records.run import ModelIdentity, Run, RunStatus
from punie.records.suite import EvalPrompt, EvalSuite, Message, Sampling, Tool
from punie.records.trust import Finding, Level
from punie.serving.client import ChatClient
from punie.serving.endpoint import Abilities, Endpoint
from punie.settings import load_settings
from punie.suites.catalog import find_suite

Habit = Callable[["Odd", Mapping[str, Any], Reply], Reply]
OURS = ModelIdentity(name="m", backend="mlx")
THEIRS = ModelIdentity(name="m", backend="endpoint")
WEATHER = Tool(name="weather", description="The weather of a city, today and tomorrow.")
SLOW = Behaviour(first_token_s=0.05)
"""Slow enough for requests to meet."""


class Odd(FakeServer):
    """A fake with a habit, which sees each request and what a plain fake would say to it."""

    def __init__(self, habit: Habit, behaviour: Behaviour | None = None) -> None:
        super().__init__(behaviour)
        self.habit = habit
        self.numbers = itertools.count()
        self.seen: list[str] = []

    def reply_to(self, body: Mapping[str, Any]) -> Reply:
        reply = self.habit(self, body, super().reply_to(body))
        self.seen.append(json.dumps(body["messages"]))
        return reply

    @property
    def in_flight(self) -> int:
        """How many chats are under way, with the one that is answered now."""
        return self.waiting + 1


def plain(_server: Odd, _body: Mapping[str, Any], reply: Reply) -> Reply:
    return reply


def prompts(count: int, **changes: Any) -> tuple[EvalPrompt, ...]:
    return tuple(
        replace(
            EvalPrompt(
                id=f"p{number}",
                messages=(Message(role="user", content=f"question {number} " + "long " * number),),
                hash=f"h{number}",
            ),
            **changes,
        )
        for number in range(count)
    )


def a_suite(*of: EvalPrompt, **sampling: Any) -> EvalSuite:
    chosen = of or prompts(9)
    return EvalSuite(name="s", prompts=chosen, sampling=Sampling(**sampling), hash="h")


def at(server: FakeServer, identity: ModelIdentity = OURS, **changes: Any) -> Endpoint:
    endpoint = Endpoint(base_url=server.url, model="m", identity=identity, timeout_s=5)
    return replace(endpoint, **changes)


async def checked(
    habit: Habit,
    suite: EvalSuite | None = None,
    *,
    behaviour: Behaviour | None = None,
    concurrency: int = 8,
    tools: str = "auto",
    **endpoint: Any,
) -> tuple[Run, dict[str, Finding], Odd]:
    """The run after its checks, its findings by name, and the server with what it saw."""
    suite = suite or a_suite()
    async with Odd(habit, behaviour) as server:
        there = at(server, **endpoint)
        head = new_run(suite, there, concurrency=concurrency, tools=tools)
        run = await self_check(suite, there, head)
    assert run.checks is not None
    assert not run.checks.skipped
    return run, {each.name: each for each in run.checks.findings}, server


async def test_a_sound_endpoint_passes_every_check() -> None:
    run, findings, server = await checked(plain)
    assert set(findings) == {"concurrency", "cache", "seed", "tools", "context"}
    levels = {name: each.level for name, each in findings.items()}
    untold = {name for name, level in levels.items() if level is Level.UNKNOWN}
    assert untold == {"cache", "context"}  # no cache, and no word of a context
    assert set(levels.values()) == {Level.OK, Level.UNKNOWN}
    assert run.concurrency == 8
    assert run.checks is not None
    assert run.checks.seconds > 0
    assert all(each.sentence.endswith(".") for each in findings.values())
    assert {seen.body["max_tokens"] for seen in server.requests} <= {1, SHORT_TOKENS}


async def test_somebody_else_s_endpoint_is_asked_little() -> None:
    tooled = a_suite(*prompts(50, tools=(WEATHER,)), temperature=0.5, seed=3)
    _, findings, server = await checked(plain, tooled, identity=THEIRS)
    levels = {name: each.level for name, each in findings.items()}
    untold = {name for name, level in levels.items() if level is Level.UNKNOWN}
    assert untold == {"cache", "context"}  # no cache, and no word of a context
    assert set(levels.values()) == {Level.OK, Level.UNKNOWN}
    assert len(server.requests) <= 15
    _, findings, server = await checked(plain, identity=THEIRS, requests_per_minute=6000.0)
    assert len(server.requests) == 2
    assert findings["concurrency"].level is Level.NOTE
    assert "not tried at the declared pace" in findings["concurrency"].sentence


@pytest.mark.parametrize(
    ("spoken", "level", "said"),
    [
        (Reply(text="as the base never would"), Level.OK, "changes what is said"),
        (Reply(text="same", logprob=-0.2), Level.NOTE, "probabilities"),
        (Reply(text="same"), Level.WARNING, "changes nothing"),
    ],
    ids=["words", "probabilities", "nothing"],
)
async def test_an_adapter_without_effect_is_told(spoken: Reply, level: Level, said: str) -> None:
    def adapted(_server: Odd, body: Mapping[str, Any], _reply: Reply) -> Reply:
        return Reply(text="same") if body["model"] == "base" else spoken

    abilities = Abilities(token_ids=True)
    _, findings, server = await checked(adapted, base_model="base", abilities=abilities)
    finding = findings["adapter"]
    assert finding.level is level
    assert said in finding.sentence
    if level is Level.WARNING:
        assert finding.consequence == "the numbers below are those of the base model"
    models = [seen.model for seen in server.requests]
    bases = models.count("base")
    assert bases > 0
    assert models == ["base"] * bases + ["m"] * (len(models) - bases)


async def test_the_adapter_of_a_real_server_is_found_out(tiny_model: Path, tmp_path: Path) -> None:
    suite = find_suite("quick", tmp_path)
    levels: dict[str, Level] = {}
    for name, scale in (("strong", 20.0), ("weak", 0.003), ("untrained", 20.0)):
        adapter = made_lora(tmp_path / name, scale=scale)
        if name == "untrained":
            forget(adapter)
        async with serve_model(str(tiny_model), adapter=adapter) as endpoint:
            run = await self_check(suite, endpoint, new_run(suite, endpoint))
        assert run.checks is not None
        findings = {each.name: each for each in run.checks.findings}
        levels[name] = findings.pop("adapter").level
        assert {each.level for each in findings.values()} == {Level.OK}
        assert findings["tools"].details["parser"] == "json_tools"
        assert "json_tools" in findings["tools"].sentence
        assert findings["cache"].details["hits"] == 2
        assert run.concurrency == 8
    assert levels == {"strong": Level.OK, "weak": Level.NOTE, "untrained": Level.WARNING}


def forget(adapter: Path) -> None:
    """Leave the adapter as it is before its first step of training: the second factor is zero."""
    weights = load_file(adapter / "adapters.safetensors")
    for name, tensor in weights.items():
        if name.endswith("lora_b"):
            tensor[:] = 0
    save_file(weights, adapter / "adapters.safetensors")


async def test_after_the_checks_a_real_server_holds_the_adapter(
    tiny_model: Path, tmp_path: Path
) -> None:
    suite = a_suite(*prompts(3), max_tokens=8)
    said: list[list[str]] = []
    for adapter, checks in (
        (None, False),
        (made_lora(tmp_path / "a", scale=20.0), False),
        (made_lora(tmp_path / "b", scale=20.0), True),
    ):
        async with serve_model(str(tiny_model), adapter=adapter) as endpoint:
            head = new_run(suite, endpoint, concurrency=1)
            if checks:
                head = await self_check(suite, endpoint, head)
            report = await run_evaluation(suite, endpoint, run=head)
        assert report.run.status is RunStatus.DONE
        said.append(
            [each.completion.text for each in report.outcomes if isinstance(each, EvalResult)]
        )
    bare, adapted, after_checks = said
    assert adapted == after_checks != bare


async def test_the_base_of_an_adapted_server_is_the_base(tiny_model: Path, tmp_path: Path) -> None:
    suite = a_suite(*prompts(3))
    bare: list[str] = []
    async with serve_model(str(tiny_model)) as endpoint, ChatClient(endpoint) as client:
        questions = Questions(client, suite, new_run(suite, endpoint))
        bare = [said(await questions.ask(prompt)) for prompt in suite.prompts]
    for kind in ("lora", "dora"):
        adapter = made_lora(tmp_path / kind, scale=20.0)
        if kind == "dora":
            decompose(adapter)
        async with serve_model(str(tiny_model), adapter=adapter) as endpoint:
            assert endpoint.base_model == str(tiny_model)
            without = replace(endpoint, model=endpoint.base_model)
            async with ChatClient(endpoint) as client, ChatClient(without) as base_client:
                run = new_run(suite, endpoint)
                questions, base = (Questions(c, suite, run) for c in (client, base_client))
                before = [said(await questions.ask(prompt)) for prompt in suite.prompts]
                assert [said(await base.ask(prompt)) for prompt in suite.prompts] == bare
                after = [said(await questions.ask(prompt)) for prompt in suite.prompts]
        assert before == after != bare


def decompose(adapter: Path) -> None:
    """Make a LoRA adapter one of DoRA, which has a magnitude for each output."""
    config = json.loads((adapter / "adapter_config.json").read_text())
    config["fine_tune_type"] = "dora"
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    weights = load_file(adapter / "adapters.safetensors")
    for name in [name for name in weights if name.endswith("lora_b")]:
        outputs = weights[name].shape[1]
        weights[name.replace("lora_b", "m")] = np.full(outputs, 3.0, dtype=np.float32)
    save_file(weights, adapter / "adapters.safetensors")


async def test_tools_that_are_dropped_are_told() -> None:
    def dropping(_server: Odd, _body: Mapping[str, Any], reply: Reply) -> Reply:
        return replace(reply, prompt_tokens=5)

    suite = a_suite(*prompts(2), *prompts(2, id="t", tools=(WEATHER,)))
    _, findings, server = await checked(dropping, suite)
    assert findings["tools"].level is Level.WARNING
    assert "--tools prompt" in findings["tools"].consequence
    one_token = [seen.body for seen in server.requests if seen.body["max_tokens"] == 1]
    assert ["tools" in body for body in one_token] == [True, False]
    _, findings, _ = await checked(plain, suite, abilities=Abilities(parser="some_parser"))
    assert findings["tools"].level is Level.NOTE
    assert "cannot be recovered" in findings["tools"].sentence
    reading = Abilities(parser="some_parser", token_ids=True)
    _, findings, _ = await checked(plain, suite, abilities=reading)
    assert findings["tools"].level is Level.OK
    assert "some_parser" in findings["tools"].sentence
    _, findings, _ = await checked(dropping, suite, tools="prompt")
    assert findings["tools"].level is Level.OK
    _, findings, _ = await checked(plain, suite, behaviour=Behaviour(drop_usage=True))
    assert findings["tools"].level is Level.NOTE


async def test_a_seed_that_is_ignored_is_told() -> None:
    def ignoring(server: Odd, body: Mapping[str, Any], reply: Reply) -> Reply:
        drawn = f" {next(server.numbers)}" if body["temperature"] else ""
        return replace(reply, text=reply.text + drawn)

    def heeding(server: Odd, body: Mapping[str, Any], reply: Reply) -> Reply:
        drawn = str(body.get("seed", next(server.numbers))) if body["temperature"] else ""
        return replace(reply, text=reply.text + drawn)

    seeded = a_suite(temperature=0.7, seed=3)
    _, findings, _ = await checked(ignoring, seeded)
    assert findings["seed"].level is Level.WARNING
    assert "ignored" in findings["seed"].sentence
    _, findings, _ = await checked(heeding, seeded)
    assert findings["seed"].level is Level.OK
    _, findings, _ = await checked(ignoring, a_suite(temperature=0.7))
    assert findings["seed"].level is Level.OK
    assert "without a seed" in findings["seed"].sentence


async def test_answers_that_never_repeat_are_told_and_blamed_on_nothing_else() -> None:
    def unsteady(server: Odd, _body: Mapping[str, Any], reply: Reply) -> Reply:
        return replace(reply, text=f"{reply.text} {next(server.numbers)}", cached_tokens=0)

    run, findings, _ = await checked(unsteady)
    assert findings["seed"].level is Level.WARNING
    assert findings["cache"].level is Level.UNKNOWN
    assert findings["concurrency"].level is Level.NOTE
    assert "even one by one" in findings["concurrency"].sentence
    assert run.concurrency == 8
    _, findings, _ = await checked(unsteady, identity=THEIRS)
    assert findings["seed"].level is Level.NOTE


def mixed_up_above(crowd: int) -> Habit:
    def habit(server: Odd, _body: Mapping[str, Any], reply: Reply) -> Reply:
        return replace(reply, text="somebody else's") if server.in_flight > crowd else reply

    return habit


@pytest.mark.parametrize(("crowd", "used"), [(1, 1), (2, 2), (5, 4), (8, 8)])
async def test_concurrency_is_lowered_until_answers_agree(crowd: int, used: int) -> None:
    run, findings, _ = await checked(mixed_up_above(crowd), behaviour=SLOW)
    assert run.concurrency == used
    finding = findings["concurrency"]
    assert finding.level is (Level.OK if used == 8 else Level.WARNING)
    if used < 8:
        assert f"lowered from 8 to {used}" in finding.consequence
        assert finding.details["used"] == used


@pytest.mark.parametrize(
    ("identity", "count", "concurrency", "tried"),
    [
        (OURS, 9, 8, 8),
        (OURS, 100, 64, 16),
        (OURS, 9, 64, 9),
        (OURS, 1, 64, 1),
        (THEIRS, 100, 8, 8),
        (THEIRS, 100, 9, 8),
    ],
)
async def test_what_was_not_tried_is_not_vouched_for(
    identity: ModelIdentity, count: int, concurrency: int, tried: int
) -> None:
    suite = a_suite(*prompts(count))
    run, findings, _ = await checked(
        plain, suite, behaviour=SLOW, identity=identity, concurrency=concurrency
    )
    assert run.concurrency == concurrency
    finding = findings["concurrency"]
    most = min(count, concurrency)
    if most == 1:
        assert "One prompt at a time" in finding.sentence
        return
    assert finding.details["in_flight"] == tried
    assert finding.details["answers"] == tried
    assert finding.sentence.startswith(f"{tried} short answers with {tried} in flight are those")
    if tried == most:
        assert finding.level is Level.OK
    else:
        assert finding.level is Level.NOTE
        assert f"up to {most}, which was not tried" in finding.sentence
        assert f"--concurrency {tried}" in finding.consequence


async def test_one_prompt_that_is_asked_often_is_tried_in_company() -> None:
    suite = a_suite(*prompts(1))
    async with Odd(mixed_up_above(1), SLOW) as server:
        run = await self_check(suite, at(server), new_run(suite, at(server), repeats=4))
    assert run.concurrency == 1


async def test_a_lowered_concurrency_is_really_used() -> None:
    suite = a_suite()
    most = 0

    def watching(server: Odd, body: Mapping[str, Any], reply: Reply) -> Reply:
        nonlocal most
        most = max(most, server.in_flight)
        return mixed_up_above(2)(server, body, reply)

    async with Odd(watching, SLOW) as server:
        run = await self_check(suite, at(server), new_run(suite, at(server)))
        assert most == 8
        most = 0
        report = await run_evaluation(suite, at(server), run=run)
    assert most == report.run.concurrency == 2


async def test_somebody_else_s_concurrency_stays_and_is_told() -> None:
    run, findings, _ = await checked(mixed_up_above(2), behaviour=SLOW, identity=THEIRS)
    assert run.concurrency == 8
    assert findings["concurrency"].level is Level.NOTE
    assert "--concurrency 1" in findings["concurrency"].consequence


def caching(*, wrongly: bool) -> Habit:
    def habit(server: Odd, body: Mapping[str, Any], reply: Reply) -> Reply:
        known = json.dumps(body["messages"]) in server.seen
        text = f"{reply.text} spoilt" if known and wrongly else reply.text
        return replace(reply, text=text, cached_tokens=7 if known else 2)

    return habit


async def test_a_cache_that_changes_an_answer_is_told() -> None:
    _, findings, _ = await checked(caching(wrongly=True), concurrency=1)
    assert findings["cache"].level is Level.WARNING
    assert findings["seed"].level is Level.OK
    _, findings, _ = await checked(caching(wrongly=False), concurrency=1)
    assert findings["cache"].level is Level.OK
    assert findings["cache"].details["hits"] == 2


async def test_prompts_longer_than_the_context_are_named() -> None:
    wordy = replace(prompts(1)[0], id="wordy", messages=(turn("word " * 3000),))
    huge = replace(wordy, id="huge", messages=(turn("word " * 20_000),))
    suite = a_suite(*prompts(3), wordy, huge, max_tokens=64)
    _, findings, server = await checked(plain, suite, context_length=2500)
    assert findings["context"].level is Level.WARNING
    assert findings["context"].details["prompts"] == ["huge", "wordy"]
    assert "huge, wordy" in findings["context"].sentence
    longest = max(len(seen.body["messages"][0]["content"]) for seen in server.requests)
    assert longest == len("word " * 3000)  # what cannot fit is not even asked
    _, findings, _ = await checked(plain, suite, context_length=3000)
    assert findings["context"].details["prompts"] == ["huge", "wordy"]  # no room for the answer
    _, findings, server = await checked(plain, suite, context_length=200_000)
    assert findings["context"].level is Level.OK
    assert not [seen for seen in server.requests if seen.body["max_tokens"] == 1]
    _, findings, _ = await checked(plain, suite)
    assert "does not tell" in findings["context"].sentence


def turn(text: str) -> Message:
    return Message(role="user", content=text)


async def test_a_fault_of_the_machine_is_a_finding_and_ends_nothing() -> None:
    refusing = Behaviour(fault="status", status=400)
    run, findings, _ = await checked(plain, behaviour=refusing)
    assert findings["seed"].level is Level.UNKNOWN
    assert "could not be made: HTTP 400" in findings["seed"].sentence
    assert run.concurrency == 8
    breaking = Behaviour(fault="reset")
    _, findings, server = await checked(plain, behaviour=breaking)
    made = {"tools"}  # it needed no question here
    assert {name for name, each in findings.items() if each.level is Level.OK} == made
    assert len(server.requests) == 2  # one question, tried twice; then nobody is asked any more


async def test_a_cancelled_check_ends_at_once() -> None:
    suite = a_suite()
    asked = asyncio.Event()
    async with FakeServer(Behaviour(fault="hang"), log=lambda _: asked.set()) as server:
        checking = asyncio.create_task(self_check(suite, at(server), new_run(suite, at(server))))
        await asked.wait()
        checking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await checking
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupt_during_the_checks_ends_the_command(
    folder: Path, number: signal.Signals
) -> None:
    asked = asyncio.Event()
    chats = itertools.count()

    def see(_request: SeenRequest) -> None:
        if next(chats):  # the first shows that somebody answers
            asked.set()

    async with FakeServer(Behaviour(fault="hang", after=1), log=see) as server:
        argv = [sys.executable, "-m", "punie.cli.main", "eval", "ten.yaml", "--url", server.url]
        child = await asyncio.create_subprocess_exec(
            *argv, "--model", "m", cwd=folder, stderr=asyncio.subprocess.PIPE
        )
        await asked.wait()
        child.send_signal(number)
        _, said = await child.communicate()
    if number is signal.SIGINT:
        assert child.returncode == EXIT_INTERRUPTED
        assert b"interrupted" in said
    assert child.returncode
    assert b"Traceback" not in said


async def test_sampling_that_would_end_the_server_is_refused_first() -> None:
    with pytest.raises(InputError, match="top_k"):
        await checked(plain, a_suite(top_k=900), vocabulary=500)


def test_samples_are_short_and_differ_in_length() -> None:
    many = prompts(200)
    chosen = sample(many, 4)
    lengths = [characters(prompt) for prompt in chosen]
    assert len(chosen) == 4
    assert lengths == sorted(set(lengths))
    assert lengths[-1] <= SHORT_CHARACTERS
    assert len(sample(many * 2, 500)) <= 200
    alike = [replace(prompt, messages=many[0].messages) for prompt in many]
    assert len(sample(alike, 4)) == 1
    assert [prompt.id for prompt in sample(many[:1], 4)] == ["p0"]


def test_samples_are_filled_with_the_shortest_of_the_long_prompts() -> None:
    def of(*lengths: int) -> list[EvalPrompt]:
        return [
            replace(prompts(1)[0], id=f"p{length}", messages=(turn("x" * length),))
            for length in lengths
        ]

    def ids(chosen: list[EvalPrompt]) -> list[str]:
        return [prompt.id for prompt in chosen]

    assert ids(sample(of(3000, 1100, 1300, 1200, 2000), 4)) == ["p1100", "p1200", "p1300", "p2000"]
    assert ids(sample(of(10, 2000, 1100), 2)) == ["p10", "p1100"]
    assert ids(sample(of(10, 20, 1100), 2)) == ["p10", "p20"]
    assert ids(sample(of(10, 30_000), 4)) == ["p10"]
    assert ids(sample(of(30_000, 20_000), 4)) == ["p20000"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one suite, as the working folder."""
    asked = "\n".join(f"  - {{id: p{n}, prompt: 'Say {n}.'}}" for n in range(10))
    (tmp_path / "ten.yaml").write_text(f"name: ten\nprompts:\n{asked}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path


async def measured(folder: Path, server: FakeServer, **flags: Any) -> Run:
    settings = load_settings(folder, {})
    wish = Wish(suite="ten.yaml", url=server.url, model="m", **flags)
    return (await measure(wish, settings)).report.run


async def test_no_checks_sends_less_and_is_stamped(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with FakeServer() as server:
        run = await measured(folder, server)
        assert run.checks is not None
        assert not run.checks.skipped
        assert [each.name for each in run.checks.findings][-1] == "degenerate"
        assert len(server.requests) > 11
        assert "check" not in capsys.readouterr().err  # the table counts them
        server.requests.clear()
        run = await measured(folder, server, checks=False)
        skipped = run.checks
        assert skipped is not None
        assert skipped.skipped
        assert [each.name for each in skipped.findings] == ["degenerate"]  # which asks nothing
        assert len(server.requests) == 11  # the first shows that somebody answers
        (folder / "punie.toml").write_text("checks = false\n")
        server.requests.clear()
        assert (await measured(folder, server)).checks == skipped
        assert len(server.requests) == 11
        run = await measured(folder, server, checks=True, quiet=True)
        assert run.checks is not None
        assert run.checks.findings
    assert "checks" not in capsys.readouterr().err


async def test_a_finding_is_told_before_the_run_in_a_line_that_a_server_cannot_forge(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    behaviour = Behaviour(fault="status", status=400, after=1, times=3)
    async with FakeServer(behaviour) as server:
        await measured(folder, server)
    said = capsys.readouterr().err
    assert "not told: The check of concurrency could not be made: HTTP 400" in said
