"""Whether two forms of a model expect the same of a text: what the workers that ask them share."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from punie.backends.workers.lifeline import end_with_parent, say
from punie.errors import ModelError

PROBE = (
    "What is the weather in Lisbon today, and what will it be in Oslo on Friday? Call get_weather "
    '{"city": "Lisbon", "days": [1, 2]} or write def add(first, second): return first + second'
)
LONGEST_PROBE = 96
"""Tokens of the text that is compared."""


def probe_tokens(folder: Path, vocabulary: int) -> list[int]:
    """The tokens of `PROBE`; of a model without tokenizer.json some of its vocabulary."""
    file = folder / "tokenizer.json"
    if not file.exists():
        return [(97 * at + 13) % vocabulary for at in range(LONGEST_PROBE // 2)]
    return list(Tokenizer.from_file(str(file)).encode(PROBE).ids)[:LONGEST_PROBE]


def compared(before: NDArray[np.float32], after: NDArray[np.float32]) -> dict[str, Any]:
    """The fields of `punie.records.adapter.Agreement` for two (positions, vocabulary)."""
    return {
        "positions": int(before.shape[0]),
        "same_next_token": int((before.argmax(axis=-1) == after.argmax(axis=-1)).sum()),
        "largest_difference": float(np.abs(before - after).max()),
    }


def answer(main: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Run a worker whose one argument is a JOB as JSON with `model`, `adapter` and `merged`.

    It writes `{"agreement": …}` or `{"error": …}`, and ends by itself when stdin is closed.
    """
    if len(sys.argv) != 2:
        sys.exit("one argument: JOB")
    end_with_parent()
    try:
        say({"agreement": main(json.loads(sys.argv[1]))})
    except ModelError as error:
        say({"error": {"message": error.message, "hint": error.hint}})
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - a model fails in any way inside the libraries
        what = f"{type(error).__name__}: {error}"
        say({"error": {"message": f"the merged model could not be compared ({what[:500]})"}})
        sys.exit(1)
