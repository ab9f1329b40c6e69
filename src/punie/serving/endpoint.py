"""`Endpoint`: where to send a chat request, and what can be expected of who answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from punie.records.run import ModelIdentity


@dataclass(frozen=True, slots=True)
class Abilities:
    """What an endpoint can do. What it cannot is not asked of it, because it may ignore silently.

    `tools`: tools in a request reach the model. `token_ids`: with `logprobs`, unstreamed answers
    carry the ids of their tokens, from which text that a parser lost can be recovered. `parser`:
    the name of the server's tool parser, where it is known.
    """

    tools: bool = True
    streaming: bool = True
    token_ids: bool = False
    parser: str | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An OpenAI-compatible server that answers now.

    `prices` are (input, output) per million tokens. `vocabulary` is the number of tokens, where it
    is known: sampling among more of them than there are ends mlx_lm's generation for good.
    `context_length` is the most tokens of prompt and answer together, where it is known.
    `base_model` is the name that asks the same server for the model without its adapter; None where
    there is no adapter. `decode` turns token ids into text. `died` tells why a server that punie
    owns ended, and `peak_memory` its peak in bytes.
    """

    base_url: str
    model: str
    identity: ModelIdentity
    api_key: str | None = field(default=None, repr=False)
    abilities: Abilities = Abilities()
    prices: tuple[float, float] | None = None
    requests_per_minute: float | None = None
    timeout_s: float = 600.0
    vocabulary: int | None = None
    context_length: int | None = None
    base_model: str | None = None
    decode: Callable[[Sequence[int]], str] | None = None
    died: Callable[[], str | None] = lambda: None
    peak_memory: Callable[[], int | None] = lambda: None
