"""One iteration: loss, gradient and update, as one compiled function."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# pyright: reportUntypedFunctionDecorator=false, reportUnknownLambdaType=false
# pyright: reportPrivateImportUsage=false
# mlx is only partly typed.

import inspect
from collections.abc import Callable
from functools import partial
from itertools import accumulate
from typing import Any

import mlx.core as mx
from mlx import nn, optimizers
from mlx.utils import tree_flatten, tree_map

from punie.backends.workers.mlx_head import Head, mean_loss
from punie.backends.workers.train_failure import Failure
from punie.records.training import FailureKind, Optimizer, ResolvedPlan

CLASSES: dict[Optimizer, Any] = {
    Optimizer.ADAM: optimizers.Adam,
    Optimizer.ADAMW: optimizers.AdamW,
    Optimizer.SGD: optimizers.SGD,
    Optimizer.ADAFACTOR: optimizers.Adafactor,
    Optimizer.MUON: optimizers.Muon,
}

Gradient = Any
"""A tree of arrays like that of the trainable parameters."""
StepFunction = Callable[
    [mx.array, mx.array, mx.array | None, Gradient | None, int],
    tuple[mx.array, Gradient | None],
]
"""(tokens, where it counts, tokens that count in all processes, gradients so far, n) -> (loss,
gradients so far).

With n above 0 the sum of the gradients is divided by n and applied, and none are left.
"""


def make_optimizer(plan: ResolvedPlan, parameters: Any) -> Any:
    """The plan's optimizer with its state for the parameters. Raises Failure for an odd option.

    Adafactor is told to use the plan's learning rate, which it ignores by itself.
    """
    if plan.optimizer not in CLASSES:
        raise Failure(FailureKind.MODEL, f"mlx has no optimizer {plan.optimizer}")
    kind = CLASSES[plan.optimizer]
    known = inspect.signature(kind).parameters
    options: dict[str, Any] = {}
    if plan.optimizer is Optimizer.ADAFACTOR:
        options["relative_step"] = False
    for name, value in plan.optimizer_options.items():
        if name not in known or name == "learning_rate":
            raise Failure(FailureKind.MODEL, f"{plan.optimizer} has no option {name}")
        whole = type(known[name].default) is int
        options[name] = int(value) if whole and not isinstance(value, tuple) else value
    try:
        optimizer = kind(learning_rate=plan.learning_rate, **options)
    except (TypeError, ValueError) as problem:
        raise Failure(FailureKind.MODEL, f"{plan.optimizer}: {problem}") from problem
    # Before the first update, so that its state has its final shape when the step is compiled.
    optimizer.init(parameters)
    return optimizer


def make_step(
    model: Any, optimizer: Any, head: Head | None, group: Any = None
) -> tuple[StepFunction, list[Any]]:
    """The compiled iteration, and everything that it changes in place, to be evaluated after it.

    The same operations in the same order as in mlx_lm's `tuner.trainer.train`: with the same
    batches it gives the same bits, where a batch is not given by the positions that count. With a
    `group` of processes loss and gradients are summed over it.
    """
    loss_and_gradient = nn.value_and_grad(model, partial(mean_loss, head=head))
    state = [model.state, optimizer.state, mx.random.state]

    @partial(mx.compile, inputs=state, outputs=state)
    def step(
        tokens: mx.array,
        where: mx.array,
        total: mx.array | None,
        before: Gradient | None,
        divisor: int,
    ) -> tuple[mx.array, Gradient | None]:
        (loss, _), gradient = loss_and_gradient(model, tokens, where, total=total)
        if group is not None:
            loss, gradient = summed((loss, gradient), group)
        if before is not None:
            gradient = tree_map(lambda new, old: new + old, gradient, before)
        if divisor:
            if divisor > 1:
                gradient = tree_map(lambda each: each / divisor, gradient)
            optimizer.update(model, gradient)
            gradient = None
        return loss, gradient

    return step, state


def summed(tree: Any, group: Any) -> Any:
    """The arrays of a tree, summed over a group of processes.

    They travel together, in float32, because each call waits for the slowest process.
    """
    flat: Any = tree_flatten(tree)
    leaves: list[mx.array] = [each for _, each in flat]
    ends = list(accumulate(each.size for each in leaves))
    whole = mx.concatenate([each.astype(mx.float32).reshape(-1) for each in leaves])
    parts = iter(mx.split(mx.distributed.all_sum(whole, group=group), ends[:-1]))
    return tree_map(lambda each: next(parts).reshape(each.shape).astype(each.dtype), tree)


def random_key() -> int:
    """Where mlx's random numbers are; `mx.random.seed` of it goes on from there."""
    state: Any = mx.random.state
    high, low = state[0].tolist()
    return (high << 32) | low
