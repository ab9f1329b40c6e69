"""The learning rate of each update."""

import math

from punie.records.training import Curve, ResolvedPlan


def updates(iterations: int, accumulation: int) -> int:
    """Updates of a run: what is left over at its end makes one more."""
    return math.ceil(iterations / accumulation)


def learning_rate(plan: ResolvedPlan, update: int) -> float:
    """The learning rate of an update, from 0.

    It depends on nothing but the update's number, so a training that goes on has the same. The
    curves are those of mlx.optimizers: linear and cosine end at `end` after `over` updates and stay
    there, exponential is lr·decay^n, step is lr·decay^(n // every). The warm-up comes before them:
    its first update has `warmup_from`, and the one after its last has the plan's rate. Raises
    ValueError where the curve lacks a number that it needs.
    """
    schedule, top = plan.schedule, plan.learning_rate
    if update < schedule.warmup:
        start = schedule.warmup_from
        return start + (top - start) * update / schedule.warmup
    past = update - schedule.warmup
    match schedule.curve:
        case Curve.CONSTANT:
            return top
        case Curve.LINEAR:
            return top + (schedule.end - top) * _done(plan, past)
        case Curve.COSINE:
            left = (1 + math.cos(math.pi * _done(plan, past))) / 2
            return schedule.end + (top - schedule.end) * left
        case Curve.EXPONENTIAL:
            if schedule.decay is None:
                raise ValueError("an exponential schedule needs `decay`")
            return top * schedule.decay**past
        case Curve.STEP:
            if schedule.decay is None or schedule.every is None:
                raise ValueError("a step schedule needs `decay` and `every`")
            return top * schedule.decay ** (past // schedule.every)


def _done(plan: ResolvedPlan, past: int) -> float:
    """How much of the curve is behind, from 0 to 1."""
    left = updates(plan.iterations, plan.accumulation) - plan.schedule.warmup
    return min(past / (plan.schedule.over or max(left, 1)), 1.0)
