"""How much memory torch takes for a model and for training it, from config and headers alone.

What the numbers are made of, and how far they are from measured peaks, is in specs/memory.md.
"""

from collections.abc import Mapping
from math import prod

from punie.models.memory import Architecture, MemoryEstimate, activation_bytes
from punie.models.safetensors import BITS, TensorInfo
from punie.models.training_memory import (
    OPTIMIZER_COPIES,
    WORTH_BYTES,
    TrainingMemory,
    trained_values,
)
from punie.records.encoding import width_for
from punie.records.training import Method, Quantization, ResolvedPlan

NF4_BLOCK, SCALES_BLOCK = 64, 256
"""Weights that share a scale, and scales that do where these are quantised too."""
BLOCKS, EXPERTS = ".layers.", ".experts."
"""In the names of the tensors that bitsandbytes packs, and of those that it does not, which on disk
look alike: experts are one tensor of three dimensions for transformers. Nor the embeddings."""
CONTEXT_BYTES = 600_000_000
"""On a GPU: CUDA's own, cuBLAS' workspaces, and what the allocator keeps in pieces."""
RUNTIME_BYTES = 550_000_000
"""On the CPU, where all of the process counts: Python, torch, transformers, peft, bitsandbytes."""
BLOCK_HIDDEN, BLOCK_MLP = 14, 7
"""Values of one token that the backward pass of a block needs, by width: measured."""
CPU_CHECKPOINTED = 0.5
"""Of the activations, that count on the CPU with gradient checkpointing: what is freed between the
blocks stays with the process. Measured."""
LOGITS = 3
"""Copies of the logits in float32: the logits, their logarithms, and their gradient."""

READ_TOKENS = 2048
"""Of all prompts, that the server reads in one step; it computes logits for each of them."""


def serving_on_cuda(
    shape: Architecture,
    tensors: Mapping[str, TensorInfo],
    quantization: Quantization,
    *,
    gpu: bool,
    batch_tokens: int,
    longest_prompt_tokens: int,
    max_tokens: int,
    concurrency: int,
    adapter_bytes: int = 0,
) -> MemoryEstimate:
    """Peak bytes of `transformers serve` as punie starts it, with a cache of `batch_tokens`.

    Its keys and values are held from the start; an answer that does not fit into it is written
    outside of it.
    """
    width = 2 if gpu else activation_bytes(tensors)
    weights = packed_bytes(tensors, quantization, double=True, value_bytes=width)
    whole = longest_prompt_tokens + max_tokens
    held = batch_tokens + (whole if whole > batch_tokens else 0)
    read = min(READ_TOKENS, concurrency * longest_prompt_tokens)
    values = read * (BLOCK_HIDDEN * shape.hidden + 3 * shape.mlp)
    return MemoryEstimate(
        weights=weights + adapter_bytes,
        kv_cache=held * shape.layers * shape.kv_width * width,
        prefill=values * width + read * shape.vocabulary * 4 * LOGITS,
        runtime=CONTEXT_BYTES if gpu else RUNTIME_BYTES,
    )


def packed_bytes(
    tensors: Mapping[str, TensorInfo],
    quantization: Quantization,
    *,
    double: bool,
    value_bytes: int | None = None,
) -> int:
    """Bytes of the weights once they are loaded; of packed ones with their scales.

    `value_bytes` is the width of what is not packed; None: as the files have it.
    """
    return round(
        sum(
            prod(tensor.shape) * _width(name, tensor, quantization, double, value_bytes)
            for name, tensor in tensors.items()
        )
    )


def _width(
    name: str,
    tensor: TensorInfo,
    quantization: Quantization,
    double: bool,  # noqa: FBT001 - one of three alike
    value_bytes: int | None,
) -> float:
    """Bytes of one value."""
    packed = BLOCKS in name and name.endswith(".weight") and len(tensor.shape) == 2
    packed = packed and EXPERTS not in name
    if not packed or quantization is Quantization.NONE:
        return value_bytes or BITS[tensor.dtype] / 8
    if quantization is Quantization.EIGHT_BIT:
        return 1 + 4 / tensor.shape[-1]
    scale = 1 + 4 / SCALES_BLOCK if double else 4
    return 0.5 + scale / NF4_BLOCK


def estimate_on_cuda(
    shape: Architecture,
    plan: ResolvedPlan,
    tensors: Mapping[str, TensorInfo],
    *,
    gpu: bool,
    longest: int,
    most_trained: int,
) -> TrainingMemory:
    """Peak bytes of an iteration on `batch_size` rows of `longest` tokens.

    At most `most_trained` tokens of a row count in the loss. On a GPU the unpacked weights and the
    activations are in bfloat16, on the CPU in the type of the files; weights that are trained
    themselves are in float32, as are adapters. Blocks below the trained ones leave nothing behind.
    """
    full = plan.method is Method.FULL
    width = 2 if gpu else activation_bytes(tensors)
    length = width_for(longest, plan.max_length) - 1
    tokens = plan.batch_size * length
    values = trained_values(shape, plan)
    states = 1 + OPTIMIZER_COPIES[plan.optimizer] + (plan.accumulation > 1) + (not full)
    block = BLOCK_HIDDEN * shape.hidden + BLOCK_MLP * shape.mlp + 2 * shape.kv_width
    blocks = plan.layers
    kept = block * blocks
    if plan.gradient_checkpointing:
        kept = block + blocks * shape.hidden if gpu else int(CPU_CHECKPOINTED * kept)
    # Without a mask torch's attention writes no matrix of scores, neither on a GPU nor on the CPU.
    predicted = plan.batch_size * most_trained
    if (tokens - predicted) * shape.vocabulary * 4 < WORTH_BYTES:
        predicted = tokens
    largest = shape.hidden * max(shape.mlp, shape.heads * shape.head_dim)
    unpacked = largest * width if plan.quantization is not Quantization.NONE else 0
    if unpacked and not gpu:  # there the files that were packed stay mapped
        unpacked += packed_bytes(tensors, Quantization.NONE, double=False)
    return TrainingMemory(
        weights=packed_bytes(
            tensors,
            plan.quantization,
            double=plan.double_quantization,
            value_bytes=4 if full else width,
        )
        + unpacked,
        trained=int(values * states * 4),
        activations=tokens * kept * width,
        logits=predicted * shape.vocabulary * 4 * LOGITS,
        runtime=CONTEXT_BYTES if gpu else RUNTIME_BYTES,
    )
