"""Before a model is served: whether it fits into memory, and at which concurrency."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from punie.backends.choose import BackendChoice
from punie.backends.cuda import BATCH_TOKENS
from punie.backends.room import computes_on_gpu, free_where
from punie.errors import ModelError
from punie.models.check import base_tensors, read_json
from punie.models.cuda_memory import serving_on_cuda
from punie.models.experts import has_experts
from punie.models.memory import (
    SHARE,
    MemoryEstimate,
    MemoryFit,
    activation_bytes,
    architecture,
    estimate_memory,
    fit_memory,
    memory_cap,
)
from punie.models.tokens import longest_in_tokens
from punie.records.base import canonical_json
from punie.records.suite import MESSAGES, EvalPrompt, EvalSuite
from punie.records.training import Quantization
from punie.records.trust import Finding, Level
from punie.serving.config import PROMPT_CONCURRENCY
from punie.serving.registry import Kind, running
from punie.sizes import byte_size

NAME = "memory"
MLX = BackendChoice(backend="mlx")
USUAL_PROMPT = 2048
"""Tokens that an editor's request may well have."""


@dataclass(frozen=True, slots=True)
class Preflight:
    """What may be asked of this machine.

    `cap_bytes` is where a growing server is restarted, None where nothing could be estimated.
    """

    concurrency: int
    finding: Finding
    cap_bytes: int | None = None


def preflight(
    folder: Path,
    suite: EvalSuite,
    *,
    concurrency: int,
    repeats: int = 1,
    adapter: Path | None = None,
    how: BackendChoice = MLX,
    free: int | None = None,
) -> Preflight:
    """Estimate what serving `suite` from the model in `folder` takes, and lower the concurrency.

    `how` is what serves it; `free` replaces what the system, or the GPU, says. Raises ModelError
    where not even one prompt at a time fits, with the numbers by part and what would help.
    """
    free = _free(how) if free is None else free
    tokens = _longest(folder, suite)

    def at(how: BackendChoice) -> list[MemoryEstimate] | None:
        return estimates_of(
            folder,
            longest_prompt_tokens=tokens,
            max_tokens=_longest_answer(suite),
            prompts=len(suite.prompts) * repeats,
            up_to=concurrency,
            adapter=adapter,
            how=how,
        )

    estimates = at(how)
    if estimates is None:
        sentence = "The memory that this model takes cannot be told from its config."
        return Preflight(concurrency, Finding(name=NAME, level=Level.NOTE, sentence=sentence))
    try:
        fit = fit_memory(lambda n: estimates[n - 1], wanted=concurrency, free=free)
    except ModelError as error:
        packed = at(replace(how, quantization=Quantization.FOUR_BIT))
        if packed and _would_pack(folder, how) and packed[0].total <= SHARE * free:
            size = byte_size(packed[0].total)
            error.hint = f"--quantization 4bit would fit, with about {size}; or {error.hint}"
        raise
    return Preflight(fit.concurrency, _finding(fit, tokens), memory_cap(free, fit.estimate))


def require_room_for_all(
    models: Sequence[tuple[Path, Path | None]],
    suite: EvalSuite,
    *,
    how: BackendChoice = MLX,
    free: int | None = None,
) -> None:
    """Raise ModelError unless these models, each with its adapter, fit into memory at once.

    Each is asked one prompt of `suite` at a time. `how` is what serves them; `free` replaces what
    the system says. What cannot be told of a model's memory counts as its weights.
    """
    free = _free(how) if free is None else free
    taken: list[int] = []
    for folder, adapter in models:
        estimates = estimates_of(
            folder,
            longest_prompt_tokens=_longest(folder, suite),
            max_tokens=_longest_answer(suite),
            prompts=len(suite.prompts),
            up_to=1,
            adapter=adapter,
            how=how,
        )
        weights = sum(file.stat().st_size for file in folder.glob("model*.safetensors"))
        taken.append(estimates[0].total if estimates else weights)
    if sum(taken) > SHARE * free:
        each = " and ".join(byte_size(size) for size in taken)
        raise ModelError(
            f"both models at once do not fit into memory: they take about {each}, and"
            f" {byte_size(free)} are free",
            hint="close other programs, or measure without --latency: one after the other",
        )


def cap_for_serving(
    folder: Path,
    *,
    context: int | None,
    max_tokens: int,
    adapter: Path | None = None,
    how: BackendChoice = MLX,
) -> int | None:
    """The memory above which a server for daily use is restarted; None where it cannot be told.

    `context` is the model's longest, in tokens: nobody knows yet what will be asked. Raises
    ModelError where a prompt of `USUAL_PROMPT` tokens does not fit.
    """
    free = _free(how)
    usual = min(USUAL_PROMPT, context or USUAL_PROMPT)
    least, most = (
        estimates_of(
            folder,
            longest_prompt_tokens=tokens,
            max_tokens=max_tokens,
            up_to=1,
            adapter=adapter,
            how=how,
        )
        for tokens in (usual, max(usual, context or usual))
    )
    if least is None or most is None:
        return None
    fit_memory(lambda n: least[n - 1], wanted=1, free=free)
    return memory_cap(free, most[0])


def neighbours() -> Finding | None:
    """What other punies serve on this machine just now; None where there is nothing."""
    others = [entry for entry in running() if entry.owner_pid != os.getpid()]
    names = sorted(Path(entry.model).name for entry in others if entry.kind is Kind.SERVER)
    if not names:
        return None
    listed = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return Finding(
        name="neighbours",
        level=Level.NOTE,
        sentence=f"Another punie serves on this machine too: {listed}.",
        consequence="answers take longer here than they would alone",
        details={"servers": len(names)},
    )


def estimates_of(
    folder: Path,
    *,
    longest_prompt_tokens: int,
    max_tokens: int,
    prompts: int | None = None,
    up_to: int,
    adapter: Path | None = None,
    how: BackendChoice = MLX,
) -> list[MemoryEstimate] | None:
    """What the model in `folder` takes at concurrency 1 to `up_to`; None if it cannot be told."""
    try:
        shape = architecture(read_json(folder / "config.json"))
        tensors = base_tensors(folder)
        weights = sum(file.stat().st_size for file in folder.glob("model*.safetensors"))
    except (ModelError, OSError):
        return None
    if shape is None:
        return None
    added = 0 if adapter is None else _size(adapter / "adapters.safetensors")
    if how.backend == "cuda":
        gpu = computes_on_gpu("cuda", how.device)
        return [
            serving_on_cuda(
                shape,
                tensors,
                how.quantization,
                gpu=gpu,
                batch_tokens=BATCH_TOKENS["gpu" if gpu else "cpu"],
                longest_prompt_tokens=longest_prompt_tokens,
                max_tokens=max_tokens,
                concurrency=concurrency,
                adapter_bytes=added,
            )
            for concurrency in range(1, up_to + 1)
        ]
    return [
        estimate_memory(
            shape,
            weight_bytes=weights,
            adapter_bytes=added,
            activation_bytes=activation_bytes(tensors),
            longest_prompt_tokens=longest_prompt_tokens,
            max_tokens=max_tokens,
            concurrency=concurrency,
            prompt_concurrency=PROMPT_CONCURRENCY,
            prompts=prompts,
            fused_attention=sys.platform == "darwin",
        )
        for concurrency in range(1, up_to + 1)
    ]


def _free(how: BackendChoice) -> int:
    return free_where(how.backend or "mlx", how.device)


def _would_pack(folder: Path, how: BackendChoice) -> bool:
    """Whether 4 bits are a choice that was not made."""
    unpacked = how.backend == "cuda" and how.quantization is Quantization.NONE
    return unpacked and not has_experts(read_json(folder / "config.json"))


def _finding(fit: MemoryFit, tokens: int) -> Finding:
    estimate = fit.estimate
    needed = f"about {byte_size(estimate.total)}, {byte_size(fit.free)} are free"
    details = {
        "concurrency": fit.concurrency,
        "wanted": fit.wanted,
        "free_bytes": fit.free,
        "longest_prompt_tokens": tokens,
        "weights_bytes": estimate.weights,
        "kv_cache_bytes": estimate.kv_cache,
        "prefill_bytes": estimate.prefill,
        "runtime_bytes": estimate.runtime,
    }
    if fit.concurrency == fit.wanted:
        sentence = f"Serving this suite takes {needed}."
        return Finding(name=NAME, level=Level.OK, sentence=sentence, details={**details})
    return Finding(
        name=NAME,
        level=Level.NOTE,
        sentence=f"At concurrency {fit.wanted} the model does not fit into memory; "
        f"at {fit.concurrency} it takes {needed}.",
        consequence=f"Asked at concurrency {fit.concurrency} instead of {fit.wanted}: slower, "
        "and the scores are not touched.",
        details={**details},
    )


def _longest(folder: Path, suite: EvalSuite) -> int:
    """Tokens of the longest prompt, as the model in `folder` counts them."""
    return longest_in_tokens(folder, [_text(prompt) for prompt in suite.prompts])


def _longest_answer(suite: EvalSuite) -> int:
    answers = [prompt.max_tokens or suite.sampling.max_tokens for prompt in suite.prompts]
    return max(answers, default=1)


def _text(prompt: EvalPrompt) -> tuple[str, int]:
    """All that is sent of a prompt, and in how many turns."""
    said = [message.content or "" for message in prompt.messages]
    if any(message.tool_calls for message in prompt.messages):
        said = [canonical_json({"m": MESSAGES.dump_python(prompt.messages, mode="json")})]
    tools = [
        canonical_json({"name": t.name, "description": t.description, "parameters": t.parameters})
        for t in prompt.tools
    ]
    return "\n".join([*said, *tools]), len(prompt.messages)


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
