"""A gate's bounds on a judge's word, by hand: what holds, what fails, and what nobody may know."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.analysis.calibration import of_duels, of_marks, of_right, why_not
from punie.analysis.duel import summarize
from punie.analysis.gate import apply_gates
from punie.analysis.gate_judge import JudgeWord
from punie.analysis.judged import judge_summary
from punie.analysis.unpassable import SuiteFacts, unpassable
from punie.records.comparison import Comparison
from punie.records.duel import Duel, DuelOutcome, DuelSummary
from punie.records.gate import GateReport, Gates, JudgeGate, Verdict
from punie.records.judgement import JudgeFaultKind, JudgeIdentity
from punie.records.labels import Agreement, Calibration, LabelKind
from run_pairs import SMALL, a_prompt, a_run, adapted, compared, rows_of
from synthetic_judgement import JUDGE, RUBRIC, a_judge_fault, a_judgement

PASS, FAIL, OPEN = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
WIN, LOSS, TIE = DuelOutcome.WIN, DuelOutcome.LOSS, DuelOutcome.TIE
LEVELS = (WIN, LOSS, TIE)


def duel(*outcomes: DuelOutcome | None, **changed: Any) -> DuelSummary:
    """What a judge said of so many pairs; None is a fault of its own."""
    duels = [
        Duel(
            id=f"p{at:03}",
            hash=f"h-p{at:03}",
            outcome=outcome,
            current_first=outcome,
            base_first=outcome,
            fault=JudgeFaultKind.PROSE if outcome is None else None,
        )
        for at, outcome in enumerate(outcomes)
    ]
    return summarize(duels, judge=JUDGE, **changed)


def all_of(number: int) -> dict[str, int]:
    """The same mark for everything."""
    return {each.name: 1 + number % 5 for each in RUBRIC.dimensions}


def calibration(kind: LabelKind = LabelKind.DUEL, *, wrong: int = 0, n: int = 60) -> Calibration:
    """A judge that says what a person says, but for some labels."""
    found: tuple[Agreement, ...]
    if kind is LabelKind.DUEL:
        pairs = [(LEVELS[at % 3], LEVELS[(at + (at < wrong)) % 3]) for at in range(n)]
        found = of_duels(pairs, seed=0)
    else:
        marks = [(all_of(at), all_of(at + 2 * (at < wrong))) for at in range(n)]
        if kind is LabelKind.MARKS:
            found = of_marks(RUBRIC, marks, seed=0)
        else:
            right = [(at % 5 > 2, other) for at, (_, other) in enumerate(marks)]
            found = of_right(RUBRIC, right, seed=0)
    reason = why_not(found)
    return Calibration(
        judge=JUDGE,
        kind=kind,
        made_at="2026-11-21T10:00:00+00:00",
        labels_hash="l" * 64,
        labels=n,
        compared=n,
        agreements=found,
        usable=not reason,
        why_not=reason,
    )


def two(number: int = 60, **current: Any) -> Comparison:
    """Two runs that scored the same."""
    rows = rows_of([1] * number)
    return compared(rows, rows, runs=(a_run(), adapted(**current)))


def held(bound: float, said: DuelSummary | None, *known: Calibration) -> GateReport:
    """A win rate of this bound."""
    gates = Gates(judge=JudgeGate(win_rate_percent=bound), source="gates.yaml")
    return apply_gates(gates, [two()], word=JudgeWord(said, known))


@pytest.mark.parametrize(
    ("outcomes", "bound", "verdict"),
    [
        # 48 of 60: Wilson's 95 % interval is 68.2 to 88.2 %.
        ([WIN] * 48 + [LOSS] * 12, 68, PASS),
        ([WIN] * 48 + [LOSS] * 12, 69, OPEN),
        ([WIN] * 48 + [LOSS] * 12, 88, OPEN),
        ([WIN] * 48 + [LOSS] * 12, 89, FAIL),
        # A tie is half: 36 won and 24 tied are 80 % too.
        ([WIN] * 36 + [TIE] * 24, 68, PASS),
        ([TIE] * 60, 50, OPEN),
        # Seven pairs decide nothing, whatever they say.
        ([WIN] * 7, 50, OPEN),
        ([WIN] * 8, 50, PASS),
    ],
)
def test_a_win_rate(outcomes: list[DuelOutcome], bound: float, verdict: Verdict) -> None:
    report = held(bound, duel(*outcomes), calibration())
    (result,) = report.results
    assert (result.name, result.verdict, report.verdict) == ("judge: win rate", verdict, verdict)


def test_it_is_said_in_words_with_its_numbers() -> None:
    (result,) = held(69, duel(*[WIN] * 40, *[LOSS] * 4, *[TIE] * 16), calibration()).results
    assert result.asked == "wins more than 69 % of the pairs, ties as half"
    assert result.found.startswith("80.0 %, between 68.2 % and 88.2 %")
    assert result.found.endswith("40 won, 4 lost, 16 tied")
    assert result.why == "60 prompts tell too little"
    assert result.more_prompts is not None


@pytest.mark.parametrize(
    ("known", "why"),
    [
        ((), "nobody compared this judge with people on pairs of answers: punie label current"),
        ((calibration(LabelKind.MARKS),), "nobody compared this judge with people on pairs"),
        ((calibration(LabelKind.RIGHT),), "nobody compared this judge with people on pairs"),
        ((calibration(n=49),), "49 labels are too few to gate: 50 are needed: punie label current"),
        ((calibration(wrong=40),), "its lower bound is"),
        (
            (calibration().model_copy(update={"judge": JUDGE.model_copy(update={"model": "b"})}),),
            "nobody compared",
        ),
        ((calibration().model_copy(update={"stale": "its labels changed"}),), "its labels changed"),
        # A flag says nothing against the numbers beside it.
        ((calibration(wrong=40).model_copy(update={"usable": True}),), "its lower bound is"),
    ],
)
@pytest.mark.parametrize("outcome", [WIN, LOSS])
def test_a_judge_that_people_do_not_bear_out_decides_nothing(
    known: tuple[Calibration, ...], why: str, outcome: DuelOutcome
) -> None:
    report = held(50, duel(*[outcome] * 60), *known)
    (result,) = report.results
    assert report.verdict is OPEN
    assert why in result.why
    assert "--against base, then punie judge calibrate LABELS --judge …" in result.why
    assert result.found.endswith("tied")


def test_without_a_duel_the_command_is_told() -> None:
    report = held(50, None, calibration())
    (result,) = report.results
    assert (result.found, result.verdict) == ("not judged", OPEN)
    assert "punie compare base current --gate gates.yaml --judge …" in result.why


def test_pairs_that_nobody_judged_count_both_ways() -> None:
    """48 of 60 hold 65 %; with 6 faults as lost, 48 of 66 are between 61.0 and 82.0 %."""
    won = [WIN] * 48 + [LOSS] * 12
    assert held(65, duel(*won), calibration()).verdict is PASS
    for said in (duel(*won, *[None] * 6), duel(*won, unasked=6)):
        (result,) = held(65, said, calibration()).results
        assert result.verdict is OPEN
        assert "with 6 pairs that nobody judged as lost 72.7 %" in result.why
        assert result.why.endswith("this would pass: the same command asks the judge again")
        assert held(60, said, calibration()).verdict is PASS
        # As won, 54 of 66 are at most 89.3 %.
        assert held(89, duel(*won), calibration()).verdict is FAIL
        assert held(89, said, calibration()).verdict is OPEN
        assert held(91, said, calibration()).verdict is FAIL
    (result,) = held(65, duel(*won, unanswered=6), calibration()).results
    assert result.why.endswith("this would pass: a run has no answer to them")


def test_a_judge_that_says_nothing_decides_nothing() -> None:
    (result,) = held(50, duel(*[None] * 60), calibration()).results
    assert (result.verdict, result.found) == (OPEN, "not judged")


def test_pairs_of_one_passage_are_not_as_many() -> None:
    said = duel(*[WIN] * 48, *[LOSS] * 12)
    grouped = [replace(each, group=f"g{at // 10}") for at, each in enumerate(said.duels)]
    assert held(65, summarize(grouped, judge=JUDGE), calibration()).verdict is OPEN
    assert held(65, summarize(grouped, judge=JUDGE, unasked=1), calibration()).verdict is OPEN


@given(
    outcomes=st.lists(st.sampled_from([WIN, LOSS, TIE, None]), min_size=1, max_size=60),
    unasked=st.integers(0, 20),
    bound=st.integers(1, 99),
)
def test_what_is_decided_stays_so_whatever_the_judge_had_said(
    outcomes: list[DuelOutcome | None], unasked: int, bound: int
) -> None:
    verdict = held(bound, duel(*outcomes, unasked=unasked), KNOWN).verdict
    for rest in (WIN, LOSS):
        whole = duel(*[each or rest for each in outcomes], *[rest] * unasked)
        if verdict is not OPEN:
            assert held(bound, whole, KNOWN).verdict is verdict


KNOWN = calibration()


def marked(
    marks: Sequence[int | None], *, judge: JudgeIdentity = JUDGE, lost: int = 0
) -> Comparison:
    """Two runs, the second with these marks; None is a fault of the judge, `lost` of the run."""
    prompts = [a_prompt(f"p{at:03}") for at in range(len(marks) + lost)]
    said = [
        (prompt, a_judge_fault(prompt.id) if mark is None else a_judgement(prompt.id, mark))
        for prompt, mark in zip(prompts, marks, strict=False)
    ]
    summary = judge_summary(
        said, judge=judge, rubric=RUBRIC, answers=len(marks), unmarked=prompts[len(marks) :]
    )
    done = SMALL.model_copy(update={"answered": len(marks)})
    return two(len(marks), judged=summary, summary=done)


def of_older_punie() -> Comparison:
    """Marks with a fault of the judge, of a record that does not say what it may have cost."""
    comparison = marked([*([5] * 60), None])
    judged = comparison.current.judged
    assert judged is not None
    older = judged.model_copy(update={"at_worst": None, "at_best": None})
    current = comparison.current.model_copy(update={"judged": older})
    return comparison.model_copy(update={"current": current})


def scored(bound: float, comparison: Comparison, *known: Calibration) -> GateReport:
    """A score of this bound."""
    gates = Gates(judge=JudgeGate(score_percent=bound))
    return apply_gates(gates, [comparison], word=JudgeWord(None, known))


MARKS = calibration(LabelKind.MARKS)


@pytest.mark.parametrize(("bound", "verdict"), [(68, PASS), (69, OPEN), (88, OPEN), (89, FAIL)])
def test_a_score(bound: float, verdict: Verdict) -> None:
    """48 of 60 with the highest marks, the others with the lowest: 80 %, 68.2 to 88.2."""
    report = scored(bound, marked([5] * 48 + [1] * 12), MARKS)
    assert [each.name for each in report.results] == ["judge: score"]
    assert report.verdict is verdict


def test_answers_without_marks_count_both_ways() -> None:
    """With six more at the lowest 72.7 %, at least 61.0; at the highest at most 89.3."""
    best = [5] * 48 + [1] * 12
    for comparison, again in (
        (marked([*best, *[None] * 6]), "punie judge run current --judge …"),
        (marked(best, lost=6), "punie eval --resume current"),
    ):
        (result,) = scored(65, comparison, MARKS).results
        assert result.verdict is OPEN
        assert "with the lowest marks for what has none 72.7 %" in result.why
        assert result.why.endswith(f"Without them this would pass: {again}")
        assert scored(60, comparison, MARKS).verdict is PASS
        assert scored(89, comparison, MARKS).verdict is OPEN
        assert scored(91, comparison, MARKS).verdict is FAIL


@pytest.mark.parametrize(
    ("comparison", "known", "why"),
    [
        (two(), MARKS, "no judge marked the current run: punie judge run current --judge …"),
        (marked([None] * 60), MARKS, "no judge marked the current run"),
        (of_older_punie(), MARKS, "what has no marks was not counted: punie judge run current"),
        (marked([5] * 60), calibration(), "nobody compared this judge with people on marks"),
        (marked([5] * 60), calibration(LabelKind.RIGHT), "people on marks: punie label current,"),
        (marked([5] * 60), calibration(LabelKind.MARKS, n=20), "gates nothing on marks, 20 labels"),
        (
            two(judged=marked([5] * 60).current.judged, summary=SMALL),
            MARKS,
            "the run has other answers than were judged",
        ),
    ],
)
def test_marks_that_nobody_may_rest_on(
    comparison: Comparison, known: Calibration, why: str
) -> None:
    (result,) = scored(50, comparison, known).results
    assert result.verdict is OPEN
    assert why in result.why


def test_a_run_that_ended_early_is_not_its_suite() -> None:
    comparison = marked([5] * 60)
    early = comparison.current.model_copy(update={"decided_after": 60})
    stopped = comparison.model_copy(update={"current": early, "stopped_early": True})
    gates = Gates(judge=JudgeGate(win_rate_percent=50, score_percent=50))
    word = JudgeWord(duel(*[WIN] * 60), (calibration(), MARKS))
    assert apply_gates(gates, [comparison], word=word).verdict is PASS
    results = apply_gates(gates, [stopped], word=word).results
    assert [each.verdict for each in results] == [OPEN, OPEN]
    assert all("ended when a test had decided" in each.why for each in results)


def test_what_so_few_prompts_cannot_pass_is_said_first() -> None:
    """n of n has a lower end of n / (n + 3.84): 98 % takes 189, and more than 50 % takes 4."""
    gates = Gates(judge=JudgeGate(win_rate_percent=50, score_percent=98))
    few, some, many = (
        unpassable(gates, [SuiteFacts(name="a", categories={}, prompts=n)]) for n in (3, 24, 189)
    )
    assert few[0] == "judge: a win rate of more than 50 % needs 4 prompts, all won; there are 3"
    there = "needs 189 prompts, all with the highest marks; there are 24"
    assert some == (f"judge: a score of 98 % {there}",)
    assert many == ()
