"""Entries of comparisons: both runs prompt by prompt, the training between them, the verdict.

The verdict itself is not kept: it is made anew from the rows and the gate whenever it is read.
"""

import platform
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from punie.analysis.calibration import kappa_of, why_not
from punie.analysis.compared import Versus, compared_of
from punie.analysis.duel import settled, summarize
from punie.analysis.gate_judge import JudgeWord
from punie.analysis.pairing import Arm, How, Paired, pair
from punie.errors import InputError
from punie.journal.entry import GOAL_LENGTH
from punie.journal.folder import COMPARISON
from punie.journal.note import Doubt, NoteKind, NoteRecord, write_note
from punie.journal.recompute import same
from punie.journal.side_numbers import side_doubts
from punie.journal.side_row import ArmName, SideRow, side_rows
from punie.journal.training import private
from punie.records.adapter import AdapterManifest
from punie.records.base import Record
from punie.records.compared import Compared
from punie.records.duel import DuelOutcome, DuelSummary
from punie.records.gate import Gates
from punie.records.labels import Calibration
from punie.records.run import Run
from punie.reporting import comparison_wording as words
from punie.reporting.comparison_charts import charts_of_comparison
from punie.reporting.comparison_markdown import comparison_markdown
from punie.reporting.escaping import code, escape
from punie.reporting.loss_chart import loss_chart
from punie.reporting.numbers import counted, short_hash
from punie.reporting.privacy import Privacy
from punie.reporting.svg import Chart
from punie.reporting.training_markdown import training_markdown
from punie.text import one_line


class TwoRuns(Record):
    """The heads of one pair of runs."""

    base: Run
    current: Run


class ComparisonRecord(NoteRecord):
    """The content of `comparison.json`."""

    runs: tuple[TwoRuns, ...]
    """The pair that was compared first, then those of the gate's other suites."""
    rows: tuple[SideRow, ...]
    gates: Gates
    how: How = "paired"
    own_suite: str | None = None
    missing: tuple[str, ...] = ()
    training: AdapterManifest | None = None
    """Of the adapter that was compared, where punie made it."""
    duel: DuelSummary | None = None
    """What a judge said of the two runs' answers, without its words."""
    calibrations: tuple[Calibration, ...] = ()
    """What was known against people of the judges that the gate asks about."""

    @cached_property
    def compared(self) -> Compared:
        """The comparison, made from the rows."""
        versus = [
            Versus(two.base, two.current, self._paired(at)) for at, two in enumerate(self.runs)
        ]
        return compared_of(
            versus,
            self.gates,
            own_suite=self.own_suite,
            missing=self.missing,
            word=JudgeWord(self.duel, self.calibrations),
        )

    def _paired(self, number: int) -> Paired:
        return pair(self.arm(number, "base"), self.arm(number, "current"), self.how)

    def arm(self, number: int, arm: ArmName) -> Arm:
        """The rows of one run."""
        return tuple(each.asked() for each in self.rows if each.pair == number and each.arm == arm)


class ComparisonKind(NoteKind[ComparisonRecord]):
    """What is written of a comparison."""

    file = COMPARISON
    rows = "rows"
    noun = "comparison"
    record = ComparisonRecord

    def front(self, record: ComparisonRecord) -> dict[str, JsonValue]:
        """Shares have four decimals."""
        compared = record.compared
        first = compared.comparisons[0]
        base, current, gap = first.base, first.current, first.score
        data = record.training.data if record.training else None
        return {
            "base_model": one_line(base.model.name, GOAL_LENGTH),
            "model": one_line(current.model.name, GOAL_LENGTH),
            "adapter": _name(current.model.adapter),
            "suite": _versioned(current.suite_name, current.suite_hash),
            "dataset": _versioned(data.name, data.hash) if data else None,
            "baseline": base.id,
            "run": current.id,
            "difference": round(gap.value, 4) if gap else None,
            "interval": [round(gap.low, 4), round(gap.high, 4)] if gap else None,
            "word": first.word.value if first.word else None,
            "gate": one_line(record.gates.name, GOAL_LENGTH),
            "verdict": compared.gate.verdict.value if compared.gate else None,
            "decision": compared.decision.action.value if compared.decision else None,
        }

    def results(self, record: ComparisonRecord) -> str:
        """The verdict with its evidence, and the training that led to it."""
        parts = [comparison_markdown(record.compared)]
        if record.training:
            parts += ["### The training between them", training_markdown(record.training)]
        return "\n\n".join(parts)

    def charts(self, record: ComparisonRecord) -> dict[str, Chart]:
        """Differences, flips, scores of both, and the training's losses."""
        charts = charts_of_comparison(record.compared)
        training = record.training
        if training and training.training.losses:
            title = f"Loss of {one_line(training.name, 40)}"
            losses = loss_chart(
                training.training.losses, kept=training.chosen.step, title=title, standalone=True
            )
            charts["loss.svg"] = Chart("Loss by iteration; the kept checkpoint is marked", losses)
        return charts

    def doubts(self, record: ComparisonRecord) -> Iterator[Doubt]:
        """What in the heads does not follow from the rows."""
        for at, runs in enumerate(record.runs):
            yield from side_doubts(runs.base, record.arm(at, "base"))
            yield from side_doubts(runs.current, record.arm(at, "current"))
        if record.duel:
            yield from _duel_doubts(record.duel)
        for each in record.calibrations:
            yield from _calibration_doubts(each)
        training, current = record.training, record.runs[0].current
        if training and training.adapter_hash != current.model.adapter_hash:
            what = f"training made {short_hash(training.adapter_hash)}, "
            what += f"the run measured {short_hash(current.model.adapter_hash)}"
            yield Doubt("training", what)

    def done(self, record: ComparisonRecord) -> str:
        """Both runs, and the training."""
        first = record.compared.comparisons[0]
        base, current = words.titles(first)
        suite, prompts = escape(words.suite_of(first)), counted(first.scored, "prompt")
        lines = [
            f"- Compared {escape(current)} with {escape(base)} on {suite}: {prompts}.",
            f"- Base run {code(first.base.id)}, current run {code(first.current.id)}.",
        ]
        if record.training:
            plan, steps = record.training.plan, record.training.training.steps
            lines.append(
                f"- Between them: {code(record.training.name)}, {counted(steps, 'iteration')} of "
                f"{counted(plan.batch_size, 'row')} on {code(record.training.data.name)}."
            )
        if record.entry.supersedes:
            lines.append(f"- Replaces the entry {code(record.entry.supersedes)}.")
        return "\n".join(lines)

    def command(self, record: ComparisonRecord) -> str:
        """Both runs' own, in the order of time."""
        first = record.runs[0]
        ordered = sorted((first.base, first.current), key=lambda run: run.created_at)
        training = record.training.provenance.command if record.training else ""
        commands = [training, *(run.provenance.command for run in ordered)]
        return "\n".join(dict.fromkeys(each for each in commands if each))


COMPARISON_KIND = ComparisonKind()


def _versioned(name: str, digest: str) -> str:
    return f"{one_line(name, GOAL_LENGTH)}@{short_hash(digest)}"


def _name(adapter: str | None) -> str | None:
    return one_line(adapter, GOAL_LENGTH) if adapter else None


def _duel_doubts(duel: DuelSummary) -> Iterator[Doubt]:
    """What is said of the duels follows from each of them; its cost and kin are taken as stated."""
    for each in duel.duels:
        if each.current_first and each.base_first:
            follows = settled(each.current_first, each.base_first)
        else:
            follows = DuelOutcome.TIE if each.equal else None
        if each.outcome is not follows:
            yield Doubt("duel", f"{one_line(each.id)} is {each.outcome}, its orders give {follows}")
    anew = summarize(duel.duels, judge=duel.judge, unanswered=duel.unanswered, unasked=duel.unasked)
    stated = ("warnings", "cost", "family", "calibrated")
    told = {name: getattr(duel, name) for name in stated}
    if anew.model_copy(update=told) != duel:
        yield Doubt("duel", "its numbers do not follow from its duels")


def _calibration_doubts(found: Calibration) -> Iterator[Doubt]:
    """Whether a gate may rest on a judge follows from kappa, and kappa from its table."""
    for each in found.agreements:
        if not same(each.kappa, kappa_of(each)):
            yield Doubt("calibrations", f"kappa of {one_line(each.name)} does not follow")
    reason = why_not(found.agreements)
    if (found.usable, found.why_not) != (not reason, reason):
        yield Doubt("calibrations", f"usable is {found.usable}, its numbers give {not reason}")


def write_comparison_entry(
    project: Path,
    versus: Sequence[Versus],
    gates: Gates,
    *,
    how: How,
    goal: str,
    own_suite: str | None = None,
    missing: tuple[str, ...] = (),
    training: AdapterManifest | None = None,
    duel: DuelSummary | None = None,
    calibrations: Sequence[Calibration] = (),
    supersedes: str | None = None,
) -> Path:
    """Write a comparison into the journal as a new entry and return the entry's folder.

    Raises InputError for an empty goal or an unknown entry to replace, JournalError where the runs
    contradict their rows, and StoreError where the journal cannot be written.
    """
    if not versus:
        raise InputError("there is no comparison to journal")
    privacy = Privacy(root=project, home=Path.home(), host=platform.node())
    runs = tuple(
        TwoRuns(base=privacy.run(each.base), current=privacy.run(each.current)) for each in versus
    )
    rows: list[SideRow] = []
    for at, each in enumerate(versus):
        rows += side_rows(at, "base", each.paired.base)
        rows += side_rows(at, "current", each.paired.current)

    def make(common: Mapping[str, Any]) -> ComparisonRecord:
        return ComparisonRecord(
            **common,
            runs=runs,
            rows=tuple(rows),
            gates=gates.model_copy(update={"source": privacy.text(gates.source)}),
            how=how,
            own_suite=own_suite,
            missing=tuple(privacy.text(each) for each in missing),
            training=private(training, project) if training else None,
            duel=privacy.duel(duel) if duel else None,
            calibrations=tuple(privacy.calibration(each) for each in calibrations),
        )

    return write_note(COMPARISON_KIND, project, make, goal=goal, supersedes=supersedes, now=None)
