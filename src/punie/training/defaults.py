"""What a plan leaves open and the backend decides: nothing on mlx, QLoRA on cuda."""

from typing import Any

from punie.records.training import Method, Optimizer, Quantization, TrainPlan


def with_backend_defaults(plan: TrainPlan, backend: str, *, experts: bool = False) -> TrainPlan:
    """The plan with the backend's defaults for what it does not say itself.

    On cuda that is QLoRA: a base in 4 bits whose scales are quantised too, recomputed activations,
    and AdamW with 8-bit moments. The base stays as it is where it is trained itself, and where it
    is a mixture of experts, which bitsandbytes does not pack.
    """
    if backend != "cuda":
        return plan
    options = dict(plan.optimizer_options)
    if options.get("bias_correction") is True:  # which torch has no switch for: it always corrects
        del options["bias_correction"]
        plan = plan.model_copy(update={"optimizer_options": options})
    plan = _with(plan, optimizer=Optimizer.PAGED_ADAMW_8BIT, gradient_checkpointing=True)
    packable = plan.method is not Method.FULL and not experts
    plan = _with(plan, quantization=Quantization.FOUR_BIT if packable else Quantization.NONE)
    return _with(plan, double_quantization=plan.quantization is Quantization.FOUR_BIT)


def _with(plan: TrainPlan, **values: Any) -> TrainPlan:
    """With those values that the plan does not say."""
    return plan.model_copy(
        update={name: each for name, each in values.items() if name not in plan.model_fields_set}
    )
