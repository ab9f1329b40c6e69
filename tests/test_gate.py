"""Gates held against comparisons, on examples that can be reckoned by hand."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie.analysis.compare import compare
from punie.analysis.gate import apply_gates
from punie.analysis.gate_entries import margin_of, purpose_of
from punie.analysis.pairing import arm_of, arm_of_rates, pair
from punie.analysis.unpassable import facts_of_suite, unpassable
from punie.errors import InputError
from punie.gates.default import default_gates
from punie.gates.find import find_gates
from punie.records.comparison import Comparison
from punie.records.expect import Exact, Expect
from punie.records.gate import (
    GateReport,
    GateResult,
    Gates,
    LatencyGate,
    SliceGate,
    SuiteGate,
    Verdict,
)
from punie.records.run import ModelIdentity
from punie.records.suite import EvalSuite
from run_pairs import (
    FAULT,
    SMALL,
    Rows,
    a_prompt,
    a_run,
    adapted,
    an_answer,
    cells,
    compared,
    rows_of,
)

PASS, FAIL, OPEN = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
Bounds = dict[str, Any]


def guard(**bounds: Any) -> Gates:
    """A gate with one guard on the suite of the tests."""
    return Gates(guards=(SuiteGate(suite="greenhouse", **bounds),))


def of_cells(both: int, gained: int, lost: int, neither: int) -> Comparison:
    """A comparison with these four counts."""
    base, current = cells(both, gained, lost, neither)
    return compared(rows_of(base), rows_of(current))


def held(gates: Gates, *comparisons: Comparison, own: str | None = None) -> GateReport:
    """The gate against these comparisons."""
    return apply_gates(gates, comparisons, own_suite=own)


def the(report: GateReport, name: str) -> GateResult:
    """The result of this name."""
    return next(each for each in report.results if each.name == name)


@pytest.mark.parametrize(
    ("counts", "bounds", "verdict"),
    [
        # 100 prompts. 40 gained and none lost: at least +30.7, so +30 are passed and +31 are not.
        ((30, 40, 0, 30), {"minimum_gain_points": 30}, PASS),
        ((30, 40, 0, 30), {"minimum_gain_points": 35}, OPEN),
        # Its upper bound is +52: a gain of 55 is excluded.
        ((30, 40, 0, 30), {"minimum_gain_points": 55}, FAIL),
        # 2 gained, 2 lost: 0 points, at least −4; a margin of 5 is held, one of 3 not known.
        ((90, 2, 2, 6), {"margin_points": 5}, PASS),
        ((90, 2, 2, 6), {"margin_points": 3}, OPEN),
        # 20 lost: −20 points, at most −11. That is more than 5 and less than 25.
        ((70, 0, 20, 10), {"margin_points": 5}, FAIL),
        ((70, 0, 20, 10), {"margin_points": 25}, OPEN),
        ((70, 0, 20, 10), {"margin_points": 30}, PASS),
        # Wilson of 97 of 100 is 91.5–99.0 %.
        ((97, 0, 0, 3), {"floor_percent": 91}, PASS),
        ((97, 0, 0, 3), {"floor_percent": 92}, OPEN),
        ((97, 0, 0, 3), {"floor_percent": 99.5}, FAIL),
    ],
)
def test_bounds_of_a_suite(
    counts: tuple[int, int, int, int], bounds: Bounds, verdict: Verdict
) -> None:
    report = held(guard(**bounds), of_cells(*counts))
    assert [each.verdict for each in report.results] == [verdict]
    assert report.verdict is verdict


def test_results_are_said_in_words_with_their_numbers() -> None:
    report = held(guard(margin_points=5, floor_percent=98), of_cells(70, 0, 20, 10))
    margin, floor = report.results
    assert (margin.name, margin.asked) == ("greenhouse: margin", "loses no more than 5 points")
    assert margin.found.startswith("−20.0 points, at most −1")
    assert (floor.name, floor.asked) == ("greenhouse: floor", "scores at least 98 %")
    assert floor.found == "70.0 %, between 60.4 % and 78.1 %"


def test_a_share_that_is_not_all_is_never_rounded_to_it() -> None:
    (floor,) = held(guard(floor_percent=90), of_cells(2999, 0, 0, 1)).results
    assert floor.found == "> 99.9 %, between 99.8 % and > 99.9 %"


def test_the_worst_verdict_counts() -> None:
    gates = guard(margin_points=5, floor_percent=80)
    assert held(gates, of_cells(95, 0, 0, 5)).verdict is PASS
    assert held(gates, of_cells(84, 0, 0, 16)).verdict is OPEN
    assert held(gates, of_cells(50, 0, 20, 30)).verdict is FAIL


def test_more_prompts_are_those_that_would_settle_it() -> None:
    """10 prompts right in all, against a floor of 90 %: n / (n + z²) >= 0.9 takes 35."""
    result = held(guard(floor_percent=90), of_cells(10, 0, 0, 0)).results[0]
    assert (result.verdict, result.more_prompts) == (OPEN, 25)
    assert held(guard(floor_percent=90), of_cells(35, 0, 0, 0)).verdict is PASS
    assert held(guard(floor_percent=90), of_cells(34, 0, 0, 0)).verdict is OPEN


def test_more_prompts_of_a_margin_and_of_a_gain() -> None:
    """The reach shrinks with the root of n: four times as many prompts halve it."""
    comparison = of_cells(30, 5, 5, 10)
    score = comparison.score
    assert score is not None
    margin = held(guard(margin_points=5), comparison).results[0]
    assert margin.more_prompts == pytest.approx(50 * (score.lower / 0.05) ** 2 - 50, abs=1)  # pyright: ignore[reportUnknownMemberType]
    assert held(guard(minimum_gain_points=0), comparison).results[0].more_prompts is None


def test_a_faulted_prompt_is_neither_right_nor_wrong() -> None:
    """60 prompts, all right before and 58 now, two lost: without faults no loss at all.

    As lost, −3.3 points and at least −9: a margin of 5 is not held under both.
    """
    comparison = compared(rows_of([1] * 60), rows_of([1] * 58 + [FAULT] * 2))
    result = held(guard(margin_points=5), comparison).results[0]
    assert result.verdict is OPEN
    assert "with what faulted counted as lost −3.3 points, as gained 0" in result.why
    assert "ask it again, since without it this would pass" in result.why
    assert result.more_prompts is None
    assert held(guard(margin_points=15), comparison).verdict is PASS


def test_a_failure_must_hold_under_both_too() -> None:
    lost = compared(rows_of([1] * 60), rows_of([0] * 30 + [1] * 20 + [FAULT] * 10))
    assert held(guard(margin_points=5), lost).verdict is FAIL
    perhaps = compared(rows_of([1] * 60), rows_of([0] * 12 + [1] * 20 + [FAULT] * 28))
    assert held(guard(margin_points=5), perhaps).verdict is FAIL
    unsure = compared(rows_of([1] * 20 + [FAULT] * 40), rows_of([0] * 8 + [1] * 52))
    assert held(guard(margin_points=5), unsure).verdict is OPEN


def test_a_floor_holds_under_both() -> None:
    """Of 100 prompts 10 faulted: 90 of 100 at worst, 100 of 100 at best."""
    comparison = compared(rows_of([1] * 100), rows_of([1] * 90 + [FAULT] * 10))
    assert held(guard(floor_percent=80), comparison).verdict is PASS
    result = held(guard(floor_percent=90), comparison).results[0]
    assert result.verdict is OPEN
    assert result.why.startswith("with what faulted as wrong 90.0 %")


def test_nothing_scored_passes_nothing() -> None:
    prompts = [a_prompt(f"p{at}") for at in range(3)]
    rows: Rows = [(each, an_answer(each, None)) for each in prompts]
    report = held(guard(margin_points=5, floor_percent=50), compared(rows, rows))
    assert [(each.verdict, each.found) for each in report.results] == [(OPEN, "nothing")] * 2
    assert report.unpassable == ()


def test_a_failed_must_pass_prompt_fails_the_gate() -> None:
    prompts = [a_prompt(f"p{at}", must_pass=at < 2) for at in range(100)]
    base: Rows = [(each, an_answer(each, 1)) for each in prompts]
    current = [base[0], (prompts[1], an_answer(prompts[1], 0)), *base[2:]]
    gates = guard(margin_points=10)
    report = held(gates, compared(base, current))
    result = the(report, "greenhouse: must pass")
    assert (result.verdict, result.found, result.why) == (FAIL, "1 of 2 passed", "failed: p1")
    assert report.verdict is FAIL
    assert held(gates, compared(base, base)).verdict is PASS
    without = gates.model_copy(update={"must_pass": False})
    assert held(without, compared(base, current)).verdict is PASS
    lost = [base[0], (prompts[1], rows_of([FAULT] * 2)[1][1]), *base[2:]]
    assert the(held(gates, compared(base, lost)), "greenhouse: must pass").verdict is OPEN


ROLES = [a_prompt(f"p{at:02}", role="coder" if at < 60 else "tester") for at in range(90)]


def test_slices_have_bounds_of_their_own() -> None:
    """60 coder prompts as before; of 30 tester prompts all right before, 15 are wrong now."""
    base: Rows = [(each, an_answer(each, 1)) for each in ROLES]
    current: Rows = [(each, an_answer(each, int(at < 75))) for at, each in enumerate(ROLES)]
    slices = (
        SliceGate(role="coder", margin_points=5),
        SliceGate(role="tester", margin_points=5, floor_percent=90),
    )
    report = held(guard(slices=slices), compared(base, current))
    assert {each.name: each.verdict for each in report.results} == {
        "greenhouse, role coder: margin": PASS,
        "greenhouse, role tester: margin": FAIL,
        "greenhouse, role tester: floor": FAIL,
    }


@pytest.mark.parametrize(
    ("bounds", "message", "hint"),
    [
        (
            {"role": "codr"},
            "the role codr, which greenhouse has not",
            "roles of greenhouse: coder,",
        ),
        ({"tag": "x"}, "the tag x, which greenhouse has not", "tags of greenhouse: none"),
        ({"category": "maths"}, "the category maths", "categories of greenhouse: general"),
    ],
)
def test_a_slice_that_is_not_there_is_an_error(bounds: Bounds, message: str, hint: str) -> None:
    rows: Rows = [(each, an_answer(each, 1)) for each in ROLES]
    gates = guard(slices=(SliceGate(**bounds, margin_points=5),))
    gates = gates.model_copy(update={"source": "gates.yaml"})
    with pytest.raises(InputError) as caught:
        held(gates, compared(rows, rows))
    assert f"gates.yaml: the gate names {message}" in caught.value.message
    assert caught.value.hint.startswith(hint)


OWN = default_gates(a_run(), adapted())


def test_the_default_gate_of_an_adapter_asks_for_a_gain_and_for_no_loss_elsewhere() -> None:
    better = of_cells(10, 60, 0, 30)
    runs = (a_run(suite_name="baseline"), adapted(suite_name="baseline"))
    same = compared(rows_of([1.0] * 100), rows_of([1.0] * 100), runs=runs)
    report = held(OWN, better, same, own="greenhouse")
    assert [(each.name, each.verdict) for each in report.results] == [
        ("greenhouse: gain", PASS),
        ("baseline: margin", PASS),
    ]
    assert held(OWN, of_cells(60, 0, 0, 40), same, own="greenhouse").verdict is OPEN


def test_no_worse_alone_is_no_success_of_an_adapter() -> None:
    same = of_cells(100, 0, 0, 0)
    report = held(OWN, same, own="seedlings")
    gain, margin = report.results[1], report.results[0]
    assert (margin.name, margin.verdict) == ("greenhouse: margin", PASS)
    assert (gain.name, gain.verdict) == ("own: gain", OPEN)
    assert gain.why == "no two runs on seedlings were compared"
    unknown = held(OWN, same, own=None).results[1]
    assert unknown.why == "it is not known which suite was held out of the adapter's data"


def test_a_gain_at_home_tells_nothing_of_elsewhere() -> None:
    report = held(OWN, of_cells(10, 60, 0, 30), own="greenhouse")
    assert the(report, "greenhouse: gain").verdict is PASS
    elsewhere = the(report, "others: margin")
    assert (elsewhere.verdict, elsewhere.why) == (OPEN, "no other suite was compared")


def test_two_models_may_be_no_worse() -> None:
    gates = default_gates(a_run(), a_run("current"))
    assert held(gates, of_cells(95, 0, 0, 5)).verdict is PASS
    assert held(gates, of_cells(75, 0, 20, 5)).verdict is FAIL


def test_an_own_suite_that_is_named_too_is_a_contradiction() -> None:
    gates = Gates(
        targets=(SuiteGate(suite="own", minimum_gain_points=0),),
        guards=(SuiteGate(suite="greenhouse", margin_points=5),),
    )
    with pytest.raises(InputError, match="own is greenhouse here"):
        held(gates, of_cells(10, 0, 0, 0), own="greenhouse")


def test_a_gate_without_a_word_on_what_was_compared_is_an_error() -> None:
    with pytest.raises(InputError, match="asks for nothing on greenhouse"):
        held(Gates(), of_cells(10, 0, 0, 0))


def test_the_purpose_and_the_margin_of_a_suite() -> None:
    gates = Gates(
        targets=(SuiteGate(suite="own", minimum_gain_points=0),),
        guards=(SuiteGate(suite="a", margin_points=2), SuiteGate(suite="others", margin_points=7)),
    )
    assert [purpose_of(gates, name, "mine") for name in ("mine", "a", "b")] == [
        "target",
        "guard",
        "guard",
    ]
    assert [margin_of(gates, name, "mine") for name in ("mine", "a", "b")] == [0.05, 0.02, 0.07]


def _timed(ratio: float, **current: Any) -> Comparison:
    rows = rows_of([1] * 40, seconds=1.0)
    slow: Rows = [(prompt, an_answer(prompt, 1, seconds=ratio)) for prompt, _ in rows]
    runs = (a_run(), adapted(**{"timed_with": "base", **current}))
    return compared(rows, slow, runs=runs)


@pytest.mark.parametrize(
    ("ratio", "bound", "verdict"),
    [
        (1.05, {"slower_percent": 10}, PASS),
        (1.2, {"slower_percent": 10}, FAIL),
        (11.9, {"average_s": 12}, PASS),
        (12.1, {"average_s": 12}, FAIL),
        (0.5, {"median_s": 0.6}, PASS),
    ],
)
def test_times(ratio: float, bound: Bounds, verdict: Verdict) -> None:
    """Each prompt takes as long as every other, so the bounds are the number itself."""
    report = held(Gates(latency=LatencyGate(**bound)), _timed(ratio))
    assert [each.verdict for each in report.results] == [verdict]


def test_times_that_were_not_taken_alone_gate_nothing() -> None:
    gates = Gates(latency=LatencyGate(average_s=12, slower_percent=10))
    average, slower = held(gates, _timed(99, concurrency=8)).results
    assert (average.verdict, slower.verdict) == (OPEN, OPEN)
    assert "8 requests in flight" in average.why
    apart = held(gates, _timed(1, timed_with=None)).results
    assert [each.verdict for each in apart] == [PASS, OPEN]
    assert "not timed side by side" in apart[1].why


@pytest.mark.parametrize(
    ("peak", "backend", "verdict", "why"),
    [
        (9_900_000_000, "mlx", PASS, ""),
        (10_100_000_000, "mlx", FAIL, ""),
        (None, "mlx", OPEN, "nobody read the server's memory, so its memory is not known"),
        (None, "endpoint", OPEN, "the server is not punie's own, so its memory is not known"),
    ],
)
def test_memory(peak: int | None, backend: str, verdict: Verdict, why: str) -> None:
    run = adapted(
        summary=SMALL.model_copy(update={"peak_memory_bytes": peak}),
        model=ModelIdentity(name="small", backend=backend),
    )
    comparison = compared(rows_of([1]), rows_of([1]), runs=(a_run(), run))
    (result,) = held(Gates(memory_gb=10), comparison).results
    assert (result.verdict, result.why) == (verdict, why)


@pytest.mark.parametrize(
    ("counts", "gates", "verdict"),
    [
        ((2, 12, 0, 6), {"minimum_gain_points": 0}, PASS),
        ((2, 12, 0, 6), {"margin_points": 5}, PASS),
        ((2, 12, 0, 6), {"minimum_gain_points": 5}, OPEN),
        ((2, 0, 12, 6), {"minimum_gain_points": 0}, FAIL),
        ((2, 0, 12, 6), {"margin_points": 5}, FAIL),
        ((2, 0, 12, 600), {"margin_points": 5}, OPEN),
        ((20, 0, 0, 0), {"floor_percent": 50}, OPEN),
        # It ended against another run: of this one 3 gained and 2 lost tell nothing.
        ((9, 3, 2, 6), {"minimum_gain_points": 0}, OPEN),
    ],
)
def test_a_run_that_ended_when_decided_tells_the_direction(
    counts: tuple[int, int, int, int], gates: Bounds, verdict: Verdict
) -> None:
    base, current = cells(*counts)
    runs = (a_run(), adapted(decided_after=len(current)))
    base = [*base, *[1.0] * 50]
    comparison = compared(rows_of(base), rows_of(current), runs=runs)
    (result,) = held(guard(**gates), comparison).results
    assert result.verdict is verdict


def test_unpaired_samples_are_gated_as_well() -> None:
    """45 of 50 after 298 of 302: worse, and a floor of 70 % all the same."""
    both = pair(arm_of_rates(298, 302), arm_of(rows_of([1] * 45 + [0] * 5)), "unpaired")
    report = held(guard(margin_points=5, floor_percent=70), compare(a_run(), adapted(), both))
    assert [each.verdict for each in report.results] == [FAIL, PASS]


def test_the_example_on_52_prompts_cannot_be_passed() -> None:
    report = held(find_gates("go-no-go"), of_cells(52, 0, 0, 0))
    assert report.unpassable == (
        "greenhouse: a floor of 98 % needs 189 prompts, all right; there are 52",
    )
    floor = the(report, "greenhouse: floor")
    assert (floor.verdict, floor.more_prompts) == (OPEN, 137)
    enough = held(find_gates("go-no-go"), of_cells(189, 0, 0, 0))
    assert enough.unpassable == ()
    assert the(enough, "greenhouse: floor").verdict is PASS


def _suite(number: int, **changed: Any) -> EvalSuite:
    expect = Expect(exact=Exact(values=("yes",)))
    prompts = tuple(a_prompt(f"p{at}", expect=expect, **changed) for at in range(number))
    return EvalSuite(name="greenhouse", prompts=prompts)


@pytest.mark.parametrize(
    ("suite", "bounds", "said"),
    [
        (_suite(188), {"floor_percent": 98}, "needs 189 prompts, all right; there are 188"),
        (_suite(189), {"floor_percent": 98}, ""),
        # Prompts of one group say as much as one.
        (
            _suite(400, group="one"),
            {"floor_percent": 98},
            "needs 189 prompts, all right; there is 1",
        ),
        (_suite(1), {"minimum_gain_points": 60}, "a gain of more than 60 points needs"),
        (_suite(400), {"minimum_gain_points": 60}, ""),
        (
            _suite(50, role="coder"),
            {"slices": (SliceGate(role="coder", floor_percent=95),)},
            "greenhouse, role coder: a floor of 95 % needs 73 prompts, all right; there are 50",
        ),
    ],
)
def test_what_cannot_be_passed_is_said_before_a_run(
    suite: EvalSuite, bounds: Bounds, said: str
) -> None:
    found = unpassable(guard(**bounds), [facts_of_suite(suite)])
    assert said in " ".join(found)
    assert bool(found) is bool(said)


def test_prompts_that_expect_nothing_do_not_count() -> None:
    prompts = (a_prompt("a"), *_suite(2).prompts)
    facts = facts_of_suite(EvalSuite(name="greenhouse", prompts=prompts))
    assert dict(facts.categories) == {"general": 2}


COUNTS = st.tuples(*[st.integers(0, 40)] * 4).filter(any)


@settings(max_examples=40)
@given(COUNTS, st.floats(1, 40))
def test_what_is_unpassable_never_passes(counts: tuple[int, int, int, int], points: float) -> None:
    gates = guard(floor_percent=100 - points / 2, margin_points=points)
    report = held(gates, of_cells(*counts))
    for said in report.unpassable:
        kind = "floor" if "floor" in said else "margin"
        assert the(report, f"greenhouse: {kind}").verdict is not PASS


@settings(max_examples=40)
@given(COUNTS)
def test_a_wider_margin_never_fails_what_a_narrower_one_passes(
    counts: tuple[int, int, int, int],
) -> None:
    comparison = of_cells(*counts)
    verdicts = [held(guard(margin_points=each), comparison).verdict for each in (2, 5, 10, 20)]
    passed = [each is PASS for each in verdicts]
    failed = [each is FAIL for each in verdicts]
    assert passed == sorted(passed)
    assert failed == sorted(failed, reverse=True)
