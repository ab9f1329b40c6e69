"""Asking a judge: its words, its cache, what cannot be read, and who never answers."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fake_judge import coded, read_question, verdict
from fake_server import Behaviour, FakeServer, Reply
from punie.judging.ask import Judge, Told, Untold, forces_schema, identity_of
from punie.judging.cache import MemoryCache
from punie.judging.mark import mark_all
from punie.judging.prompt import Marks, marking, prompt_hash
from punie.judging.question import Question
from punie.judging.rubric import default_rubric
from punie.records.base import digest
from punie.records.judgement import Judged, JudgeFault, JudgeFaultKind, Judgement
from punie.records.result import Completion, EvalResult
from punie.records.run import ModelIdentity
from punie.records.suite import EvalPrompt, Message
from punie.records.training import Quantization
from punie.serving.client import ChatClient
from punie.serving.endpoint import Abilities, Endpoint
from punie.serving.patience import Patience

RUBRIC = default_rubric()
GOOD = {"correctness": 4, "completeness": 3, "format": 5}
HASTE = Patience(first_pause_s=0.001, longest_pause_s=0.002)


def prompt(text: str = "What is 2 + 2?", name: str = "p") -> EvalPrompt:
    return EvalPrompt(id=name, messages=(Message(role="user", content=text),), hash=f"h-{name}")


def question(answer: str = "4", asked: str = "What is 2 + 2?") -> Question[Marks]:
    return marking(RUBRIC, prompt(asked), Completion(text=answer)).question


@asynccontextmanager
async def judge_at(
    server: FakeServer,
    cache: MemoryCache | None = None,
    stop: asyncio.Event | None = None,
    *,
    key: str | None = None,
    grace_s: float = 60.0,
) -> AsyncGenerator[Judge]:
    model = ModelIdentity(name="judge", backend="endpoint", url=server.url)
    identity = identity_of(model, prompt_hash=prompt_hash(), rubric_hash=RUBRIC.hash)
    async with ChatClient(Endpoint(server.url, "judge", model, api_key=key)) as client:
        memory = MemoryCache() if cache is None else cache
        yield Judge(client, identity, cache=memory, patience=HASTE, stop=stop, grace_s=grace_s)


async def told(judge: Judge, answer: str = "4") -> Told[Marks] | Untold:
    said = await judge.ask(question(answer))
    assert said is not None
    return said


async def test_a_judgement_is_asked_once_and_then_known() -> None:
    cache = MemoryCache()
    async with FakeServer(replies=coded(verdict)) as server:
        async with judge_at(server, cache) as judge:
            first = await told(judge)
        async with judge_at(server, cache) as judge:
            second = await told(judge)
            await told(judge, "5")
    assert isinstance(first, Told)
    assert isinstance(second, Told)
    assert (first.value.marks, first.repaired, first.cached) == (GOOD, False, False)
    assert (second.value, second.cached, second.reply) == (first.value, True, first.reply)
    assert len(server.requests) == 2
    body = server.requests[0].body
    assert (body["temperature"], body["max_tokens"]) == (0.0, 1024)
    assert "response_format" not in body


async def test_equal_questions_at_the_same_time_are_one() -> None:
    slow = Behaviour(first_token_s=0.05)
    async with FakeServer(slow, replies=coded(verdict)) as server, judge_at(server) as judge:
        both = await asyncio.gather(told(judge), told(judge))
    assert sorted(isinstance(each, Told) and each.cached for each in both) == [False, True]
    assert len(server.requests) == 1


async def test_another_judge_or_another_rubric_is_asked_anew() -> None:
    model = ModelIdentity(name="judge", backend="endpoint", url="http://127.0.0.1:1/v1")
    keys = {
        question().key(identity_of(each, prompt_hash=words, rubric_hash=rubric).key)
        for each in (model, model.model_copy(update={"name": "other"}))
        for words in ("a", "b")
        for rubric in ("c", "d")
    }
    assert len(keys) == 8


def test_a_judge_that_is_served_otherwise_is_another_one() -> None:
    here = ModelIdentity(name="judge", backend="cuda", device="cpu", server="transformers")
    changes: list[dict[str, Any]] = [
        {},
        {"quantization": Quantization.FOUR_BIT},
        {"device": "NVIDIA H200", "computed_in": "bfloat16"},
        {"server": "vllm"},
        {"backend": "mlx"},
    ]
    keys = {
        identity_of(here.model_copy(update=each), prompt_hash="a", rubric_hash="b").key
        for each in changes
    }
    assert len(keys) == len(changes)
    known = identity_of(here, prompt_hash="a", rubric_hash="b").model_copy(update={"served": None})
    assert known.key == digest(known.model_dump(mode="json", exclude={"served"}))


REPAIRABLE: dict[str, Callable[[str], str]] = {
    "in prose": lambda code: f"Here you are: {verdict(code)} I hope it helps.",
    "a trailing comma": lambda code: verdict(code)[:-2] + ",}}",
    "single quotes": lambda code: verdict(code).replace('"', "'"),
    "marks as text": lambda code: verdict(code, format="5"),
    "marks as decimals": lambda code: verdict(code, format=5.0),
    "one dimension too many": lambda code: verdict(code, style=5),
    "after a quoted verdict": lambda code: f"It says {verdict('0' * 16)} but {verdict(code)}",
}


@pytest.mark.parametrize("write", REPAIRABLE.values(), ids=REPAIRABLE)
async def test_what_had_to_be_mended_is_marked(write: Callable[[str], str]) -> None:
    async with FakeServer(replies=coded(write)) as server, judge_at(server) as judge:
        said = await told(judge)
    assert isinstance(said, Told)
    assert said.repaired
    assert said.value.marks == GOOD
    assert len(server.requests) == 1


STRICT: dict[str, Callable[[str], str]] = {
    "bare": verdict,
    "in a code fence": lambda code: f"```json\n{verdict(code)}\n```",
    "after thinking": lambda code: f"<think>hm {verdict('x')}</think>{verdict(code)}",
}


@pytest.mark.parametrize("write", STRICT.values(), ids=STRICT)
async def test_one_object_alone_needs_no_mending(write: Callable[[str], str]) -> None:
    async with FakeServer(replies=coded(write)) as server, judge_at(server) as judge:
        said = await told(judge)
    assert isinstance(said, Told)
    assert not said.repaired


HOPELESS: dict[str, tuple[Callable[[str], str], JudgeFaultKind]] = {
    "prose": (lambda _: "A fine answer, I would say.", JudgeFaultKind.PROSE),
    "nothing": (lambda _: "", JudgeFaultKind.PROSE),
    "a list": (lambda _: "[4, 3, 5]", JudgeFaultKind.FORM),
    "no code": (lambda _: json.dumps({"reason": "", "marks": GOOD}), JudgeFaultKind.UNSEALED),
    "another code": (lambda _: verdict("0" * 16), JudgeFaultKind.UNSEALED),
    "another code in prose": (lambda _: "So: " + verdict("0" * 16), JudgeFaultKind.UNSEALED),
    "a mark too high": (lambda code: verdict(code, format=6), JudgeFaultKind.RANGE),
    "a mark too low": (lambda code: verdict(code, format=0), JudgeFaultKind.RANGE),
    "a huge mark": (lambda code: verdict(code, format=10**30), JudgeFaultKind.RANGE),
    "half a mark": (lambda code: verdict(code, format=4.5), JudgeFaultKind.FORM),
    "true for a mark": (lambda code: verdict(code, format=True), JudgeFaultKind.FORM),
    "null for a mark": (lambda code: verdict(code, format=None), JudgeFaultKind.FORM),
    "a missing mark": (
        lambda code: json.dumps({"code": code, "reason": "", "marks": {"format": 5}}),
        JudgeFaultKind.MISSING,
    ),
    "no marks": (lambda code: json.dumps({"code": code}), JudgeFaultKind.MISSING),
    "two verdicts": (
        lambda code: f"{verdict(code)} or rather {verdict(code, format=1)}",
        JudgeFaultKind.SEVERAL,
    ),
}


@pytest.mark.parametrize(("write", "kind"), HOPELESS.values(), ids=HOPELESS)
async def test_what_cannot_be_read_is_asked_again_once_and_then_a_fault(
    write: Callable[[str], str], kind: JudgeFaultKind
) -> None:
    cache = MemoryCache()
    async with FakeServer(replies=coded(write)) as server, judge_at(server, cache) as judge:
        said = await told(judge)
        assert isinstance(said, Untold)
        assert (said.kind, said.asked) == (kind, 2)
        first, second = (each.body["messages"][-1]["content"] for each in server.requests)
        assert second == f"{first}\n\nYour last answer could not be used: {kind}. Answer again."
        await told(judge)  # nothing of it is kept
    assert len(server.requests) == 4


async def test_a_judge_that_understands_the_second_time_counts() -> None:
    texts = iter(["Let me think.", None])

    def write(code: str) -> str:
        return next(texts) or verdict(code)

    async with FakeServer(replies=coded(write)) as server, judge_at(server) as judge:
        said = await told(judge)
    assert isinstance(said, Told)
    assert (said.reply.asked, said.repaired) == (2, False)
    seen = sum(len(m["content"].split()) for r in server.requests for m in r.body["messages"])
    assert said.reply.tokens_in == seen


async def test_what_was_cut_off_is_never_mended() -> None:
    def cut(words: str) -> Reply:
        asked = read_question(words)
        assert asked is not None
        return Reply(text=verdict(asked.code)[:-3], finish_reason="length")

    async with FakeServer(replies=cut) as server, judge_at(server) as judge:
        said = await told(judge)
    assert isinstance(said, Untold)
    assert said.kind is JudgeFaultKind.CUT


async def test_a_judge_that_asks_for_patience_gets_it() -> None:
    busy = Behaviour(fault="status", status=429, retry_after="0.01", times=3)
    async with FakeServer(busy, replies=coded(verdict)) as server, judge_at(server) as judge:
        assert isinstance(await told(judge), Told)
    assert len(server.requests) == 4


async def test_a_judge_that_refuses_is_a_fault_without_a_score() -> None:
    refusing = Behaviour(fault="status", status=400)
    async with FakeServer(refusing, replies=coded(verdict)) as server, judge_at(server) as judge:
        said = await told(judge)
    assert isinstance(said, Untold)
    assert said.kind is JudgeFaultKind.UNANSWERED
    assert said.message.startswith("request refused: HTTP 400")
    assert len(server.requests) == 1


async def stopped_in_flight(behaviour: Behaviour, *, grace_s: float) -> Told[Marks] | Untold | None:
    """What comes of a question while whose answer is owed somebody asks for an end."""
    stop, reached = asyncio.Event(), asyncio.Event()
    async with (
        FakeServer(behaviour, replies=coded(verdict), log=lambda _: reached.set()) as server,
        judge_at(server, stop=stop, grace_s=grace_s) as judge,
    ):
        asked = asyncio.create_task(judge.ask(question()))
        async with asyncio.timeout(60):
            await reached.wait()
            stop.set()
            return await asked


async def test_a_judge_that_hangs_is_left_once_somebody_asks_for_an_end() -> None:
    assert await stopped_in_flight(Behaviour(fault="hang"), grace_s=0.01) is None


async def test_an_answer_in_flight_is_waited_for_when_somebody_asks_for_an_end() -> None:
    said = await stopped_in_flight(Behaviour(first_token_s=0.1), grace_s=60)
    assert isinstance(said, Told)


async def test_a_key_that_a_judge_tells_back_is_kept_nowhere() -> None:
    key = "sk-canary-7Zq"

    def leaky(code: str) -> str:
        return verdict(code).replace("It was", f"By {key} it was")

    async with FakeServer(replies=coded(leaky)) as server:
        async with judge_at(server, key=key) as judge:
            said = await told(judge)
        async with judge_at(server, key="it") as judge:
            word = await told(judge)
    assert isinstance(said, Told)
    assert isinstance(word, Told)
    assert "By [key] it was" in said.reply.text
    assert key not in f"{said.reply}{said.value}"
    assert "[key]" not in word.reply.text


async def test_a_stopped_judge_is_not_asked_but_tells_what_it_knows() -> None:
    cache, stop = MemoryCache(), asyncio.Event()
    async with FakeServer(replies=coded(verdict)) as server, judge_at(server, cache, stop) as judge:
        await told(judge)
        stop.set()
        assert isinstance(await told(judge), Told)
        assert await judge.ask(question("5")) is None
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("answer", "forces"),
    [('{"q7": 7}', True), ("Seven.", False), ('{"days": 7}', False), ("7", False)],
)
async def test_only_who_answers_in_the_schema_is_forced_into_it(answer: str, forces: bool) -> None:
    async with FakeServer(answers={"How many days does a week have?": answer}) as server:
        model = ModelIdentity(name="m", backend="endpoint", url=server.url)
        async with ChatClient(Endpoint(server.url, "m", model)) as client:
            assert await forces_schema(client) is forces
        for known in (True, False):
            told = Endpoint(server.url, "m", model, abilities=Abilities(schema=known))
            async with ChatClient(told) as client:
                assert await forces_schema(client) is known
    assert len(server.requests) == 1
    assert server.requests[0].body["response_format"]["type"] == "json_schema"


async def test_a_run_is_marked_answer_by_answer() -> None:
    answers = [
        (
            prompt(f"Question {n}?", f"p{n}"),
            EvalResult(
                prompt_id=f"p{n}",
                prompt_hash=f"h-p{n}",
                completion=Completion(text=f"Answer {n}"),
            ),
        )
        for n in range(12)
    ]
    kept: list[Judged] = []
    async with FakeServer(replies=coded(verdict)) as server, judge_at(server) as judge:
        whole = await mark_all(answers, RUBRIC, judge, kept.append, concurrency=4)
    assert whole
    assert {each.prompt_id for each in kept} == {f"p{n}" for n in range(12)}
    assert all(isinstance(each, Judgement) and each.marks == GOOD for each in kept)


async def test_a_judge_that_is_gone_is_given_up() -> None:
    answers = [
        (
            prompt(f"Question {n}?", f"p{n}"),
            EvalResult(prompt_id=f"p{n}", prompt_hash="h", completion=Completion(text="A")),
        )
        for n in range(100)
    ]
    kept: list[Judged] = []
    refusing = Behaviour(fault="status", status=400)
    async with FakeServer(refusing) as server, judge_at(server) as judge:
        whole = await mark_all(answers, RUBRIC, judge, kept.append, concurrency=2)
    assert not whole
    assert 10 <= len(kept) <= 12
    assert all(isinstance(each, JudgeFault) for each in kept)
