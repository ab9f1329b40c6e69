"""How much memory a training takes, from a model's config alone: an estimate to plan with.

The worker measures the real peak before the first iteration, on the longest batch. What the
estimate is made of, and how far it is from measured peaks, is in specs/train.md.
"""

from dataclasses import dataclass

from punie.models.memory import Architecture
from punie.records.encoding import width_for
from punie.records.training import Method, ResolvedPlan

OPTIMIZER_COPIES: dict[str, float] = {
    "adam": 2,
    "adamw": 2,
    "sgd": 1,
    "adafactor": 1,
    "muon": 1,
    "paged_adamw_8bit": 0.52,  # two moments of a byte a value, and the scales of their blocks
}
LOGITS = 4
"""Copies of a batch's logits that are alive at once, in float32: the logits, their softmax, and the
gradients of both."""
WORTH_BYTES = 32 * 1024 * 1024
"""Logits are computed where they count only if that leaves out so many bytes of them."""
BLOCK_HIDDEN = 14
"""Values of the hidden width that the backward pass of one block needs, each token."""
BLOCK_MLP = 5
"""The same, of the inner width."""


@dataclass(frozen=True, slots=True)
class TrainingMemory:
    """Bytes by part."""

    weights: int
    trained: int
    """What is trained, its gradients, and the optimizer's state."""
    activations: int
    """What the backward pass needs of the forward pass, on the longest batch."""
    logits: int
    runtime: int = 0
    """What the libraries take where all of the process counts, and not its arrays alone."""

    @property
    def total(self) -> int:
        """The peak."""
        return self.weights + self.trained + self.activations + self.logits + self.runtime


def trained_values(shape: Architecture, plan: ResolvedPlan) -> int:
    """How many numbers the plan trains: LoRA's of every linear layer of a block, or the block's."""
    kv = shape.kv_width // 2
    inside = shape.heads * shape.head_dim
    linear = [
        (shape.hidden, inside),
        (shape.hidden, kv),
        (shape.hidden, kv),
        (inside, shape.hidden),
        (shape.hidden, shape.mlp),
        (shape.hidden, shape.mlp),
        (shape.mlp, shape.hidden),
    ]
    if plan.method is Method.FULL:
        return plan.layers * sum(rows * columns for rows, columns in linear)
    used = 7 if plan.keys is None else len(plan.keys)
    low_rank = sum(plan.rank * (rows + columns) for rows, columns in linear)
    return plan.layers * low_rank * used // 7


def room_on_disk(shape: Architecture, plan: ResolvedPlan, *, value_bytes: int) -> int:
    """Bytes that checkpoints and the state take at most, with the adapter's own copy at the end."""
    one = trained_values(shape, plan) * (value_bytes if plan.method is Method.FULL else 4)
    every, other = plan.validate_every, plan.checkpoint_every
    checkpoints = plan.iterations // every + plan.iterations // other
    if every % other == 0 or other % every == 0:
        checkpoints = plan.iterations // min(every, other)
    # Beside these: the last one, the adapter, the optimizer's state and the one being written.
    return int(one * (checkpoints + 2 + 2 * (1 + OPTIMIZER_COPIES[plan.optimizer])))


def estimate_training(
    shape: Architecture,
    plan: ResolvedPlan,
    *,
    weight_bytes: int,
    value_bytes: int,
    longest: int,
    most_trained: int,
) -> TrainingMemory:
    """Peak bytes of an iteration on `batch_size` rows of `longest` tokens.

    At most `most_trained` tokens of a row count in the loss; where that saves much, the worker
    computes no other logits.
    `value_bytes` is the size of an activation: 4 in float32, 2 in bfloat16. Blocks below the ones
    that are trained leave nothing behind; with gradient checkpointing only one block's activations
    are there at a time, and of the others what goes in.
    """
    length = width_for(longest, plan.max_length) - 1
    tokens = plan.batch_size * length
    values = trained_values(shape, plan)
    copies = 2 + OPTIMIZER_COPIES[plan.optimizer] + (plan.accumulation > 1)
    predicted = plan.batch_size * most_trained
    if (tokens - predicted) * shape.vocabulary * 4 < WORTH_BYTES:
        predicted = tokens
    scores = 2 * shape.heads * length
    block = BLOCK_HIDDEN * shape.hidden + BLOCK_MLP * shape.mlp + 2 * shape.kv_width + scores
    blocks = plan.layers
    if plan.gradient_checkpointing:
        activations = tokens * (block + blocks * shape.hidden)
    else:
        activations = tokens * block * blocks
    return TrainingMemory(
        weights=weight_bytes,
        trained=int(values * copies * (value_bytes if plan.method is Method.FULL else 4)),
        activations=activations * value_bytes,
        logits=predicted * shape.vocabulary * 4 * LOGITS,
    )
