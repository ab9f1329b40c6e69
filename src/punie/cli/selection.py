"""Which checkpoint becomes the adapter: the one with the lowest loss, or the best on a suite."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from punie.errors import TrainingError
from punie.records.adapter import Chosen
from punie.records.run import RunStatus
from punie.settings import Loaded
from punie.training.progress import Progress
from punie.training.publish import candidate
from punie.training.work import Begun, WorkFolder

if TYPE_CHECKING:
    from punie.cli.trained import TrainWish


async def select(
    wish: "TrainWish", settings: Loaded, work: WorkFolder, begun: Begun, progress: Progress
) -> Chosen:
    """The checkpoint to keep; of equal ones the earliest.

    By a suite, every checkpoint that was validated is served and asked; each is a run that is kept.
    Raises TrainingError where the suite could not be asked to its end: the training is whole, and
    goes on with that when it is resumed.
    """
    by_loss = progress.chosen()
    if begun.select_by is None:
        return by_loss
    from punie.suites.catalog import find_suite

    suite = find_suite(begun.select_by, settings.project)
    steps = sorted(by_loss.candidates or {each.step for each in progress.saved})
    scores: dict[int, float] = {}
    for number, step in enumerate(steps, 1):
        if not wish.quiet:
            click.echo(f"checkpoint {number} of {len(steps)}: iteration {step}", err=True)
        folder = candidate(work, step)
        scores[step] = await _score(wish, settings, begun, folder)
    best = max(steps, key=lambda step: (scores[step], -step))
    return Chosen(
        step=best,
        by=suite.name,
        value=scores[best],
        suite_hash=suite.hash,
        prompts=tuple(sorted(prompt.hash for prompt in suite.prompts)),
        candidates=scores,
    )


async def _score(wish: "TrainWish", settings: Loaded, begun: Begun, folder: Path) -> float:
    from punie.cli.measure import measure
    from punie.cli.wish import Wish

    values = settings.values
    journal = values.journal.model_copy(update={"entries": "never"})
    quietly = replace(settings, values=values.model_copy(update={"journal": journal}))
    asked = Wish(
        suite=begun.select_by,
        model=wish.model or begun.base.name,
        adapter=folder,
        backend=begun.backend,
        checks=False,
        quiet=wish.quiet,
        argv=wish.argv,
    )
    report = (await measure(asked, quietly)).report
    summary = report.summary
    if report.run.status is not RunStatus.DONE or summary.score is None or summary.faults:
        raise TrainingError(
            f"the checkpoint {folder.name} was not measured to the end",
            hint=f"the training is kept; to choose again: punie train --resume {begun.name}",
        )
    return summary.score.value
