"""`punie eval --latency`: two models served at once and asked in turns."""

import contextlib
from collections.abc import Generator

from punie.cli.checked import checked
from punie.cli.live import showing
from punie.cli.measure import head_of
from punie.cli.measured import Measured, finish
from punie.cli.planned_run import PlannedRun
from punie.cli.served import local_model, served
from punie.cli.signals import Signals, signals
from punie.errors import StoreError
from punie.evaluation.run import Progress, new_run_id
from punie.evaluation.side_by_side import Side, run_side_by_side
from punie.records.run import Run, RunStatus
from punie.serving.awake import awake
from punie.store.runs import RunStore
from punie.store.writer import OutcomeWriter

ENDING = "ending after the request in flight; times need both runs whole, so none can be compared"


async def measure_pair(base: PlannedRun, current: PlannedRun) -> tuple[Measured, Measured]:
    """Time two arms side by side; both are runs of their own, and know each other.

    Raises ModelError, with the numbers, where both do not fit into memory at once.
    """
    with awake(), signals() as heard:
        require_both_fit(base, current)
        with RunStore(current.settings.project) as store:
            store.require_room()
            ids = new_run_id(), new_run_id()
            with store.lock(ids[0]), store.lock(ids[1]):
                runs = await _asked(base, current, ids, store, heard)
                theirs, ours = (
                    finish(arm.wish, arm.settings, store, store.report(run))
                    for arm, run in zip((base, current), runs, strict=True)
                )
                return theirs, ours


def require_both_fit(base: PlannedRun, current: PlannedRun) -> None:
    """Raise ModelError where both models at once take more memory than is free."""
    from punie.backends.preflight import require_room_for_all

    models = [local_model(arm.wish, arm.settings) for arm in (base, current)]
    require_room_for_all(
        [(each.path, each.adapter) for each in models], current.suite, how=models[0].how
    )


async def _asked(
    base: PlannedRun, current: PlannedRun, ids: tuple[str, str], store: RunStore, heard: Signals
) -> tuple[Run, Run]:
    """Serve both, check both, then ask them in turns."""
    logs = [store.run_folder(each) / "server.log" for each in ids]
    async with contextlib.AsyncExitStack() as stack:
        heads: list[Run] = []
        services = [
            await stack.enter_async_context(served(arm.wish, arm.settings, log, arm.suite))
            for arm, log in zip((base, current), logs, strict=True)
        ]
        for arm, service, run_id, other in zip(
            (base, current), services, ids, reversed(ids), strict=True
        ):
            run = head_of(arm.wish, arm.settings, arm.suite, service.endpoint, run_id)
            run = await checked(arm.wish, arm.settings, arm.suite, service, run)
            heads.append(run.model_copy(update={"timed_with": other}))
        for arm, run in zip((base, current), heads, strict=True):
            store.create(run, arm.suite)
        with _settled(store, heads):
            progress = Progress(total=2 * len(current.suite.prompts))
            writers = [
                await stack.enter_async_context(OutcomeWriter(store, run.id)) for run in heads
            ]
            first, second = (
                Side(service.endpoint, run, writer.write, writer.update)
                for service, run, writer in zip(services, heads, writers, strict=True)
            )
            async with showing(progress, quiet=current.wish.quiet):
                with heard.draining(ENDING) as stop:
                    progress.stop = stop
                    runs = await run_side_by_side(
                        current.suite, (first, second), progress=progress, stop=stop
                    )
            for run in runs:
                store.update(run)
            return runs


@contextlib.contextmanager
def _settled(store: RunStore, heads: list[Run]) -> Generator[None]:
    """Whatever happens, the heads of both runs say that they did not come to their end."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(StoreError):
            for each in heads:
                head = store.find(each.id)
                numbers = {"status": RunStatus.INTERRUPTED, "summary": store.numbers(head)}
                store.update(head.model_copy(update=numbers))
        raise
