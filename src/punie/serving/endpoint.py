"""`Endpoint`: where to send a chat request, and what can be expected of who answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from punie.records.run import ModelIdentity

if TYPE_CHECKING:  # a server of somebody else needs none of it
    from punie.serving.keeper import Keeper


SAMPLING = frozenset(
    {
        "top_p",
        "top_k",
        "min_p",
        "stop",
        "frequency_penalty",
        "presence_penalty",
        "repetition_penalty",
        "logit_bias",
    }
)
"""What a request may say about sampling, beside the temperature, the seed and the longest answer.
"""


SERVERS = {"mlx": "mlx_lm.server", "cuda": "transformers serve", "vllm": "vLLM"}
"""The servers that punie starts, by backend or by `ModelIdentity.server`."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """What an endpoint can do. What it cannot is not asked of it, because it may ignore silently.

    `tools`: tools in a request reach the model, and its calls are read. `token_ids`: with
    `logprobs`, unstreamed answers carry the ids and the probabilities of their tokens; from the ids
    text that a parser lost can be recovered. `parser`: the name of the server's tool parser, where
    it is known. `schema`: answers are forced into the JSON of `response_format`; None where nobody
    knows. `seed`: the seed of a request decides what is drawn for it. `sampling`: the names out of
    `SAMPLING` that the server heeds. That the base answers beside its adapter is said by
    `Endpoint.base_model`.

    The defaults are what is assumed of somebody else's server until it is asked.
    """

    tools: bool = True
    streaming: bool = True
    token_ids: bool = False
    parser: str | None = None
    schema: bool | None = None
    seed: bool = True
    sampling: frozenset[str] = SAMPLING


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An OpenAI-compatible server that answers now.

    `prices` are (input, output) per million tokens. `first_token_s` and `timeout_s` are how long
    to wait for the first token, and for the whole answer. `vocabulary` is the number of tokens,
    where it is known: sampling among more of them than there are ends mlx_lm's generation for good.
    `context_length` is the most tokens of prompt and answer together, where it is known.
    `base_model` is the name that asks the same server for the model without its adapter; None where
    there is no adapter, or where the server holds nothing beside it. `decode` turns token ids into
    text. `keeper` is who keeps a server of our own alive: ask it for a turn before each request,
    and to revive it when none is answered.
    """

    base_url: str
    model: str
    identity: ModelIdentity
    api_key: str | None = field(default=None, repr=False)
    abilities: Abilities = Abilities()
    prices: tuple[float, float] | None = None
    requests_per_minute: float | None = None
    timeout_s: float = 600.0
    first_token_s: float | None = None
    vocabulary: int | None = None
    context_length: int | None = None
    base_model: str | None = None
    decode: Callable[[Sequence[int]], str] | None = None
    keeper: "Keeper | None" = None

    @property
    def server(self) -> str:
        """Who answers, by the name that people know: of a program, or the address."""
        if self.identity.backend == "endpoint":
            return self.base_url
        name = self.identity.server or self.identity.backend
        return SERVERS.get(name) or SERVERS.get(self.identity.backend, name)

    @property
    def url(self) -> str:
        """The base URL now: a server of our own may move when it is started again."""
        return self.keeper.base_url if self.keeper else self.base_url

    def peak_memory(self) -> int | None:
        """The peak memory of a server of our own so far, in bytes."""
        return self.keeper.process.note_memory() if self.keeper else None
