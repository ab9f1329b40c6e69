"""What the loop of a training asks of a framework.

The loop (`train_loop`) knows rows, order, schedule, events, checkpoints and endings, and nothing of
arrays; an engine knows a model, its gradients and its optimizer, and nothing of files' names,
iterations or plans beyond what it is told. There is one for mlx and one for torch.

Several processes train side by side with one engine each. Every one of them goes through the same
loop and makes the same decisions; each is given its share of a batch, gradients and losses are
summed over all of them, and only rank 0 speaks and writes.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from punie.backends.workers.train_rows import Batch
from punie.records.training import ResolvedPlan


@dataclass(frozen=True, slots=True)
class Size:
    """A model that is ready to be trained."""

    parameters: int
    """Of the model without what was added to it; of a quantised one as many as before."""
    layers: int
    """Blocks."""
    trainable: int
    """Parameters that are trained."""
    modules: int
    """Linear layers that have such."""
    memory_bytes: int


class Engine(Protocol):
    """One model in one framework, in this process. Methods raise Failure, each in this order."""

    rank: int
    """Of this process, from 0."""
    world: int
    """Processes that train together."""
    machine: dict[str, str]
    """What decides the bits of a result; two that say the same give the same bits on the CPU."""

    def load(self, folder: Path, plan: ResolvedPlan) -> None:
        """Load the model of a folder, and begin the random numbers by the plan's seed."""
        ...

    def prepare(self, plan: ResolvedPlan) -> dict[str, Any]:
        """Freeze the model, and put in or thaw what the plan trains.

        Gives the `adapter_config.json`, in mlx_lm's form.
        """
        ...

    def restore_weights(self, path: Path) -> None:
        """Put the weights of a checkpoint into the model."""
        ...

    def size(self) -> Size:
        """How large everything is. The peak of memory is counted from here on."""
        ...

    def begin(self, plan: ResolvedPlan, state: Path | None) -> None:
        """Make the optimizer, with the saved state where there is one, and all else for `step`."""
        ...

    def probe(self, batch: Batch, total: int) -> None:
        """Go forward and backward as `step` does, and change nothing but the random numbers."""
        ...

    def step(self, batch: Batch, total: int, rate: float, divisor: int) -> float:
        """Go forward and backward; the loss, in nats.

        `batch` is this process's share, and the loss is the sum over all processes, divided by
        `total`, the predictions that count in all shares together. Gradients are added to those of
        the steps before; with a `divisor` above 0 their sum is divided by it and applied with the
        learning rate `rate`, and none are left.
        """
        ...

    def evaluating(self) -> AbstractContextManager[None]:
        """While the block runs the model evaluates: no dropout."""
        ...

    def evaluate(self, batch: Batch, total: int) -> float:
        """The loss as `step` gives it, without gradients; inside `evaluating`."""
        ...

    def random_key(self) -> int:
        """Where the random numbers are."""
        ...

    def set_random_key(self, key: int) -> None:
        """Have the random numbers go on from there."""
        ...

    def finite(self) -> bool:
        """Whether every trained weight is a number."""
        ...

    def write_weights(self, file: BinaryIO) -> None:
        """Write the trained weights as safetensors, by mlx_lm's names and in its layout."""
        ...

    def write_state(self, file: BinaryIO, metadata: dict[str, str]) -> None:
        """Write the optimizer's state and gradients that were not applied, as safetensors."""
        ...

    def peak_memory(self) -> int:
        """Bytes, of this process."""
        ...

    def largest(self, value: float) -> float:
        """The largest of what the processes give: how they agree. All must ask."""
        ...
