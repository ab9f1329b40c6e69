"""A judge's word held against a gate: which run's answers it prefers, and the marks that it gives.

A judge that nobody held against people, or that agrees with them too little, decides nothing:
neither a pass nor a fail. What has no word of the judge counts both ways.
"""

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from punie.analysis.calibration import why_not
from punie.analysis.comparable import asked_otherwise, only_part
from punie.analysis.duel import win_rate_if
from punie.analysis.gate_bounds import more_for_floor
from punie.analysis.gate_wording import found_estimate
from punie.analysis.rule import holds_floor, holds_win_rate, under_both
from punie.records.comparison import Comparison
from punie.records.duel import DuelSummary
from punie.records.gate import GateResult, JudgeGate, Verdict
from punie.records.judgement import JudgeIdentity
from punie.records.labels import Calibration, LabelKind
from punie.records.summary import Estimate
from punie.sizes import counted
from punie.text import one_line

Rule = Callable[[Estimate, float], Verdict]
WHO = "--judge …"
STOPPED = "a run ended when a test had decided, so its answers are not those of the suite"


@dataclass(frozen=True, slots=True)
class JudgeWord:
    """What a judge said pair by pair, and what is known of judges against people."""

    duel: DuelSummary | None = None
    calibrations: tuple[Calibration, ...] = ()


@dataclass(frozen=True, slots=True)
class _Readings:
    """What a judge's word comes to: as it is, and with what has none against and for the run."""

    found: Estimate
    worst: Estimate
    best: Estimate
    both: str
    """The last two in words."""
    again: str
    """What has the judge asked about the rest."""


def judge_results(
    gate: JudgeGate, comparison: Comparison, word: JudgeWord, source: str
) -> Iterator[GateResult]:
    """Yield each bound on a judge's word; marks are those of the comparison's current run.

    `source` is where the gate comes from, for the command that asks a judge.
    """
    if gate.win_rate_percent is not None:
        yield _win_rate(gate.win_rate_percent, comparison, word, source)
    if gate.score_percent is not None:
        yield _score(gate.score_percent, comparison, word.calibrations)


def _win_rate(percent: float, comparison: Comparison, word: JudgeWord, source: str) -> GateResult:
    name, asked = "judge: win rate", f"wins more than {percent:g} % of the pairs, ties as half"
    base, current, duel = comparison.base.id, comparison.current.id, word.duel
    if duel is None:
        words = ["punie", "compare", base, current, "--gate", source]
        why = f"no judge was asked which answers are better: {_command(words)} {WHO}"
        return _open(name, asked, "not judged", why)
    overall = duel.overall
    found, worst, best = overall.win_rate, win_rate_if(duel, 0.0), win_rate_if(duel, 1.0)
    if found is None or worst is None or best is None:
        return _open(name, asked, "not judged", "the judge gave no usable word on any pair")
    told = f"{found_estimate(found)}; {overall.wins:,} won, {overall.losses:,} lost"
    told += f", {overall.ties:,} tied"
    labelling = ["punie", "label", current, "--against", base]
    untrusted = _untrusted(duel.judge, LabelKind.DUEL, word.calibrations, labelling)
    stopped = STOPPED if comparison.stopped_early else ""
    why = untrusted or stopped or only_part(comparison) or asked_otherwise(comparison)
    if why:
        return _open(name, asked, told, why)
    lacking = counted(overall.faults + duel.unasked + duel.unanswered, "pair")
    owes = overall.faults or duel.unasked
    readings = _Readings(
        found,
        worst,
        best,
        f"with {lacking} that nobody judged as lost {found_estimate(worst)}; "
        f"as won {found_estimate(best)}",
        "the same command asks the judge again" if owes else "a run has no answer to them",
    )
    return _held(_open(name, asked, told, ""), readings, holds_win_rate, percent / 100)


def _score(
    percent: float, comparison: Comparison, calibrations: Sequence[Calibration]
) -> GateResult:
    run = comparison.current
    name, asked = "judge: score", f"is given at least {percent:g} % of the marks"
    judging = f"{_command(['punie', 'judge', 'run', run.id])} {WHO}"
    judged = run.judged
    if judged is None or judged.score is None:
        return _open(name, asked, "not judged", f"no judge marked the current run: {judging}")
    told = found_estimate(judged.score)
    if run.summary is None or judged.answers != run.summary.answered:
        why = f"the run has other answers than were judged: {judging}"
        return _open(name, asked, told, why)
    if judged.at_worst is None and (judged.judged < judged.answers or run.summary.faults):
        # An older punie kept only the mean of what has marks.
        return _open(name, asked, told, f"what has no marks was not counted: {judging}")
    labelling = ["punie", "label", run.id]
    untrusted = _untrusted(judged.judge, LabelKind.MARKS, calibrations, labelling)
    why = untrusted or (STOPPED if run.decided_after is not None else only_part(comparison))
    if why:
        return _open(name, asked, told, why)
    worst, best = judged.at_worst or judged.score, judged.at_best or judged.score
    readings = _Readings(
        judged.score,
        worst,
        best,
        f"with the lowest marks for what has none {found_estimate(worst)}; "
        f"with the highest {found_estimate(best)}",
        judging
        if judged.judged < judged.answers
        else _command(["punie", "eval", "--resume", run.id]),
    )
    return _held(_open(name, asked, told, ""), readings, holds_floor, percent / 100)


def _held(result: GateResult, said: _Readings, rule: Rule, bound: float) -> GateResult:
    """The verdict that stands whatever the judge had said where it said nothing."""
    verdict = under_both(rule(said.worst, bound), rule(said.best, bound))
    why, more = said.both if said.worst != said.best else "", None
    if verdict is Verdict.INCONCLUSIVE:
        alone = rule(said.found, bound)
        if alone is not verdict:
            why += f". Without them this would {alone.value}: {said.again}"
        else:
            more = more_for_floor(said.found, bound)
            why = why or f"{counted(said.found.n, 'prompt')} tell too little"
    return result.model_copy(update={"verdict": verdict, "why": why, "more_prompts": more})


def _untrusted(
    judge: JudgeIdentity, kind: LabelKind, calibrations: Sequence[Calibration], labelling: list[str]
) -> str:
    """Why no bound may rest on this judge, with the commands that change it; empty where one may.

    Labels must be of the same kind as what the judge is asked: who tells the better of two answers
    as people do may still give other marks.
    """
    what = "pairs of answers" if kind is LabelKind.DUEL else "marks"
    commands = f"{_command(labelling)}, then punie judge calibrate LABELS {WHO}"
    known = [each for each in calibrations if each.judge == judge and each.kind is kind]
    if not known:
        return f"nobody compared this judge with people on {what}: {commands}"
    reason = known[0].stale or why_not(known[0].agreements)
    if reason:
        return f"this judge gates nothing on {what}, {reason}: {commands}"
    return ""


def _command(words: Sequence[str]) -> str:
    return shlex.join(one_line(word) for word in words)


def _open(name: str, asked: str, found: str, why: str) -> GateResult:
    return GateResult(name=name, asked=asked, found=found, verdict=Verdict.INCONCLUSIVE, why=why)
