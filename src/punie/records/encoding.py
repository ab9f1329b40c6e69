"""Rows as token ids: what the encoding worker is told, and what it found.

The tokens go to a file of safetensors. For each split `s` of the job it holds
- `s.tokens`: int32, the ids of all rows one after the other;
- `s.mask`: uint8, as long: 1 where the token is one that the loss counts;
- `s.starts`: int64, rows + 1: row i is `tokens[starts[i]:starts[i + 1]]`.
Rows keep the order of their file and are cut at the job's `max_length`; a row that the template
refuses has no tokens. The first token of a row never counts. The file's metadata has `hash`,
SHA-256 over all of it.
"""

import math
from enum import StrEnum
from pathlib import Path

from pydantic.dataclasses import dataclass

from punie.records.base import SCHEMA_VERSION, SLIM, Record
from punie.records.dataset import Split
from punie.records.training import Masking


class EncodeJob(Record):
    """What the encoding worker is told."""

    schema_version: int = SCHEMA_VERSION
    model: Path
    rows: dict[Split, Path]
    """JSON lines of `punie.records.dataset.Row`; tools are in the system turn already where the
    template cannot render them."""
    max_length: int
    masking: Masking
    output: Path
    """The file of tokens; it appears whole, by a rename."""


class RowProblemKind(StrEnum):
    """What can be wrong with a row once it is rendered."""

    REFUSED = "refused"
    """The template refuses it, or writes nothing."""
    NO_TARGET = "no_target"
    """No token of it would be trained."""
    CUT_ANSWER = "cut_answer"
    """It is longer than `max_length`, and what would be cut is part of the answer."""
    CUT_PROMPT = "cut_prompt"
    """It is longer than `max_length`: only what comes after the last trained token is cut."""
    LOST_END = "lost_end"
    """The end-of-turn token is not among what is trained."""
    DOUBLE_START = "double_start"
    """It begins with two start-of-text tokens."""
    NO_PREFIX = "no_prefix"
    """The prompt as it is served is no beginning of the row as it is trained, so the mask comes
    from another way of finding the answer."""
    LOST_CALL = "lost_call"
    """A tool call does not come back from the server's own parser as it was written."""


@dataclass(frozen=True, slots=True, kw_only=True, config=SLIM)
class RowProblem:
    """Something about one row: `row` is its position in its split, from 0."""

    kind: RowProblemKind
    split: Split
    row: int
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, config=SLIM)
class EncodedSplit:
    """Lengths of a split's rows, in their order."""

    lengths: tuple[int, ...]
    """Tokens of each row, before anything is cut."""
    trained: tuple[int, ...]
    """Tokens of each row that the loss counts."""


class Encoding(Record):
    """What the encoding worker found; written beside its tokens."""

    schema_version: int = SCHEMA_VERSION
    splits: dict[Split, EncodedSplit]
    problems: tuple[RowProblem, ...] = ()
    parser: str | None = None
    """mlx_lm's tool parser that the tool calls were read back with; None: it has none for the
    template, or is not installed (`notes`), and punie's own reader read them."""
    notes: tuple[str, ...] = ()
    """What could not be done on this machine, a sentence each."""
    hash: str
    example: str = ""
    """The first training row as text, with what is trained between ⟦ and ⟧."""


PAD_TO = 32
"""Fewer different widths: each new one is compiled, and takes memory of its own."""


def width_for(longest: int, max_length: int) -> int:
    """The width of a training batch whose longest row has so many tokens.

    One more than a multiple of `PAD_TO`, because the model is given all but the last token.
    """
    predicted = max(longest - 1, 1)
    return min(1 + PAD_TO * math.ceil(predicted / PAD_TO), max_length)
