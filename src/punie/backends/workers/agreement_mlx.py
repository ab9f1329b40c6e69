"""Compare a merged folder with base and adapter on mlx: `python -m … workers.agreement_mlx JOB`."""

# mlx and mlx_lm are only partly typed.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# pyright: reportMissingTypeArgument=false

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from punie.backends.workers.agreement import answer, compared, probe_tokens
from punie.backends.workers.before_mlx import before_mlx

before_mlx()

import mlx.core as mx  # noqa: E402 - only after BLAS
from mlx_lm.utils import load_adapters, load_model  # noqa: E402 - as above


def main(job: dict[str, Any]) -> dict[str, Any]:
    """One after the other, so that one model at a time is in memory."""
    source = Path(job["model"])
    model, config = load_model(source, lazy=True)
    tokens = mx.array([probe_tokens(source, int(config.get("vocab_size") or 256))])
    model = load_adapters(model, job["adapter"])
    model.eval()
    before = probabilities(model, tokens)
    del model
    after, _ = load_model(Path(job["merged"]), lazy=True)
    return compared(before, probabilities(after, tokens))


def probabilities(model: Any, tokens: Any) -> NDArray[np.float32]:
    """Of every next token: (positions, vocabulary)."""
    return np.array(mx.softmax(model(tokens)[0].astype(mx.float32), axis=-1))


if __name__ == "__main__":
    answer(main)
