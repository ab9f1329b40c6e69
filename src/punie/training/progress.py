"""How far a training is: built from the worker's events, shown while it runs, kept at its end."""

from dataclasses import dataclass, field
from itertools import pairwise
from statistics import fmean, median

from punie.errors import TrainingError
from punie.records.adapter import Chosen, LossPoint, Training
from punie.records.training import (
    Ended,
    Ending,
    Failed,
    Loaded,
    Probed,
    ResolvedPlan,
    Saved,
    Started,
    Step,
    TrainEvent,
    Validated,
)

CURVE_POINTS = 100
"""A loss curve keeps so many points; each is a mean, so no iteration is left out."""
RECENT = 20
"""Iterations that the time left is judged by."""
BY_LOSS, BY_LAST = "validation loss", "last"


@dataclass(slots=True)
class Progress:
    """Everything that is known of a training, part by part, in the order of its events."""

    iterations: int
    validates: bool = False
    validate_every: int = 1
    loaded: Loaded | None = None
    probed: Probed | None = None
    started: Started | None = None
    ended: Ended | Failed | None = None
    steps: list[Step] = field(default_factory=list[Step])
    validations: list[Validated] = field(default_factory=list[Validated])
    saved: list[Saved] = field(default_factory=list[Saved])
    parts: int = 0
    exact: bool = True
    peak_memory_bytes: int = 0

    def note(self, event: TrainEvent) -> None:
        """Take one event in. What a killed part did after its last checkpoint was done again."""
        match event:
            case Loaded():
                self.loaded = event
            case Probed():
                self.probed = event
                self._peak(event.peak_memory_bytes)
            case Started():
                self._begin(event)
            case Step():
                self.steps.append(event)
                self._peak(event.memory_bytes)
            # A worker that goes on says again what it has, from its own state.
            case Validated():
                self.validations = [each for each in self.validations if each.step != event.step]
                self.validations.append(event)
            case Saved():
                if all(each.step != event.step for each in self.saved):  # the first has the time
                    self.saved.append(event)
            case Ended() | Failed():
                self.ended = event
                self._peak(event.peak_memory_bytes)

    def begin_part(self) -> None:
        """Forget of the parts before what is told anew: the model is loaded again."""
        self.loaded = self.started = self.ended = None

    def _begin(self, event: Started) -> None:
        self.started = event
        self.ended = None
        self.parts += 1
        self.exact = self.exact and event.exact
        self.steps = [step for step in self.steps if step.step <= event.step]
        self.validations = [each for each in self.validations if each.step <= event.step]
        self.saved = [each for each in self.saved if each.step <= event.step]

    def _peak(self, size: int) -> None:
        self.peak_memory_bytes = max(self.peak_memory_bytes, size)

    @property
    def step(self) -> int:
        """Iterations that are done."""
        return self.steps[-1].step if self.steps else (self.started.step if self.started else 0)

    @property
    def validating(self) -> bool:
        """Whether a validation is what comes next, and so what goes on."""
        due = self.step % self.validate_every == 0 or self.step == self.iterations
        done = self.validations[-1].step if self.validations else 0
        return self.validates and self.ended is None and due and self.step > done

    @property
    def best(self) -> Validated | None:
        """The lowest validation loss; of equal ones the earliest."""
        return min(self.validations, key=lambda each: (each.loss, each.step), default=None)

    @property
    def seconds_per_iteration(self) -> float | None:
        """The median, without the first iteration of the part, which compiles."""
        begun = self.started.step + 1 if self.started else 1
        times = [each.seconds for each in self.steps if each.step != begun]
        return median(times or [each.seconds for each in self.steps]) if self.steps else None

    @property
    def seconds_left(self) -> float | None:
        """Time to the last iteration, by the latest ones and the validations so far."""
        recent = self.steps[-RECENT:]
        if len(recent) < 2:
            return None
        left = self.iterations - self.step
        ahead = left * fmean(each.seconds for each in recent[1:])
        if self.validations:
            steps = self.step / len(self.validations)
            validation = fmean(each.seconds for each in self.validations)
            ahead += validation * max(0, round(left / steps)) if steps else 0
        return ahead

    @property
    def tokens_per_second(self) -> float:
        """Of those that count in the loss, over the iterations alone."""
        seconds = sum(each.seconds for each in self.steps)
        return sum(each.tokens for each in self.steps) / seconds if seconds else 0.0

    def losses(self) -> tuple[LossPoint, ...]:
        """The curve: training losses averaged over windows, validation losses where they fell."""
        return tuple(_points(self.steps, self.validations, CURVE_POINTS))

    def training(self, plan: ResolvedPlan, *, started_at: str, train_rows: int) -> Training:
        """What the manifest keeps, once the worker has ended."""
        ended = self.ended
        total = sum(each.seconds for each in self.steps)
        total += sum(each.seconds for each in (*self.validations, *self.saved))
        per_epoch = -(-train_rows // plan.batch_size)
        return Training(
            started_at=started_at,
            steps=self.step,
            epochs=round(self.step / per_epoch, 3),
            tokens=sum(each.tokens for each in self.steps),
            seconds=round(total, 3),
            seconds_per_iteration=self.seconds_per_iteration or 0.0,
            tokens_per_second=self.tokens_per_second,
            peak_memory_bytes=self.peak_memory_bytes,
            trainable=self.loaded.trainable if self.loaded else 0,
            ending=ended.ending if isinstance(ended, Ended) else Ending.STOPPED,
            parts=max(1, self.parts),
            exact=self.exact,
            machine=self.started.machine if self.started else {},
            losses=self.losses(),
        )

    def chosen(self) -> Chosen:
        """The checkpoint with the lowest validation loss, or the last where none was validated.

        Raises TrainingError where there is none.
        """
        on_disk = {each.step for each in self.saved}
        if not on_disk:
            raise TrainingError(
                "there is no checkpoint to make an adapter of", hint="go on with it: --resume"
            )
        losses = {each.step: each.loss for each in self.validations if each.step in on_disk}
        if not losses:
            return Chosen(step=max(on_disk), by=BY_LAST)
        best = min(losses, key=lambda step: (losses[step], step))
        return Chosen(step=best, by=BY_LOSS, value=losses[best], candidates=losses)


def _points(steps: list[Step], validations: list[Validated], most: int) -> list[LossPoint]:
    width = max(1, -(-len(steps) // most))
    ends = [steps[min(i + width, len(steps)) - 1].step for i in range(0, len(steps), width)]
    marks = sorted({0, *ends})
    train = {
        end: fmean(each.loss for each in steps if start < each.step <= end)
        for start, end in pairwise(marks)
    }
    valid = {each.step: each.loss for each in validations}
    return [
        LossPoint(step=step, train=train.get(step), valid=valid.get(step))
        for step in sorted(train.keys() | valid.keys())
    ]
