"""What two runs say together, on examples that can be reckoned by hand."""

import math
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie.analysis.compare import compare
from punie.analysis.paired import newcombe_paired
from punie.analysis.pairing import arm_of, arm_of_rates, pair
from punie.analysis.statistics import wilson
from punie.records.comparison import Bucket, Comparison, Differing, Word
from punie.records.result import EvalResult
from punie.records.run import Provenance, Run, RunStatus
from punie.records.suite import Sampling
from punie.records.trust import Checks, Finding, Incident, IncidentKind, Level
from run_pairs import (
    FAULT,
    Rows,
    a_fault,
    a_prompt,
    a_run,
    adapted,
    an_answer,
    cells,
    compared,
    rows_of,
)


def approx(value: float) -> Any:
    """Equal to nine digits."""
    return pytest.approx(value, abs=1e-9)  # pyright: ignore[reportUnknownMemberType] - pytest's


def test_one_category_by_hand() -> None:
    """50 prompts: 30 right in both, 12 gained, 2 lost, 6 wrong in both.

    The base has 32 of 50, the current run 42 of 50: 20 points more. McNemar: 14 changed, at most 2
    of them lost: 2 (1 + 14 + 91) / 2^14 = 212 / 16384.
    """
    base, current = cells(30, 12, 2, 6)
    found = compared(rows_of(base), rows_of(current))
    assert found.score is not None
    assert found.base_score is not None
    assert found.current_score is not None
    assert (found.base_score.value, found.current_score.value) == (0.64, 0.84)
    assert found.score.value == approx(0.2)
    assert (found.score.low, found.score.high) == (
        approx(newcombe_paired(30, 12, 2, 6)[0]),
        approx(newcombe_paired(30, 12, 2, 6)[1]),
    )
    assert found.discordance is not None
    assert (found.discordance.both, found.discordance.gained) == (30, 12)
    assert (found.discordance.lost, found.discordance.neither) == (2, 6)
    assert found.discordance.p == approx(212 / 16384)
    assert found.passed == found.score
    assert found.word is Word.BETTER
    assert (found.pairs, found.scored) == (50, 50)
    assert found.buckets == {
        Bucket.STILL_PASSING: 30,
        Bucket.FIXED: 12,
        Bucket.REGRESSED: 2,
        Bucket.STILL_FAILING: 6,
    }
    # (1.960 + 0.842) √(0.28 / 50)
    assert found.smallest_detectable == pytest.approx(0.2097, abs=1e-4)  # pyright: ignore[reportUnknownMemberType]
    assert (found.if_faults_lose, found.if_faults_win) == (None, None)


def test_the_headline_is_the_mean_over_categories() -> None:
    """A large category that gained 10 points and a small one that lost 50: −20 points."""
    base = rows_of([0.0] * 4 + [1.0] * 36) + _named("small", [1.0, 1.0, 0.0, 0.0])
    current = rows_of([1.0] * 40) + _named("small", [0.0, 0.0, 0.0, 0.0])
    found = compared(base, current)
    assert found.score is not None
    assert found.score.value == approx((0.1 - 0.5) / 2)
    assert [each.name for each in found.categories] == ["general", "small"]
    assert [each.difference.value for each in found.categories if each.difference] == [
        approx(0.1),
        approx(-0.5),
    ]
    assert [(each.gained, each.lost) for each in found.categories] == [(4, 0), (0, 2)]


def test_one_question_under_many_ids_is_one() -> None:
    """Eight copies gained by chance together would otherwise be enough to call it better."""
    copies = [replace(a_prompt(f"copy-{at}"), hash="one") for at in range(8)]
    base: Rows = [(each, an_answer(each, 0.0)) for each in copies]
    current: Rows = [(each, an_answer(each, 1.0)) for each in copies]
    found = compared(base, current)
    assert found.score is not None
    assert (found.score.n, found.score.independent) == (8, 1)
    assert found.word is Word.UNCLEAR


def test_categories_of_one_prompt_say_no_more_than_one_category_of_them() -> None:
    """Of eight, three were lost: McNemar's p is 0.25."""
    base, current = [1.0] * 4 + [0.0] * 4, [0.0] * 3 + [1.0] + [0.0] * 4
    before, after = (
        [row for at, score in enumerate(scores) for row in _named(f"c{at}", [score])]
        for scores in (base, current)
    )
    assert compared(before, after).word is Word.UNCLEAR
    assert compared(after, before).word is not Word.BETTER


def test_the_smallest_detectable_effect_fits_the_interval_beside_it() -> None:
    """As one sample these are 38 prompts, by Kish, and 3/38 may flip unseen: 2.8 √(3/38) / √38."""
    many = [0.0] * 5 + [1.0] * 5 + [1.0] * 190
    base = rows_of(many) + _named("small", [1.0] * 10)
    current = rows_of([1.0] * 5 + [0.0] * 5 + [1.0] * 190) + _named("small", [1.0] * 10)
    found = compared(base, current)
    reach = 1.959963985 + 0.841621234
    size = 1 / (200 * 0.0025**2 + 10 * 0.05**2)
    assert found.score is not None
    assert found.smallest_detectable is not None
    assert found.smallest_detectable == approx(reach * math.sqrt(3) / size)
    assert 0.1 < found.smallest_detectable < found.score.high < 0.15


def test_categories_of_one_prompt_detect_what_one_category_of_them_does() -> None:
    base, current = [1.0] * 4 + [0.0] * 4, [0.0] * 3 + [1.0] + [0.0] * 4
    one = compared(rows_of(base), rows_of(current)).smallest_detectable
    before, after = (
        [row for at, score in enumerate(scores) for row in _named(f"c{at}", [score])]
        for scores in (base, current)
    )
    assert one is not None
    assert compared(before, after).smallest_detectable == approx(one)


def test_a_heavy_prompt_that_flips_is_no_small_spread() -> None:
    """Of 10 weights of 1 and one of 10, the heavy one flips: half the weight differs."""
    heavy = replace(a_prompt("heavy"), weight=10.0)
    base: Rows = [*rows_of([1.0] * 10), (heavy, an_answer(heavy, 0.0))]
    current: Rows = [*rows_of([1.0] * 10), (heavy, an_answer(heavy, 1.0))]
    found = compared(base, current)
    # Kish's n is 400 / 110; 2.8 √(0.5 / n) is above 1, which no difference exceeds.
    assert found.smallest_detectable == 1


def test_where_no_answer_ever_passed_nothing_is_right_or_wrong() -> None:
    """Sixty scores rose, and no count of gained and lost says that none did."""
    found = compared(_never_passing(0.3), _never_passing(0.9))
    assert found.discordance is None
    assert found.buckets == {Bucket.FIXED: 60}
    assert [(each.gained, each.lost) for each in found.categories] == [(60, 0)]


def _never_passing(score: float) -> Rows:
    return [
        (prompt, answer.model_copy(update={"passed": False}))
        for prompt, answer in rows_of([score] * 60)
        if isinstance(answer, EvalResult)
    ]


def _named(category: str, scores: list[float]) -> Rows:
    prompts = [a_prompt(f"{category}-{at}", category=category) for at in range(len(scores))]
    return [(each, an_answer(each, score)) for each, score in zip(prompts, scores, strict=True)]


def test_roles_and_tags_are_slices_of_their_own() -> None:
    prompts = [
        a_prompt("a", role="coder", tags=("easy", "loops", "easy")),
        a_prompt("b", role="coder", tags=("hard",)),
        a_prompt("c"),
    ]
    base: Rows = [(each, an_answer(each, 0)) for each in prompts]
    current: Rows = [(each, an_answer(each, 1)) for each in prompts]
    found = compared(base, current)
    assert [(each.name, each.pairs, each.gained) for each in found.roles] == [("coder", 2, 2)]
    assert [(each.name, each.pairs) for each in found.tags] == [
        ("easy", 1),
        ("loops", 1),
        ("hard", 1),
    ]


def test_weights_move_the_difference() -> None:
    """Weights 3 and 1: one gained, one lost is (3 - 1) / 4."""
    prompts = [a_prompt("a", weight=3.0), a_prompt("b"), a_prompt("c", weight=0.0)]
    before, after = (0, 1, 0), (1, 0, 0)
    base: Rows = [(p, an_answer(p, s)) for p, s in zip(prompts, before, strict=True)]
    current: Rows = [(p, an_answer(p, s)) for p, s in zip(prompts, after, strict=True)]
    found = compared(base, current)
    assert found.score is not None
    assert (found.score.value, found.score.n) == (0.5, 2)


def test_prompts_of_one_group_count_as_fewer() -> None:
    base, current = cells(10, 10, 0, 20)
    alone = compared(rows_of(base), rows_of(current)).score
    grouped = compared(_grouped(base), _grouped(current)).score
    assert alone is not None
    assert grouped is not None
    assert grouped.value == approx(alone.value)
    assert grouped.low < alone.low
    assert grouped.high > alone.high


def _grouped(scores: list[float]) -> Rows:
    rows = rows_of(scores)
    prompts = [a_prompt(p.id, group=f"g{at // 10}") for at, (p, _) in enumerate(rows)]
    return [(p, outcome) for p, (_, outcome) in zip(prompts, rows, strict=True)]


def test_faults_are_counted_both_ways() -> None:
    """10 prompts: 4 fixed of 8 that were answered in both; one lost in each run.

    As lost: +4, the base's lost one was right and the current one is right too: 0; the current's
    lost one is wrong and was right: −1; together 3 / 10. As gained: +4, +1, 0: 5 / 10.
    """
    base = rows_of([0, 0, 0, 0, 1, 1, 1, 1, FAULT, 1])
    current = rows_of([1, 1, 1, 1, 1, 1, 1, 1, 1, FAULT])
    found = compared(base, current)
    assert found.score is not None
    assert (found.score.value, found.score.n) == (0.5, 8)
    assert found.if_faults_lose is not None
    assert found.if_faults_win is not None
    assert found.if_faults_lose.value == approx(0.3)
    assert found.if_faults_win.value == approx(0.5)
    assert found.if_faults_lose.n == 10
    assert found.faulted == ("p008", "p009")
    assert found.at_worst is not None
    assert found.at_best is not None
    assert (found.at_worst.value, found.at_best.value) == (0.9, 1.0)
    assert [each.faults for each in found.categories] == [2]


def test_a_fault_of_one_repeat_counts_as_its_share() -> None:
    prompt = a_prompt("a")
    other = a_prompt("b")
    base: Rows = [(each, an_answer(each, 0)) for each in (prompt, other)]
    current: Rows = [
        (prompt, an_answer(prompt, 1)),
        (prompt, rows_of([FAULT])[0][1].model_copy(update={"prompt_id": "a", "repeat": 1})),
        (other, an_answer(other, 1)),
        (other, an_answer(other, 1, repeat=1)),
    ]
    found = compared(base, current)
    assert found.score is not None
    assert found.if_faults_lose is not None
    assert (found.score.value, found.if_faults_lose.value) == (1.0, approx(0.75))
    assert found.discordance is None  # with repeats no prompt is right or wrong


def test_nothing_scored_is_no_number() -> None:
    prompts = [a_prompt(f"p{at}") for at in range(3)]
    rows: Rows = [(each, an_answer(each, None)) for each in prompts]
    found = compared(rows, rows)
    assert _numbers(found) == [None] * 9
    assert (found.pairs, found.scored, found.flips) == (3, 0, ())


def test_all_faults_are_no_number() -> None:
    found = compared(rows_of([1, 0, 1]), rows_of([FAULT] * 3))
    assert _numbers(found) == [None] * 9
    assert len(found.faulted) == 3


def _numbers(found: Comparison) -> list[object]:
    numbers: list[object] = [
        found.score,
        found.passed,
        found.word,
        found.discordance,
        found.smallest_detectable,
    ]
    numbers += [found.base_score, found.current_score, found.if_faults_lose, found.if_faults_win]
    return numbers


def test_one_prompt_says_next_to_nothing() -> None:
    found = compared(rows_of([0]), rows_of([1]))
    assert found.score is not None
    assert (found.score.value, found.score.n) == (1.0, 1)
    assert found.score.low < 0.2
    assert found.smallest_detectable == 1.0
    assert (found.latency, found.timing) == (None, None)


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_no_discordant_pair_is_no_certainty(score: float) -> None:
    found = compared(rows_of([score] * 30), rows_of([score] * 30))
    assert found.score is not None
    assert found.score.value == 0
    assert found.score.low < -0.05
    assert found.score.high > 0.05
    assert found.discordance is not None
    assert found.discordance.p == 1.0
    # The rule of three: up to 3 of 30 may differ. 2.802 √(0.1 / 30)
    assert found.smallest_detectable == pytest.approx(0.1618, abs=1e-4)  # pyright: ignore[reportUnknownMemberType]
    assert found.word is Word.UNCLEAR


def test_a_flip_is_a_changed_pass() -> None:
    found = compared(rows_of([1, 0.5, 0.2, 0.9, 1]), rows_of([0.5, 1, 0.8, 0.9, 1]))
    assert [(each.id, each.bucket) for each in found.flips] == [
        ("p000", Bucket.REGRESSED),
        ("p001", Bucket.FIXED),
        ("p002", Bucket.STILL_FAILING),
        ("p003", Bucket.STILL_FAILING),
    ]
    assert (found.flips[0].base_score, found.flips[0].current_score) == (1.0, 0.5)


def test_where_nothing_ever_passes_a_flip_is_a_changed_score() -> None:
    found = compared(rows_of([0.2, 0.5, 0.4]), rows_of([0.8, 0.1, 0.4]))
    assert [(each.id, each.bucket) for each in found.flips] == [
        ("p001", Bucket.REGRESSED),
        ("p000", Bucket.FIXED),
        ("p002", Bucket.STILL_FAILING),
    ]


def test_must_pass_prompts_of_the_current_run() -> None:
    prompts = [a_prompt(name, must_pass=True) for name in ("held", "broken", "lost")]
    base: Rows = [(each, an_answer(each, 1)) for each in prompts]
    current: Rows = [(prompts[0], an_answer(prompts[0], 1)), (prompts[1], an_answer(prompts[1], 0))]
    current += [(prompts[2], rows_of([FAULT])[0][1])]
    found = compared(base, current)
    assert (found.must_pass, found.must_pass_failed) == (3, ("broken",))
    assert found.must_pass_unmeasured == ("lost",)


def test_unpaired_runs_are_two_samples() -> None:
    """298 of 302 collected interactions against 45 of 50 answers."""
    paired = pair(arm_of_rates(298, 302), arm_of(rows_of([1] * 45 + [0] * 5)), "unpaired")
    found = compare(a_run(), adapted(), paired)
    assert found.score is not None
    assert found.score.value == approx(45 / 50 - 298 / 302)
    # Newcombe 1998, method 10: Wilson's limits of both, their distances squared, added and rooted.
    (l1, u1), (l2, u2) = wilson(298 / 302, 302), wilson(45 / 50, 50)
    reach = math.hypot(0.9 - l2, u1 - 298 / 302), math.hypot(u2 - 0.9, 298 / 302 - l1)
    assert found.score.low == approx(found.score.value - reach[0])
    assert found.score.high == approx(found.score.value + reach[1])
    assert (found.pairs, found.scored, found.flips, found.discordance) == (0, 0, (), None)
    assert [each.name for each in found.categories] == ["general"]
    assert any("independent samples" in each for each in found.cautions)
    assert found.latency is None


def test_intersected_runs_say_what_is_left_out() -> None:
    found = compared(rows_of([1, 1, 0, 0]), rows_of([1, 1]), how="intersected")
    assert (found.pairs, found.only_base, found.only_current) == (2, 2, 0)
    assert "Only what both runs asked is compared: 2 prompts; 2 others are left out." in (
        found.cautions
    )


SCORES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 1.0, None]), st.sampled_from([0.0, 0.5, 1.0, None])),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60)
@given(SCORES)
def test_swapping_the_runs_negates_the_difference(scores: list[tuple[float | None, ...]]) -> None:
    base, current = (rows_of([each[at] for each in scores]) for at in (0, 1))
    there, back = compared(base, current), compared(current, base)
    for one, other in (
        (there.score, back.score),
        (there.if_faults_lose, back.if_faults_win),
        (there.passed, back.passed),
    ):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert one.value == approx(-other.value)
            assert (one.low, one.high) == (approx(-other.high), approx(-other.low))
    assert there.buckets.get(Bucket.FIXED) == back.buckets.get(Bucket.REGRESSED)
    assert there.smallest_detectable == back.smallest_detectable


@settings(max_examples=40)
@given(SCORES, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(
    scores: list[tuple[float | None, ...]], rng: random.Random
) -> None:
    base, current = (rows_of([each[at] for each in scores]) for at in (0, 1))
    found = compared(base, current, seed=3)
    rng.shuffle(base)
    rng.shuffle(current)
    assert compared(base, current, seed=3) == found


@given(SCORES)
def test_faults_as_lost_are_never_better_than_as_gained(
    scores: list[tuple[float | None, ...]],
) -> None:
    found = compared(*(rows_of([each[at] for each in scores]) for at in (0, 1)))
    if found.score and found.if_faults_lose and found.if_faults_win:
        assert found.if_faults_lose.value <= found.if_faults_win.value
    if found.at_worst and found.at_best:
        assert found.at_worst.value <= found.at_best.value


def test_the_adapter_is_named_first_of_what_differs() -> None:
    later = adapted(
        concurrency=8,
        sampling=Sampling(seed=7, max_tokens=64),
        provenance=Provenance(
            hardware="8 cores, 16 GB", versions={"mlx": "0.32.4", "python": "3.12"}
        ),
    )
    found = compared(rows_of([1]), rows_of([1]), runs=(a_run(), later)).differs
    assert found[0] == Differing(what="adapter", base="none", current="greenhouse")
    said = {each.what: (each.base, each.current, each.matters) for each in found}
    assert said["in flight"] == ("1", "8", True)
    assert said["max_tokens"] == ("512", "64", True)
    assert said["seed"] == ("none", "7", False)  # at temperature 0 nothing is drawn
    assert said["hardware"][2]
    assert (said["mlx"][2], said["python"][2]) == (True, False)
    assert "model" not in said


def test_another_model_is_named_first() -> None:
    model = a_run().model.model_copy(update={"name": "large", "weights_hash": "77" * 32})
    runs = (a_run(), a_run("current", model=model))
    found = compared(rows_of([1]), rows_of([1]), runs=runs).differs
    assert found == (Differing(what="model", base="small", current="large"),)


def test_the_same_name_with_other_weights_differs_by_its_hash() -> None:
    model = a_run().model.model_copy(update={"weights_hash": "77" * 32})
    runs = (a_run(), a_run("current", model=model))
    found = compared(rows_of([1]), rows_of([1]), runs=runs).differs
    assert found == (
        Differing(what="model", base=f"small ({'5b' * 6})", current=f"small ({'77' * 6})"),
    )


def test_two_names_of_the_same_weights_move_nothing() -> None:
    model = a_run().model.model_copy(update={"name": "./small"})
    runs = (a_run(), a_run("current", model=model))
    found = compared(rows_of([1]), rows_of([1]), runs=runs).differs
    assert [(each.what, each.matters) for each in found] == [("name of the model", False)]


def test_a_run_against_itself_differs_in_nothing() -> None:
    found = compared(rows_of([1, 0]), rows_of([1, 0]), runs=(a_run(), a_run()))
    assert found.differs == ()
    assert found.cautions == ()


def test_cautions_say_what_is_known_against_either_run() -> None:
    stamp = Finding(
        name="leakage",
        level=Level.WARNING,
        sentence="The adapter was trained on rows that hold 3 prompts of this suite, or nearly.",
        consequence="The score measures memory in part; take these rows out and train again.",
    )
    base = a_run(status=RunStatus.INTERRUPTED, checks=None, repeats=3)
    later = adapted(checks=Checks(findings=(stamp,)), decided_after=40)
    found = compared(rows_of([1]), rows_of([1]), runs=(base, later))
    assert found.cautions == (
        "Base run: it was interrupted, after 1 prompt.",
        "Base run: nobody asked for self-checks, so the instrument is not known to work.",
        "Base run: 3 repeats at temperature 0 are one answer over and over.",
        f"Current run: {stamp.sentence} {stamp.consequence}",
        "The runs were asked 3 and 1 times a prompt, so the answers of one are steadier.",
    )
    assert found.stopped_early


def _timed(ratio: float, number: int = 30) -> tuple[Rows, Rows]:
    rng = random.Random(1)
    prompts = [a_prompt(f"p{at:03}") for at in range(number)]
    times = [rng.lognormvariate(0, 0.5) for _ in prompts]
    pairs = list(zip(prompts, times, strict=True))
    base: Rows = [(p, an_answer(p, 1, seconds=t)) for p, t in pairs]
    current: Rows = [(p, an_answer(p, 1, seconds=ratio * t)) for p, t in pairs]
    return base, current


def test_twice_the_time_is_a_ratio_of_two() -> None:
    """Every prompt took twice as long: the median ratio is 2, and so is that of each resample."""
    runs = (a_run(), adapted(timed_with="base"))
    found = compared(*_timed(2.0), runs=runs).latency
    assert found is not None
    assert [found.ratio, found.low, found.high, found.lower, found.upper] == [approx(2.0)] * 5
    assert found.first_token_ratio == approx(2.0)
    assert found.tokens_per_second_ratio == approx(0.5)
    assert (found.gates, found.why_not, found.n) == (True, "", 30)


NAP = Incident(at="2026-11-21T10:01:00+00:00", kind=IncidentKind.SLEPT, what="slept for 60 s")


@pytest.mark.parametrize(
    ("base", "current", "why"),
    [
        (a_run(), adapted(), "not timed side by side"),
        (a_run(), adapted(timed_with="base", concurrency=4), "4 requests in flight"),
        (a_run(incidents=(NAP,)), adapted(timed_with="base"), "slept during run base"),
        (
            a_run(),
            adapted(timed_with="base", provenance=Provenance(hardware="8 cores")),
            "different hardware",
        ),
    ],
)
def test_times_that_no_gate_may_rest_on_say_why(base: Run, current: Run, why: str) -> None:
    found = compared(*_timed(2.0), runs=(base, current)).latency
    assert found is not None
    assert not found.gates
    assert why in found.why_not


def test_few_times_gate_nothing() -> None:
    runs = (a_run(), adapted(timed_with="base"))
    found = compared(*_timed(2.0, number=9), runs=runs)
    assert found.latency is not None
    assert found.timing is not None
    assert found.latency.why_not == "9 prompts were timed, at least 10 are needed"
    assert found.timing.why_not == "9 prompts were timed, at least 20 are needed"


def test_what_ran_into_a_timeout_gates_no_time() -> None:
    """The slowest prompts are those that lack a time, so the others are too fast."""
    runs = (a_run(), adapted(timed_with="base"))
    base, current = _timed(1.0, number=60)
    current[0] = (current[0][0], a_fault(current[0][0]))
    found = compared(base, current, runs=runs)
    assert found.latency is not None
    assert found.timing is not None
    assert not found.latency.gates
    assert "1 prompt lost answers to faults" in found.latency.why_not
    assert found.timing.why_not == found.latency.why_not


def test_the_mean_time_lies_between_its_bounds_and_follows_the_seed() -> None:
    rows = _timed(1.0)
    one, again, other = (compared(*rows, seed=seed).timing for seed in (1, 1, 2))
    assert one is not None
    assert other is not None
    seconds = [each.completion.latency_s for _, each in rows[1] if isinstance(each, EvalResult)]
    assert one.mean == approx(math.fsum(seconds) / 30)
    assert one.mean_lower < one.mean < one.mean_upper
    assert one == again
    assert one.mean_upper != other.mean_upper
