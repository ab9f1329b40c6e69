"""A plan with everything chosen that model and data decide."""

import math
from collections.abc import Iterator

from punie.errors import InputError
from punie.records.training import (
    MOST,
    Curve,
    Method,
    PlanFields,
    ResolvedPlan,
    Schedule,
    TrainPlan,
)
from punie.training.defaults import with_backend_defaults
from punie.training.effect import effect_errors
from punie.training.unsupported import unsupported

DEFAULT_EPOCHS = 3
DEFAULT_LAYERS = 16
DEFAULT_RATE = 2e-4
DEFAULT_RATE_FULL = 1e-5
VALIDATIONS, FEWEST_VALIDATIONS = 10, 2
"""About so many over a run."""
VALIDATION_SHARE = 0.2
"""Of a run's work that validations may take."""


def resolve_plan(
    plan: TrainPlan,
    *,
    model_layers: int,
    train_rows: int,
    valid_rows: int,
    context: int | None = None,
    backend: str = "mlx",
    experts: bool = False,
) -> ResolvedPlan:
    """Choose what the plan leaves open, for a model of so many blocks and so many rows.

    An epoch is `ceil(train_rows / batch_size)` iterations: every row is trained, the last batch may
    be smaller. `context` is the most tokens that the model is made for, where it says so, and
    `experts` says that it is a mixture of them. Raises InputError with everything that does not fit
    the model, the data or the backend, or has no effect.
    """
    if train_rows < 1:
        raise InputError("there is no row to train on", hint="add rows to the training data")
    plan = with_backend_defaults(plan, backend, experts=experts)
    chosen = _chosen(plan, model_layers, train_rows, valid_rows, context)
    problems = [f"{'.'.join(map(str, each.path))}: {each.what}" for each in effect_errors(plan)]
    problems += unsupported(plan, backend, experts=experts)
    problems += _misfits(plan, chosen, model_layers, train_rows, context)
    problems += _unvalidated(plan, valid_rows)
    if problems:
        raise InputError("\n".join(problems), hint="change the plan, or the flag that says so")
    return chosen


def updates_of(iterations: int, accumulation: int) -> int:
    """Updates of the optimizer: the last one may gather fewer iterations."""
    return math.ceil(iterations / accumulation)


def _chosen(
    plan: TrainPlan, model_layers: int, train_rows: int, valid_rows: int, context: int | None
) -> ResolvedPlan:
    asked = plan.model_fields_set
    batch_size = plan.batch_size if "batch_size" in asked else min(plan.batch_size, train_rows)
    max_length = plan.max_length
    if context is not None and "max_length" not in asked:
        max_length = max(8, min(max_length, context))
    iterations = _iterations(plan, train_rows, batch_size)
    validated = min(plan.validation_rows or valid_rows, valid_rows)
    validate_every = _validate_every(
        plan, iterations, trained=iterations * batch_size, rows=validated
    )
    few = plan.validation_rows is not None and plan.validation_rows < valid_rows
    rate = DEFAULT_RATE_FULL if plan.method is Method.FULL else DEFAULT_RATE
    fields = {name: getattr(plan, name) for name in PlanFields.model_fields}
    fields |= {
        "batch_size": batch_size,
        "max_length": max_length,
        "layers": _layers(plan, model_layers),
        "learning_rate": plan.learning_rate or rate,
        "iterations": iterations,
        "validate_every": validate_every,
        "checkpoint_every": min(plan.checkpoint_every or validate_every, iterations),
        "validation_rows": plan.validation_rows if few else None,
        "patience": plan.patience if valid_rows else None,
        "schedule": _schedule(plan.schedule, updates_of(iterations, plan.accumulation)),
    }
    return ResolvedPlan.model_validate(fields)


def _layers(plan: TrainPlan, model_layers: int) -> int:
    if plan.layers == "all":
        return model_layers
    return plan.layers or min(DEFAULT_LAYERS, model_layers)


def _iterations(plan: TrainPlan, train_rows: int, batch_size: int) -> int:
    if plan.iterations is not None:
        return plan.iterations
    per_epoch = math.ceil(train_rows / batch_size)
    iterations = max(1, math.ceil(per_epoch * (plan.epochs or DEFAULT_EPOCHS)))
    if iterations > MOST:
        raise InputError(
            f"epochs: {plan.epochs:,g} are {iterations:,} iterations, more than {MOST:,}",
            hint="ask for fewer epochs",
        )
    return iterations


def _validate_every(plan: TrainPlan, iterations: int, *, trained: int, rows: int) -> int:
    """Between two updates, where it is not said: there a checkpoint is smallest.

    Ten times a run, or less often where `rows` rows, each a third of the work of one of the
    `trained` ones, would take more than a fifth of the whole.
    """
    if plan.validate_every is not None:
        return min(plan.validate_every, iterations)
    times = VALIDATIONS if not rows else round(VALIDATION_SHARE * trained / (rows / 3))
    between = max(1, round(iterations / min(VALIDATIONS, max(FEWEST_VALIDATIONS, times))))
    return min(math.ceil(between / plan.accumulation) * plan.accumulation, iterations)


def _schedule(schedule: Schedule, updates: int) -> Schedule:
    if schedule.curve not in {Curve.LINEAR, Curve.COSINE} or schedule.over is not None:
        return schedule
    return schedule.model_copy(update={"over": max(1, updates - schedule.warmup)})


def _misfits(
    plan: TrainPlan,
    chosen: ResolvedPlan,
    model_layers: int,
    train_rows: int,
    context: int | None,
) -> Iterator[str]:
    if chosen.layers > model_layers:
        yield f"layers: {chosen.layers} are asked for, the model has {model_layers}"
    if chosen.batch_size > train_rows:
        yield f"batch_size: {chosen.batch_size} is more than the {train_rows} rows to train on"
    if context is not None and chosen.max_length > context:
        yield f"max_length: {chosen.max_length} is more than the {context} tokens of the model"
    if chosen.accumulation > chosen.iterations:
        yield (
            f"accumulation: {chosen.accumulation} iterations make one update,"
            f" the training has {chosen.iterations}"
        )
        return
    updates = updates_of(chosen.iterations, chosen.accumulation)
    warmup, every = chosen.schedule.warmup, chosen.schedule.every
    if warmup >= updates:
        yield f"schedule.warmup: {warmup} updates, the training has {updates}: it would never end"
    elif every is not None and plan.schedule.curve is Curve.STEP and every >= updates - warmup:
        yield f"schedule.every: {every} updates, the training has {updates - warmup} to decay in"


def _unvalidated(plan: TrainPlan, valid_rows: int) -> Iterator[str]:
    if valid_rows:
        return
    for name in ("validate_every", "validation_rows", "patience"):
        if name in plan.model_fields_set and getattr(plan, name) is not None:
            yield f"{name}: has no effect, there are no validation rows"
