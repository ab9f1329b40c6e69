"""The yardstick of `bench_train.py`: mlx_lm's own `train()`, with nothing of punie's loop.

    python tests/bench/bare_train.py JOB.json OUT_DIR

Model, layers and optimizer are made as `mlx_lm.lora` makes them. Only the batches are those that
punie's worker trains, so that both do the same work. OUT_DIR gets the trained weights, and what
each iteration took by mlx_lm's own clock.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportPrivateImportUsage=false
# pyright: reportMissingTypeArgument=false, reportUnknownLambdaType=false
# mlx is only partly typed, and mlx_lm not at all.

import json
import sys
from pathlib import Path
from typing import Any

from punie.backends.workers.before_mlx import before_mlx
from punie.backends.workers.train_rows import Epochs, make_batch, read_tokens
from punie.records.dataset import Split
from punie.records.training import Method, TrainJob


class Clock:
    """A callback of mlx_lm's that keeps what it reports of each iteration."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.losses: list[float] = []

    def on_train_loss_report(self, train_info: dict) -> None:
        self.seconds.append(1 / train_info["iterations_per_second"])
        self.losses.append(train_info["train_loss"])


def main(job: TrainJob, out: Path) -> None:
    before_mlx()
    import mlx.core as mx
    from mlx import nn, optimizers
    from mlx_lm.tuner.trainer import TrainingArgs, train
    from mlx_lm.tuner.utils import linear_to_lora_layers
    from mlx_lm.utils import load_model

    def loss(model: Any, tokens: mx.array, counts: mx.array) -> tuple[mx.array, mx.array]:
        """mlx_lm's `default_loss` with a mask of our own."""
        logits = model(tokens[:, :-1])
        entropy = nn.losses.cross_entropy(logits, tokens[:, 1:]) * counts
        counted = counts.sum()
        return entropy.astype(mx.float32).sum() / counted, counted

    plan = job.plan
    rows = read_tokens(job.rows).splits[Split.TRAIN]
    epochs = Epochs(rows.lengths, plan.batch_size, plan.order, plan.seed)

    def batches(**_: object) -> Any:
        for positions in epochs.after(0):
            batch: Any = make_batch(rows, positions, plan.max_length)
            yield mx.array(batch.tokens), mx.array(batch.counts)

    mx.random.seed(plan.seed)
    model, _ = load_model(job.model)
    model.freeze()
    if plan.method is Method.FULL:
        blocks: Any = model.layers
        for block in blocks[-plan.layers :]:
            block.unfreeze()
    else:
        layers: dict[str, Any] = {"rank": plan.rank, "scale": plan.scale, "dropout": plan.dropout}
        if plan.keys is not None:
            layers["keys"] = plan.keys
        linear_to_lora_layers(model, plan.layers, layers, use_dora=plan.method is Method.DORA)
    mx.eval(model.parameters())
    mx.reset_peak_memory()
    kinds = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD", "muon": "Muon"}
    kind = getattr(optimizers, kinds[plan.optimizer.value])
    clock: Any = Clock()
    train(
        model=model,
        optimizer=kind(learning_rate=plan.learning_rate, **plan.optimizer_options),
        train_dataset=None,
        args=TrainingArgs(
            iters=plan.iterations,
            steps_per_report=1,
            steps_per_save=plan.iterations,
            adapter_file=str(out / "adapters.safetensors"),
            grad_checkpoint=plan.gradient_checkpointing,
            grad_accumulation_steps=plan.accumulation,
        ),
        loss=loss,
        iterate_batches=batches,
        training_callback=clock,
    )
    took = {
        "seconds": clock.seconds,
        "losses": clock.losses,
        "peak_memory_bytes": mx.get_peak_memory(),
    }
    (out / "took.json").write_text(json.dumps(took))


if __name__ == "__main__":
    main(TrainJob.model_validate_json(Path(sys.argv[1]).read_bytes()), Path(sys.argv[2]))
