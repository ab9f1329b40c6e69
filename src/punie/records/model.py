"""A model that can be served from this machine, and what is known of it."""

from enum import StrEnum
from pathlib import Path

from punie.records.base import Record


class ModelSource(StrEnum):
    """Where a model comes from."""

    BUILTIN = "builtin"
    FOLDER = "folder"
    GGUF = "gguf"
    HUB = "hub"
    LMSTUDIO = "lm studio"


class Model(Record):
    """A model on disk; `path` is a folder that `mlx_lm` loads.

    `origin` says what it was made from: the wheel, the GGUF file, the hub id, or the person's
    folder where `path` is a corrected copy of it.
    """

    name: str
    """As the person writes it."""
    path: Path
    source: ModelSource
    origin: str = ""
    revision: str | None = None
    """The hub's commit."""


class ListedModel(Record):
    """A name that can be resolved, and what is on disk for it."""

    name: str
    source: ModelSource
    path: Path | None
    """None for a built-in model that has not been pulled."""
    size_bytes: int
    """On disk, or to download where `path` is None."""
    architecture: str | None = None


class TemplateAbilities(Record):
    """What a chat template can do, found by rendering it; and what the server makes of it."""

    chat: bool = False
    """There is a template, and it renders a chat."""
    system: bool = False
    """It renders a system turn."""
    tools: bool = False
    """It renders the tools it is given."""
    thinking: bool = False
    """The vocabulary has the tokens of a reasoning block, so the server enables thinking."""
    thinking_switch: bool = False
    """`enable_thinking` changes what is rendered."""
    parser: str | None = None
    """The name of mlx_lm's tool parser that the server will choose."""

    @property
    def native_tools(self) -> bool:
        """Whether tools reach the model and its calls come back as calls."""
        return self.tools and self.parser is not None


class Fingerprint(Record):
    """SHA-256 of a model's parts. `whole` covers the four others."""

    weights: str
    config: str
    tokenizer: str
    template: str | None
    whole: str


class ModelInfo(Record):
    """A model in numbers."""

    model: Model
    architecture: str
    parameters: int
    """Counted unpacked: a 4-bit weight is one parameter, its scales are none."""
    dtype: str
    """`float32`, `bfloat16` or e.g. `4-bit, group 32`."""
    layers: int | None = None
    context_length: int | None = None
    vocabulary: int | None = None
    size_bytes: int
    """All of the folder's files."""
    abilities: TemplateAbilities
    own_code: tuple[str, ...] = ()
    """Python files that its configs name; they are never run."""
    fingerprint: Fingerprint
