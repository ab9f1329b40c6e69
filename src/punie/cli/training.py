"""Putting a training together: data, model, plan, a worker, a chosen checkpoint, an adapter."""

import asyncio
import shlex
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from punie.backends.choose import training_backend
from punie.backends.conversion import why_no_gguf
from punie.backends.room import free_where
from punie.cli.selection import select
from punie.cli.signals import Signals, signals
from punie.cli.trained import Trained, TrainWish
from punie.cli.training_live import say_what_comes, showing_training
from punie.cli.training_setup import ChosenTraining, checked_goal, choose, resumed
from punie.errors import InputError, PunieError
from punie.records.adapter import AdapterManifest, Chosen
from punie.records.dataset import Split
from punie.records.preflight import Preflight
from punie.records.training import Ended, Ending, Phase, TrainJob
from punie.records.training_run import TrainingRun, TrainingStatus
from punie.serving.awake import awake
from punie.settings import Loaded
from punie.store.trainings import TrainingStore
from punie.text import one_line
from punie.training.preflight import SHARE, measured
from punie.training.prepare import prepare
from punie.training.progress import Progress
from punie.training.publish import publish
from punie.training.session import run_session
from punie.training.work import Begun, WorkFolder

STOPPING = "stopping after this iteration; Ctrl-C again to end now (checkpoints are kept)"


async def train_adapter(wish: TrainWish, settings: Loaded) -> Trained:
    """Train an adapter, go on with one, or only look at what a training would take.

    Raises InputError or DataError for what cannot be used, DataCheckError for defects in the data,
    ModelError, TrainingError, and StoreError where nothing could be kept.
    """
    checked_goal(wish, settings)
    if wish.finish and not wish.resume:
        raise InputError("--finish needs --resume NAME", hint="`punie adapters list` shows names")
    with awake(), signals() as heard:
        if wish.resume:
            work = WorkFolder(settings.project, wish.resume)
            begun = work.read_begun()
            if manifest := work.finished(begun):
                return _finished_already(settings, work, begun, manifest)
            with work.hold():
                return await _Making(wish, settings, work, heard, begun.backend).go_on(begun)
        chosen = choose(wish, settings)
        work = WorkFolder(settings.project, chosen.name)
        with work.hold():
            work.make()
            making = _Making(wish, settings, work, heard, chosen.begun.backend)
            return await making.begin(chosen)


def _finished_already(
    settings: Loaded, work: WorkFolder, begun: Begun, manifest: AdapterManifest
) -> Trained:
    """A training that was killed after its adapter had appeared: only the leftover goes."""
    with work.hold():
        work.discard()
    note = f"{work.name} was finished already; what was left of the training is removed"
    trained = Trained(
        name=work.name,
        manifest=manifest,
        adapter=work.adapter,
        warnings=(note,),
        next_steps=_next_steps(manifest),
    )
    journaled = any(begun.started_at in text for text in _training_entries(settings.project))
    return trained if journaled else _journaled(trained, settings, begun.goal)


def _training_entries(project: Path) -> Iterator[str]:
    from punie.journal.folder import JOURNAL, TRAINING, entry_folders

    for folder in entry_folders(project / JOURNAL):
        with suppress(OSError):
            yield (folder / TRAINING).read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class _Making:
    """One call of the command. The lock of its work folder is held."""

    wish: TrainWish
    settings: Loaded
    work: WorkFolder
    heard: Signals
    backend: str

    async def begin(self, chosen: ChosenTraining) -> Trained:
        """A new training; a work folder that never got to a checkpoint is not kept."""
        work, dry_run = self.work, self.wish.dry_run
        free = self._free(chosen.begun)
        job = self._job(chosen.model.model.path, chosen.begun, free)
        if dry_run:
            job = job.model_copy(update={"phase": Phase.PROBE})
        progress = _progress(chosen.begun)
        looked: list[Preflight] = []

        async def preparing() -> None:
            preflight, tokens = await prepare(chosen.setup, work, free_bytes=free)
            looked.append(preflight)
            if not dry_run:
                say_what_comes(work.name, preflight, chosen.notes, quiet=self.wish.quiet)
            tokens.rename(work.rows)
            if not dry_run:
                # The head comes last: a training that can be gone on with has its rows.
                self._keep_begun(chosen.begun_with(preflight))

        try:
            ended = await self._watched(job, progress, preparing)
        except BaseException:
            if dry_run or not work.has_state:
                work.discard()
            raise
        if ended.ending is Ending.STOPPED and (dry_run or not work.exists):
            work.discard()
            raise asyncio.CancelledError  # nothing was begun that could be gone on with
        preflight = looked[0]
        if progress.probed is not None:
            preflight = measured(preflight, progress.loaded, progress.probed)
        trained = Trained(name=work.name, preflight=preflight, warnings=chosen.notes)
        if not dry_run:
            # The notes were said when it began.
            return await self._finish(replace(trained, warnings=()), progress, ended)
        work.discard()
        gguf = await asyncio.to_thread(why_no_gguf, chosen.model.model.path)
        return replace(trained, preflight=preflight.model_copy(update={"gguf": gguf}))

    async def go_on(self, begun: Begun) -> Trained:
        """A training from before, from its last checkpoint; or what it has so far, finished."""
        work = self.work
        work.refuse_links()
        model = resumed(self.wish, begun)
        progress = _progress(begun)
        for event in work.read_events():
            progress.note(event)
        trained = Trained(name=work.name)
        if self.wish.finish:
            return self._publish(trained, progress, begun, progress.chosen())
        progress.begin_part()

        async def preparing() -> None:
            """Nothing: the rows are there, as they were when the training began."""

        job = self._job(model.model.path, begun, self._free(begun))
        job = job.model_copy(update={"resume": True})
        ended = await self._watched(job, progress, preparing)
        return await self._finish(trained, progress, ended)

    def _free(self, begun: Begun) -> int:
        """Memory for each process."""
        device = self.settings.values.device
        return free_where(begun.backend, device, processes=begun.processes)

    def _job(self, model: Path, begun: Begun, free: int) -> TrainJob:
        return TrainJob(
            plan=begun.plan,
            model=model,
            rows=self.work.rows,
            folder=self.work.path,
            memory_limit_bytes=int(SHARE * free),
            processes=begun.processes,
        )

    def _keep_begun(self, begun: Begun) -> None:
        """From here on the training can be gone on with, and the store knows of it."""
        self.work.write_begun(begun)
        with TrainingStore(self.settings.project) as store:
            store.add(
                TrainingRun(
                    id=begun.id,
                    created_at=begun.started_at,
                    name=begun.name,
                    base=begun.base,
                    data=begun.data,
                    plan=begun.plan,
                    provenance=begun.provenance,
                )
            )

    def _keep(self, progress: Progress, status: TrainingStatus, **what: Any) -> None:
        """Put into the store how far the training came. Raises StoreError."""
        begun = self.work.read_begun()
        training = progress.training(
            begun.plan, started_at=begun.started_at, train_rows=begun.train_rows
        )
        with TrainingStore(self.settings.project) as store:
            head = store.find(begun.id)
            store.update(head.model_copy(update={"status": status, "training": training, **what}))

    async def _watched(
        self, job: TrainJob, progress: Progress, preparing: Callable[[], Awaitable[None]]
    ) -> Ended:
        """Run the worker; what ends it early is in the store, and what it saved is kept."""
        try:
            return await self._run(job, progress, preparing)
        except BaseException as error:
            status = TrainingStatus.STOPPED
            failure = ""
            if isinstance(error, PunieError):
                status, failure = TrainingStatus.FAILED, error.message
            # What went wrong is on its way up already; a full disk must not hide it.
            with suppress(PunieError):
                self._keep(progress, status, failure=failure)
            if isinstance(error, PunieError) and self.work.has_state:
                going_on = (
                    f"the checkpoints are kept: punie train --resume {self.work.name}, "
                    "or with --finish to make the adapter of the best one"
                )
                error.hint = "; ".join(filter(None, (error.hint, going_on)))
            raise

    async def _run(
        self, job: TrainJob, progress: Progress, preparing: Callable[[], Awaitable[None]]
    ) -> Ended:
        with self.heard.draining(STOPPING) as stop:
            async with showing_training(progress, stop, quiet=self.wish.quiet):
                return await run_session(
                    training_backend(self.backend, self.settings.values.device),
                    job,
                    prepare=preparing,
                    watch=progress.note,
                    places=self.work.places,
                    stop=stop,
                )

    async def _finish(self, trained: Trained, progress: Progress, ended: Ended) -> Trained:
        """Choose the checkpoint and make the adapter of it; or say how to go on."""
        work = self.work
        if ended.ending is Ending.STOPPED:
            self._keep(progress, TrainingStatus.STOPPED)
            steps = (
                f"to go on:          punie train --resume {work.name}",
                f"to take it as it is: punie train --resume {work.name} --finish",
            )
            return replace(trained, progress=progress, stopped=True, next_steps=steps)
        begun = work.read_begun()
        chosen = await select(self.wish, self.settings, work, begun, progress)
        return self._publish(trained, progress, begun, chosen)

    def _publish(
        self, trained: Trained, progress: Progress, begun: Begun, chosen: Chosen
    ) -> Trained:
        work = self.work
        self._keep(progress, TrainingStatus.DONE, chosen=chosen)
        manifest = publish(work, begun, progress, chosen)
        trained = replace(
            trained,
            manifest=manifest,
            adapter=work.adapter,
            progress=progress,
            next_steps=_next_steps(manifest),
        )
        return _journaled(trained, self.settings, self.wish.journal or begun.goal)


def _journaled(trained: Trained, settings: Loaded, goal: str | None) -> Trained:
    """Write the entry that was asked for; the adapter is there even where that fails."""
    if goal is None or trained.manifest is None:
        return trained
    from punie.journal.training import write_training_entry

    try:
        entry = write_training_entry(settings.project, trained.manifest, goal=goal)
    except PunieError as error:
        note = f"no journal entry: {error.message}"
        return replace(trained, warnings=(*trained.warnings, note))
    steps = (f"journal entry: {entry}", *trained.next_steps)
    return replace(trained, entry=entry, next_steps=steps)


def _progress(begun: Begun) -> Progress:
    return Progress(
        begun.plan.iterations,
        validates=Split.VALID in begun.data.splits,
        validate_every=begun.plan.validate_every,
    )


def _next_steps(manifest: AdapterManifest) -> tuple[str, ...]:
    """Commands that can be copied, whatever the names in them are."""
    suite, base = manifest.suite or "SUITE", manifest.base.name
    suite, base = (shlex.quote(one_line(each)) for each in (suite, base))
    return (
        f"measure it:   punie eval --adapter {manifest.name}",
        f"and its base: punie eval {suite} --model {base}",
    )
