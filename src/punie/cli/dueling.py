"""Having a judge say, prompt by prompt, which of two runs answered better.

Both runs are done, so no candidate's server is up: a judge of our own has the memory for itself.
What it says is kept by content; the same command goes on with a judging that was interrupted.
"""

import asyncio
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from punie.analysis.compared import ruled
from punie.analysis.gate_judge import JudgeWord
from punie.cli.comparing import Contender, Match
from punie.cli.judge_known import known_of
from punie.cli.judge_served import JudgeWish
from punie.errors import (
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_RUNTIME,
    EXIT_UNMEASURED,
    InputError,
)
from punie.records.compared import Compared
from punie.records.duel import Duel, DuelSummary
from punie.records.judgement import Rubric
from punie.settings import Loaded

if TYPE_CHECKING:
    from punie.cli.judge_at_work import AtWork, RunsCache
    from punie.judging.matches import AnswerPair, Matches


class DuelRun(NamedTuple):
    """What a judge says of two runs, and how the judging ended."""

    summary: DuelSummary
    stopped: bool = False
    """Somebody asked for its end."""
    gone: bool = False
    """The judge answered no more."""

    @property
    def exit_code(self) -> int:
        """The worst that happened, as `punie --help` lists it."""
        if self.stopped:
            return EXIT_INTERRUPTED
        if self.summary.overall.faults and self.summary.overall.judged == self.summary.equal:
            return EXIT_UNMEASURED  # a tie of equal answers is no word of the judge
        return EXIT_RUNTIME if self.gone or self.summary.overall.faults else EXIT_OK


class _Pair(NamedTuple):
    """Two runs, and which of their answers stand against each other."""

    base: Contender
    current: Contender
    matches: "Matches"


def duelled(wish: JudgeWish, settings: Loaded, matches: Sequence[Match]) -> tuple[list[Match], int]:
    """The matches with what the judge says of each, and what their gates make of it.

    With the exit code of the judging that ended worst.

    Once somebody asked for an end, or the judge is gone, the others are left as they are.
    """
    found: list[Match] = []
    code = EXIT_OK
    runs = duel_runs(wish, settings, [(each.base, each.current) for each in matches])
    for each, run in zip(matches, runs, strict=False):
        found.append(replace(each, compared=_ruled(each, run.summary, settings.project)))
        code = max(code, run.exit_code)
    return [*found, *matches[len(runs) :]], code


def _ruled(match: Match, duel: DuelSummary, project: Path) -> Compared:
    known = known_of(match.gates, match.current.run, duel, project)
    word = JudgeWord(duel, known)
    return ruled(match.compared, match.gates, own_suite=match.own_suite, word=word)


def duel_runs(
    wish: JudgeWish, settings: Loaded, pairs: Sequence[tuple[Contender, Contender]]
) -> list[DuelRun]:
    """Serve or connect the judge once, and have the answers of each two runs judged in both orders.

    Once somebody asked for an end, or the judge is gone, what follows is left out. Raises
    InputError for runs or a judge that cannot be, ModelError, ServerError or EndpointError where
    nobody judges. The second Ctrl-C raises KeyboardInterrupt.
    """
    paired = [_Pair(base, current, _matches(base, current)) for base, current in pairs]
    try:
        return asyncio.run(_duel(wish, settings, paired))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def _matches(base: Contender, current: Contender) -> "Matches":
    from punie.judging.matches import matches_of

    for each in (base, current):
        if not each.words:
            raise InputError(
                f"run {each.run.id} comes without its answers, so nobody can judge them",
                hint="compare runs of the project's database, or write entries with journal.text",
            )
    matches = matches_of(base.rows(), current.rows())
    if not matches.found:
        raise InputError(
            f"{base.run.id} and {current.run.id} have no prompt that both answered",
            hint="run both on one suite",
        )
    return matches


async def _duel(wish: JudgeWish, settings: Loaded, pairs: Sequence[_Pair]) -> list[DuelRun]:
    from punie.cli.judge_at_work import judge_at_work
    from punie.cli.signals import signals
    from punie.judging.duel import choosing, prompt_hash
    from punie.serving.awake import awake

    questions = (
        choosing(wish.rubric, each.prompt, each.base.completion, each.current.completion).messages
        for pair in pairs
        for each in pair.matches.found
    )
    project = settings.project
    runs: list[DuelRun] = []
    with awake(), signals() as heard, _cache(project, _stored(*pairs)) as cache:
        async with judge_at_work(
            wish,
            settings,
            questions,
            prompt_hash=prompt_hash(),
            log=_log(project, pairs[0].current),
            cache=cache,
            heard=heard,
        ) as work:
            for pair in pairs:
                cache.runs = _stored(pair)
                duels, whole = await judged(work, wish.rubric, pair.matches.found, quiet=wish.quiet)
                stopped = work.stop.is_set() and not whole
                summary = _summary(duels, pair, work, project)
                runs.append(DuelRun(summary, stopped=stopped, gone=not (whole or stopped)))
                if not whole:
                    break
    return runs


async def judged(
    work: "AtWork",
    rubric: Rubric,
    matches: "list[AnswerPair]",
    *,
    quiet: bool,
) -> tuple[list[Duel], bool]:
    """The duels in the order of their matches, and whether all were judged."""
    from punie.cli.live import showing
    from punie.evaluation.run import Progress
    from punie.judging.duel import judge_duels

    duels: dict[str, Duel] = {}
    progress = Progress(total=len(matches), stop=work.stop)
    progress.in_flight = min(work.concurrency, len(matches))

    def record(duel: Duel) -> None:
        duels[duel.id] = duel
        progress.done += 1
        progress.faults += duel.fault is not None
        progress.in_flight = min(work.concurrency, progress.total - progress.done)

    async with showing(progress, quiet=quiet):
        whole = await judge_duels(matches, rubric, work.judge, record, concurrency=work.concurrency)
    in_order = [duels[each.prompt.id] for each in matches if each.prompt.id in duels]
    return in_order, whole


def _summary(duels: list[Duel], pair: _Pair, work: "AtWork", project: Path) -> DuelSummary:
    from punie.analysis.duel import summarize
    from punie.analysis.kinship import kinship
    from punie.analysis.spending import cost_of
    from punie.datasets.names import LABELS
    from punie.judging.calibration_file import find_calibration, told

    identity = work.judge.identity
    calibration = find_calibration(project / LABELS, identity)
    kin = [kinship(identity, each.run.model) for each in (pair.current, pair.base)]
    matches = pair.matches
    left = len(matches.found) - len(duels)
    summary = summarize(duels, judge=identity, unanswered=matches.unanswered, unasked=left)
    of = f"{left} of {len(matches.found)} pairs"
    return summary.model_copy(
        update={
            "cost": cost_of(summary.duels, work.prices),
            "family": next(filter(None, kin), ""),
            "calibrated": told(calibration),
            "warnings": (
                *([f"{of} were not judged; the same command goes on"] if left else []),
                *summary.warnings,
            ),
        }
    )


def _stored(*pairs: _Pair) -> list[str]:
    """The runs among these that lie in the project, each once."""
    runs = (each for pair in pairs for each in (pair.base, pair.current))
    return list(dict.fromkeys(each.run.id for each in runs if each.stored))


@contextmanager
def _cache(project: Path, runs: Sequence[str]) -> "Generator[RunsCache]":
    from punie.cli.judge_at_work import RunsCache
    from punie.store.judgements import JudgementStore

    if not runs:
        yield RunsCache(None, ())
        return
    with JudgementStore(project) as store:
        yield RunsCache(store, runs)


def _log(project: Path, current: Contender) -> Path:
    from punie.store.database import STATE_FOLDER

    folder = project / STATE_FOLDER
    return (folder / "runs" / current.run.id if current.stored else folder) / "judge.log"
