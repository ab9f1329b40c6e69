"""What a model that was made of an adapter still has to do with suites.

A fused folder and a GGUF file answer as the adapter did, so what it was chosen by and what leaked
into its data goes with them.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from punie.errors import ModelError
from punie.models.gguf_notes import TIES, gguf_text
from punie.models.manifest import MANIFEST, MAX_BYTES
from punie.models.resolve import resolve
from punie.reading import read_regular
from punie.records.adapter import FusedManifest, SuiteTies

_MANY = TypeAdapter(tuple[SuiteTies, ...])


def ties_of_model(name: str) -> tuple[SuiteTies, ...]:
    """The ties of the model that `punie eval --model NAME` serves; most have none.

    Raises ModelError for a model that is not there, or whose own account of it is damaged.
    """
    model = resolve(name, download=False)
    origin = Path(model.origin)
    return _ties_of_file(origin) if origin.suffix == ".gguf" else _ties_of_folder(model.path)


def written(ties: Iterable[SuiteTies]) -> str:
    """As a GGUF file holds them."""
    return _MANY.dump_json(tuple(ties)).decode()


def _ties_of_file(file: Path) -> tuple[SuiteTies, ...]:
    try:
        text = gguf_text(file, TIES)
        return _MANY.validate_json(text) if text else ()
    except OSError as error:
        raise ModelError(f"cannot read {file}: {error.strerror}", hint="check it") from error
    except ValidationError as error:
        raise _damaged(file) from error


def _ties_of_folder(folder: Path) -> tuple[SuiteTies, ...]:
    """A `punie.json` that is no fused model's is somebody else's file."""
    file = folder / MANIFEST
    try:
        found: Any = json.loads(read_regular(file, MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return ()
    if not isinstance(found, dict) or cast("dict[str, Any]", found).get("kind") != "fused":
        return ()
    try:
        return FusedManifest.model_validate(found).ties
    except ValidationError as error:
        raise _damaged(file) from error


def _damaged(file: Path) -> ModelError:
    return ModelError(
        f"{file}: what it says of how it was made cannot be read", hint="export it again"
    )
