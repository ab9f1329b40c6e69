"""Which further arguments each optimizer takes, and of what kind.

They are those of the constructors of mlx 0.32 but the learning rate, which a test compares; of
paged_adamw_8bit those of bitsandbytes.optim.PagedAdamW8bit that decide an update.
"""

from collections.abc import Iterator
from enum import StrEnum

from punie.records.training import Optimizer, PlanFields
from punie.sources.faults import FormError, nearest


class Kind(StrEnum):
    """What an option's value is."""

    NUMBER = "a number"
    WHOLE = "a whole number, at least 1"
    PAIR = "a list of two numbers"
    SWITCH = "true or false"


OPTIONS: dict[Optimizer, dict[str, Kind]] = {
    Optimizer.ADAM: {"betas": Kind.PAIR, "eps": Kind.NUMBER, "bias_correction": Kind.SWITCH},
    Optimizer.ADAMW: {
        "betas": Kind.PAIR,
        "eps": Kind.NUMBER,
        "weight_decay": Kind.NUMBER,
        "bias_correction": Kind.SWITCH,
    },
    Optimizer.SGD: {
        "momentum": Kind.NUMBER,
        "weight_decay": Kind.NUMBER,
        "dampening": Kind.NUMBER,
        "nesterov": Kind.SWITCH,
    },
    Optimizer.ADAFACTOR: {
        "eps": Kind.PAIR,
        "clip_threshold": Kind.NUMBER,
        "decay_rate": Kind.NUMBER,
        "beta_1": Kind.NUMBER,
        "weight_decay": Kind.NUMBER,
        "scale_parameter": Kind.SWITCH,
        "relative_step": Kind.SWITCH,
        "warmup_init": Kind.SWITCH,
    },
    Optimizer.MUON: {
        "momentum": Kind.NUMBER,
        "weight_decay": Kind.NUMBER,
        "nesterov": Kind.SWITCH,
        "ns_steps": Kind.WHOLE,
    },
    Optimizer.PAGED_ADAMW_8BIT: {
        "betas": Kind.PAIR,
        "eps": Kind.NUMBER,
        "weight_decay": Kind.NUMBER,
    },
}


def option_errors(plan: PlanFields, *, settled: bool = True) -> Iterator[FormError]:
    """What is wrong with a plan's options for its optimizer: unknown, of another kind, useless.

    Before it is `settled`, an optimizer that the plan does not say may still be cuda's.
    """
    known, optimizer = OPTIONS[plan.optimizer], plan.optimizer
    if not settled and "optimizer" not in plan.model_fields_set:
        known = OPTIONS[Optimizer.PAGED_ADAMW_8BIT] | known
    for name, value in plan.optimizer_options.items():
        path = ("optimizer_options", name)
        if name not in known:
            what = f"{optimizer} takes no such option{nearest(name, list(known))}"
            yield FormError(path, what, key=True)
        elif not _fits(value, known[name]):
            yield FormError(path, f"should be {known[name]}")
    yield from _useless(plan)


def has_own_rate(plan: PlanFields) -> bool:
    """Whether the optimizer makes its learning rate itself, as Adafactor does if it is told to.

    There mlx never looks at the rate that it was given. mlx's own default is `relative_step: true`;
    punie's worker says false, so that the plan's learning rate is the one that is used.
    """
    told = plan.optimizer_options.get("relative_step", False)
    return plan.optimizer is Optimizer.ADAFACTOR and told is True


def _fits(value: float | bool | tuple[float, ...], kind: Kind) -> bool:  # noqa: FBT001 - a value
    if isinstance(value, bool) or kind is Kind.SWITCH:
        return isinstance(value, bool) and kind is Kind.SWITCH
    if isinstance(value, tuple) or kind is Kind.PAIR:
        return isinstance(value, tuple) and kind is Kind.PAIR and len(value) == 2
    return kind is Kind.NUMBER or (value >= 1 and value == int(value))


def _useless(plan: PlanFields) -> Iterator[FormError]:
    options = plan.optimizer_options
    if plan.optimizer is Optimizer.SGD and not options.get("momentum"):
        for name in ("dampening", "nesterov"):
            if options.get(name):
                yield FormError(("optimizer_options", name), "has no effect without momentum")
    elif options.get("nesterov") and options.get("dampening"):
        what = "does not go with dampening: leave one of them out"
        yield FormError(("optimizer_options", "nesterov"), what)
    if (
        plan.optimizer is Optimizer.ADAFACTOR
        and not has_own_rate(plan)
        and options.get("warmup_init")
    ):
        what = "has no effect without relative_step: true"
        yield FormError(("optimizer_options", "warmup_init"), what)
