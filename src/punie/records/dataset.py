"""A training example and the version of a dataset."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass

from punie.records.base import SCHEMA_VERSION, SLIM, Record
from punie.records.suite import Message, Tool


class Split(StrEnum):
    """The three parts of a dataset; each is a file of its name, `train.jsonl` and so on."""

    TRAIN = "train"
    VALID = "valid"
    TEST = "test"


class RowForm(StrEnum):
    """The forms that mlx_lm reads, and that punie reads and writes."""

    MESSAGES = "messages"
    COMPLETION = "completion"
    TEXT = "text"


@dataclass(frozen=True, slots=True, kw_only=True, config=SLIM)
class Row:
    """One training example.

    A chat has `messages`; `prompt` and `completion` became a user and an assistant turn. Plain text
    has `text` and no messages. `line` counts from 1 in `file`.
    """

    messages: tuple[Message, ...] = ()
    tools: tuple[Tool, ...] = ()
    text: str | None = None
    form: RowForm = RowForm.MESSAGES
    file: str = ""
    line: int = 0
    category: str | None = None
    role: str | None = None
    group: str | None = None
    """Rows of one group are made from the same thing, and never parted by a split."""


ROW: TypeAdapter[Row] = TypeAdapter(Row)


class SplitVersion(Record):
    """One part of a dataset, pinned."""

    rows: Annotated[int, Field(ge=0, lt=2**63)]
    hash: str
    """SHA-256 over the canonical rows, in order; spacing and key order of the file do not count."""
    bytes: Annotated[int, Field(ge=0, lt=2**63)] = 0


class DatasetVersion(Record):
    """`data/<name>/manifest.json`: exactly which rows these are, and where they come from."""

    schema_version: int = SCHEMA_VERSION
    name: str
    hash: str
    """Over the hashes of the splits, by name."""
    splits: dict[Split, SplitVersion]
    created_at: str = ""
    """UTC, ISO 8601."""
    origin: str = ""
    """What it was made from: a file, a hub dataset with its revision, or the command that wrote
    it with its seed."""
    seed: int | None = None
    """Of the split or the generator."""
    suite: str | None = None
    """The suite file that measures the held-out part, relative to the project."""
    licence: str = ""
    description: str = ""
    notes: tuple[str, ...] = Field(default=())
