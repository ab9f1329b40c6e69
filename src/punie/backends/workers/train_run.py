"""One training, from the model's load to the last checkpoint."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# mlx is only partly typed.

import time
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.utils import maybe_set_recommended_wired_limit

from punie.backends.workers import train_state
from punie.backends.workers.train_failure import Emit, Failure, keeps, less_memory
from punie.backends.workers.train_head import find_head, mean_loss, where_it_counts
from punie.backends.workers.train_machine import other_bits
from punie.backends.workers.train_model import (
    base_hash,
    config_text,
    load,
    prepare,
    taught,
    total_parameters,
    trainable,
)
from punie.backends.workers.train_rows import (
    Batch,
    Epochs,
    Rows,
    TokenFile,
    make_batch,
    validation_batches,
    wait_for_tokens,
)
from punie.backends.workers.train_schedule import learning_rate
from punie.backends.workers.train_state import Origin, Progress, Validation
from punie.backends.workers.train_step import (
    make_optimizer,
    make_step,
    random_key,
)
from punie.records.dataset import Split
from punie.records.training import (
    Ended,
    Ending,
    FailureKind,
    Loaded,
    Phase,
    Probed,
    Saved,
    Started,
    Step,
    TrainJob,
    Validated,
)

Stopped = Callable[[], bool]


def run(job: TrainJob, emit: Emit, stopped: Stopped, machine: dict[str, str]) -> None:
    """Do the job and say how it goes; the last event is `Ended`. Raises Failure."""
    began = time.perf_counter()
    before = train_state.read(job.folder) if keeps(job) else None
    if before is not None and not job.resume:
        raise Failure(FailureKind.RESUME, f"{job.folder} holds a training already: resume it")
    maybe_set_recommended_wired_limit()
    mx.random.seed(job.plan.seed)
    model = load(job.model)
    parameters = total_parameters(model)
    base = base_hash(job.model)
    if before is not None:
        # The rows may not be there yet.
        rows = before[0].origin.rows
        _require_same(before[0].origin, Origin(plan=job.plan, rows=rows, base=base))
    config = prepare(model, job.plan)
    if before is not None:
        train_state.restore_weights(model, job.folder, before[0], trainable(model))
    mx.eval(model.parameters())
    mx.reset_peak_memory()
    learned, modules = taught(model)
    emit(
        Loaded(
            parameters=parameters,
            trainable=learned,
            modules=modules,
            layers=len(model.layers),
            memory_bytes=mx.get_active_memory(),
            seconds=time.perf_counter() - began,
        )
    )
    file = wait_for_tokens(job.rows, stopped)
    if file is None:
        return emit(_ended(0, Ending.STOPPED))
    origin = Origin(plan=job.plan, rows=file.hash, base=base)
    if keeps(job) and before is None:
        train_state.begin(job.folder, config_text(config))
    training = Training(job, emit, stopped, model=model, file=file, origin=origin, machine=machine)
    if before is not None:
        _require_same(before[0].origin, origin)
        train_state.remove_after(job.folder, before[0].progress.step)
        training.go_on_from(*before)
    goes_on = before is not None
    before = None  # its arrays would be held until the end
    training.compile()
    training.probe()
    if job.phase is Phase.PROBE:
        return emit(_ended(training.progress.step, Ending.PROBED))
    return training.train(goes_on=goes_on)


def _require_same(old: Origin, new: Origin) -> None:
    if found := train_state.differences(old, new):
        raise Failure(
            FailureKind.RESUME,
            f"this is not the training that was interrupted: {'; '.join(found)}",
        )


def _ended(step: int, ending: Ending, seconds: float = 0.0) -> Ended:
    return Ended(step=step, ending=ending, seconds=seconds, peak_memory_bytes=mx.get_peak_memory())


class Training:
    """The loop, and what it changes: the model, the optimizer, and how far it is."""

    def __init__(
        self,
        job: TrainJob,
        emit: Emit,
        stopped: Stopped,
        *,
        model: Any,
        file: TokenFile,
        origin: Origin,
        machine: dict[str, str],
    ) -> None:
        self._job, self._plan = job, job.plan
        self._emit, self._stopped = emit, stopped
        self._model, self._origin, self._machine = model, origin, machine
        self._rows = file.splits[Split.TRAIN]
        self._valid: Rows | None = file.splits.get(Split.VALID)
        if self._valid is not None and not len(self._valid):
            self._valid = None
        plan = self._plan
        self._epochs = Epochs(self._rows.lengths, plan.batch_size, plan.order, plan.seed)
        self._optimizer = make_optimizer(plan, model.trainable_parameters())
        self._gradient: Any = None
        """What was accumulated and not applied yet."""
        self._shape: tuple[int, ...] = ()
        self.progress = Progress(random_key=random_key())

    def go_on_from(self, saved: train_state.Saved, arrays: dict[str, mx.array]) -> None:
        """Take up the state of an interrupted training; its weights are in the model already."""
        parameters = self._model.trainable_parameters()
        train_state.restore_optimizer(self._optimizer, parameters, arrays)
        self._gradient = train_state.saved_gradient(arrays, parameters)
        because = saved.progress.inexact_because or other_bits(saved.machine, self._machine)
        self.progress = saved.progress.model_copy(update={"inexact_because": because})

    def compile(self) -> None:
        """Make the iteration's function; model and optimizer have their final shape."""
        self._head = find_head(self._model)
        self._step, self._state = make_step(self._model, self._optimizer, self._head)
        self._model.train()

    def probe(self) -> None:
        """Go forward and backward on the largest batch, twice, and change nothing.

        Raises Failure where that takes more memory than the job allows.
        """
        plan = self._plan
        largest = self._epochs.largest(plan.iterations, plan.max_length)
        batch = make_batch(self._rows, largest, plan.max_length)
        seconds: list[float] = []
        for _ in range(2):
            began = time.perf_counter()
            loss, _, gradient = self._step(*self._arrays(batch), None, 0)
            mx.eval(self._state, loss, gradient)
            del gradient
            seconds.append(time.perf_counter() - began)
            self._require_memory(batch)
        mx.clear_cache()
        rows, width = batch.tokens.shape
        self._emit(
            Probed(
                rows=rows,
                tokens=width,
                seconds=seconds[1],
                first_seconds=seconds[0],
                peak_memory_bytes=mx.get_peak_memory(),
            )
        )

    def _require_memory(self, batch: Batch) -> None:
        limit, peak = self._job.memory_limit_bytes, mx.get_peak_memory()
        if limit is None or peak <= limit:
            return
        rows, width = batch.tokens.shape
        plan = self._plan
        raise Failure(
            FailureKind.MEMORY,
            f"the largest batch, {rows} rows of {width} tokens, takes {peak / 1e9:.2f} GB, and "
            f"{limit / 1e9:.2f} GB may be used: {less_memory(plan)}",
        )

    def train(self, *, goes_on: bool) -> None:
        """Iterate to the end of the plan, or until there is a reason to end before it."""
        self._say_started(goes_on=goes_on)
        mx.random.seed(self.progress.random_key)
        began = time.perf_counter()
        if self._validation_is_owed():
            # It was stopped in the middle of it.
            self._validate()
            self._save()
        batches = self._epochs.after(self.progress.step)
        ending = self._ending()
        while ending is None:
            self._iterate(next(batches))
            validated = self._validation_is_owed() and not self._stopped() and self._validate()
            due = self.progress.step % self._plan.checkpoint_every == 0
            ending = self._ending()  # once: a signal may come at any moment
            if validated or due or ending is not None:
                self._save()
        self._emit(_ended(self.progress.step, ending, time.perf_counter() - began))

    def _say_started(self, *, goes_on: bool) -> None:
        because = self.progress.inexact_because
        self._emit(
            Started(
                step=self.progress.step,
                exact=not because,
                inexact_because=because,
                machine=self._machine,
            )
        )
        if not goes_on:
            return
        # Who listened before may have been killed together with us, and not have heard the last.
        for each in self.progress.validations:
            self._emit(Validated(**each.model_dump()))
        for path in sorted((self._job.folder / train_state.CHECKPOINTS).glob("*.safetensors")):
            name = f"{train_state.CHECKPOINTS}/{path.name}"
            self._emit(Saved(step=int(path.stem), file=name, seconds=0.0))

    def _ending(self) -> Ending | None:
        """Why no further iteration comes, or None."""
        patience = self._plan.patience
        if self.progress.step >= self._plan.iterations and not self._validation_is_owed():
            return Ending.DONE
        if patience is not None and self.progress.since_best >= patience:
            return Ending.EARLY
        return Ending.STOPPED if self._stopped() else None

    def _iterate(self, positions: tuple[int, ...]) -> None:
        began = time.perf_counter()
        plan, number = self._plan, self.progress.step + 1
        batch = make_batch(self._rows, positions, plan.max_length)
        if not batch.counts.any():
            message = "no token of a batch counts in the loss: its rows have no answer to train"
            raise Failure(FailureKind.DATA, message, step=number, rows=positions)
        if batch.tokens.shape != self._shape:
            # What is kept of the freed memory does not fit batches of another shape.
            self._shape = batch.tokens.shape
            mx.clear_cache()
        collected = (number - 1) % plan.accumulation + 1
        applies = collected == plan.accumulation or number == plan.iterations
        rate = learning_rate(plan, (number - 1) // plan.accumulation)
        self._optimizer.learning_rate = rate
        loss, counted, self._gradient = self._step(
            *self._arrays(batch), self._gradient, collected if applies else 0
        )
        mx.eval(self._state, loss, counted, self._gradient)
        seconds, value = time.perf_counter() - began, _number(loss)
        if not np.isfinite(value):
            message = (
                f"the loss became {value}: a lower learning rate, a warm-up or float32 weights may "
                "help; what was saved before is still good"
            )
            raise Failure(FailureKind.NOT_FINITE, message, step=number, rows=positions)
        self._emit(
            Step(
                step=number,
                loss=value,
                learning_rate=rate,
                tokens=int(_number(counted)),
                seconds=seconds,
                memory_bytes=mx.get_peak_memory(),
            )
        )
        self.progress = self.progress.model_copy(update={"step": number})

    def _arrays(self, batch: Batch) -> tuple[mx.array, mx.array]:
        tokens: Any = batch.tokens
        where: Any = batch.counts
        if self._head is not None:
            where = where_it_counts(batch.counts, self._head.vocabulary)
        return mx.array(tokens), mx.array(where)

    def _validation_is_owed(self) -> bool:
        step, done = self.progress.step, self.progress.validations
        due = step % self._plan.validate_every == 0 or step == self._plan.iterations
        return self._valid is not None and step > 0 and due and (not done or done[-1].step < step)

    def _validate(self) -> bool:
        """Take the loss over the validation rows; False if told to stop before its end."""
        assert self._valid is not None
        began, plan, rows = time.perf_counter(), self._plan, self._valid
        total, tokens = 0.0, 0
        self._model.eval()
        for positions in validation_batches(
            rows.lengths, plan.batch_size, plan.validation_rows, plan.seed
        ):
            if self._stopped():
                break
            batch = make_batch(rows, positions, plan.max_length)
            if batch.counts.any():
                loss, counted = mean_loss(self._model, *self._arrays(batch), self._head)
                total += _number(loss) * _number(counted)
                tokens += int(_number(counted))
        self._model.train()
        self._shape = ()
        if self._stopped():
            return False
        if not tokens:
            raise Failure(FailureKind.DATA, "no token of the validation rows counts in the loss")
        loss = total / tokens
        step, best = self.progress.step, self.progress.best
        if not np.isfinite(loss):
            message = f"the validation loss became {loss}; what was saved before is still good"
            raise Failure(FailureKind.NOT_FINITE, message, step=step)
        done = Validation(
            step=step,
            loss=loss,
            tokens=tokens,
            seconds=time.perf_counter() - began,
            best=best is None or loss < best.loss,
        )
        validations = (*self.progress.validations, done)
        self.progress = self.progress.model_copy(update={"validations": validations})
        self._emit(Validated(**done.model_dump()))
        return True

    def _save(self) -> None:
        """Leave a checkpoint: weights, and all that is needed to go on from here."""
        step = self.progress.step
        if not self._job.save or step == 0:
            return
        began = time.perf_counter()
        weights = trainable(self._model)
        if not all(mx.isfinite(each).all().item() for each in weights.values()):
            message = "the weights are no longer finite; what was saved before is still good"
            raise Failure(FailureKind.NOT_FINITE, message, step=step)
        self.progress = self.progress.model_copy(update={"random_key": random_key()})
        name = f"{train_state.CHECKPOINTS}/{step:07d}.safetensors"
        saved = train_state.Saved(
            progress=self.progress, origin=self._origin, machine=self._machine, weights=name
        )
        train_state.save(self._job.folder, weights, self._optimizer, self._gradient, saved)
        self._emit(Saved(step=step, file=name, seconds=time.perf_counter() - began))


def _number(array: mx.array) -> float:
    value: Any = array.item()
    return value
