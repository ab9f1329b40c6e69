"""What is no answer to a gate's question: a part of a suite, or prompts asked in another way."""

from typing import Any

import pytest

from punie.analysis.gate import apply_gates
from punie.analysis.gate_wording import points_apart, told_apart
from punie.analysis.pairing import arm_of, pair, refusal
from punie.records.comparison import Comparison, Word
from punie.records.gate import GateResult, Gates, SliceGate, SuiteGate, Verdict
from punie.records.run import Run, RunStatus
from punie.records.suite import Sampling
from punie.reporting.comparison_wording import ended_early
from run_pairs import SMALL, Rows, a_prompt, a_run, adapted, an_answer, cells, compared, rows_of

PASS, FAIL, OPEN = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
GAINED = rows_of([0.0] * 40), rows_of([1.0] * 40)
ASKED = SuiteGate(suite="greenhouse", minimum_gain_points=0, floor_percent=80)


def held(comparison: Comparison, bounds: SuiteGate = ASKED) -> list[GateResult]:
    """The results of one target."""
    return list(apply_gates(Gates(targets=(bounds,)), [comparison]).results)


def gained(*, base: dict[str, Any] | None = None, **current: Any) -> Comparison:
    """40 prompts gained, between runs with these heads."""
    return compared(*GAINED, runs=(a_run(**(base or {})), adapted(**current)))


def test_a_whole_suite_passes() -> None:
    assert [each.verdict for each in held(gained())] == [PASS, PASS]


@pytest.mark.parametrize(
    ("heads", "told"),
    [
        ({"selection": {"category": "easy"}}, "the current run asked only category easy"),
        ({"base": {"selection": {"role": "coder"}}}, "the base run asked only role coder"),
        ({"status": RunStatus.INTERRUPTED}, "the current run did not come to its end"),
    ],
)
def test_a_part_of_a_suite_leaves_its_bounds_open(heads: dict[str, Any], told: str) -> None:
    for each in held(gained(**heads)):
        assert each.verdict is OPEN
        assert told in each.why


def test_a_drawn_sample_stands_for_its_suite() -> None:
    selection = {"sample": "40", "seed": "0"}
    comparison = gained(selection=selection, base={"selection": selection})
    assert [each.verdict for each in held(comparison)] == [PASS, PASS]


def test_a_slice_of_a_part_is_whole() -> None:
    bounds = SuiteGate(
        suite="greenhouse", slices=(SliceGate(category="general", minimum_gain_points=0),)
    )
    comparison = gained(selection={"category": "general"})
    assert [each.verdict for each in held(comparison, bounds)] == [PASS]


def _lacking() -> tuple[Rows, Rows]:
    base, current = GAINED
    return [
        *base,
        *((a_prompt(f"q{at}"), an_answer(a_prompt(f"q{at}"), 1.0)) for at in range(9)),
    ], current


def test_prompts_of_the_base_that_are_missing_or_changed_leave_bounds_open() -> None:
    base, current = _lacking()
    for each in held(compared(base, current, how="intersected")):
        assert each.verdict is OPEN
        assert "lacks 9 prompts of the base" in each.why
    other = a_prompt("q0", words="in other words")
    changed = compared(base[:41], [*current, (other, an_answer(other, 0.0))], how="intersected")
    assert "1 prompt changed since the base" in held(changed)[0].why


def test_must_pass_prompts_that_were_perhaps_left_out_are_no_pass() -> None:
    rows = rows_of([1.0] * 20, must_pass=True)
    for chosen in ({"category": "easy"}, {"sample": "20", "seed": "0"}):
        comparison = compared(rows, rows, runs=(a_run(), adapted(selection=chosen)))
        (result,) = apply_gates(Gates(), [comparison]).results
        assert (result.name, result.verdict) == ("greenhouse: must pass", OPEN)
    failed = rows_of([1.0] * 19 + [0.0], must_pass=True)
    comparison = compared(rows, failed, runs=(a_run(), adapted(selection={"category": "easy"})))
    assert apply_gates(Gates(), [comparison]).verdict is FAIL


@pytest.mark.parametrize(
    ("heads", "what"),
    [
        ({"sampling": Sampling(temperature=1.5, max_tokens=8)}, "max_tokens"),
        ({"tools_mode": "prompt"}, "tools mode"),
    ],
)
def test_prompts_asked_in_another_way_decide_nothing(heads: dict[str, Any], what: str) -> None:
    gain, floor = held(gained(base=heads))
    assert gain.verdict is OPEN
    assert what in gain.why
    assert floor.verdict is PASS  # it is of the current run alone


def test_a_seed_that_is_never_sent_differs_in_nothing() -> None:
    assert held(gained(base={"sampling": Sampling(seed=7)}))[0].verdict is PASS


def test_two_samples_of_different_suites_tell_nothing_of_the_models() -> None:
    heads = a_run(suite_name="hardest", suite_hash="f2" * 32), adapted()
    comparison = compared(*GAINED, how="unpaired", runs=heads)
    gain, _ = held(comparison)
    assert (gain.verdict, "suite" in gain.why) == (OPEN, True)
    collected = a_run(suite_name="collected interactions", suite_hash=""), adapted()
    assert held(compared(*GAINED, how="unpaired", runs=collected))[0].verdict is PASS


def _early(base: Rows, current: Rows) -> list[GateResult]:
    asked = SuiteGate(suite="greenhouse", minimum_gain_points=0)
    heads = a_run(), adapted(decided_after=len(current), selection={"order": "seed 0"})
    return held(compared(base, current, runs=heads), asked)


def test_a_category_that_was_not_asked_leaves_an_early_end_open() -> None:
    """37 prompts of one category, and none of the other: nothing is known of their mean."""
    unasked = [
        (a_prompt(f"b{at}", category="b"), an_answer(a_prompt(f"b{at}"), 1.0)) for at in range(9)
    ]
    base, current = rows_of([0.0] * 37, category="a"), rows_of([1.0] * 37, category="a")
    (gain,) = _early([*base, *unasked], current)
    assert (gain.verdict, gain.why) == (
        OPEN,
        "not every category was asked: ask the whole suite",
    )
    assert _early(base, current)[0].verdict is PASS


def test_prompts_of_one_group_are_one_flip_of_an_early_end() -> None:
    base, current = rows_of([0.0] * 10, group="passage"), rows_of([1.0] * 10, group="passage")
    assert _early(base, current)[0].verdict is OPEN
    heads = a_run(), adapted(decided_after=10, selection={"order": "seed 0"})
    comparison = compared(base, current, runs=heads)
    assert comparison.word is Word.UNCLEAR
    assert "not even the direction" in ended_early(comparison)
    alone = compared(rows_of([0.0] * 10), rows_of([1.0] * 10), runs=heads)
    assert alone.word is Word.BETTER
    assert "the direction stands" in ended_early(alone)


def test_worse_is_decided_later_than_better() -> None:
    """An unchanged model fails in 1 % of cases: eight flips are too few, nine are enough."""
    for lost, verdict in ((8, OPEN), (9, FAIL)):
        assert _early(rows_of([1.0] * lost), rows_of([0.0] * lost))[0].verdict is verdict


def test_a_run_that_could_have_ended_early_is_held_to_stricter_bounds() -> None:
    """6 of 40 gained and 1 lost pass once, and not as the second try after the test's."""
    base, current = cells(20, 6, 1, 13)
    asked = SuiteGate(suite="greenhouse", minimum_gain_points=0)
    for selection, verdict in (({}, PASS), ({"order": "seed 0"}, OPEN)):
        heads = a_run(), adapted(selection=selection)
        assert (
            held(compared(rows_of(base), rows_of(current), runs=heads), asked)[0].verdict is verdict
        )


def test_labels_that_changed_must_give_the_same_verdict_as_those_before() -> None:
    """50 of 200 lost, one of which must pass; with their weight taken away nothing is lost."""
    base = rows_of([1.0] * 200, must_pass=True)
    current = [*rows_of([1.0] * 150), *rows_of([1.0] * 150 + [0.0] * 50, weight=0.0)[150:]]
    bounds = SuiteGate(suite="greenhouse", margin_points=5)
    gate = Gates(guards=(bounds,))
    same = compared(base, rows_of([1.0] * 150 + [0.0] * 50, must_pass=True))
    assert [each.verdict for each in apply_gates(gate, [same]).results] == [FAIL, FAIL]
    comparison = compared(base, current)
    margin, must_pass = apply_gates(gate, [comparison]).results
    assert (margin.verdict, must_pass.verdict) == (OPEN, FAIL)
    assert "with its labels −25.0 points" in margin.why
    assert comparison.scored == 150
    assert comparison.discordance is not None
    assert comparison.discordance.lost == 0
    assert comparison.flips == ()


def test_a_slice_that_was_labelled_anew_is_held_to_its_labels_before() -> None:
    base = rows_of([0.0] * 40)
    current = rows_of([1.0] * 40, category="easy")
    bounds = SuiteGate(
        suite="greenhouse",
        minimum_gain_points=0,
        slices=(SliceGate(category="easy", minimum_gain_points=0),),
    )
    whole, easy = held(compared(base, current), bounds)
    assert (whole.verdict, easy.verdict) == (PASS, OPEN)


def test_must_pass_prompts_that_nobody_scored_are_no_pass() -> None:
    rows = [*rows_of([1.0] * 20), (a_prompt("q", must_pass=True), an_answer(a_prompt("q"), None))]
    (result,) = apply_gates(Gates(), [compared(rows, rows)]).results
    assert (result.verdict, result.why) == (OPEN, "not scored: q")


def test_memory_that_is_known_of_some_runs_alone_is_not_known() -> None:
    rows = rows_of([1.0] * 20)
    unread = SMALL.model_copy(update={"peak_memory_bytes": None})
    known = compared(rows, rows)
    unknown = compared(rows, rows, runs=(a_run(), adapted(summary=unread)))
    for bound, verdicts in ((10, (PASS, OPEN)), (5, (FAIL, FAIL))):
        gate = Gates(memory_gb=bound)
        assert apply_gates(gate, [known]).verdict is verdicts[0]
        assert apply_gates(gate, [known, unknown]).verdict is verdicts[1]


def test_what_decides_is_written_so_that_it_differs_from_the_bound() -> None:
    assert told_apart(12.04, 12) == "12.04"
    assert told_apart(12, 12) == told_apart(12.0, 12) == "12"
    assert told_apart(11.9, 12) == "11.9"
    rows = rows_of([1.0] * 20)
    beyond = SMALL.model_copy(update={"peak_memory_bytes": 10_000_100_000})
    comparison = compared(rows, rows, runs=(a_run(), adapted(summary=beyond)))
    (memory,) = apply_gates(Gates(memory_gb=10), [comparison]).results
    assert (memory.verdict, memory.found) == (FAIL, "10.0001 GB at its peak")
    assert points_apart(0.0003, 0) == "+0.03"
    assert points_apart(-0.04996, -0.05) == "−4.996"
    assert points_apart(-0.05, -0.05) == "−5.0"
    assert points_apart(0.102, 0) == "+10.2"


def test_so_few_prompts_that_nothing_is_decided_cannot_pass() -> None:
    bounds = SuiteGate(suite="greenhouse", minimum_gain_points=0, margin_points=80)
    report = apply_gates(
        Gates(targets=(bounds,)), [compared(rows_of([0.0] * 7), rows_of([1.0] * 7))]
    )
    assert [each.verdict for each in report.results] == [OPEN, OPEN]
    assert len(report.unpassable) == 2
    assert "needs 8 prompts, all gained; there are 7" in report.unpassable[0]


def test_a_run_is_not_compared_with_itself() -> None:
    run: Run = a_run()
    rows = rows_of([1.0] * 20)
    refused = refusal(run, run, pair(arm_of(rows), arm_of(rows)))
    assert refused is not None
    assert "cannot be compared with itself" in str(refused)
