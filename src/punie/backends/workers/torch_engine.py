"""A model in torch, and what a training does with it."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# torch and safetensors are only partly typed.

import os
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import distributed, nn

from punie.backends.workers.torch_device import describe, device, memory, peak_memory
from punie.backends.workers.torch_loss import keeps_logits, mean_loss
from punie.backends.workers.torch_model import blocks_of, load, prepare, taught_modules, trained
from punie.backends.workers.torch_optimizer import make_optimizer, restore_state, state_tensors
from punie.backends.workers.torch_shards import needs_shards, shard
from punie.backends.workers.train_engine import Size
from punie.backends.workers.train_rows import Batch
from punie.backends.workers.train_state import (
    GRADIENT,
    OPTIMIZER,
    require_same_shapes,
    unreadable,
)
from punie.records.base import digest
from punie.records.training import Method, ResolvedPlan


class TorchEngine:
    """What `train_engine.Engine` describes.

    The random numbers of an iteration follow from the plan's seed and from how many came before it,
    so what is kept of them is a count. `sharded` says whether several processes deal the base out
    among themselves; None: where one GPU is too small for it.
    """

    def __init__(self, *, sharded: bool | None = None) -> None:
        self._sharded = sharded
        self._device = device()
        self.world = int(os.environ.get("WORLD_SIZE", "1"))
        if self.world > 1:
            distributed.init_process_group("nccl" if self._device.type == "cuda" else "gloo")
        self.rank = distributed.get_rank() if self.world > 1 else 0
        self.machine = describe(self._device)
        if self.world > 1:
            self.machine["processes"] = str(self.world)
        self._gradient: list[torch.Tensor] | None = None
        """What was accumulated and not applied yet, in the order of the weights."""
        self._key = 0

    def load(self, folder: Path, plan: ResolvedPlan) -> None:
        torch.manual_seed(plan.seed)
        self._key = plan.seed << 32
        if self._sharded is None:
            self._sharded = self.world > 1 and needs_shards(folder, plan, self._device)
        self._model = load(folder, plan, self._device, sharded=self._sharded)
        self._parameters = int(self._model.num_parameters())
        self._mixed = plan.method is Method.FULL and self._device.type == "cuda"

    def prepare(self, plan: ResolvedPlan) -> dict[str, Any]:
        config = prepare(self._model, plan)
        self._trained = trained(self._model)
        if self._sharded:
            shard(self._model, self._device, self.world)
        return config

    def restore_weights(self, path: Path) -> None:
        weights = _read(path)
        wanted = {name: tuple(each.saved().shape) for name, each in self._trained.items()}
        require_same_shapes(path, _shapes(weights), wanted)
        for name, each in self._trained.items():
            each.restore(weights[name])

    def size(self) -> Size:
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        return Size(
            parameters=self._parameters,
            layers=len(blocks_of(self._model)),
            trainable=sum(each.weight.numel() for each in self._trained.values()),
            modules=taught_modules(self._model),
            memory_bytes=memory(self._device),
        )

    def begin(self, plan: ResolvedPlan, state: Path | None) -> None:
        self._optimizer = make_optimizer(plan, self._weights())
        if state is not None:
            self._restore_state(state)
        self._keeps = keeps_logits(self._model)
        self._model.train()

    def _restore_state(self, path: Path) -> None:
        tensors = _read(path)
        try:
            restore_state(self._optimizer, self._weights(), _part(tensors, OPTIMIZER))
            if gradient := _part(tensors, GRADIENT):
                self._gradient = [
                    gradient[name].to(each.weight) for name, each in self._trained.items()
                ]
        except (KeyError, ValueError, RuntimeError) as problem:
            raise unreadable(path, problem) from problem

    def probe(self, batch: Batch, total: int) -> None:
        self._backward(batch, total)
        self._optimizer.zero_grad()

    def step(self, batch: Batch, total: int, rate: float, divisor: int) -> float:
        loss = self._backward(batch, total)
        weights = [each.weight for each in self._trained.values()]
        with torch.no_grad():
            if self._gradient is not None:
                for weight, before in zip(weights, self._gradient, strict=True):
                    _gradient_of(weight).add_(before)
            if divisor > 1:
                for weight in weights:
                    _gradient_of(weight).div_(divisor)
        if divisor:
            self._gradient = None
            for group in self._optimizer.param_groups:
                group["lr"] = rate
            self._optimizer.step()
        else:
            self._gradient = [_gradient_of(weight) for weight in weights]
        self._optimizer.zero_grad()
        return float(loss)

    def _backward(self, batch: Batch, total: int) -> torch.Tensor:
        """Gradients of all processes' shares, in `grad`; the loss of all of them."""
        torch.manual_seed(int(digest({"key": self._key, "rank": self.rank})[:15], 16))
        self._key += 1
        loss = self._loss(batch, total)
        loss.backward()
        return self._summed(loss.detach(), *(_gradient_of(w) for w in self._weights().values()))

    def _loss(self, batch: Batch, total: int) -> torch.Tensor:
        tokens = torch.from_numpy(batch.tokens).to(self._device, torch.int64)
        counts = torch.from_numpy(batch.counts).to(self._device)
        with self._precision():
            return mean_loss(self._model, tokens, counts, total, keeps=self._keeps)

    def _precision(self) -> AbstractContextManager[Any]:
        """Weights that are trained themselves are float32; on a GPU they compute in bfloat16."""
        return torch.autocast("cuda", torch.bfloat16) if self._mixed else nullcontext()

    def _summed(self, first: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        """The first tensor; it and the others then hold the sums over all processes.

        They travel together, because each call waits for the slowest process.
        """
        if self.world > 1:
            tensors = (first, *others)
            whole = torch.cat([each.reshape(-1) for each in tensors])
            distributed.all_reduce(whole)
            parts = whole.split([each.numel() for each in tensors])
            for each, part in zip(tensors, parts, strict=True):
                each.copy_(part.view_as(each))
        return first

    @contextmanager
    def evaluating(self) -> Generator[None]:
        self._model.eval()
        with torch.no_grad():
            yield
        self._model.train()

    def evaluate(self, batch: Batch, total: int) -> float:
        return float(self._summed(self._loss(batch, total)))

    def random_key(self) -> int:
        return self._key

    def set_random_key(self, key: int) -> None:
        self._key = key

    def finite(self) -> bool:
        return all(bool(torch.isfinite(each).all()) for each in self._weights().values())

    def write_weights(self, file: BinaryIO) -> None:
        file.write(save({name: each.saved() for name, each in self._trained.items()}))

    def write_state(self, file: BinaryIO, metadata: dict[str, str]) -> None:
        state = state_tensors(self._optimizer, self._weights())
        tensors = {OPTIMIZER + name: each for name, each in state.items()}
        for name, gradient in zip(self._trained, self._gradient or (), strict=False):
            tensors[GRADIENT + name] = gradient.cpu().contiguous()
        file.write(save(tensors, metadata))

    def peak_memory(self) -> int:
        return peak_memory(self._device)

    def largest(self, value: float) -> float:
        if self.world == 1:
            return value
        most = torch.tensor(value, dtype=torch.float64, device=self._device)
        distributed.all_reduce(most, distributed.ReduceOp.MAX)
        return float(most)

    def _weights(self) -> dict[str, nn.Parameter]:
        return {name: each.weight for name, each in self._trained.items()}


def _gradient_of(weight: nn.Parameter) -> torch.Tensor:
    """The gradient of a weight, which every backward pass must have left."""
    assert weight.grad is not None, "a weight that is trained got no gradient"
    return weight.grad


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as problem:
        raise unreadable(path, problem) from problem


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix): each for name, each in tensors.items() if name.startswith(prefix)
    }


def _shapes(tensors: dict[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(each.shape) for name, each in tensors.items()}
