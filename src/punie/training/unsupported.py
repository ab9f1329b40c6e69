"""Keys of a plan that a backend cannot act on: refused, each with what to do instead.

They are keys of every plan, because a plan is a file that goes from machine to machine.
"""

from collections.abc import Iterator

from punie.models.experts import UNPACKED
from punie.records.training import Method, Optimizer, PlanFields, Quantization

_NOT_IN_TORCH = {
    Optimizer.ADAFACTOR: (
        "torch's Adafactor is another one: without relative_step, beta_1 and decay_rate, and always"
        " scaled by the weights"
    ),
    Optimizer.MUON: (
        "torch's Muon scales a step by the rows of a matrix, and there LoRA's matrices lie"
        " transposed, so it would train otherwise than mlx's"
    ),
}


def unsupported(plan: PlanFields, backend: str, *, experts: bool = False) -> Iterator[str]:
    """`key: reason` for everything that the plan asks for and the backend does not do.

    `experts`: the model is a mixture of them.
    """
    if backend == "mlx":
        yield from _on_mlx(plan)
    elif backend == "cuda":
        yield from _on_cuda(plan, experts=experts)


def _on_mlx(plan: PlanFields) -> Iterator[str]:
    if plan.quantization is not Quantization.NONE:
        yield (
            "quantization: mlx packs no model while it trains. There the base itself is quantised:"
            " leave the key out and give a 4-bit model (mlx_lm.convert -q makes one)"
        )
    if plan.double_quantization:
        yield "double_quantization: mlx packs no model while it trains: leave the key out"
    if plan.optimizer is Optimizer.PAGED_ADAMW_8BIT:
        yield (
            "optimizer: mlx has no paged_adamw_8bit, which is bitsandbytes' and needs an NVIDIA"
            " GPU: take adamw"
        )


def _on_cuda(plan: PlanFields, *, experts: bool) -> Iterator[str]:
    if plan.method is Method.DORA:
        yield (
            "method: dora is trained on mlx only: PEFT keeps its magnitudes in another form,"
            " which punie does not convert: take lora"
        )
    if reason := _NOT_IN_TORCH.get(plan.optimizer):
        yield f"optimizer: {reason}: take adamw or paged_adamw_8bit"
    if plan.optimizer_options.get("bias_correction") is False:
        yield (
            f"optimizer_options.bias_correction: torch's {plan.optimizer} always corrects: leave"
            " the key out, or train on mlx"
        )
    if experts and plan.quantization is not Quantization.NONE:
        yield f"quantization: {UNPACKED}: leave the key out, or say none"
