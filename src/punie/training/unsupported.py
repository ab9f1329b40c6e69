"""Keys of a plan that a backend cannot act on: refused, each with what to do instead.

They are keys of every plan, because a plan is a file that goes from machine to machine.
"""

from collections.abc import Iterator

from punie.records.training import Optimizer, PlanFields, Quantization


def unsupported(plan: PlanFields, backend: str) -> Iterator[str]:
    """`key: reason` for everything that the plan asks for and the backend does not do."""
    if backend == "mlx":
        yield from _on_mlx(plan)


def _on_mlx(plan: PlanFields) -> Iterator[str]:
    if plan.quantization is not Quantization.NONE:
        yield (
            "quantization: mlx packs no model while it trains. There the base itself is quantised:"
            " leave the key out and give a 4-bit model (mlx_lm.convert -q makes one)"
        )
    if plan.optimizer is Optimizer.PAGED_ADAMW_8BIT:
        yield (
            "optimizer: mlx has no paged_adamw_8bit, which is bitsandbytes' and needs an NVIDIA"
            " GPU: take adamw"
        )
