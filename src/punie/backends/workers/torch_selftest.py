"""Two steps of QLoRA on a tiny random model: `python -m punie.backends.workers.torch_selftest`.

Prints one line of JSON: `{"device": "cpu" or "gpu", "losses": [before, after], "tensors": n,
"still": [names]}`, where `still` are tensors of the adapter that two steps did not change.

A validation comes between the steps: on some processors bitsandbytes repacks its weights there, and
from then on nothing gets a gradient, without a word.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# safetensors is only partly typed.

import io
import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load

from punie.backends.workers import tiny
from punie.backends.workers.torch_engine import TorchEngine
from punie.backends.workers.train_rows import Batch
from punie.records.training import Optimizer, Quantization, ResolvedPlan

RATE = 1e-2
PLAN = ResolvedPlan(
    layers=tiny.LAYERS,
    quantization=Quantization.FOUR_BIT,
    double_quantization=True,
    gradient_checkpointing=True,
    optimizer=Optimizer.PAGED_ADAMW_8BIT,
    learning_rate=RATE,
    iterations=2,
    validate_every=1,
    checkpoint_every=1,
)
ROWS, WIDTH = 2, 32


def selftest(folder: Path) -> dict[str, Any]:
    """Build the model in `folder` and train it; what the module prints."""
    tiny.build(folder)
    engine = TorchEngine()
    engine.load(folder, PLAN)
    engine.prepare(PLAN)
    engine.begin(PLAN, None)
    tokens = np.random.default_rng(tiny.SEED).integers(3, 500, (ROWS, WIDTH), np.int32)
    counts = np.ones((ROWS, WIDTH - 1), np.bool_)
    batch, total = Batch(tokens=tokens, counts=counts, rows=tuple(range(ROWS))), counts.size
    before = _weights(engine)
    losses: list[float] = []
    for _ in range(PLAN.iterations):
        engine.step(batch, total, RATE, 1)
        with engine.evaluating():
            losses.append(engine.evaluate(batch, total))
    after = _weights(engine)
    still = [name for name, value in before.items() if np.array_equal(value, after[name])]
    return {
        "device": engine.machine["device"],
        "losses": losses,
        "tensors": len(before),
        "still": still,
    }


def _weights(engine: TorchEngine) -> dict[str, Any]:
    file = io.BytesIO()
    engine.write_weights(file)
    return load(file.getvalue())


if __name__ == "__main__":
    warnings.filterwarnings("ignore", message="Paged optimizers are not supported on CPU")
    with tempfile.TemporaryDirectory(prefix="punie-qlora-") as work:
        print(json.dumps(selftest(Path(work))))
