"""How fast a served model reads prompts and writes answers, by real requests through the client."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from punie.backends.choose import BackendChoice
from punie.backends.preflight import MLX, estimates_of
from punie.errors import ServerError
from punie.models.memory import SHARE
from punie.records.benchmark import CellEnd, Quartiles, ServingCell
from punie.records.result import Completion
from punie.records.suite import Message, Sampling
from punie.reporting.numbers import duration
from punie.serving.client import ChatClient, RequestFailed
from punie.serving.request import ChatRequest
from punie.sizes import byte_size

LENGTHS = (128, 512, 2048)
"""Tokens of a prompt."""
CONCURRENCIES = (1, 4, 8)
ANSWER_TOKENS = 32
SPREAD = 0.05
"""By so much may a prompt come out longer than asked: not all words take as many tokens."""
"""The longest answer: its first token is timed apart, the others give the speed of writing."""
WAVES_ALONE, WAVES = 3, 2
"""How often the requests of a cell are sent, alone and side by side."""
SERVING_BUDGET_S = 60.0
FEW_WORDS, MANY_WORDS = 20, 220
"""Of the two prompts that show how many tokens a word and the chat's frame have."""
BROKEN = "\ufffd"
"""What stands for bytes that are no UTF-8."""
COMMON_WORDS = (
    "time year people way day man thing woman life child world school state family student group "
    "country problem hand part place case week company system program question work number night "
    "point home water room mother area money story fact month lot right study book eye job word "
    "business issue side kind head house service friend father power hour game line end member law "
    "car city name team minute idea body back parent face level office door health person art war"
)


@dataclass(frozen=True, slots=True)
class Load:
    """What one cell asks: prompts of so many tokens, so many at once."""

    prompt_tokens: int
    concurrency: int

    @property
    def waves(self) -> int:
        """How often the requests are sent."""
        return WAVES_ALONE if self.concurrency == 1 else WAVES

    @property
    def tokens(self) -> int:
        """Prompt tokens of the whole cell."""
        return self.prompt_tokens * self.concurrency * self.waves

    def __str__(self) -> str:
        return f"{self.prompt_tokens} tokens, {self.concurrency} at once"


def loads(
    *,
    context_length: int | None = None,
    lengths: Sequence[int] = LENGTHS,
    concurrencies: Sequence[int] = CONCURRENCIES,
) -> list[Load]:
    """What to ask, the quickest first; lengths are cut so that the answer fits the context."""
    longest = context_length - ANSWER_TOKENS if context_length else max(lengths)
    longest -= round(SPREAD * longest) if context_length else 0
    fitting = sorted({min(length, longest) for length in lengths})
    chosen = [Load(length, many) for many in concurrencies for length in fitting]
    return sorted(chosen, key=lambda load: (load.tokens, load.concurrency))


@dataclass(frozen=True, slots=True)
class PromptSize:
    """How many tokens a prompt has: `frame` for the chat, and so many for each word."""

    frame: float
    per_word: float

    def words(self, tokens: int) -> int:
        """The words of a prompt of about so many tokens; at least one."""
        return max(1, round((tokens - self.frame) / self.per_word))


@dataclass(slots=True)
class Prompter:
    """Writes prompts that share nothing with each other beyond the chat's frame."""

    drawn: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311 - no secret

    def prompt(self, words: int) -> ChatRequest:
        """A request whose words, from the first on, are drawn anew."""
        text = " ".join(self.drawn.choices(COMMON_WORDS.split(), k=words))
        message = Message(role="user", content=text)
        return ChatRequest(
            messages=(message,), sampling=Sampling(temperature=0.0, max_tokens=ANSWER_TOKENS)
        )


async def measure_serving(
    client: ChatClient,
    wanted: Sequence[Load],
    *,
    cells: list[ServingCell],
    fits: Callable[[Load], str | None] = lambda _: None,
    budget_s: float = SERVING_BUDGET_S,
    watch: Callable[[Load], None] = lambda _: None,
) -> None:
    """Measure each load and append its cell to `cells`, one for each.

    `fits` gives the reason why a load must not be tried. One that would end after `budget_s`, by
    the speed measured so far, is left out too. Raises ServerError where no request is answered.
    """
    prompter = Prompter()
    began = time.monotonic()
    size, read_rate = await calibrate(client, prompter)
    for load in wanted:
        why = fits(load)
        spent = time.monotonic() - began
        if why is None and cells and spent + expected_seconds(load, cells, read_rate) > budget_s:
            why = f"it would take longer than the {duration(budget_s)} that all may take"
        if why is not None:
            cells.append(_left_out(load, why))
            continue
        watch(load)
        cell = await measure_load(client, load, size, prompter)
        cells.append(cell)
        if cell.prompt_rate:
            read_rate = cell.prompt_rate.median


def expected_seconds(load: Load, cells: Sequence[ServingCell], read_rate: float) -> float:
    """How long a load takes: reading at `read_rate` tokens a second, writing as fast as last."""
    rates = [cell.generation_rate.median for cell in cells if cell.generation_rate]
    writing = load.waves * ANSWER_TOKENS / rates[-1] if rates else 0.0
    return load.tokens / read_rate + writing


async def calibrate(client: ChatClient, prompter: Prompter) -> tuple[PromptSize, float]:
    """Ask a short and a longer prompt: what words come to in tokens, and tokens read a second.

    They warm the server up as well. Raises ServerError where they are not answered.
    """
    try:
        short = await client.ask(prompter.prompt(FEW_WORDS))
        start = time.perf_counter()
        longer = await client.ask(prompter.prompt(MANY_WORDS))
        seconds = longer.first_token_s or time.perf_counter() - start
    except RequestFailed as fault:
        raise ServerError(f"the served model does not answer: {fault.message}") from fault
    if not short.prompt_tokens or not longer.prompt_tokens:
        raise ServerError("the server does not count the tokens of a prompt")
    per_word = (longer.prompt_tokens - short.prompt_tokens) / (MANY_WORDS - FEW_WORDS)
    if per_word <= 0:
        raise ServerError("the server counts no more tokens for a longer prompt")
    size = PromptSize(short.prompt_tokens - per_word * FEW_WORDS, per_word)
    return size, longer.prompt_tokens / seconds


async def measure_load(
    client: ChatClient, load: Load, size: PromptSize, prompter: Prompter
) -> ServingCell:
    """Send the load's waves, each once the one before is answered."""
    words = size.words(load.prompt_tokens)
    waves = [
        await _wave(client, [prompter.prompt(words) for _ in range(load.concurrency)])
        for _ in range(load.waves)
    ]
    return cell_of(load, waves)


@dataclass(frozen=True, slots=True)
class Wave:
    """Requests that were sent at once: what came back, and how long all of it took."""

    answers: tuple[Completion, ...]
    faults: tuple[str, ...]
    seconds: float

    @property
    def read(self) -> int:
        """Prompt tokens that the model read: what the prompt cache held is not among them."""
        return sum((each.prompt_tokens or 0) - (each.cached_tokens or 0) for each in self.answers)

    @property
    def written(self) -> int:
        """Tokens of the answers."""
        return sum(each.completion_tokens or 0 for each in self.answers)

    def prompt_rate(self) -> float | None:
        """Tokens read a second, until the last of the answers began."""
        firsts = [first for each in self.answers if (first := first_token(each))]
        return self.read / max(firsts) if len(firsts) == len(self.answers) and firsts else None


async def _wave(client: ChatClient, requests: Sequence[ChatRequest]) -> Wave:
    start = time.perf_counter()
    results = await asyncio.gather(*(_answer(client, request) for request in requests))
    seconds = time.perf_counter() - start
    return Wave(
        answers=tuple(each for each in results if isinstance(each, Completion)),
        faults=tuple(each for each in results if isinstance(each, str)),
        seconds=seconds,
    )


async def _answer(client: ChatClient, request: ChatRequest) -> Completion | str:
    """The answer, or why there was none."""
    try:
        return await client.ask(request)
    except RequestFailed as fault:
        return fault.message


def cell_of(load: Load, waves: Sequence[Wave]) -> ServingCell:
    """The numbers of a load's waves; it failed where nothing was answered."""
    answers = [answer for wave in waves for answer in wave.answers]
    faults = [fault for wave in waves for fault in wave.faults]
    return ServingCell(
        prompt_tokens=load.prompt_tokens,
        concurrency=load.concurrency,
        end=CellEnd.MEASURED if answers else CellEnd.FAILED,
        why=faults[0] if faults else "",
        requests=len(answers) + len(faults),
        faults=len(faults),
        tokens_in=sum(wave.read for wave in waves),
        tokens_cached=sum(answer.cached_tokens or 0 for answer in answers),
        tokens_out=sum(wave.written for wave in waves),
        prompt_rate=Quartiles.of([r for wave in waves if (r := wave.prompt_rate())]),
        generation_rate=Quartiles.of([r for each in answers if (r := generation_rate(each))]),
        throughput=Quartiles.of([wave.written / wave.seconds for wave in waves if wave.written]),
        first_token_s=Quartiles.of([first for each in answers if (first := first_token(each))]),
    )


def first_token(answer: Completion) -> float | None:
    """Seconds to the first token; None where that was not seen.

    The server holds bytes back that are no characters yet, so where a model writes broken ones the
    first text says nothing of the first token.
    """
    return None if BROKEN in answer.text else answer.first_token_s


def generation_rate(answer: Completion) -> float | None:
    """Tokens a second of one answer after its first; None where it has fewer than two."""
    first = first_token(answer)
    if first is None or not answer.completion_tokens:
        return None
    seconds = answer.latency_s - first
    tokens = answer.completion_tokens - 1
    return tokens / seconds if tokens > 0 and seconds > 0 else None


def memory_fits(folder: Path, free: int, how: BackendChoice = MLX) -> Callable[[Load], str | None]:
    """The reason why a load must not be tried with so many bytes free; None where it fits.

    `how` is what serves the model.
    """

    def why_not(load: Load) -> str | None:
        estimates = estimates_of(
            folder,
            longest_prompt_tokens=load.prompt_tokens,
            max_tokens=ANSWER_TOKENS,
            up_to=load.concurrency,
            how=how,
        )
        if estimates is None or estimates[-1].total <= SHARE * free:
            return None
        needed = byte_size(estimates[-1].total)
        return f"it takes about {needed} of memory, and {byte_size(free)} are free"

    return why_not


def _left_out(load: Load, why: str) -> ServingCell:
    return ServingCell(
        prompt_tokens=load.prompt_tokens,
        concurrency=load.concurrency,
        end=CellEnd.LEFT_OUT,
        why=why,
    )
