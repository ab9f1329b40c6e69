"""Whatever form an adapter came in, mlx_lm's: what punie checks, hashes and serves."""

import os
from pathlib import Path

from punie.models.adapter import COPY_AGAIN, SETTINGS
from punie.models.adapter_tensors import require_matrices
from punie.models.cache import build_once, cache_root
from punie.models.check import read_json, whatever_is_in_it
from punie.models.converter import Progress, quiet
from punie.models.fingerprint import file_hash
from punie.models.peft import PEFT_WEIGHTS, is_peft, refuse_mixed, write_mlx
from punie.records.base import digest
from punie.records.model import Fingerprint

RECIPE = 1
"""Grows when the same files become something else, so that they are converted anew."""


def in_mlx_form(
    adapter: Path,
    model: Path,
    base: Fingerprint,
    *,
    progress: Progress = quiet,
    cache: Path | None = None,
) -> Path:
    """The folder `adapter`, or, if it is in PEFT's form, the same adapter converted in the cache.

    `model` is the folder of the base and `base` its fingerprint; `progress` is told `peft`. The
    folder in the cache has the same name, so that it is called as the person calls it. Raises
    ModelError for an adapter of PEFT's that cannot be converted, or that is not of this base.
    """
    if not is_peft(adapter):
        return adapter
    with whatever_is_in_it(adapter / SETTINGS, hint=COPY_AGAIN):
        refuse_mixed(adapter)
        require_matrices(adapter / PEFT_WEIGHTS)  # before gigabytes that are none are hashed
        parts = [file_hash(adapter / PEFT_WEIGHTS), digest(read_json(adapter / SETTINGS))]
    key = digest([RECIPE, *parts, base.weights, base.config])

    def make(work: Path) -> Path:
        made = work / "adapter"
        made.mkdir()
        write_mlx(adapter, model, made)
        return made

    name = Path(os.path.normpath(adapter)).name or "adapter"
    target = (cache or cache_root()) / "adapters" / key[:16] / name
    made = build_once(target, make, waiting=lambda: progress("wait", 0, 0))
    progress("peft", 0, 0)
    return made
