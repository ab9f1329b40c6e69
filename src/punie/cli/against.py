"""`punie eval --against`: two arms, found or measured, and what they say together."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from punie.cli.against_plan import Aim, Plan, planned
from punie.cli.comparing import Match, contenders, exit_code, match, stored
from punie.cli.guards import own_suite
from punie.cli.measure import measure
from punie.cli.measured import Measured
from punie.cli.other_run import right_or_wrong
from punie.cli.output import err, safe
from punie.cli.planned_run import PlannedRun, age_of
from punie.cli.wish import Wish
from punie.evaluation.until_decided import UntilDecided
from punie.records.comparison import MARGIN
from punie.records.run import Run, RunStatus
from punie.reporting.comparison_wording import points
from punie.reporting.numbers import count, counted, percent_interval
from punie.reporting.wording import model_title
from punie.settings import Loaded
from punie.store.runs import RunStore

SUPPOSED_DISCORDANCE = 0.2
"""Of prompts that come out differently, before anything is known."""


@dataclass(frozen=True, slots=True)
class Contest:
    """What came of it: the run that was asked for, and the comparison where it came that far."""

    measured: Measured
    """The run that was asked for, or the one before it that did not come to its end."""
    found: Match | None = None
    code: int = 0
    """What the gate says, as an exit code."""
    warnings: tuple[str, ...] = ()
    page: Path | None = None
    entry: Path | None = None
    """The journal entry."""

    def as_json(self) -> dict[str, Any]:
        """The data of the command's JSON envelope."""
        found = self.found.compared.model_dump(mode="json") if self.found else None
        made = {
            "journal": str(self.entry) if self.entry else None,
            "page": str(self.page) if self.page else None,
        }
        return {**self.measured.as_json(), **made, "comparison": found}


async def measure_against(wish: Wish, settings: Loaded, aim: Aim) -> Contest:
    """Find or measure the base, measure the current arm, compare.

    One server runs at a time, but for `latency`. Whatever is cut short is gone on with when the
    same command is given again. Raises what `measure` does, and InputError for what cannot be
    compared, before anything is measured.
    """
    plan = planned(wish, settings, aim)
    if not wish.quiet:
        _tell(plan)
    for title, arm in plan.guards:
        _, measured = await _had(arm, title)
        if measured and not is_whole(measured):
            return Contest(measured)
    if aim.latency:
        from punie.cli.timed_pair import measure_pair

        assert plan.base is not None
        theirs, ours = await measure_pair(plan.base, plan.current)
        return _compared(ours, theirs.report.run.id, plan) if is_whole(ours) else Contest(ours)
    base = plan.other
    if plan.base is not None:
        run, measured = await _had(plan.base, "base")
        if measured and not is_whole(measured):
            return Contest(measured)
        base = run.id
    assert base is not None
    measured = await _current(plan.current, _known(base, plan) if aim.until_decided else None)
    return _compared(measured, base, plan) if is_whole(measured) else Contest(measured)


def _known(base: str, plan: Plan) -> dict[str, bool]:
    with contenders(plan.settings) as among:
        return right_or_wrong(among.find(base).rows())


def _tell(plan: Plan) -> None:
    """What this number of prompts can show, before any is asked."""
    from punie.analysis.power import required_n, smallest_detectable
    from punie.analysis.unpassable import facts_of_suite, unpassable

    notes = err()
    if plan.gates:
        suites = {arm.suite.name: arm.suite for _, arm in plan.guards}
        facts = [facts_of_suite(each) for each in (plan.current.suite, *suites.values())]
        own, _ = own_suite(plan.current.model, plan.settings.project)
        for line in unpassable(plan.gates, facts, own_suite=own):
            notes.print(safe(f"cannot pass: {line}"), style="yellow", soft_wrap=True)
    scored = sum(any(prompt.expect) for prompt in plan.current.suite.prompts)
    if scored and not plan.aim.until_decided:
        effect = smallest_detectable(scored, SUPPOSED_DISCORDANCE)
        needed = required_n(MARGIN, SUPPOSED_DISCORDANCE)
        finer = f"; one of {points(MARGIN)} takes {count(needed)}" if scored < needed else ""
        notes.print(
            f"{counted(scored, 'prompt')}: a true difference of {points(effect)} would be found"
            f" four times out of five, if one in five comes out differently{finer}",
            markup=False,
            soft_wrap=True,
        )


async def _had(arm: PlannedRun, title: str) -> tuple[Run, Measured | None]:
    """The run of an arm: one that is there, the rest of one that was cut short, or a new one."""
    with RunStore(arm.settings.project) as store:
        if found := arm.complete(store):
            score = found.summary.score if found.summary else None
            told = f"{title}: run {found.id} of {age_of(found)} ago, {percent_interval(score)}"
            _note(arm.wish, told)
            return found, None
        begun = arm.unfinished(store, faults=True)
    measured = await _measured(arm, begun, None)
    return measured.report.run, measured


async def _current(arm: PlannedRun, known: dict[str, bool] | None) -> Measured:
    """Measure the arm that was asked for. That it was measured before is no reason not to."""
    decide = None
    with RunStore(arm.settings.project) as store:
        begun = arm.unfinished(store)
    if known is not None:
        from punie.analysis.sequential import decided

        decide = UntilDecided(arm.suite.prompts, known, decided)
    measured = await _measured(arm, begun, decide)
    if decide is None or not is_whole(measured):
        return measured
    asked, total = measured.report.summary.prompts, len(arm.suite.prompts)
    flips = f"{decide.gained} gained, {decide.lost} lost"
    if decide.after is None:
        told = f"not decided: all {counted(total, 'prompt')} asked, {flips}"
    else:
        told = (
            f"decided after {counted(decide.after, 'prompt')} ({flips}): "
            f"{count(total - asked)} of {count(total)} saved"
        )
    return replace(measured, warnings=(told, *measured.warnings))


async def _measured(arm: PlannedRun, begun: Run | None, decide: UntilDecided | None) -> Measured:
    """Measure an arm, or what is left of a run that was begun."""
    wish = arm.wish
    what = f"{model_title(arm.model)} on {arm.suite.name}"
    if begun is None:
        _note(wish, f"measuring {what}")
    else:
        _note(wish, f"going on with {what}: run {begun.id}, begun {age_of(begun)} ago")
        wish = Wish(
            resume=begun.id,
            url=wish.url,
            checks=wish.checks,
            output=wish.output,
            judge=wish.judge,
            judge_model=wish.judge_model,
            rubric=wish.rubric,
            quiet=wish.quiet,
            argv=wish.argv,
        )
    return await measure(wish, arm.settings, decide)


def is_whole(measured: Measured) -> bool:
    """Whether a run came to its end, so that it can be compared."""
    run = measured.report.run
    return run.status is RunStatus.DONE and bool(measured.report.summary.answered)


def _compared(measured: Measured, base: str, plan: Plan) -> Contest:
    """Compare, and write what a comparison leaves behind."""
    from punie.cli.compare_output import write_journal, write_page

    project = plan.settings.project
    with contenders(plan.settings) as among:
        store = among.store
        ours = stored(store, store.find(measured.report.run.id))
        theirs = among.find(base)
        found = match(theirs, ours, plan.gates, project=project, how=plan.how, store=store)
        code, warning = exit_code(
            [found.compared],
            gated=plan.gates is not None,
            fail_on_regression=plan.aim.fail_on_regression,
        )
        page, unwritten = write_page(found, store)
        entry = write_journal(found, plan.settings, plan.goal) if plan.goal else None
    warnings = tuple(line for line in (warning, unwritten) if line)
    return Contest(measured, found, code, warnings, page, entry)


def _note(wish: Wish, text: str) -> None:
    if not wish.quiet:
        err().print(safe(text), style="bold", soft_wrap=True)
