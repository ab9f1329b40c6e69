"""What to do with two runs: each scenario and criterion, by hand-made comparisons."""

import math
from collections.abc import Mapping
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.analysis.decide import decide
from punie.analysis.measure_next import wanted, wanted_for_floor
from punie.analysis.paired import paired_difference, stratified_difference
from punie.analysis.rule import holds_floor, holds_gain, holds_margin, word_of
from punie.analysis.statistics import spread, wilson
from punie.analysis.weighted import weighted_score
from punie.records.comparison import Comparison, Difference, LatencyComparison, SliceComparison
from punie.records.gate import Action, Criteria, Decision, GateReport, GateResult, Gates, Verdict
from punie.records.run import ModelIdentity, Run, RunStatus, Sources
from punie.records.suite import Sampling
from punie.records.summary import Estimate, Summary

MARGIN = 0.05
Counts = tuple[int, int, int, int]
"""Right in both, only in the current run, only in the base, in neither."""
HOLDS: Counts = (190, 4, 3, 3)
LOSES: Counts = (100, 2, 60, 38)
GAINS: Counts = (60, 110, 2, 28)
TINY: Counts = (1, 0, 0, 1)
NOTHING: Counts = (0, 0, 0, 400)


def scores(counts: Counts) -> tuple[list[float], list[float]]:
    both, gained, lost, neither = counts
    base = [1.0] * both + [0.0] * gained + [1.0] * lost + [0.0] * neither
    return base, [1.0] * both + [1.0] * gained + [0.0] * lost + [0.0] * neither


def difference(counts: Counts) -> Difference:
    return paired_difference(*scores(counts))


def estimate(right: int, n: int) -> Estimate:
    low, high = wilson(right / n, n)
    return Estimate(value=right / n, low=low, high=high, n=n)


def a_slice(name: str, counts: Counts, faults: int = 0) -> SliceComparison:
    both, gained, lost, neither = counts
    found, whole = difference(counts), sum(counts) + faults
    return SliceComparison(
        name=name,
        base=estimate(both + lost, sum(counts)),
        current=estimate(both + gained, sum(counts)),
        difference=found,
        pairs=sum(counts) + faults,
        gained=gained,
        lost=lost,
        word=word_of(found, MARGIN),
        faults=faults,
        if_faults_lose=difference((both, gained, lost + faults, neither)) if faults else None,
        if_faults_win=difference((both, gained + faults, lost, neither)) if faults else None,
        at_worst=estimate(both + gained, whole),
        at_best=estimate(both + gained + faults, whole),
    )


def a_run(run_id: str, *, adapter: str | None = None, suite: str = "agents") -> Run:
    return Run(
        id=run_id,
        created_at="2026-11-21T10:00:00Z",
        suite_name=suite,
        suite_version="1",
        suite_hash="0" * 64,
        suite_source="builtin",
        model=ModelIdentity(
            name="a-model",
            backend="mlx",
            adapter=adapter,
            adapter_hash="1" * 64 if adapter else None,
        ),
        sampling=Sampling(),
        concurrency=1,
        sources=Sources(suite="builtin", model="a-model"),
        status=RunStatus.DONE,
        summary=Summary(
            score=None, passed=None, answered_rate=None, prompts=1, repeats=1, answered=1,
            unscored=0, faults=2,
        ),
    )  # fmt: skip


def a_comparison(
    roles: Mapping[str, Counts] | None = None,
    *,
    whole: Counts | None = None,
    latency: LatencyComparison | None = None,
    adapter: str | None = "greenhouse",
    suite: str = "agents",
    faulted: Mapping[str, int] | None = None,
) -> Comparison:
    slices = [
        a_slice(name, each, (faulted or {}).get(name, 0)) for name, each in (roles or {}).items()
    ]
    every = whole or tuple(map(sum, zip(*(roles or {}).values(), strict=True)))
    found = difference((every[0], every[1], every[2], every[3]))
    return Comparison(
        base=a_run("base-run", suite=suite),
        current=a_run("current-run", adapter=adapter, suite=suite),
        purpose="target",
        pairs=found.n,
        scored=found.n,
        score=found,
        roles=tuple(slices),
        latency=latency,
        margin=MARGIN,
    )


def timed(ratio: float, low: float, high: float, *, gates: bool = True) -> LatencyComparison:
    times = spread([1.0, 2.0])
    assert times is not None
    return LatencyComparison(
        base=times, current=times, ratio=ratio, low=low, high=high, lower=low, upper=high, n=60,
        gates=gates,
    )  # fmt: skip


def a_report(*verdicts: Verdict, more: int | None = None, gates: Gates | None = None) -> GateReport:
    order = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)
    results = tuple(
        GateResult(
            name=f"bound {at}",
            asked="holds",
            found="as found",
            verdict=each,
            why="so",
            more_prompts=more,
        )
        for at, each in enumerate(verdicts)
    )
    worst = next((each for each in order if each in verdicts), Verdict.PASS)
    return GateReport(gates=gates or Gates(), results=results, verdict=worst)


PASS, FAIL, OPEN = a_report(Verdict.PASS), a_report(Verdict.FAIL), a_report(Verdict.INCONCLUSIVE)


def decided(
    comparison: Comparison, report: GateReport = FAIL, criteria: Criteria | None = None
) -> Decision:
    return decide(Gates(criteria=criteria or Criteria()), report, [comparison])


# The four scenarios of a poor result by role.


def test_scenario_1_meets_its_targets_is_deployed_even_where_a_role_is_worse():
    found = decided(a_comparison({"coder": GAINS, "researcher": LOSES}), PASS)
    assert found.action is Action.DEPLOY
    assert {each.role: each.serves for each in found.routes} == {
        "coder": "current",
        "researcher": "base",
    }
    assert found.measure_next == ()


def test_scenario_2_is_a_hybrid_where_code_holds_and_research_and_planning_fail():
    roles = {
        "coder": HOLDS,
        "tester": GAINS,
        "researcher": LOSES,
        "coordinator": LOSES,
        "reviewer": TINY,
    }
    found = decided(a_comparison(roles))
    assert found.action is Action.HYBRID
    assert "coder, tester well, and researcher, coordinator clearly worse" in found.because
    routes = {each.role: (each.serves, each.sure) for each in found.routes}
    assert routes == {
        "coder": ("current", True),
        "tester": ("current", True),
        "researcher": ("base", True),
        "coordinator": ("base", True),
        "reviewer": ("base", False),
    }
    assert all("points [" in each.why for each in found.routes)


def test_scenario_3_retrains_on_a_general_base_where_the_other_roles_miss_their_floor():
    # Nobody serves the researchers well, so that routing them to the base would not help.
    roles = {"coder": (196, 2, 1, 1), "researcher": (100, 5, 5, 90)}
    found = decided(a_comparison(roles), criteria=Criteria(role_floor_percent=90))
    assert found.action is Action.RETRAIN
    assert [each.holds for each in found.evidence if each.rule.startswith("retrain")] == ["yes"] * 3


def test_scenario_3_where_small_roles_only_tell_together():
    small: Counts = (10, 1, 5, 9)
    roles = {"coder": HOLDS, "tester": HOLDS} | dict.fromkeys(
        ("researcher", "planner", "reviewer"), small
    )
    assert holds_margin(difference(small), MARGIN) is Verdict.INCONCLUSIVE
    found = decided(a_comparison(roles))
    assert found.action is Action.RETRAIN
    assert any("together −16.0 points" in each.found for each in found.evidence)


def test_scenario_3_needs_code_roles_that_are_there():
    roles = {"writer": (196, 2, 1, 1), "researcher": (100, 5, 5, 90)}
    criteria = Criteria(role_floor_percent=90)
    assert decided(a_comparison(roles), criteria=criteria).action is not Action.RETRAIN
    criteria = Criteria(role_floor_percent=90, code_roles=("writer",))
    assert decided(a_comparison(roles), criteria=criteria).action is Action.RETRAIN


def test_scenario_4_looks_at_data_and_settings_where_code_fails_too():
    found = decided(a_comparison({"coder": LOSES, "tester": LOSES, "researcher": LOSES}))
    assert found.action is Action.LOOK
    assert found.because.startswith("Code work (coder, tester) is served badly too")
    assert {each.serves for each in found.routes} == {"base"}


# The criteria of a baseline: quality, speed, memory.


def test_deploys_where_every_bound_holds():
    found = decided(a_comparison(whole=GAINS), a_report(*[Verdict.PASS] * 3))
    assert (found.action, found.because) == (Action.DEPLOY, "Every bound of the gate holds.")


def test_iterates_where_one_bound_is_broken_and_quality_gains():
    report = a_report(Verdict.PASS, Verdict.FAIL)
    found = decided(a_comparison(whole=GAINS), report)
    assert found.action is Action.LOOK
    assert found.because == "The gate fails: bound 1: as found."


def test_measures_the_roles_where_quality_is_lost_and_they_may_tell_in_which():
    few: Counts = (10, 0, 6, 4)
    roles: dict[str, Counts] = {"coder": (30, 0, 1, 1), "researcher": few, "planner": few}
    found = decided(a_comparison(roles, adapter=None))
    assert found.action is Action.MEASURE
    assert any(line.startswith("role coder: 32 prompts") for line in found.measure_next)
    # What breaks a bound beside quality is no matter of roles.
    found = decided(a_comparison({"coder": HOLDS, "researcher": TINY}, adapter=None))
    assert found.action is Action.LOOK


def test_aborts_where_neither_quality_nor_speed_gains():
    found = decided(a_comparison(whole=NOTHING, latency=timed(1.01, 0.99, 1.03)))
    assert found.action is Action.ABORT


@pytest.mark.parametrize(
    ("latency", "whole"),
    [
        pytest.param(None, NOTHING, id="speed was not measured"),
        pytest.param(timed(1, 0.99, 1.01, gates=False), NOTHING, id="timed apart"),
        pytest.param(timed(0.97, 0.85, 1.1), NOTHING, id="speed is unclear"),
        pytest.param(timed(0.5, 0.45, 0.55), NOTHING, id="twice as fast"),
        pytest.param(timed(1.01, 0.99, 1.03), GAINS, id="quality gains"),
        pytest.param(timed(1.01, 0.99, 1.03), (5, 1, 1, 5), id="quality is unclear"),
    ],
)
def test_does_not_abort_while_something_may_gain(latency: LatencyComparison | None, whole: Counts):
    assert decided(a_comparison(whole=whole, latency=latency)).action is not Action.ABORT


def test_a_role_that_is_clearly_better_is_no_reason_to_abort():
    roles = {"coder": GAINS, "researcher": (60, 2, 110, 28)}
    found = decided(a_comparison(roles, latency=timed(1.01, 0.99, 1.03)))
    assert found.action is Action.HYBRID


def test_looks_at_the_data_where_the_adapter_gained_nothing_on_its_own_suite():
    found = decided(a_comparison(whole=NOTHING), OPEN)
    assert found.action is Action.LOOK
    assert found.because == "The adapter gained nothing on agents."
    assert decided(a_comparison(whole=NOTHING, adapter=None), OPEN).action is Action.MEASURE


# Thin evidence.


def test_measures_more_where_the_intervals_do_not_say():
    report = a_report(Verdict.INCONCLUSIVE, more=140)
    found = decided(a_comparison({"coder": TINY, "researcher": TINY}), report)
    assert found.action is Action.MEASURE
    assert "bound 0: about 140 more prompts" in found.measure_next
    assert any(
        line.startswith("role coder: 2 prompts are too few, about ") for line in found.measure_next
    )
    latency = "punie eval agents --model a-model --adapter greenhouse --latency --against base-run"
    assert any(line.endswith(latency) for line in found.measure_next)
    apart = a_comparison({"coder": TINY}).model_copy(update={"how": "unpaired"})
    assert not any("--latency" in line for line in decided(apart, report).measure_next)


def test_a_suite_of_the_gate_that_nobody_measured_keeps_it_from_deployment():
    missing = ["the gate's suite baseline was not measured: punie eval baseline"]
    found = decide(Gates(), PASS, [a_comparison(whole=GAINS)], missing=missing)
    assert found.action is Action.MEASURE
    assert found.measure_next[0] == missing[0]


def test_a_gate_that_asks_nothing_deploys_nothing():
    found = decided(a_comparison(whole=GAINS), a_report())
    assert found.action is Action.MEASURE
    assert found.evidence[0].found == "the gate asks nothing"


def test_suites_without_roles_have_no_hybrid_and_say_so():
    found = decided(a_comparison(whole=LOSES))
    assert found.routes == ()
    assert [each.found for each in found.evidence if each.rule.startswith("hybrid")] == [
        "the suites have no roles"
    ] * 2


def test_faults_that_could_turn_a_role_keep_it_open():
    roles = {"coder": GAINS, "researcher": LOSES}
    assert decided(a_comparison(roles)).action is Action.HYBRID
    turned = decided(a_comparison(roles, faulted={"researcher": 150}))
    assert turned.action is not Action.HYBRID
    assert [each.sure for each in turned.routes] == [True, False]


def test_a_floor_must_hold_whatever_the_faults_would_have_been():
    criteria = Criteria(role_floor_percent=90)
    for faults, sure in ((0, Action.RETRAIN), (30, Action.LOOK)):
        roles = {"coder": (196, 2, 1, 1), "researcher": (100, 5, 5, 90)}
        comparison = a_comparison(roles, adapter=None, faulted={"coder": faults})
        assert decided(comparison, criteria=criteria).action is sure


def test_a_run_that_ended_when_it_was_decided_tells_its_direction_and_no_more():
    roles = {"coder": GAINS, "researcher": LOSES}
    stopped = a_comparison(roles).model_copy(update={"stopped_early": True})
    found = decided(stopped, OPEN)
    assert found.action is Action.MEASURE
    assert not any(each.sure for each in found.routes)
    assert "asked until decided" in found.routes[0].why


def test_faulted_prompts_are_asked_again():
    comparison = a_comparison({"coder": TINY}).model_copy(update={"faulted": ("p1", "p2")})
    found = decided(comparison, OPEN)
    assert "2 prompts lost to faults: punie eval --resume current-run" in found.measure_next


@pytest.mark.parametrize(
    ("head", "advice"),
    [
        ({"timed_with": "base-run"}, "measure run current-run anew"),
        ({"sources": None}, "measure run current-run anew"),
        (
            {"sources": Sources(suite="builtin", model="m", url="http://lab/v1")},
            "punie eval --resume current-run --url http://lab/v1",
        ),
    ],
)
def test_a_run_is_resumed_where_that_is_not_refused(head: dict[str, Any], advice: str):
    comparison = a_comparison({"coder": TINY})
    current = comparison.current.model_copy(update=head)
    changed = comparison.model_copy(update={"current": current, "faulted": ("p1", "p2")})
    assert f"2 prompts lost to faults: {advice}" in decided(changed, OPEN).measure_next


def test_a_role_in_two_suites_counts_as_the_worst_of_them():
    one = a_comparison({"coder": GAINS, "researcher": GAINS}, suite="own")
    other = a_comparison({"researcher": LOSES}, suite="guard")
    found = decide(Gates(), FAIL, [one, other])
    routes = {each.role: each for each in found.routes}
    assert routes["researcher"].serves == "base"
    assert "own: " in routes["researcher"].why
    assert "guard: " in routes["researcher"].why


def test_nothing_fires_on_a_point_estimate():
    """A prompt or two say nothing, however large their difference looks."""
    for counts in [(0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 2), (2, 0, 0, 0), (0, 1, 1, 0)]:
        found = decided(a_comparison({"coder": counts}), OPEN)
        assert found.action is Action.MEASURE


def test_five_unchanged_roles_are_rarely_called_a_hybrid():
    """Each prompt is right in one run as likely as in the other; one in five differs."""
    chance, tables, hybrids = Random(11), 300, 0
    for _ in range(tables):
        roles: dict[str, Counts] = {}
        for name in ("coder", "tester", "researcher", "coordinator", "reviewer"):
            drawn = chance.choices(range(4), (0.6, 0.1, 0.1, 0.2), k=40)
            roles[name] = (drawn.count(0), drawn.count(1), drawn.count(2), drawn.count(3))
        hybrids += decided(a_comparison(roles)).action is Action.HYBRID
    assert hybrids / tables <= 0.015


CELLS = st.tuples(*[st.integers(0, 12)] * 4).filter(lambda cells: sum(cells) > 0)


def gated(comparison: Comparison) -> GateReport:
    return a_report(holds_margin(comparison.score, MARGIN), holds_gain(comparison.score, 0))


@given(CELLS, st.sampled_from([2, 5, 20]))
def test_more_of_the_same_evidence_never_turns_a_deployment_around(cells: Counts, times: int):
    latency = timed(1.01, 0.99, 1.03)
    few = a_comparison(whole=cells, latency=latency)
    scaled = (times * cells[0], times * cells[1], times * cells[2], times * cells[3])
    many = a_comparison(whole=scaled, latency=latency)
    if decided(few, gated(few)).action is Action.DEPLOY:
        assert decided(many, gated(many)).action is Action.DEPLOY
    if decided(few, gated(few)).action is Action.ABORT:
        assert decided(many, gated(many)).action is not Action.DEPLOY


@given(st.dictionaries(st.sampled_from(["coder", "tester", "planner"]), CELLS, min_size=1))
def test_every_decision_explains_itself(roles: Mapping[str, Counts]):
    comparison = a_comparison(roles)
    found = decided(comparison, gated(comparison))
    assert [each.role for each in found.routes] == list(roles)
    assert found.because.endswith(".")
    if found.action is Action.MEASURE:
        assert found.measure_next
    else:
        fired = [each for each in found.evidence if each.rule.startswith(found.action.value)]
        assert any(each.holds == "yes" for each in fired)
        assert found.action is Action.LOOK or all(each.holds == "yes" for each in fired)


@pytest.mark.parametrize(
    "cells",
    [(19, 1, 1, 2), (30, 2, 3, 5), (10, 1, 5, 9), (5, 0, 0, 20), (20, 5, 4, 11), (50, 2, 8, 5)],
)
def test_about_as_many_prompts_as_are_wanted_settle_the_margin(cells: Counts):
    found = difference(cells)
    assert holds_margin(found, MARGIN) is Verdict.INCONCLUSIVE
    needed = wanted(found, MARGIN)
    assert needed is not None
    # The reach shrinks with the root of n, Wilson's a little slower.
    scale = math.ceil(1.3 * needed / found.n)
    settled = difference((scale * cells[0], scale * cells[1], scale * cells[2], scale * cells[3]))
    assert holds_margin(settled, MARGIN) is not Verdict.INCONCLUSIVE


def test_about_as_many_prompts_as_are_wanted_settle_a_floor():
    for right, n, floor in ((30, 30, 0.98), (18, 20, 0.8), (14, 20, 0.8), (50, 60, 0.9)):
        few = estimate(right, n)
        assert holds_floor(few, floor) is Verdict.INCONCLUSIVE
        needed = wanted_for_floor(few, floor)
        assert needed is not None
        low, high = wilson(right / n, needed)
        assert low >= floor or high < floor
        low, high = wilson(right / n, needed - 2)
        assert low < floor < high


def test_small_roles_below_a_floor_tell_together_too():
    small: Counts = (10, 0, 0, 4)
    roles = {"coder": (196, 2, 1, 1), "researcher": small, "planner": small, "reviewer": small}
    found = decided(a_comparison(roles), criteria=Criteria(role_floor_percent=85))
    assert found.action is Action.RETRAIN
    assert any("together 71.4 %" in each.found for each in found.evidence)
    lost = a_comparison(roles, faulted={"planner": 3})
    assert decided(lost, criteria=Criteria(role_floor_percent=85)).action is not Action.RETRAIN


# The weighted score.


def weighed(categories: Mapping[str, Counts]) -> Comparison:
    slices = tuple(a_slice(name, counts) for name, counts in categories.items())
    return a_comparison(whole=HOLDS).model_copy(update={"categories": slices})


def test_equal_weights_are_the_headline():
    comparison = weighed({"maths": HOLDS, "code": LOSES})
    found = weighted_score(comparison, {"maths": 3, "code": 3})
    strata = [each.difference for each in comparison.categories if each.difference]
    assert found.weights == {"maths": 0.5, "code": 0.5}
    assert found.difference == stratified_difference(strata)
    assert found.missing == ()


def test_weights_move_the_score_and_its_interval():
    """Six categories of a benchmark with 50 prompts each, weighted by hand."""
    right = {"knowledge": 45, "reasoning": 43, "code": 24}
    comparison = weighed({name: (0, n, 0, 50 - n) for name, n in right.items()})
    found = weighted_score(comparison, {"knowledge": 1, "reasoning": 1, "code": 2})
    assert found.current is not None
    assert found.current.value == pytest.approx(0.25 * 0.9 + 0.25 * 0.86 + 0.5 * 0.48)
    assert found.current.n == 150
    spans = [(0.25, wilson(0.9, 50)), (0.25, wilson(0.86, 50)), (0.5, wilson(0.48, 50))]
    means = (0.9, 0.86, 0.48)
    below = math.hypot(*(w * (m - low) for (w, (low, _)), m in zip(spans, means, strict=True)))
    assert found.current.low == pytest.approx(found.current.value - below)


def test_categories_without_a_measure_are_named_and_the_rest_sums_to_one():
    found = weighted_score(
        weighed({"maths": HOLDS, "art": LOSES}), {"maths": 1, "code": 3, "art": 0}
    )
    assert (found.weights, found.missing) == ({"maths": 1.0}, ("code",))
    nothing = weighted_score(weighed({"maths": HOLDS}), {"code": 1})
    assert (nothing.base, nothing.current, nothing.difference) == (None, None, None)
