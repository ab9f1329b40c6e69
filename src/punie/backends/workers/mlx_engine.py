"""A model in mlx, and what a training does with it."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false
# mlx is only partly typed.

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import mlx.core as mx
from mlx.utils import tree_map_with_path
from mlx_lm.utils import maybe_set_recommended_wired_limit

from punie.backends.workers.mlx_device import describe
from punie.backends.workers.mlx_head import find_head, mean_loss, where_it_counts
from punie.backends.workers.mlx_model import flat, load, prepare, taught, total_parameters
from punie.backends.workers.mlx_step import make_optimizer, make_step, random_key
from punie.backends.workers.train_engine import Size
from punie.backends.workers.train_rows import Batch
from punie.backends.workers.train_state import (
    GRADIENT,
    OPTIMIZER,
    require_same_shapes,
    unreadable,
)
from punie.records.base import digest
from punie.records.training import ResolvedPlan


def join() -> Any:
    """The processes that mlx.launch has started, once all of them are there."""
    return mx.distributed.init(strict=True, backend="ring")


class MlxEngine:
    """What `train_engine.Engine` describes.

    `blas` is what `before_mlx` said; `group`, mlx's, are the processes that train together.
    """

    def __init__(self, blas: dict[str, str], group: Any = None) -> None:
        self.machine = describe(blas)
        self.rank: int = 0 if group is None else group.rank()
        self.world: int = 1 if group is None else group.size()
        if group is not None:
            self.machine["processes"] = str(self.world)
        self._group = group
        self._key = 0
        """With several processes: where the random numbers of all of them come from."""
        self._gradient: Any = None
        """What was accumulated and not applied yet."""
        self._shape: tuple[int, ...] = ()

    def load(self, folder: Path, plan: ResolvedPlan) -> None:
        maybe_set_recommended_wired_limit()
        mx.random.seed(plan.seed)
        self._key = plan.seed << 32
        self._model = load(folder)
        self._parameters = total_parameters(self._model)

    def prepare(self, plan: ResolvedPlan) -> dict[str, Any]:
        return prepare(self._model, plan)

    def restore_weights(self, path: Path) -> None:
        weights = _read(path)
        require_same_shapes(path, _shapes(weights), _shapes(self._trained()))
        self._model.load_weights(list(weights.items()), strict=False)

    def size(self) -> Size:
        mx.eval(self._model.parameters())
        mx.reset_peak_memory()
        learned, modules = taught(self._model)
        return Size(
            parameters=self._parameters,
            layers=len(self._model.layers),
            trainable=learned,
            modules=modules,
            memory_bytes=mx.get_active_memory(),
        )

    def begin(self, plan: ResolvedPlan, state: Path | None) -> None:
        parameters = self._model.trainable_parameters()
        self._optimizer = make_optimizer(plan, parameters)
        if state is not None:
            arrays = _read(state)
            self._optimizer.state = _like(self._optimizer.state, arrays, OPTIMIZER, state)
            self._optimizer.init(parameters)  # finds its state, and makes no other
            if any(name.startswith(GRADIENT) for name in arrays):
                self._gradient = _like(parameters, arrays, GRADIENT, state)
        self._head = find_head(self._model)
        self._step, self._state = make_step(self._model, self._optimizer, self._head, self._group)
        self._model.train()

    def probe(self, batch: Batch, total: int) -> None:
        self._draw_anew()
        loss, gradient = self._step(*self._arrays(batch, total), None, 0)
        mx.eval(self._state, loss, gradient)

    def step(self, batch: Batch, total: int, rate: float, divisor: int) -> float:
        if batch.tokens.shape != self._shape:
            # What is kept of the freed memory does not fit batches of another shape.
            self._shape = batch.tokens.shape
            mx.clear_cache()
        self._draw_anew()
        self._optimizer.learning_rate = rate
        loss, self._gradient = self._step(*self._arrays(batch, total), self._gradient, divisor)
        mx.eval(self._state, loss, self._gradient)
        return _number(loss)

    @contextmanager
    def evaluating(self) -> Generator[None]:
        self._model.eval()
        yield
        self._model.train()
        self._shape = ()

    def evaluate(self, batch: Batch, total: int) -> float:
        tokens, where, count = self._arrays(batch, total)
        loss, _ = mean_loss(self._model, tokens, where, self._head, count)
        if self._group is not None:
            loss = mx.distributed.all_sum(loss, group=self._group)
        return _number(loss)

    def random_key(self) -> int:
        return random_key() if self._group is None else self._key

    def set_random_key(self, key: int) -> None:
        self._key = key
        mx.random.seed(key)

    def _draw_anew(self) -> None:
        """Begin the random numbers of one iteration: every process drops out on its own."""
        if self._group is not None:
            mx.random.seed(int(digest({"key": self._key, "rank": self.rank})[:15], 16))
            self._key += 1

    def finite(self) -> bool:
        return all(mx.isfinite(each).all().item() for each in self._trained().values())

    def write_weights(self, file: BinaryIO) -> None:
        mx.save_safetensors(file, self._trained())

    def write_state(self, file: BinaryIO, metadata: dict[str, str]) -> None:
        arrays = {OPTIMIZER + name: each for name, each in flat(self._optimizer.state).items()}
        arrays |= {GRADIENT + name: each for name, each in flat(self._gradient or {}).items()}
        mx.save_safetensors(file, arrays, metadata)

    def peak_memory(self) -> int:
        return mx.get_peak_memory()

    def largest(self, value: float) -> float:
        if self._group is None:
            return value
        return _number(mx.distributed.all_max(mx.array(value), group=self._group))

    def _trained(self) -> dict[str, mx.array]:
        return flat(self._model.trainable_parameters())

    def _arrays(self, batch: Batch, total: int) -> tuple[mx.array, mx.array, mx.array | None]:
        tokens: Any = batch.tokens
        where: Any = batch.counts
        if self._head is not None:
            where = where_it_counts(batch.counts, self._head.vocabulary)
        count = None if self._group is None else mx.array(total)
        return mx.array(tokens), mx.array(where), count


def _read(path: Path) -> dict[str, mx.array]:
    try:
        loaded: Any = mx.load(str(path))
        arrays: dict[str, mx.array] = loaded
        mx.eval(arrays)
    except (OSError, RuntimeError) as problem:
        raise unreadable(path, problem) from problem
    return arrays


def _like(tree: Any, arrays: dict[str, mx.array], prefix: str, path: Path) -> Any:
    """A tree of the same form with those of the arrays in it whose names begin so."""
    part = {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}
    require_same_shapes(path, _shapes(part), _shapes(flat(tree)))
    return tree_map_with_path(lambda name, _: part[name], tree)


def _shapes(arrays: dict[str, mx.array]) -> dict[str, tuple[int, ...]]:
    return {name: each.shape for name, each in arrays.items()}


def _number(array: mx.array) -> float:
    value: Any = array.item()
    return value
