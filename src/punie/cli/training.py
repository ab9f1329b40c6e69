"""Putting a training together: data, model, plan, a worker, a chosen checkpoint, an adapter."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from punie.backends.conversion import why_no_gguf
from punie.backends.mlx_training import MlxTraining
from punie.cli.selection import select
from punie.cli.signals import Signals, signals
from punie.cli.training_live import showing_training
from punie.cli.training_setup import ChosenTraining, choose, resumed
from punie.errors import PunieError
from punie.records.adapter import AdapterManifest
from punie.records.dataset import Split
from punie.records.preflight import Preflight
from punie.records.training import Ended, Ending, Phase, TrainJob
from punie.records.training_run import TrainingRun, TrainingStatus
from punie.serving.awake import awake
from punie.serving.free_memory import free_memory
from punie.settings import Loaded
from punie.store.trainings import TrainingStore
from punie.training.preflight import SHARE, measured
from punie.training.prepare import prepare
from punie.training.progress import Progress
from punie.training.publish import publish
from punie.training.session import run_session
from punie.training.work import Begun, WorkFolder

if TYPE_CHECKING:
    from rich.console import RenderableType

STOPPING = "stopping after this iteration; Ctrl-C again to end now (checkpoints are kept)"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainWish:
    """What the command line asked for; None means: as configured."""

    data: str | None = None
    model: str | None = None
    name: str | None = None
    config: Path | None = None
    select_by: str | None = None
    allow_leakage: bool = False
    dry_run: bool = False
    resume: str | None = None
    journal: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict[str, Any])
    quiet: bool = False
    argv: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What came of it: an adapter, a training that was stopped, or a look ahead."""

    name: str
    preflight: Preflight | None = None
    manifest: AdapterManifest | None = None
    adapter: Path | None = None
    entry: Path | None = None
    progress: Progress | None = None
    stopped: bool = False
    warnings: tuple[str, ...] = ()
    next_steps: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The data of the command's JSON envelope."""
        return {
            "name": self.name,
            "preflight": self.preflight.model_dump(mode="json") if self.preflight else None,
            "adapter": str(self.adapter) if self.adapter else None,
            "manifest": self.manifest.model_dump(mode="json") if self.manifest else None,
            "stopped": self.stopped,
            "resume": f"punie train --resume {self.name}" if self.stopped else None,
            "journal": str(self.entry) if self.entry else None,
        }

    @property
    def table(self) -> "RenderableType":
        """What a person is shown at the end."""
        from punie.reporting.training import adapter_table, preflight_table, stopped_table

        if self.manifest is not None:
            return adapter_table(self.manifest)
        if self.stopped and self.progress is not None:
            return stopped_table(self.name, self.progress.step, self.progress.iterations)
        assert self.preflight is not None
        return preflight_table(self.preflight)


async def train_adapter(wish: TrainWish, settings: Loaded) -> Trained:
    """Train an adapter, go on with one, or only look at what a training would take.

    Raises InputError or DataError for what cannot be used, DataCheckError for defects in the data,
    ModelError, TrainingError, and StoreError where nothing could be kept.
    """
    with awake(), signals() as heard:
        if wish.resume:
            work = WorkFolder(settings.project, wish.resume)
            work.read_begun()
            with work.make():
                return await _Making(wish, settings, work, heard).go_on()
        chosen = choose(wish, settings)
        work = WorkFolder(settings.project, chosen.name)
        with work.make():
            return await _Making(wish, settings, work, heard).begin(chosen)


@dataclass(frozen=True, slots=True)
class _Making:
    """One call of the command. The lock of its work folder is held."""

    wish: TrainWish
    settings: Loaded
    work: WorkFolder
    heard: Signals

    async def begin(self, chosen: ChosenTraining) -> Trained:
        """A new training; a work folder that never got to a checkpoint is not kept."""
        work = self.work
        work.refuse_to_begin_again()
        free = free_memory()
        job = self._job(chosen.model.model.path, chosen.begun, free)
        if self.wish.dry_run:
            job = job.model_copy(update={"phase": Phase.PROBE})
        progress = _progress(chosen.begun)
        looked: list[Preflight] = []

        async def preparing() -> None:
            preflight, tokens = await prepare(chosen.setup, work, free_bytes=free)
            looked.append(preflight)
            if not self.wish.dry_run:
                self._keep_begun(chosen.begun_with(preflight))
            tokens.rename(work.rows)

        ended = await self._watched(job, progress, preparing)
        preflight = looked[0]
        if progress.probed is not None:
            preflight = measured(preflight, progress.loaded, progress.probed)
        if self.wish.dry_run:
            work.discard()
            gguf = await asyncio.to_thread(why_no_gguf, chosen.model.model.path)
            preflight = preflight.model_copy(update={"gguf": gguf})
        trained = Trained(name=work.name, preflight=preflight, warnings=chosen.notes)
        if self.wish.dry_run:
            return trained
        return await self._finish(trained, progress, ended)

    async def go_on(self) -> Trained:
        """A training from before, from its last checkpoint."""
        work = self.work
        begun = work.read_begun()
        model = resumed(self.wish, begun)
        job = self._job(model.model.path, begun, free_memory())
        progress = _progress(begun)
        for event in work.read_events():
            progress.note(event)
        progress.begin_part()

        async def preparing() -> None:
            """Nothing: the rows are there, as they were when the training began."""

        job = job.model_copy(update={"resume": True})
        ended = await self._watched(job, progress, preparing)
        return await self._finish(Trained(name=work.name), progress, ended)

    def _job(self, model: Path, begun: Begun, free: int) -> TrainJob:
        return TrainJob(
            plan=begun.plan,
            model=model,
            rows=self.work.rows,
            folder=self.work.path,
            memory_limit_bytes=int(SHARE * free),
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
            if not progress.saved:
                self.work.discard()
            elif isinstance(error, PunieError):
                going_on = f"the checkpoints are kept: punie train --resume {self.work.name}"
                error.hint = "; ".join(filter(None, (error.hint, going_on)))
            raise

    async def _run(
        self, job: TrainJob, progress: Progress, preparing: Callable[[], Awaitable[None]]
    ) -> Ended:
        with self.heard.draining(STOPPING) as stop:
            async with showing_training(progress, stop, quiet=self.wish.quiet):
                return await run_session(
                    MlxTraining(),
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
            steps = (f"to go on: punie train --resume {work.name}",)
            return replace(trained, progress=progress, stopped=True, next_steps=steps)
        begun = work.read_begun()
        chosen = await select(self.wish, self.settings, work, begun, progress)
        self._keep(progress, TrainingStatus.DONE, chosen=chosen)
        manifest = publish(work, begun, progress, chosen)
        steps = _next_steps(manifest)
        entry = None
        if goal := self.wish.journal or begun.goal:
            from punie.journal.training import write_training_entry

            entry = write_training_entry(self.settings.project, manifest, goal=goal)
            steps = (f"journal entry: {entry}", *steps)
        return replace(
            trained,
            manifest=manifest,
            adapter=work.adapter,
            progress=progress,
            entry=entry,
            next_steps=steps,
        )


def _progress(begun: Begun) -> Progress:
    return Progress(
        begun.plan.iterations,
        validates=Split.VALID in begun.data.splits,
        validate_every=begun.plan.validate_every,
    )


def _next_steps(manifest: AdapterManifest) -> tuple[str, ...]:
    return (
        f"measure it:   punie eval --adapter {manifest.name}",
        "and its base: punie eval"
        + (f" {manifest.suite}" if manifest.suite else " SUITE")
        + f" --model {manifest.base.name}",
    )
