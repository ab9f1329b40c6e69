"""What every record shares: frozen, strict about unknown keys, and a canonical form to hash."""

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict, JsonValue

SCHEMA_VERSION = 1
"""Stored with everything that outlives the process; grows when a field changes its meaning."""

SLIM = ConfigDict(extra="forbid")
"""For the records that exist once per prompt: pydantic dataclasses with slots, a quarter of the
memory of a `BaseModel`, so that a suite of many thousand prompts stays small."""


class Record(BaseModel):
    """A frozen value that crosses a layer."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def canonical_json(value: JsonValue | dict[str, Any]) -> str:
    """The one spelling of a JSON value: sorted keys, no spaces, UTF-8 kept as it is."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(value: JsonValue | dict[str, Any]) -> str:
    """SHA-256 of the canonical form, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()
