"""One training, from the model's load to the last checkpoint, in whatever framework."""

import math
import time
from collections.abc import Callable

from punie.backends.workers import train_state
from punie.backends.workers.train_engine import Engine
from punie.backends.workers.train_failure import Emit, Failure, keeps, less_memory
from punie.backends.workers.train_machine import other_bits
from punie.backends.workers.train_rows import (
    Batch,
    Epochs,
    Rows,
    TokenFile,
    make_batch,
    share,
    validation_batches,
    wait_for_tokens,
)
from punie.backends.workers.train_schedule import learning_rate
from punie.backends.workers.train_state import Origin, Progress, Validation
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
    TrainEvent,
    TrainJob,
    Validated,
)

Stopped = Callable[[], bool]


def run(job: TrainJob, emit: Emit, stopped: Stopped, engine: Engine) -> None:
    """Do the job and say how it goes; the last event is `Ended`. Raises Failure."""
    began = time.perf_counter()
    before = train_state.read(job.folder) if keeps(job) else None
    if before is not None and not job.resume:
        raise Failure(FailureKind.RESUME, f"{job.folder} holds a training already: resume it")
    engine.load(job.model, job.plan)
    base = train_state.base_hash(job.model)
    if before is not None:
        # The rows may not be there yet.
        rows = before.origin.rows
        train_state.require_same(before.origin, Origin(plan=job.plan, rows=rows, base=base))
    config = engine.prepare(job.plan)
    if before is not None:
        engine.restore_weights(job.folder / before.weights)
    size = engine.size()
    say = emit if engine.rank == 0 else _say_nothing
    say(
        Loaded(
            parameters=size.parameters,
            trainable=size.trainable,
            modules=size.modules,
            layers=size.layers,
            memory_bytes=size.memory_bytes,
            seconds=time.perf_counter() - began,
        )
    )
    file = wait_for_tokens(job.rows, stopped)
    if engine.largest(float(file is None)) or file is None:
        return say(_ended(engine, 0, Ending.STOPPED))
    origin = Origin(plan=job.plan, rows=file.hash, base=base)
    if before is not None:
        train_state.require_same(before.origin, origin)
    if keeps(job) and engine.rank == 0:
        if before is None:
            train_state.begin(job.folder, config)
        else:
            train_state.remove_after(job.folder, before.progress.step)
    training = Training(job, say, stopped, engine=engine, file=file, origin=origin)
    training.begin(before)
    training.probe()
    if job.phase is Phase.PROBE:
        return say(_ended(engine, training.progress.step, Ending.PROBED))
    return training.train(goes_on=before is not None)


def _say_nothing(_event: TrainEvent) -> None:
    """What all processes but the first say."""


def _ended(engine: Engine, step: int, ending: Ending, seconds: float = 0.0) -> Ended:
    peak = engine.peak_memory()
    return Ended(step=step, ending=ending, seconds=seconds, peak_memory_bytes=peak)


class Training:
    """The loop, and how far it is."""

    progress: Progress

    def __init__(
        self,
        job: TrainJob,
        emit: Emit,
        stopped: Stopped,
        *,
        engine: Engine,
        file: TokenFile,
        origin: Origin,
    ) -> None:
        self._job, self._plan = job, job.plan
        self._emit, self._told_to_stop = emit, stopped
        self._engine, self._origin = engine, origin
        self._rows = file.splits[Split.TRAIN]
        self._valid: Rows | None = file.splits.get(Split.VALID)
        if self._valid is not None and not len(self._valid):
            self._valid = None
        plan = self._plan
        self._epochs = Epochs(self._rows.lengths, plan.batch_size, plan.order, plan.seed)

    def begin(self, before: train_state.Saved | None) -> None:
        """Make everything ready, with the state of an interrupted training where there is one."""
        folder, engine = self._job.folder, self._engine
        engine.begin(self._plan, None if before is None else folder / train_state.STATE)
        if before is None:
            self.progress = Progress(random_key=engine.random_key())
            return
        because = before.progress.inexact_because or other_bits(before.machine, engine.machine)
        self.progress = before.progress.model_copy(update={"inexact_because": because})

    def probe(self) -> None:
        """Go forward and backward on the largest batch, twice, and change nothing.

        Raises Failure where that takes more memory than the job allows.
        """
        plan = self._plan
        largest = self._epochs.largest(plan.iterations, plan.max_length)
        whole = make_batch(self._rows, largest, plan.max_length)
        seconds: list[float] = []
        for _ in range(2):
            began = time.perf_counter()
            self._engine.probe(*self._share(whole))
            seconds.append(time.perf_counter() - began)
            self._require_memory(whole)
        rows, width = whole.tokens.shape
        self._emit(
            Probed(
                rows=rows,
                tokens=width,
                seconds=seconds[1],
                first_seconds=seconds[0],
                peak_memory_bytes=self._engine.peak_memory(),
            )
        )

    def _require_memory(self, batch: Batch) -> None:
        limit, peak = self._job.memory_limit_bytes, self._engine.largest(self._engine.peak_memory())
        if limit is None or peak <= limit:
            return
        rows, width = batch.tokens.shape
        raise Failure(
            FailureKind.MEMORY,
            f"the largest batch, {rows} rows of {width} tokens, takes {peak / 1e9:.2f} GB, and "
            f"{limit / 1e9:.2f} GB may be used: {less_memory(self._plan)}",
        )

    def _share(self, batch: Batch) -> tuple[Batch, int]:
        """What this process does of a batch, and the predictions that count in all of it."""
        return share(batch, self._engine.rank, self._engine.world), int(batch.counts.sum())

    def _stopped(self) -> bool:
        """Whether any process was told to stop; all must ask at the same point."""
        return bool(self._engine.largest(float(self._told_to_stop())))

    def train(self, *, goes_on: bool) -> None:
        """Iterate to the end of the plan, or until there is a reason to end before it."""
        self._say_started(goes_on=goes_on)
        self._engine.set_random_key(self.progress.random_key)
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
        # None goes before the first has saved: a launch whose processes go is ending.
        self._engine.largest(0.0)
        seconds = time.perf_counter() - began
        self._emit(_ended(self._engine, self.progress.step, ending, seconds))

    def _say_started(self, *, goes_on: bool) -> None:
        because = self.progress.inexact_because
        self._emit(
            Started(
                step=self.progress.step,
                exact=not because,
                inexact_because=because,
                machine=self._engine.machine,
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
        batch, total = self._share(make_batch(self._rows, positions, plan.max_length))
        if not total:
            message = "no token of a batch counts in the loss: its rows have no answer to train"
            raise Failure(FailureKind.DATA, message, step=number, rows=positions)
        collected = (number - 1) % plan.accumulation + 1
        applies = collected == plan.accumulation or number == plan.iterations
        rate = learning_rate(plan, (number - 1) // plan.accumulation)
        loss = self._engine.step(batch, total, rate, collected if applies else 0)
        seconds = time.perf_counter() - began
        if not math.isfinite(loss):
            message = (
                f"the loss became {loss}: a lower learning rate, a warm-up or float32 weights may "
                "help; what was saved before is still good"
            )
            raise Failure(FailureKind.NOT_FINITE, message, step=number, rows=positions)
        self._emit(
            Step(
                step=number,
                loss=loss,
                learning_rate=rate,
                tokens=total,
                seconds=seconds,
                memory_bytes=self._engine.peak_memory(),
            )
        )
        self.progress = self.progress.model_copy(update={"step": number})

    def _validation_is_owed(self) -> bool:
        step, done = self.progress.step, self.progress.validations
        due = step % self._plan.validate_every == 0 or step == self._plan.iterations
        return self._valid is not None and step > 0 and due and (not done or done[-1].step < step)

    def _validate(self) -> bool:
        """Take the loss over the validation rows; False if told to stop before its end."""
        assert self._valid is not None
        began, plan, rows = time.perf_counter(), self._plan, self._valid
        total, tokens, stopped = 0.0, 0, False
        with self._engine.evaluating():
            for positions in validation_batches(
                rows.lengths, plan.batch_size, plan.validation_rows, plan.seed
            ):
                if stopped := self._stopped():
                    break
                batch, counted = self._share(make_batch(rows, positions, plan.max_length))
                if counted:
                    total += self._engine.evaluate(batch, counted) * counted
                    tokens += counted
        if stopped:
            return False
        if not tokens:
            raise Failure(FailureKind.DATA, "no token of the validation rows counts in the loss")
        loss = total / tokens
        step, best = self.progress.step, self.progress.best
        if not math.isfinite(loss):
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
        step, engine = self.progress.step, self._engine
        if not self._job.save or step == 0 or engine.rank != 0:
            return
        began = time.perf_counter()
        if not engine.finite():
            message = "the weights are no longer finite; what was saved before is still good"
            raise Failure(FailureKind.NOT_FINITE, message, step=step)
        self.progress = self.progress.model_copy(update={"random_key": engine.random_key()})
        name = f"{train_state.CHECKPOINTS}/{step:07d}.safetensors"
        saved = train_state.Saved(
            progress=self.progress, origin=self._origin, machine=engine.machine, weights=name
        )
        train_state.save(
            self._job.folder, saved, weights=engine.write_weights, state=engine.write_state
        )
        self._emit(Saved(step=step, file=name, seconds=time.perf_counter() - began))
