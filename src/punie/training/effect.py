"""Keys of a plan that would do nothing, or that contradict another: refused, each with its reason.

A person who sets a key believes that it acts. What depends on the model and the data is looked at
when the plan is resolved.
"""

from collections.abc import Iterator

from punie.records.training import Curve, Method, Quantization, TrainPlan
from punie.sources.faults import FormError
from punie.training.optimizer_options import has_own_rate, option_errors

_LOW_RANK = ("rank", "alpha", "dropout", "keys")
_CURVES = {
    "end": (Curve.LINEAR, Curve.COSINE),
    "over": (Curve.LINEAR, Curve.COSINE),
    "decay": (Curve.EXPONENTIAL, Curve.STEP),
    "every": (Curve.STEP,),
}
"""Which curves look at a key of the schedule."""
_NEEDED = {Curve.EXPONENTIAL: ("decay",), Curve.STEP: ("decay", "every")}


def effect_errors(plan: TrainPlan, *, settled: bool = True) -> Iterator[FormError]:
    """Every key that was set and cannot act as it stands; `model_fields_set` knows what was set.

    A plan is `settled` once the backend has chosen what it leaves open.
    """
    if plan.method is Method.FULL:
        for name in _LOW_RANK:
            if name in plan.model_fields_set:
                what = "has no effect with method full, which trains the weights themselves"
                yield FormError((name,), what, key=True)
    if plan.epochs is not None and plan.iterations is not None:
        what = "stands beside epochs: give one of the two"
        yield FormError(("iterations",), what, key=True)
    yield from _packing_errors(plan)
    if plan.keys == ():
        yield FormError(("keys",), "names no module: leave it out to train every linear one")
    yield from _schedule_errors(plan)
    yield from option_errors(plan, settled=settled)
    if has_own_rate(plan):
        for name in ("learning_rate", "schedule"):
            if name in plan.model_fields_set:
                what = "has no effect: with relative_step adafactor makes its own learning rate"
                yield FormError((name,), what, key=True)


def _packing_errors(plan: TrainPlan) -> Iterator[FormError]:
    if plan.quantization is not Quantization.NONE and plan.method is Method.FULL:
        what = "does not go with method full: weights that are packed cannot be trained"
        yield FormError(("quantization",), what)
    # Where no quantization is said it is the backend's, which is known when the plan is resolved.
    said = "quantization" in plan.model_fields_set
    if plan.double_quantization and said and plan.quantization is not Quantization.FOUR_BIT:
        what = "has no effect without quantization: 4bit"
        yield FormError(("double_quantization",), what, key=True)


def _schedule_errors(plan: TrainPlan) -> Iterator[FormError]:
    schedule = plan.schedule
    for name, curves in _CURVES.items():
        if name in schedule.model_fields_set and schedule.curve not in curves:
            what = f"has no effect with the curve {schedule.curve}, only with {_or(curves)}"
            yield FormError(("schedule", name), what, key=True)
    for name in _NEEDED.get(schedule.curve, ()):
        if getattr(schedule, name) is None:
            what = f"is missing: the curve {schedule.curve} needs it"
            yield FormError(("schedule", name), what)
    if "warmup_from" in schedule.model_fields_set and not schedule.warmup:
        yield FormError(("schedule", "warmup_from"), "has no effect without warmup", key=True)


def _or(names: tuple[str, ...]) -> str:
    return " or ".join(names)
