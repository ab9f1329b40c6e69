"""Having a finished run judged: who judges, what is left to judge, and what it comes to.

Judging is a step of its own after the run is done. The candidate's server is gone by then, and what
was judged is kept answer by answer, so an interrupted judging goes on where it was.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

import click

from punie.cli.judge_served import JudgeWish, checked_judge, chosen_rubric, judge_served
from punie.cli.live import showing
from punie.cli.served import Served
from punie.cli.signals import Signals
from punie.cli.wish import Wish, chosen_concurrency
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
    JudgeIdentity,
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

STOPPING = "ending after the answers in flight; Ctrl-C again to end now (all is kept)"


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


def judge_of(wish: Wish, settings: Loaded) -> JudgeWish | None:
    """Who should judge an eval's answers, None for nobody; looked at before anything is asked.

    Raises InputError for a judge, or a rubric, that cannot be.
    """
    if wish.judge is None:
        for flag, value in (("--judge-model", wish.judge_model), ("--rubric", wish.rubric)):
            if value is not None:
                raise InputError(f"{flag} is for a judge", hint="say who judges with --judge")
        return None
    judge = JudgeWish(
        judge=wish.judge, model=wish.judge_model, rubric=wish.rubric, quiet=wish.quiet
    )
    checked_judge(judge, settings)
    chosen_rubric(judge.rubric)
    return judge


async def judged_after(
    wish: Wish, settings: Loaded, store: RunStore, report: EvalReport, heard: Signals
) -> tuple[EvalReport, JudgedRun | None]:
    """The report of an eval after its judge, where it has one.

    Whatever befalls the judge, the run is measured and its numbers stand: what went wrong is a
    note, and the command that goes on.
    """
    judge = judge_of(wish, settings)
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
    rubric = chosen_rubric(wish.rubric)
    checked_judge(wish, settings)
    if run.status is not RunStatus.DONE:
        raise InputError(
            f"run {run.id} is not complete, so it is not judged yet",
            hint=f"punie eval --resume {run.id}, then: {wish.command(run.id)}",
        )
    answers = [
        (prompt, each) for prompt, each in store.rows(run.id) if isinstance(each, EvalResult)
    ]
    if not answers:
        raise InputError(f"run {run.id} has no answer that could be judged")
    from punie.judging.prompt import marking

    questions = (marking(rubric, prompt, each.completion).question for prompt, each in answers)
    async with judge_served(
        wish,
        settings,
        store.run_folder(run.id) / "judge.log",
        (each.messages for each in questions),
        max_tokens=rubric.max_tokens,
    ) as service:
        with JudgementStore(settings.project) as kept:
            work = _Judging(
                wish,
                settings,
                service=service,
                kept=kept,
                run=run,
                rubric=rubric,
                answers=answers,
            )
            return await work.done(store, heard)


class _Judging:
    """One judging of one run, from what is known already to the numbers of all."""

    def __init__(
        self,
        wish: JudgeWish,
        settings: Loaded,
        *,
        service: Served,
        kept: JudgementStore,
        run: Run,
        rubric: Rubric,
        answers: list[Answered],
    ) -> None:
        from punie.judging.ask import identity_of
        from punie.judging.prompt import prompt_hash

        self._wish = wish
        self._service = service
        self._kept = kept
        self._run = run
        self._rubric = rubric
        self._answers = answers
        self._concurrency = chosen_concurrency(checked_judge(wish, settings)[0], settings)
        if service.memory is not None:
            self._concurrency = min(self._concurrency, service.memory.concurrency)
        self.identity: JudgeIdentity = identity_of(
            service.endpoint.identity, prompt_hash=prompt_hash(), rubric_hash=rubric.hash
        )
        known = kept.of_run(run.id, self.identity.key)
        self.judged: dict[tuple[str, int], Judged] = {
            key: each for key, each in known.items() if isinstance(each, Judgement)
        }

    async def done(self, store: RunStore, heard: Signals) -> JudgedRun:
        """Ask what is left, keep each judgement as it comes, and the run's head at the end."""
        from punie.judging.ask import Judge, forces_schema
        from punie.judging.mark import mark_all
        from punie.serving.client import ChatClient

        left = [each for each in self._answers if _key(each) not in self.judged]
        progress = Progress(total=len(self._answers), done=len(self._answers) - len(left))
        progress.done_before = progress.done

        def record(judged: Judged, key: str | None) -> None:
            self._record(judged, key)
            progress.done += 1
            progress.faults += isinstance(judged, JudgeFault)
            progress.in_flight = min(self._concurrency, progress.total - progress.done)

        whole, stopped = True, False
        try:
            if left:
                async with (
                    ChatClient(self._service.endpoint) as client,
                    showing(progress, quiet=self._wish.quiet),
                ):
                    with heard.draining(STOPPING) as stop:
                        progress.stop = stop
                        progress.in_flight = min(self._concurrency, len(left))
                        forced = await forces_schema(client)
                        judge = Judge(
                            client, self.identity, cache=self._kept, forced=forced, stop=stop
                        )
                        whole = await mark_all(
                            left, self._rubric, judge, record, concurrency=self._concurrency
                        )
                        stopped = stop.is_set() and not whole
        except asyncio.CancelledError:
            click.echo(f"to go on: {self._wish.command(self._run.id)}", err=True)
            raise
        finally:
            summary, run = self._summed(store)
        gone = not (whole or stopped)
        notes = tuple(self._notes(summary, left=len(left), gone=gone))
        return JudgedRun(run, summary, stopped=stopped, gone=gone, notes=notes)

    def _record(self, judged: Judged, key: str | None) -> None:
        if key is not None:
            self._kept.use(self._run.id, key)
        self._kept.add(self._run.id, self.identity.key, judged)
        self.judged[judged.prompt_id, judged.repeat] = judged

    def _summed(self, store: RunStore) -> tuple[JudgeSummary, Run]:
        """The numbers of all that is judged by now, and the run's head with them.

        A judge that gave no mark at all leaves the marks of another one there.
        """
        from punie.analysis.judged import judge_summary
        from punie.analysis.kinship import kinship

        pairs: list[tuple[EvalPrompt, Judged]] = [
            (answer[0], self.judged[_key(answer)])
            for answer in self._answers
            if _key(answer) in self.judged
        ]
        summary = judge_summary(
            pairs,
            judge=self.identity,
            rubric=self._rubric,
            answers=len(self._answers),
            prices=self._service.endpoint.prices,
            family=kinship(self.identity, self._run.model),
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
        if owed:
            of = f"{owed} of {summary.answers} answers"
            yield f"{of} have no marks; to ask for them: {command}"


def _key(answer: Answered) -> tuple[str, int]:
    return answer[0].id, answer[1].repeat
