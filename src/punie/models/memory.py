"""How much memory serving a model takes, from its config alone, and what to do if it is too much.

An estimate for mlx_lm's batching server. What it is made of, and how far it is from measured peaks,
is in specs/memory.md.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, cast

from punie.errors import ModelError
from punie.models.safetensors import BITS, TensorInfo
from punie.sizes import byte_size

KV_STEP = 256
"""mlx_lm's caches grow by so many tokens."""
CACHED_PROMPTS = 10
"""Finished prompts whose keys and values mlx_lm.server keeps (`--prompt-cache-size`)."""
PREFILL_STEP = 2048
"""Tokens of a prompt that mlx_lm reads in one step."""
RUNTIME_BYTES = 190_000_000
"""Python, mlx, mlx_lm and a tokenizer without a model: measured 140 MB, with requests 190 MB."""
SCORES = 1.5
"""Matrices of attention scores that are alive at once: measured."""
SHARE = 0.9
"""Of the free memory that a server may plan to take; the rest is for the system and for us."""
FUSED_HEAD_DIMS = (64, 80, 128)
"""Metal's attention kernel for prompts takes these; others, and the CPU, write the scores out."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """What of a model's config decides its memory. Widths are in values, not bytes."""

    layers: int
    windowed_layers: int
    """Layers that keep only `window` tokens."""
    window: int
    kv_width: int
    """Keys and values of one token in one layer."""
    hidden: int
    mlp: int
    """Inner width of the layers that one token passes: of a mixture, its chosen experts."""
    heads: int
    head_dim: int
    vocabulary: int


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes by part at one concurrency."""

    weights: int
    kv_cache: int
    """Of the prompts in flight, and of finished ones that are kept for those to come."""
    prefill: int
    """While prompts are read: activations, attention scores, logits."""
    runtime: int

    @property
    def total(self) -> int:
        """The peak."""
        return self.weights + self.kv_cache + self.prefill + self.runtime

    def __str__(self) -> str:
        parts = {
            "weights": self.weights,
            "keys and values": self.kv_cache,
            "reading prompts": self.prefill,
            "runtime": self.runtime,
        }
        return ", ".join(f"{name} {byte_size(size)}" for name, size in parts.items())


@dataclass(frozen=True, slots=True)
class MemoryFit:
    """The concurrency at which a model fits into what is free."""

    concurrency: int
    wanted: int
    estimate: MemoryEstimate
    free: int


def architecture(config: Mapping[str, Any]) -> Architecture | None:
    """Read the config of any decoder (llama, qwen, mistral, gemma, phi, gpt2 …).

    What is not said is taken at its costliest: no grouped heads, no window. None where not even
    layers and widths are found.
    """
    inner: Any = config.get("text_config")
    text = cast("dict[str, Any]", inner) if isinstance(inner, dict) else config
    layers = _number(text, "num_hidden_layers", "n_layer", "n_layers", "num_layers")
    hidden = _number(text, "hidden_size", "n_embd", "d_model", "dim", "model_dim")
    if not layers or not hidden:
        return None
    heads = _number(text, "num_attention_heads", "n_head", "n_heads") or max(1, hidden // 64)
    head_dim = _number(text, "head_dim") or max(1, hidden // heads)
    windowed, window = _windows(text, layers)
    return Architecture(
        layers=layers,
        windowed_layers=windowed,
        window=window,
        kv_width=_kv_width(text, heads, head_dim),
        hidden=hidden,
        mlp=_mlp(text, hidden),
        heads=heads,
        head_dim=head_dim,
        vocabulary=_number(text, "vocab_size") or _number(config, "vocab_size") or 0,
    )


def activation_bytes(tensors: Mapping[str, TensorInfo]) -> int:
    """Bytes of one activation: those of the float type that most of the weights are stored in.

    mlx_lm computes, and keeps keys and values, in the type of the weights, or of the scales where
    these are packed.
    """
    values: dict[str, int] = {}
    for tensor in tensors.values():
        if tensor.dtype in ("F64", "F32", "F16", "BF16"):
            values[tensor.dtype] = values.get(tensor.dtype, 0) + prod(tensor.shape)
    most = max(values, key=lambda dtype: values[dtype], default="F32")
    return BITS[most] // 8


def estimate_memory(
    shape: Architecture,
    *,
    weight_bytes: int,
    activation_bytes: int,
    longest_prompt_tokens: int,
    max_tokens: int,
    concurrency: int,
    prompt_concurrency: int,
    adapter_bytes: int = 0,
    prompts: int | None = None,
    fused_attention: bool = False,
) -> MemoryEstimate:
    """Peak bytes of a server that answers `concurrency` prompts at once, all of the longest length.

    `prompt_concurrency` prompts are read side by side. `prompts` bounds how many finished ones can
    be kept. `fused_attention` is Metal's: its kernels never hold a whole matrix of scores.
    """
    reading = min(prompt_concurrency, concurrency)
    whole = longest_prompt_tokens + max_tokens
    one = _kv_values(shape, -(-whole // KV_STEP) * KV_STEP)
    finished = CACHED_PROMPTS if prompts is None else max(0, prompts - concurrency)
    kept = min(CACHED_PROMPTS, finished) * _kv_values(shape, whole)
    step = min(longest_prompt_tokens, PREFILL_STEP)
    activations = reading * step * (6 * shape.hidden + 3 * shape.mlp)
    scores = int(SCORES * reading * shape.heads * step * longest_prompt_tokens)
    if fused_attention and shape.head_dim in FUSED_HEAD_DIMS:
        scores = 0
    # Prompts that have been read join those that are being answered, and for that moment their keys
    # and values are there twice: while others are read, or, of a single group, afterwards.
    in_flight, read = concurrency * one, activations + scores
    if concurrency > reading:
        in_flight += reading * one
    elif read < reading * one:
        in_flight, read = in_flight + reading * one, 0
    logits = 3 * concurrency * shape.vocabulary * 4
    return MemoryEstimate(
        weights=weight_bytes + adapter_bytes,
        kv_cache=(in_flight + kept) * activation_bytes,
        prefill=read * activation_bytes + logits,
        runtime=RUNTIME_BYTES,
    )


def fit_memory(
    estimate_at: Callable[[int], MemoryEstimate], *, wanted: int, free: int
) -> MemoryFit:
    """The greatest concurrency up to `wanted` at which the model fits into `free` bytes.

    Raises ModelError, with the numbers, where it does not fit even alone.
    """
    for concurrency in range(wanted, 0, -1):
        estimate = estimate_at(concurrency)
        if estimate.total <= SHARE * free:
            return MemoryFit(concurrency, wanted, estimate, free)
    least = estimate_at(1)
    raise ModelError(
        f"the model does not fit into memory: one prompt at a time takes about "
        f"{byte_size(least.total)} ({least}), and {byte_size(free)} are free",
        hint=_what_would_help(least),
    )


def memory_cap(free: int, estimate: MemoryEstimate) -> int:
    """Bytes above which a server is growing and not working: twice the estimate, or 2 GB above it.

    Never more than what was free when it started, less a reserve, so that the system need not kill.
    """
    generous = max(2 * estimate.total, estimate.total + 2_000_000_000)
    return max(estimate.weights, min(generous, int(0.95 * free)))


def _what_would_help(least: MemoryEstimate) -> str:
    if least.weights > (least.kv_cache + least.prefill):
        return "take a smaller or a quantised (4-bit) model, or close other programs"
    return "shorten the longest prompts or --max-tokens, take a smaller model, or close programs"


def _kv_values(shape: Architecture, tokens: int) -> int:
    """Keys and values of one prompt of so many tokens; a window is exceeded while reading."""
    in_window = min(tokens, shape.window + PREFILL_STEP)
    full = shape.layers - shape.windowed_layers
    return shape.kv_width * (full * tokens + shape.windowed_layers * in_window)


def _kv_width(text: Mapping[str, Any], heads: int, head_dim: int) -> int:
    """Values kept of one token in one layer.

    Latent attention (DeepSeek) is counted by its whole heads, although some of mlx_lm's models keep
    only the latent.
    """
    rope, nope = _number(text, "qk_rope_head_dim"), _number(text, "qk_nope_head_dim")
    if rope and nope:
        return heads * (rope + nope + (_number(text, "v_head_dim") or nope))
    if text.get("multi_query") is True:
        return 2 * head_dim
    kv_heads = _number(text, "num_key_value_heads", "num_kv_heads", "n_kv_heads") or heads
    return 2 * kv_heads * head_dim


def _mlp(text: Mapping[str, Any], hidden: int) -> int:
    dense = _number(text, "intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size")
    chosen = _number(text, "num_experts_per_tok", "num_experts_per_token", "top_k_experts")
    if not chosen:
        return dense or 4 * hidden
    expert = _number(text, "moe_intermediate_size", "expert_intermediate_size") or dense
    shared = _number(text, "shared_expert_intermediate_size") or 0
    return max(dense or 0, chosen * (expert or 4 * hidden) + shared)


def _windows(text: Mapping[str, Any], layers: int) -> tuple[int, int]:
    """How many layers keep only a window, and its tokens.

    Only where the config says which layers: mlx_lm ignores a bare `sliding_window`.
    """
    window = _number(text, "sliding_window")
    if not window or text.get("use_sliding_window") is False:
        return 0, 0
    types: Any = text.get("layer_types")
    if isinstance(types, list):
        named = [str(each) for each in cast("list[Any]", types)]
        return min(layers, named.count("sliding_attention")), window
    pattern = _number(text, "sliding_window_pattern")
    return (layers - layers // pattern, window) if pattern else (0, 0)


def _number(config: Mapping[str, Any], *names: str) -> int | None:
    """The first of these keys that holds a usable number; a list (per layer) gives its largest."""
    for name in names:
        value: Any = config.get(name)
        if isinstance(value, list):
            value = max((v for v in cast("list[Any]", value) if isinstance(v, int)), default=None)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**40:
            return value
    return None
