"""Having a judge say what people have said already, and comparing the two."""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from punie.analysis.calibration import of_duels, of_marks, of_right, why_not
from punie.cli.judge_served import JudgeWish
from punie.datasets.names import LABELS
from punie.errors import InputError
from punie.judging.matches import AnswerPair, matches_of
from punie.judging.transcript import answer_of
from punie.records.base import digest
from punie.records.duel import DuelOutcome
from punie.records.judgement import Judged, Judgement, Rubric
from punie.records.labels import Agreement, Calibration, Label, LabelKind
from punie.records.result import EvalResult
from punie.records.suite import Message
from punie.reporting.numbers import counted
from punie.settings import Loaded
from punie.store.database import STATE_FOLDER
from punie.store.runs import RunStore

if TYPE_CHECKING:
    from punie.cli.judge_at_work import AtWork
    from punie.judging.mark import Answered

SEED = 0
"""Of the bootstrap."""


@dataclass(frozen=True, slots=True)
class _Work:
    """The labels of one run, or of one pair of runs, with the answers that they are about."""

    runs: tuple[str, ...]
    singles: list[tuple[Label, "Answered"]]
    pairs: list[tuple[Label, AnswerPair]]


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A calibration, where it is kept, and what was left out of it."""

    found: Calibration
    path: Path
    notes: tuple[str, ...] = ()
    whole: bool = True
    """Whether the judge was asked about every labelled answer."""
    stopped: bool = False


def calibrate(path: Path, wish: JudgeWish, settings: Loaded) -> Calibrated:
    """Ask the judge about each labelled answer, and keep how far it agrees with the labels.

    Raises InputError for labels, runs or a judge that cannot be, ModelError, ServerError or
    EndpointError where nobody judges. The second Ctrl-C raises KeyboardInterrupt.
    """
    from punie.judging.label_file import read_labels

    labels = read_labels(path)
    kind = _kind(path, labels, wish.rubric)
    with RunStore(settings.project) as store:
        works = [_work(store, run, against, labels) for run, against in _runs(labels)]
    if not any(each.singles or each.pairs for each in works):
        raise InputError(
            f"{path}: the runs do not have the answers that these labels are about",
            hint="labels belong to runs of one project; label again: punie label RUN",
        )
    where = os.path.relpath(path.resolve(), (settings.project / LABELS).resolve())
    try:
        return asyncio.run(_calibrate(where, works, labels, kind, wish=wish, settings=settings))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def _kind(path: Path, labels: list[Label], rubric: Rubric) -> LabelKind:
    if not labels:
        raise InputError(f"{path}: has no label", hint="punie label RUN --output FILE makes some")
    kinds = {each.kind for each in labels}
    if len(kinds) > 1:
        words = ", ".join(sorted(kinds))
        raise InputError(f"{path}: labels of several kinds: {words}", hint="one file for each kind")
    (kind,) = kinds
    if kind is LabelKind.MARKS and any(each.rubric_hash != rubric.hash for each in labels):
        raise InputError(
            f"{path}: these marks follow another rubric than the judge's, {rubric.name}",
            hint="give the rubric that they follow: --rubric FILE",
        )
    return kind


def _runs(labels: list[Label]) -> list[tuple[str, str | None]]:
    return list(dict.fromkeys((each.run, each.against) for each in labels))


def _work(store: RunStore, run: str, against: str | None, labels: list[Label]) -> _Work:
    """The labelled answers of one run or pair; a label of an answer that changed has none."""
    mine = [each for each in labels if (each.run, each.against) == (run, against)]
    if against is None:
        answers = {
            (prompt.id, prompt.hash, each.repeat): (prompt, each)
            for prompt, each in store.rows(store.find(run).id)
            if isinstance(each, EvalResult)
        }
        found = [
            (each, answers.get((each.prompt_id, each.prompt_hash, each.repeat))) for each in mine
        ]
        singles = [
            (label, answer)
            for label, answer in found
            if answer and _hash(answer[1]) == label.answer_hash
        ]
        return _Work((run,), singles, [])
    rows = (store.rows(store.find(each).id) for each in (against, run))
    matches = {(each.prompt.id, each.prompt.hash): each for each in matches_of(*rows).found}
    paired = [(each, matches.get((each.prompt_id, each.prompt_hash))) for each in mine]
    pairs = [
        (label, match)
        for label, match in paired
        if match
        and (_hash(match.current), _hash(match.base)) == (label.answer_hash, label.against_hash)
    ]
    return _Work((run, against), [], pairs)


def _hash(answer: EvalResult) -> str:
    return digest(answer_of(answer.completion))


async def _calibrate(
    labels_file: str,
    works: list[_Work],
    labels: list[Label],
    kind: LabelKind,
    *,
    wish: JudgeWish,
    settings: Loaded,
) -> Calibrated:
    from punie.cli.judge_at_work import RunsCache, judge_at_work
    from punie.cli.signals import signals
    from punie.judging.calibration_file import write_calibration
    from punie.judging.label_file import labels_hash
    from punie.serving.awake import awake
    from punie.store.judgements import JudgementStore

    runs = [run for each in works for run in each.runs]
    with awake(), signals() as heard, JudgementStore(settings.project) as store:
        async with judge_at_work(
            wish,
            settings,
            _questions(works, wish.rubric),
            prompt_hash=_prompt_hash(kind),
            log=settings.project / STATE_FOLDER / "judge.log",
            cache=RunsCache(store, runs),
            heard=heard,
        ) as judge:
            said = _Said(wish.rubric)
            whole = await said.ask(judge, works, quiet=wish.quiet)
    agreements = said.agreements(kind)
    reason = why_not(agreements)
    found = Calibration(
        judge=judge.judge.identity,
        kind=kind,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        labels_file=labels_file,
        labels_hash=labels_hash(labels),
        labels=len(labels),
        compared=said.compared,
        faults=said.faults,
        agreements=agreements,
        usable=not reason,
        why_not=reason,
        seed=SEED,
    )
    held = sum(len(each.singles) + len(each.pairs) for each in works)
    notes: list[str] = []
    if gone := len(labels) - held:
        labels_gone = counted(gone, "label")
        notes.append(f"left out, because its answer is gone or another: {labels_gone}")
    if not whole:
        left = counted(held - said.compared - said.faults, "labelled answer")
        notes.append(f"not judged: {left}")
    path = write_calibration(settings.project / LABELS, found)
    stopped = judge.stop.is_set() and not whole
    return Calibrated(found, path, tuple(notes), whole=whole, stopped=stopped)


def _prompt_hash(kind: LabelKind) -> str:
    from punie.judging import duel, prompt

    return duel.prompt_hash() if kind is LabelKind.DUEL else prompt.prompt_hash()


def _questions(works: list[_Work], rubric: Rubric) -> Iterator[tuple[Message, ...]]:
    from punie.judging.duel import choosing
    from punie.judging.prompt import marking

    for work in works:
        for _, (prompt, answer) in work.singles:
            yield marking(rubric, prompt, answer.completion).question.messages
        for _, match in work.pairs:
            base, current = match.base.completion, match.current.completion
            yield choosing(rubric, match.prompt, current, base).messages


class _Said:
    """What the judge says, beside what the labels say."""

    def __init__(self, rubric: Rubric) -> None:
        self._rubric = rubric
        self._marks: list[tuple[Label, dict[str, int]]] = []
        self._duels: list[tuple[Label, DuelOutcome]] = []
        self.faults = 0

    @property
    def compared(self) -> int:
        """Labels whose answer the judge said something of use of."""
        return len(self._marks) + len(self._duels)

    async def ask(self, work: "AtWork", works: list[_Work], *, quiet: bool) -> bool:
        """Ask about all labelled answers; whether all were asked about."""
        whole = True
        for each in works:
            whole = await self._ask_marks(work, each.singles, quiet=quiet) and whole
            whole = await self._ask_duels(work, each.pairs, quiet=quiet) and whole
        return whole

    async def _ask_marks(
        self, work: "AtWork", singles: list[tuple[Label, "Answered"]], *, quiet: bool
    ) -> bool:
        from punie.cli.live import showing
        from punie.evaluation.run import Progress
        from punie.judging.mark import mark_all

        judged: dict[tuple[str, int], Judged] = {}
        progress = Progress(total=len(singles), stop=work.stop)

        def record(one: Judged) -> None:
            judged[one.prompt_id, one.repeat] = one
            progress.done += 1

        answers = [answer for _, answer in singles]
        async with showing(progress, quiet=quiet or not singles):
            whole = await mark_all(
                answers, self._rubric, work.judge, record, concurrency=work.concurrency
            )
        for label, _ in singles:
            one = judged.get((label.prompt_id, label.repeat))
            if isinstance(one, Judgement):
                self._marks.append((label, one.marks))
            self.faults += one is not None and not isinstance(one, Judgement)
        return whole

    async def _ask_duels(
        self, work: "AtWork", pairs: list[tuple[Label, AnswerPair]], *, quiet: bool
    ) -> bool:
        from punie.cli.dueling import judged

        matches = [match for _, match in pairs]
        duels, whole = await judged(work, self._rubric, matches, quiet=quiet or not pairs)
        outcomes = {each.id: each.outcome for each in duels}
        for label, match in pairs:
            outcome = outcomes.get(match.prompt.id)
            if outcome is not None:
                self._duels.append((label, outcome))
            self.faults += match.prompt.id in outcomes and outcome is None
        return whole

    def agreements(self, kind: LabelKind) -> tuple[Agreement, ...]:
        """How far the two agree; nothing where the judge said nothing of use."""
        if not self.compared:
            return ()
        if kind is LabelKind.DUEL:
            outcomes = [(label.outcome, said) for label, said in self._duels if label.outcome]
            return of_duels(outcomes, seed=SEED)
        if kind is LabelKind.RIGHT:
            right = [(label.right is True, marks) for label, marks in self._marks]
            return of_right(self._rubric, right, seed=SEED)
        marked = [(label.marks, marks) for label, marks in self._marks if label.marks]
        return of_marks(self._rubric, marked, seed=SEED)
