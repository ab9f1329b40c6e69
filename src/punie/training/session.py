"""One worker, from its job to its last word, while its rows are still being prepared."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing

from punie.backends.base import TrainingBackend
from punie.backends.gpu import WITHOUT_GPU
from punie.errors import ModelError, PunieError, TrainingError
from punie.records.training import Ended, Failed, FailureKind, TrainEvent, TrainJob

SHOWN_ROWS = 8
HINTS = {
    FailureKind.DEVICE: WITHOUT_GPU,
    FailureKind.MEMORY: (
        "shorten the rows (max_length), lower batch_size or layers, set gradient_checkpointing, "
        "or take a smaller model"
    ),
    FailureKind.NOT_FINITE: "lower the learning rate, or look at the rows that are named",
    FailureKind.DISK: "free some disk space; the last checkpoint is whole",
    FailureKind.RESUME: "go on with what it was begun with, or begin again under another name",
    FailureKind.DATA: "look at the rows that are named",
}


async def run_session(
    backend: TrainingBackend,
    job: TrainJob,
    *,
    prepare: Callable[[], Awaitable[None]],
    watch: Callable[[TrainEvent], None],
    places: Callable[[Sequence[int]], Sequence[str]],
    stop: asyncio.Event | None = None,
) -> Ended:
    """Run `job` to its end and give its last event; `watch` sees every event first.

    `prepare` runs side by side with the worker's loading of the model, and ends by putting the rows
    where the job says: the worker begins there. Whatever it raises ends the worker, and is raised.
    Raises TrainingError or ModelError for what the worker could not do; `places` turns positions of
    training rows into `file:line`.
    """
    preparing = asyncio.ensure_future(prepare())
    try:
        async with aclosing(backend.train(job, stop=stop)) as events:
            async for event in _until_prepared(events, preparing):
                watch(event)
                if isinstance(event, Failed):
                    raise failure(event, places(event.rows))
                if isinstance(event, Ended):
                    return event
    finally:
        preparing.cancel()
        await asyncio.gather(preparing, return_exceptions=True)
    raise TrainingError("the training worker ended without a word")


async def _until_prepared(
    events: AsyncGenerator[TrainEvent], preparing: "asyncio.Future[None]"
) -> AsyncGenerator[TrainEvent]:
    """The events, as long as what is prepared meanwhile does not fail."""
    while not preparing.done():
        coming = asyncio.ensure_future(anext(events, None))
        try:
            await asyncio.wait({coming, preparing}, return_when=asyncio.FIRST_COMPLETED)
            if preparing.done():
                preparing.result()
            event = await coming
        except BaseException:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
            raise
        if event is None:
            return
        yield event
    preparing.result()
    async for event in events:
        yield event


def failure(event: Failed, places: Sequence[str] = ()) -> PunieError:
    """The error for a worker's last word, with the rows that it happened in."""
    hint = HINTS.get(event.what, "")
    if event.what is FailureKind.MODEL:
        return ModelError(event.message, hint="check the model, or the plan's keys and layers")
    within = event.what in {FailureKind.NOT_FINITE, FailureKind.DATA}
    at = f" {'in' if within else 'after'} iteration {event.step}" if event.step else ""
    shown = [f"  {place}" for place in places[:SHOWN_ROWS]]
    lines = [f"the training could not go on{at}: {event.message}", *shown]
    return TrainingError("\n".join(lines), hint=hint)
