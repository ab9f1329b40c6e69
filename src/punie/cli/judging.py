"""Having a finished run judged: who judges, what is left to judge, and what it comes to.

Judging is a step of its own after the run is done. The candidate's server is gone by then, and what
was judged is kept answer by answer, so an interrupted judging goes on where it was.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from punie.cli.judge_served import JudgeWish
from punie.cli.live import showing
from punie.cli.signals import Signals
from punie.errors import (
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_RUNTIME,
    EXIT_UNMEASURED,
    InputError,
    PunieError,
)
from punie.evaluation.run import Progress
from punie.judging.mark import Answered
from punie.records.judgement import (
    Judged,
    JudgeFault,
    JudgeFaultKind,
    Judgement,
    JudgeSummary,
    Rubric,
)
from punie.records.result import EvalResult
from punie.records.run import EvalReport, Run, RunStatus
from punie.records.suite import EvalPrompt
from punie.settings import Loaded
from punie.store.judgements import JudgementStore
from punie.store.runs import RunStore

if TYPE_CHECKING:
    from punie.cli.judge_at_work import AtWork


@dataclass(frozen=True, slots=True)
class JudgedRun:
    """A run with what its judge says, and how the judging ended."""

    run: Run
    summary: JudgeSummary | None = None
    """What this judge says; None where nobody judged."""
    stopped: bool = False
    """Somebody asked for its end."""
    gone: bool = False
    """The judge answered no more."""
    notes: tuple[str, ...] = field(default=())

    @property
    def exit_code(self) -> int:
        """The worst that happened decides, as `punie --help` lists it."""
        if self.stopped:
            return EXIT_INTERRUPTED
        if self.summary is None or not self.summary.judged:
            return EXIT_UNMEASURED
        return EXIT_RUNTIME if self.summary.faults or self.gone else EXIT_OK


async def judged_after(
    judge: JudgeWish | None,
    settings: Loaded,
    store: RunStore,
    report: EvalReport,
    heard: Signals,
) -> tuple[EvalReport, JudgedRun | None]:
    """The report of an eval after its judge, where it has one.

    Whatever befalls the judge, the run is measured and its numbers stand: what went wrong is a
    note, and the command that goes on.
    """
    if judge is None:
        return report, None
    try:
        judged = await judge_run(judge, settings, store, report.run, heard)
    except PunieError as error:
        what = "; ".join(filter(None, (error.message, error.hint)))
        run = report.run
        notes = (f"nobody judged: {what}", f"to have it judged: {judge.command(run.id)}")
        return report, JudgedRun(run, gone=True, notes=notes)
    return report.model_copy(update={"run": judged.run}), judged


async def judge_run(
    wish: JudgeWish, settings: Loaded, store: RunStore, run: Run, heard: Signals
) -> JudgedRun:
    """Have each answer of a finished run marked that the same judge has not marked yet.

    Raises InputError for a run or judge that cannot be, ModelError, ServerError or EndpointError
    where nobody judges, StoreError where nothing can be kept.
    """
    rubric = wish.rubric
    if run.status is not RunStatus.DONE:
        raise InputError(
            f"run {run.id} is not complete, so it is not judged yet",
            hint=f"punie eval --resume {run.id}, then: {wish.command(run.id)}",
        )
    rows = list(store.rows(run.id))
    answers = [(prompt, each) for prompt, each in rows if isinstance(each, EvalResult)]
    faulted = [prompt for prompt, each in rows if not isinstance(each, EvalResult)]
    if not answers:
        raise InputError(f"run {run.id} has no answer that could be judged")
    from punie.cli.judge_at_work import RunsCache, judge_at_work
    from punie.judging.prompt import marking, prompt_hash

    questions = (marking(rubric, prompt, each.completion).question for prompt, each in answers)
    with JudgementStore(settings.project) as kept:
        async with judge_at_work(
            wish,
            settings,
            (each.messages for each in questions),
            prompt_hash=prompt_hash(),
            log=store.run_folder(run.id) / "judge.log",
            cache=RunsCache(kept, [run.id]),
            heard=heard,
        ) as work:
            judging = _Judging(wish, settings, work, kept=kept, run=run, answers=answers)
            return await judging.done(store, rubric, faulted)


class _Judging:
    """One judging of one run, from what is known already to the numbers of all."""

    def __init__(
        self,
        wish: JudgeWish,
        settings: Loaded,
        work: "AtWork",
        *,
        kept: JudgementStore,
        run: Run,
        answers: list[Answered],
    ) -> None:
        self._wish = wish
        self._settings = settings
        self._work = work
        self._kept = kept
        self._run = run
        self._answers = answers
        self._identity = work.judge.identity
        known = kept.of_run(run.id, self._identity.key)
        self._judged: dict[tuple[str, int], Judged] = {
            key: each for key, each in known.items() if isinstance(each, Judgement)
        }

    async def done(
        self, store: RunStore, rubric: Rubric, faulted: Sequence[EvalPrompt]
    ) -> JudgedRun:
        """Ask what is left, keep each judgement as it comes, and the run's head at the end."""
        from punie.judging.mark import mark_all

        work = self._work
        left = [each for each in self._answers if _key(each) not in self._judged]
        before = len(self._answers) - len(left)
        progress = Progress(
            total=len(self._answers),
            done=before,
            done_before=before,
            in_flight=min(work.concurrency, len(left)),
            stop=work.stop,
        )

        def record(judged: Judged) -> None:
            self._kept.add(self._run.id, self._identity.key, judged)
            self._judged[judged.prompt_id, judged.repeat] = judged
            progress.done += 1
            progress.faults += isinstance(judged, JudgeFault)
            progress.in_flight = min(work.concurrency, progress.total - progress.done)

        try:
            async with showing(progress, quiet=self._wish.quiet or not left):
                whole = await mark_all(
                    left, rubric, work.judge, record, concurrency=work.concurrency
                )
        except asyncio.CancelledError:
            click.echo(f"to go on: {self._wish.command(self._run.id)}", err=True)
            raise
        finally:
            summary, run = self._summed(store, rubric, faulted)
        stopped = work.stop.is_set() and not whole
        gone = not (whole or stopped)
        notes = tuple(self._notes(summary, left=len(left), gone=gone))
        return JudgedRun(run, summary, stopped=stopped, gone=gone, notes=notes)

    def _summed(
        self, store: RunStore, rubric: Rubric, faulted: Sequence[EvalPrompt]
    ) -> tuple[JudgeSummary, Run]:
        """The numbers of all that is judged by now, and the run's head with them.

        A judge that gave no mark at all leaves the marks of another one there.
        """
        from punie.analysis.judged import judge_summary
        from punie.analysis.kinship import kinship
        from punie.datasets.names import LABELS
        from punie.judging.calibration_file import find_calibration, told

        pairs = [
            (answer[0], self._judged[_key(answer)])
            for answer in self._answers
            if _key(answer) in self._judged
        ]
        owed = [answer[0] for answer in self._answers if _key(answer) not in self._judged]
        calibration = find_calibration(self._settings.project / LABELS, self._identity)
        summary = judge_summary(
            pairs,
            judge=self._identity,
            rubric=rubric,
            answers=len(self._answers),
            unmarked=(*owed, *faulted),
            prices=self._work.prices,
            family=kinship(self._identity, self._run.model),
            calibrated=told(calibration),
        )
        run = store.find(self._run.id)
        if summary.judged or run.judged is None:
            run = run.model_copy(update={"judged": summary})
            store.update(run)
        return summary, run

    def _notes(self, summary: JudgeSummary, *, left: int, gone: bool) -> Iterator[str]:
        command = self._wish.command(self._run.id)
        if not left:
            yield "this judge has judged every answer of the run already; nothing was asked"
        owed = summary.answers - summary.judged
        if gone:
            yield "the judge answers no more"
        if JudgeFaultKind.CUT in summary.fault_kinds:
            yield "judgements were cut off: more max_tokens in the rubric give them room"
        if owed:
            of = f"{owed} of {summary.answers} answers"
            yield f"{of} have no marks; to ask for them: {command}"


def _key(answer: Answered) -> tuple[str, int]:
    return answer[0].id, answer[1].repeat
