"""The measurement of one shape while it goes on, built from the worker's events."""

import time
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from punie.records.benchmark import CellEnd, GridCell, Shape, TrainingBenchmark
from punie.records.training import (
    Ended,
    Failed,
    FailureKind,
    Loaded,
    Probed,
    ResolvedPlan,
    Started,
    Step,
    TrainEvent,
)
from punie.training.session import failure

WARMUP = 1
"""Iterations that are not timed: mlx makes the optimizer's state, and its buffers."""
ENOUGH = 3
"""Timed iterations after which the time budget may end a measurement."""
TOLD = ("quantization", "optimizer", "gradient_checkpointing")
"""What decides the speed and the shape does not say."""
HOPELESS = {FailureKind.MODEL, FailureKind.DEVICE}
"""What no other shape would mend."""
PATIENCE = 4
"""After so many times the budget one timed iteration is enough."""


@dataclass(slots=True)
class Recorder:
    """What is known of one shape so far.

    After `budget_s` seconds it is over once it has a few iterations, and at the first pass that
    takes more than `too_slow_s`.
    """

    model: str
    shape: Shape
    budget_s: float | None = None
    too_slow_s: float | None = None
    end: CellEnd = CellEnd.INTERRUPTED
    """Until the worker has said otherwise."""
    why: str = ""
    iterations: list[float] = field(default_factory=list[float])
    warmup: list[float] = field(default_factory=list[float])
    loaded: Loaded | None = None
    probed: Probed | None = None
    started: Started | None = None
    failed: Failed | None = None
    peak: int = 0
    began: float = field(default_factory=time.monotonic)
    ended: float | None = None
    plan: ResolvedPlan | None = None
    """What the worker is told, once it is."""

    def note(self, event: TrainEvent) -> bool:
        """Take one event in; whether the measurement is over."""
        match event:
            case Loaded():
                self.loaded = event
            case Probed():
                self.probed = event
                self.peak = max(self.peak, event.peak_memory_bytes)
                return self._too_slow(event.seconds)
            case Started():
                self.started = event
            case Step():
                return self._step(event)
            case Ended():
                self.peak = max(self.peak, event.peak_memory_bytes)
                return self._over(CellEnd.MEASURED if self.iterations else CellEnd.FAILED)
            case Failed():
                self.failed = event
                self.why = event.message
                self.peak = max(self.peak, event.peak_memory_bytes)
                memory = event.what is FailureKind.MEMORY
                return self._over(CellEnd.OUT_OF_MEMORY if memory else CellEnd.FAILED)
            case _:
                pass
        return False

    def _step(self, event: Step) -> bool:
        self.peak = max(self.peak, event.memory_bytes)
        if len(self.warmup) < WARMUP:
            self.warmup.append(event.seconds)
            return self._too_slow(event.seconds) if self.probed is None else False
        self.iterations.append(event.seconds)
        if self._too_slow(event.seconds):
            return True
        if self.budget_s is None:
            return False
        spent = (time.monotonic() - self.began) / self.budget_s
        if spent > PATIENCE or (spent > 1 and len(self.iterations) >= ENOUGH):
            return self._over(CellEnd.MEASURED)
        return False

    def _too_slow(self, seconds: float) -> bool:
        if self.too_slow_s is None or seconds <= self.too_slow_s:
            return False
        self.why = f"one iteration takes more than {self.too_slow_s:.0f} s"
        return self._over(CellEnd.TOO_SLOW)

    def _over(self, end: CellEnd) -> bool:
        self.end = end
        self.ended = time.monotonic()
        return True

    def refuse(self, why: str) -> None:
        """Note that the shape takes too much memory even to be tried."""
        self.why = why
        self._over(CellEnd.OUT_OF_MEMORY)

    def raise_for_model(self) -> None:
        """Raise the error of a worker that could not load or adapt the model, or use the GPU."""
        if self.failed is not None and self.failed.what in HOPELESS:
            raise failure(self.failed)

    def cell(self) -> GridCell:
        """What was measured up to now."""
        probed = self.probed.seconds if self.probed else None
        return GridCell(
            shape=self.shape,
            end=self.end,
            measured=self._measured() if self.iterations else None,
            seconds_at_least=None if self.iterations else probed,
            why=self.why,
        )

    def _measured(self) -> TrainingBenchmark:
        probed, plan = self.probed, self.plan
        told: dict[str, Any] = {name: getattr(plan, name) for name in TOLD} if plan else {}
        compiled = max(0.0, probed.first_seconds - probed.seconds) if probed else None
        return TrainingBenchmark(
            model_path=self.model,
            shape=self.shape,
            num_iters=len(self.iterations),
            seconds_per_iter=median(self.iterations),
            iterations=tuple(self.iterations),
            warmup=tuple(self.warmup),
            compile_seconds=compiled,
            load_seconds=self.loaded.seconds if self.loaded else None,
            total_seconds=(self.ended or time.monotonic()) - self.began,
            peak_memory_bytes=self.peak or None,
            trainable=self.loaded.trainable if self.loaded else None,
            machine=self.started.machine if self.started else {},
            **told,
        )
