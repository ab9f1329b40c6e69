"""Whether the weights of a folder are those of the model that its config describes."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from punie.backends.workers.train_failure import Failure
from punie.records.training import FailureKind

SHOWN = 5


def require_the_models(folder: Path, found: Mapping[str, Any]) -> None:
    """Raise Failure for weights that are missing, which transformers draws at random, or left over.

    `found` is what it says with `output_loading_info`. Of those left over only blocks count: of a
    config with too few of them. What else a model does not use, its own class has named.
    """
    missing = sorted(found["missing_keys"])
    left = sorted(name for name in found["unexpected_keys"] if ".layers." in name)
    if missing or left:
        what = f"has no weights for {_some(missing)}" if missing else f"has {_some(left)} left over"
        message = f"{folder} {what}: its config.json and its weights are of two models"
        raise Failure(FailureKind.MODEL, message)


def _some(names: Collection[str]) -> str:
    shown = ", ".join(list(names)[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"
