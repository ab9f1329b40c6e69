import sys
import tracemalloc
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.analysis.statistics import quantile, wilson
from punie.analysis.summary import Tally
from punie.records.result import (
    Completion,
    Culprit,
    EvalFault,
    EvalResult,
    FaultKind,
    Outcome,
    Score,
)
from punie.records.suite import EvalPrompt, Message
from punie.records.summary import Estimate, Slice, Summary


def a_prompt(
    name: str,
    *,
    category: str = "general",
    role: str | None = None,
    tags: tuple[str, ...] = (),
    group: str | None = None,
    weight: float = 1.0,
    must_pass: bool = False,
) -> EvalPrompt:
    return EvalPrompt(
        id=name,
        messages=(Message(role="user", content="?"),),
        category=category,
        role=role,
        tags=tags,
        group=group,
        weight=weight,
        must_pass=must_pass,
    )


def an_answer(
    prompt: EvalPrompt,
    score: float | None,
    *,
    repeat: int = 0,
    attempts: int = 1,
    completion: Completion | None = None,
    culprit: Culprit | None = None,
) -> EvalResult:
    passed = None if score is None else score == 1.0
    scores = () if score is None else (Score(scorer="exact", value=score, passed=bool(passed)),)
    if culprit:
        scores = (Score(scorer="exact", value=score or 0.0, passed=False, culprit=culprit),)
    return EvalResult(
        prompt_id=prompt.id,
        prompt_hash="",
        repeat=repeat,
        attempts=attempts,
        completion=completion or Completion(text="x", latency_s=1.0),
        scores=scores,
        score=score,
        passed=passed,
    )


def a_fault(
    prompt: EvalPrompt, kind: FaultKind = FaultKind.TIMEOUT, *, repeat: int = 0
) -> EvalFault:
    return EvalFault(prompt_id=prompt.id, prompt_hash="", repeat=repeat, kind=kind, message="")


def summed(pairs: Sequence[tuple[EvalPrompt, Outcome]]) -> Summary:
    tally = Tally()
    for prompt, outcome in pairs:
        tally.add(prompt, outcome)
    return tally.summary(wall_s=1.0)


def value(estimate: Estimate | None) -> float:
    assert estimate is not None
    return estimate.value


def by_name(slices: tuple[Slice, ...]) -> dict[str, Slice]:
    return {each.name: each for each in slices}


@st.composite
def runs(draw: st.DrawFn) -> list[tuple[EvalPrompt, Outcome]]:
    """Prompts in all kinds of slices, each asked one to three times, some of it failing."""
    pairs: list[tuple[EvalPrompt, Outcome]] = []
    for number in range(draw(st.integers(1, 12))):
        prompt = a_prompt(
            f"p{number}",
            category=draw(st.sampled_from(["tools", "code", "reasoning"])),
            role=draw(st.sampled_from([None, "coder", "tester"])),
            tags=tuple(draw(st.lists(st.sampled_from("xyz"), max_size=2))),
            group=draw(st.sampled_from([None, "g", "h"])),
            weight=draw(st.sampled_from([0.5, 1.0, 3.0])),
            must_pass=draw(st.booleans()),
        )
        for repeat in range(draw(st.integers(1, 3))):
            score = draw(st.none() | st.sampled_from([0.0, 0.25, 1.0]))
            faulted = draw(st.integers(0, 4)) == 0
            pairs.append(
                (
                    prompt,
                    a_fault(prompt, repeat=repeat)
                    if faulted
                    else an_answer(prompt, score, repeat=repeat),
                )
            )
    return pairs


def estimates(summary: Summary) -> list[Estimate]:
    slices = [*summary.categories, *summary.roles, *summary.tags]
    heads = [summary.score, summary.passed, summary.answered_rate]
    found = [*heads, *(s.score for s in slices), *(s.passed for s in slices)]
    return [each for each in found if each is not None]


@given(runs())
def test_every_interval_contains_its_value(pairs: list[tuple[EvalPrompt, Outcome]]):
    for each in estimates(summed(pairs)):
        assert 0 <= each.low <= each.value <= each.high <= 1
        assert 1 <= each.n <= len(pairs)


@given(runs(), st.randoms(use_true_random=False))
def test_the_order_of_adding_does_not_matter(
    pairs: list[tuple[EvalPrompt, Outcome]], random: Random
):
    shuffled = list(pairs)
    random.shuffle(shuffled)

    def in_order(summary: Summary) -> Summary:
        names = ("categories", "roles", "tags")
        slices = {n: tuple(sorted(getattr(summary, n), key=lambda s: s.name)) for n in names}
        return summary.model_copy(update=slices)

    one, other = in_order(summed(pairs)), in_order(summed(shuffled))
    assert one.model_dump(exclude={"score", "passed", "categories", "roles", "tags"}) == (
        other.model_dump(exclude={"score", "passed", "categories", "roles", "tags"})
    )
    for left, right in zip(estimates(one), estimates(other), strict=True):
        assert left.n == right.n
        assert (left.value, left.low, left.high) == pytest.approx(
            (right.value, right.low, right.high), abs=1e-9
        )


@given(runs())
def test_faults_do_not_move_the_score(pairs: list[tuple[EvalPrompt, Outcome]]):
    answered = [(prompt, each) for prompt, each in pairs if isinstance(each, EvalResult)]
    with_faults, without = summed(pairs), summed(answered)
    assert with_faults.score == without.score
    assert with_faults.passed == without.passed
    assert with_faults.latency == without.latency
    assert with_faults.faults == len(pairs) - len(answered)


@given(runs())
def test_the_running_score_is_the_headline_so_far(pairs: list[tuple[EvalPrompt, Outcome]]):
    tally = Tally()
    for prompt, outcome in pairs:
        tally.add(prompt, outcome)
        headline = tally.summary(wall_s=1.0).score
        running = tally.running_score()
        assert (running is None) == (headline is None)
        if headline is not None:
            assert running == pytest.approx(headline.value, abs=1e-9)


def test_nothing_at_all_has_no_numbers():
    summary = Tally().summary(wall_s=0.0)
    assert (summary.score, summary.passed, summary.answered_rate) == (None, None, None)
    assert (summary.latency, summary.tokens_out, summary.tokens_per_second) == (None, None, None)
    assert summary.prompts == summary.repeats == 0
    assert Tally().running_score() is None


def test_all_right_on_twelve_prompts_is_far_from_certain():
    prompts = [a_prompt(f"p{i}") for i in range(12)]
    score = summed([(p, an_answer(p, 1.0)) for p in prompts]).score
    assert score is not None
    assert (score.value, score.high, score.n) == (1.0, 1.0, 12)
    assert score.low == pytest.approx(0.7575, abs=1e-4)


def test_the_headline_is_the_mean_of_the_categories():
    pairs: list[tuple[EvalPrompt, Outcome]] = []
    for i in range(9):
        prompt = a_prompt(f"a{i}", category="large")
        pairs.append((prompt, an_answer(prompt, 1.0)))
    prompt = a_prompt("b", category="small")
    pairs.append((prompt, an_answer(prompt, 0.0)))
    summary = summed(pairs)
    assert value(summary.score) == 0.5
    assert [each.name for each in summary.categories] == ["large", "small"]


def test_a_category_without_a_scored_prompt_is_left_out_of_the_headline():
    good, bad = a_prompt("a", category="good"), a_prompt("b", category="faulty")
    free = a_prompt("c", category="free")
    summary = summed(
        [(good, an_answer(good, 1.0)), (bad, a_fault(bad)), (free, an_answer(free, None))]
    )
    assert value(summary.score) == 1.0
    assert summary.score is not None
    assert summary.score.n == 1
    slices = by_name(summary.categories)
    assert slices["faulty"].score is None
    assert (slices["faulty"].answered, slices["faulty"].faults) == (0, 1)
    assert slices["free"].score is None
    assert slices["free"].answered == 1


def test_repeats_are_averaged_and_never_count_as_prompts():
    one, two = a_prompt("one"), a_prompt("two")
    pairs: list[tuple[EvalPrompt, Outcome]] = [
        (one, an_answer(one, 1.0, repeat=0)),
        (one, an_answer(one, 0.0, repeat=1)),
        (one, an_answer(one, 0.0, repeat=2)),
        (one, an_answer(one, 0.0, repeat=3)),
        (two, an_answer(two, 1.0, repeat=0)),
    ]
    summary = summed(pairs)
    assert summary.score is not None
    assert (summary.score.value, summary.score.n) == (0.625, 2)
    assert (summary.score.low, summary.score.high) == pytest.approx(wilson(0.625, 2))
    assert (summary.prompts, summary.repeats, summary.answered) == (2, 4, 5)


def test_a_partly_faulted_prompt_uses_its_answers():
    prompt = a_prompt("p")
    summary = summed(
        [
            (prompt, an_answer(prompt, 0.0, repeat=0)),
            (prompt, a_fault(prompt, repeat=1)),
            (prompt, an_answer(prompt, 1.0, repeat=2)),
        ]
    )
    assert value(summary.score) == 0.5
    assert value(summary.answered_rate) == pytest.approx(2 / 3)
    assert summary.fault_kinds == {"timed out": 1}


def test_unscored_answers_count_as_answered_only():
    prompt, other = a_prompt("p"), a_prompt("q")
    summary = summed([(prompt, an_answer(prompt, None)), (other, a_fault(other))])
    assert (summary.score, summary.passed) == (None, None)
    assert value(summary.answered_rate) == 0.5
    assert summary.unscored == 1
    assert summary.latency is not None
    assert summary.latency.n == 1


def test_weights_shift_the_mean_and_cost_certainty():
    heavy, light = a_prompt("heavy", weight=3.0), a_prompt("light", weight=1.0)
    score = summed([(heavy, an_answer(heavy, 1.0)), (light, an_answer(light, 0.0))]).score
    assert score is not None
    assert (score.value, score.n) == (0.75, 2)
    assert (score.low, score.high) == pytest.approx(wilson(0.75, 16 / 10))


def test_a_prompt_without_weight_has_no_part_in_the_score():
    prompt, void = a_prompt("p"), a_prompt("void", weight=0.0)
    tally = Tally()
    tally.add(prompt, an_answer(prompt, 1.0))
    tally.add(void, an_answer(void, 0.0))
    score = tally.summary(wall_s=1.0).score
    assert score is not None
    assert (score.value, score.n, tally.running_score()) == (1.0, 1, 1.0)


def test_prompts_of_one_passage_widen_the_interval():
    alone = [a_prompt(f"p{i}") for i in range(20)]
    shared = [a_prompt(f"p{i}", group=f"passage {i // 5}") for i in range(20)]
    scores = [1.0] * 10 + [0.0] * 10
    free = summed([(p, an_answer(p, s)) for p, s in zip(alone, scores, strict=True)]).score
    tied = summed([(p, an_answer(p, s)) for p, s in zip(shared, scores, strict=True)]).score
    assert free is not None
    assert tied is not None
    assert free.value == tied.value
    assert tied.high - tied.low > 1.5 * (free.high - free.low)


def test_slices_stand_in_first_seen_order():
    first = a_prompt("a", category="z", role="tester", tags=("slow", "fast", "slow"))
    second = a_prompt("b", category="a", role="coder", tags=("fast",))
    third = a_prompt("c", category="z")
    summary = summed([(p, an_answer(p, 1.0)) for p in (first, second, third)])
    assert [(s.name, s.prompts) for s in summary.categories] == [("z", 2), ("a", 1)]
    assert [(s.name, s.prompts) for s in summary.roles] == [("tester", 1), ("coder", 1)]
    assert [(s.name, s.prompts) for s in summary.tags] == [("slow", 1), ("fast", 2)]


def test_slices_stand_in_the_order_of_the_suite_where_it_is_known():
    suite = [a_prompt(name, category=name, tags=(f"t-{name}",)) for name in "cabd"]
    tally = Tally(suite)
    for prompt in reversed(suite[:3]):
        tally.add(prompt, an_answer(prompt, 1.0))
    summary = tally.summary(wall_s=1.0)
    assert [each.name for each in summary.categories] == ["c", "a", "b"]
    assert [each.name for each in summary.tags] == ["t-c", "t-a", "t-b"]
    assert (summary.prompts, summary.answered, value(summary.answered_rate)) == (3, 3, 1.0)


def test_a_must_pass_prompt_fails_with_any_of_its_answers():
    names = ("sure", "shaky", "broken", "faulted")
    sure, shaky, broken, faulted = (a_prompt(n, must_pass=True) for n in names)
    free = a_prompt("free")
    summary = summed(
        [
            (sure, an_answer(sure, 1.0)),
            (shaky, an_answer(shaky, 1.0)),
            (shaky, an_answer(shaky, 0.5, repeat=1)),
            (broken, an_answer(broken, 0.0)),
            (faulted, a_fault(faulted)),
            (free, an_answer(free, 0.0)),
        ]
    )
    assert summary.must_pass_failed == ("broken", "shaky")


def test_tokens_times_and_reasons_are_counted():
    prompt, other = a_prompt("p"), a_prompt("q")
    cut = Completion(
        finish_reason="length",
        latency_s=2.0,
        first_token_s=0.5,
        prompt_tokens=100,
        completion_tokens=50,
        recovered=True,
    )
    plain = Completion(latency_s=4.0, prompt_tokens=200, completion_tokens=150)
    tally = Tally()
    tally.add(prompt, an_answer(prompt, 0.0, completion=cut, culprit=Culprit.TRUNCATED, attempts=3))
    tally.add(other, an_answer(other, 1.0, completion=plain))
    summary = tally.summary(wall_s=4.0, peak_memory_bytes=7, prices=(10.0, 20.0))
    assert summary.culprits == {"truncated": 1}
    assert (summary.truncated, summary.recovered, summary.retried) == (1, 1, 1)
    assert (summary.tokens_in, summary.tokens_out) == (300, 200)
    assert summary.tokens_per_second == 50.0
    assert summary.cost == pytest.approx((300 * 10 + 200 * 20) / 1e6)
    assert (summary.wall_s, summary.peak_memory_bytes) == (4.0, 7)
    assert summary.latency is not None
    assert summary.latency.p95 == pytest.approx(quantile([2.0, 4.0], 0.95))
    assert summary.first_token is not None
    assert (summary.first_token.n, summary.first_token.mean) == (1, 0.5)


def test_the_cost_is_unknown_where_an_answer_was_not_counted():
    prompt, other = a_prompt("p"), a_prompt("q")
    tally = Tally()
    tally.add(
        prompt, an_answer(prompt, 1.0, completion=Completion(prompt_tokens=1, completion_tokens=1))
    )
    tally.add(other, an_answer(other, 1.0))
    summary = tally.summary(wall_s=1.0, prices=(1.0, 1.0))
    assert (summary.tokens_in, summary.cost) == (1, None)


def test_counts_are_ordered_by_frequency():
    prompts = [a_prompt(f"p{i}") for i in range(3)]
    kinds = [FaultKind.TIMEOUT, FaultKind.RATE_LIMITED, FaultKind.RATE_LIMITED]
    summary = summed([(p, a_fault(p, kind)) for p, kind in zip(prompts, kinds, strict=True)])
    assert list(summary.fault_kinds.items()) == [("rate limited", 2), ("timed out", 1)]


@pytest.mark.skipif(sys.gettrace() is not None, reason="a tracer allocates too")
def test_memory_stays_under_half_a_kilobyte_a_prompt():
    prompts = [a_prompt(f"p{i}", category=f"c{i % 3}") for i in range(2000)]
    tally = Tally()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for prompt in prompts:
            tally.add(prompt, an_answer(prompt, 0.3, completion=Completion(latency_s=0.7)))
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert tally.running_score() == pytest.approx(0.3)
    assert grown / len(prompts) < 512


def test_failed_tries_are_counted_by_kind_where_an_answer_came_in_the_end():
    prompt = a_prompt("p")
    lost, late = FaultKind.CONNECTION_LOST, FaultKind.TIMEOUT
    twice = an_answer(prompt, 1.0, attempts=3).model_copy(update={"failures": (late, lost)})
    once = an_answer(prompt, 0.0, repeat=1, attempts=2).model_copy(update={"failures": (late,)})
    never = a_fault(prompt, repeat=2).model_copy(update={"failures": (lost, lost)})
    summary = summed([(prompt, twice), (prompt, once), (prompt, never)])
    assert summary.retried == 2
    assert list(summary.retry_reasons.items()) == [("timed out", 2), ("connection lost", 1)]
    assert summary.fault_kinds == {"timed out": 1}
