"""Logits only where the loss counts.

Of a row of tool calls a tenth is trained, and the logits of the rest would be computed, held with
their gradients, and multiplied by zero: with a large vocabulary that is most of a batch's memory,
and with a small model a quarter of its time. The last layer is told which positions to take.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# mlx is only partly typed.

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn
from numpy.typing import NDArray

WORTH_BYTES = 32 * 1024 * 1024
"""Logits that are not computed must be at least so many: of a small vocabulary it is not worth it,
and the batch is computed as mlx_lm does, bit for bit."""
PAD_TO = 64
"""Positions are padded to a multiple of it: each new number of them is compiled anew."""
PADDING = -1
TRIED = 8
CLOSE = 1e-3
"""Of the largest logit: another order of additions is no more than that apart, in bfloat16 too."""


class Head:
    """The last layer of a model: `lm_head`, or an embedding that is used the other way round."""

    def __init__(self, module: Any, *, embedding: bool) -> None:
        self._positions: mx.array | None = None
        self._calls = 0
        self.vocabulary = 0
        """Logits of one position; known once it was tried."""
        _intercept(module, "as_linear" if embedding else "__call__", self._take)

    @contextmanager
    def only(self, positions: mx.array) -> Generator[None]:
        """While the block runs, the model gives logits of (1, n, vocabulary).

        `positions`, int32 of (n,), count through all rows of the batch, one after the other.
        """
        self._positions = positions
        try:
            yield
        finally:
            self._positions = None

    def _take(self, hidden: mx.array) -> mx.array:
        if self._positions is None:
            return hidden
        self._calls += 1
        return hidden.reshape(-1, hidden.shape[-1])[self._positions][None]

    def works(self, model: Any) -> bool:
        """Whether the logits at some positions are those that the model gives there anyway."""
        tokens = mx.arange(2 * TRIED, dtype=mx.int32).reshape(2, TRIED)
        at = mx.array([1, TRIED - 1, TRIED + 2], dtype=mx.int32)
        whole = model(tokens).astype(mx.float32)
        self.vocabulary = int(whole.shape[-1])
        before = self._calls
        with self.only(at):
            some = model(tokens).astype(mx.float32)
        if self._calls != before + 1 or some.shape != (1, 3, whole.shape[-1]):
            return False
        wanted = whole.reshape(-1, whole.shape[-1])[at]
        apart: Any = mx.abs(some[0] - wanted).max().item()
        largest: Any = mx.abs(wanted).max().item()
        return bool(apart <= CLOSE * largest)


def find_head(model: Any) -> Head | None:
    """The last layer of the model, tried; None where it is not found or works otherwise."""
    named: dict[str, Any] = dict(model.named_modules())
    last = [module for name, module in named.items() if name.rpartition(".")[2] == "lm_head"]
    shared = [module for module in named.values() if hasattr(module, "as_linear")]
    found = last or shared
    if len(found) != 1:
        return None
    head = Head(found[0], embedding=not last)
    training = model.training
    model.eval()
    works = head.works(model)
    model.train(training)
    return head if works else None


def where_it_counts(
    counts: NDArray[np.bool_], vocabulary: int, *, worth_bytes: int = WORTH_BYTES
) -> NDArray[Any]:
    """Where a batch counts: `counts` itself, (rows, width - 1), or if it is worth it positions.

    Those are int32 of (n,), padded with -1.
    """
    found = np.flatnonzero(counts)
    padded = -(-max(1, len(found)) // PAD_TO) * PAD_TO
    if (counts.size - padded) * vocabulary * 4 < worth_bytes:
        return counts
    positions = np.full(padded, PADDING, np.int32)
    positions[: len(found)] = found
    return positions


def _intercept(module: Any, method: str, take: Any) -> None:
    """Have `method` of this one module see only what `take` leaves of its input."""
    kind: Any = type(module)

    def intercepted(self: Any, hidden: mx.array) -> mx.array:
        output: mx.array = getattr(kind, method)(self, take(hidden))
        return output

    # Of a class of its own: a layer that held another layer would change its weights' names.
    module.__class__ = type(kind.__name__, (kind,), {method: intercepted})


def mean_loss(
    model: Any,
    tokens: mx.array,
    where: mx.array,
    head: Head | None = None,
    total: mx.array | None = None,
) -> tuple[mx.array, mx.array]:
    """Mean cross-entropy, in nats, over the predictions that count, and how many those are.

    `where` is what `where_it_counts` gives; positions need the model's `head`. The sum is divided
    by `total`, where that is given: the predictions that count here and in other processes.
    """
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    if where.ndim == 2 or head is None:
        logits, counts = model(inputs), where
    else:
        counts = (where >= 0)[None]
        at = mx.maximum(where, 0)
        with head.only(at):
            logits = model(inputs)
        targets = targets.reshape(-1)[at][None]
    losses = nn.losses.cross_entropy(logits, targets) * counts
    counted = counts.sum()
    return losses.astype(mx.float32).sum() / (counted if total is None else total), counted
