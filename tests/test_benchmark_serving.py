"""The serving benchmark: what is asked, how answers become rates, and the real server."""

import asyncio
from pathlib import Path

import pytest

from fake_server import Behaviour, FakeServer
from punie.backends.local import prepare, serve
from punie.errors import ServerError
from punie.records.benchmark import CellEnd, ServingCell
from punie.records.result import Completion
from punie.records.run import ModelIdentity
from punie.serving.client import ChatClient
from punie.serving.endpoint import Endpoint
from punie.training.benchmark_serving import (
    ANSWER_TOKENS,
    Load,
    Prompter,
    PromptSize,
    Wave,
    cell_of,
    generation_rate,
    loads,
    measure_serving,
    memory_fits,
)


def answer(
    *,
    first: float | None = 0.5,
    latency: float = 2.5,
    read: int = 100,
    cached: int = 0,
    written: int = 21,
    text: str = "words",
) -> Completion:
    return Completion(
        text=text,
        latency_s=latency,
        first_token_s=first,
        prompt_tokens=read,
        completion_tokens=written,
        cached_tokens=cached,
    )


@pytest.mark.parametrize(
    ("context", "lengths"),
    [
        (None, {128, 512, 2048}),
        (8192, {128, 512, 2048}),
        (1024, {128, 512, 942}),
        (100, {65}),
    ],
)
def test_lengths_leave_the_answer_its_place(context: int | None, lengths: set[int]) -> None:
    asked = loads(context_length=context)
    assert {load.prompt_tokens for load in asked} == lengths
    # Also of a prompt that comes out a little longer than asked.
    assert context is None or max(lengths) * 1.04 + ANSWER_TOKENS < context
    assert {load.concurrency for load in asked} == {1, 4, 8}
    work = [load.tokens for load in asked]
    assert work == sorted(work)


def test_prompts_share_nothing_and_are_as_long_as_asked() -> None:
    prompter = Prompter()
    texts = [prompter.prompt(40).messages[0].content or "" for _ in range(20)]
    assert all(len(text.split()) == 40 for text in texts)
    assert len({" ".join(text.split()[:4]) for text in texts}) == 20


def test_words_for_so_many_tokens() -> None:
    size = PromptSize(frame=30.0, per_word=1.25)
    assert size.words(130) == 80
    assert size.words(10) == 1


@pytest.mark.parametrize(
    ("completion", "rate"),
    [
        (answer(), 10.0),
        (answer(written=1), None),
        (answer(written=0), None),
        (answer(first=None), None),
        # Where characters are broken the first text comes late.
        (answer(text="\ufffd"), None),
    ],
)
def test_the_rate_of_writing_leaves_the_first_token_out(
    completion: Completion, rate: float | None
) -> None:
    assert generation_rate(completion) == rate


def test_a_cell_counts_what_was_read_and_not_what_was_cached() -> None:
    waves = [
        Wave((answer(cached=20), answer(first=1.0, cached=20)), (), 4.0),
        Wave((answer(), answer(first=2.0)), (), 2.0),
    ]
    cell = cell_of(Load(100, 2), waves)
    assert cell.end is CellEnd.MEASURED
    assert (cell.requests, cell.faults) == (4, 0)
    assert (cell.tokens_in, cell.tokens_cached, cell.tokens_out) == (360, 40, 84)
    assert cell.prompt_rate is not None
    assert (cell.prompt_rate.least, cell.prompt_rate.most) == (100.0, 160.0)
    assert cell.throughput is not None
    assert (cell.throughput.least, cell.throughput.most) == (10.5, 21.0)
    assert cell.first_token_s is not None
    assert cell.first_token_s.median == 0.75


def test_faults_are_counted_apart() -> None:
    some = cell_of(Load(100, 2), [Wave((answer(),), ("timed out",), 4.0)])
    assert (some.end, some.requests, some.faults, some.why) == (
        CellEnd.MEASURED,
        2,
        1,
        "timed out",
    )
    none = cell_of(Load(100, 2), [Wave((), ("a", "b"), 4.0)])
    assert none.end is CellEnd.FAILED
    assert none.prompt_rate is None


def test_what_does_not_fit_into_memory_is_named(tiny_model: Path) -> None:
    load = Load(2048, 8)
    assert memory_fits(tiny_model, 10**12)(load) is None
    why = memory_fits(tiny_model, 1_000_000)(load)
    assert why is not None
    assert why.endswith("of memory, and 1 MB are free")


def test_the_real_server_is_measured_and_the_cache_does_not_help(
    tiny_model: Path, tmp_path: Path
) -> None:
    wanted = [Load(64, 1), Load(64, 3), Load(256, 2)]
    cells: list[ServingCell] = []

    async def measure() -> None:
        model = prepare(str(tiny_model))
        async with serve(model, tmp_path / "log") as endpoint, ChatClient(endpoint) as client:
            await measure_serving(
                client,
                wanted,
                cells=cells,
                fits=lambda load: "too much" if load.concurrency == 3 else None,
            )

    asyncio.run(measure())
    alone, unfit, together = cells
    assert (unfit.end, unfit.why) == (CellEnd.LEFT_OUT, "too much")
    for cell, load in ((alone, wanted[0]), (together, wanted[2])):
        assert cell.end is CellEnd.MEASURED
        assert cell.requests == load.concurrency * load.waves
        assert cell.faults == 0
        assert cell.throughput is not None
        asked = load.tokens
        assert cell.tokens_in + cell.tokens_cached == pytest.approx(asked, rel=0.2)
        # Only the chat's frame, which is the same each time, may come from the cache.
        assert cell.tokens_cached <= 30 * cell.requests


def test_no_time_left_leaves_loads_out(tiny_model: Path, tmp_path: Path) -> None:
    cells: list[ServingCell] = []

    async def measure() -> None:
        model = prepare(str(tiny_model))
        async with serve(model, tmp_path / "log") as endpoint, ChatClient(endpoint) as client:
            await measure_serving(
                client, [Load(32, 1), Load(64, 1), Load(64, 4)], cells=cells, budget_s=1e-6
            )

    asyncio.run(measure())
    assert [cell.end for cell in cells] == [
        CellEnd.MEASURED,
        CellEnd.LEFT_OUT,
        CellEnd.LEFT_OUT,
    ]
    assert "that all may take" in cells[1].why


def test_a_server_that_answers_nothing_is_an_error() -> None:
    async def measure() -> None:
        async with FakeServer(Behaviour(fault="status")) as server:
            identity = ModelIdentity(name="m", backend="endpoint")
            endpoint = Endpoint(base_url=server.url, model="m", identity=identity)
            async with ChatClient(endpoint) as client:
                await measure_serving(client, [Load(32, 1)], cells=[])

    with pytest.raises(ServerError, match="does not answer"):
        asyncio.run(measure())
