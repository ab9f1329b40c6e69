"""Which prompts two runs share, and what is refused."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.analysis.pairing import How, arm_of, arm_of_rates, pair, refusal
from punie.records.result import Culprit, FaultKind
from punie.records.run import RunStatus
from run_pairs import FAULT, a_fault, a_prompt, a_run, adapted, an_answer, rows_of


def test_repeats_of_a_prompt_are_averaged_and_faults_counted() -> None:
    prompt = a_prompt("a")
    rows = [
        (prompt, an_answer(prompt, 0.5, repeat=1, seconds=3.0)),
        (prompt, a_fault(prompt, repeat=2)),
        (prompt, an_answer(prompt, 1.0, repeat=0, seconds=1.0)),
    ]
    (asked,) = arm_of(iter(rows))
    side = asked.side
    assert (side.score, side.passed) == (0.75, 0.5)
    assert (side.answers, side.faults, side.fault) == (2, 1, FaultKind.TIMEOUT)
    assert (side.latency_s, side.first_token_s, side.tokens_out) == (2.0, 0.5, 10)
    assert side.culprit is Culprit.WRONG_ANSWER


def test_what_is_not_scored_has_no_score() -> None:
    unscored, lost = a_prompt("a"), a_prompt("b")
    arm = arm_of([(unscored, an_answer(unscored, None)), (lost, a_fault(lost))])
    assert [each.side.score for each in arm] == [None, None]
    assert [(each.side.answers, each.side.faults) for each in arm] == [(1, 0), (0, 1)]


def test_the_same_prompts_pair_by_id() -> None:
    found = pair(arm_of(rows_of([1, 0, FAULT])), arm_of(rows_of([0, 0, 1])))
    assert [each.id for each in found.pairs] == ["p000", "p001", "p002"]
    assert (found.only_base, found.only_current, found.changed) == ((), (), ())
    assert found.faulted == ("p002",)
    assert refusal(a_run(), adapted(), found) is None


def test_a_renumbered_prompt_is_the_same_prompt() -> None:
    """A prompt was put in front: p0 has other words now, and every old prompt another number."""
    words = ["A", "B", "C"]
    before = [a_prompt(f"p{at}", words=each) for at, each in enumerate(words)]
    after = [a_prompt(f"p{at}", words=each) for at, each in enumerate(["new", *words])]
    found = pair(
        arm_of((each, an_answer(each, 1)) for each in before),
        arm_of((each, an_answer(each, 1)) for each in after),
    )
    assert [(each.id, each.hash) for each in found.pairs] == [
        ("p1", "h-A"),
        ("p2", "h-B"),
        ("p3", "h-C"),
    ]
    assert (found.changed, found.only_base, found.only_current) == ((), (), ("p0",))


def test_prompts_without_a_hash_pair_by_id_alone() -> None:
    before = [a_prompt("a", hash=""), a_prompt("b", hash="")]
    after = [a_prompt("a", hash=""), a_prompt("c", hash="")]
    found = pair(
        arm_of((each, an_answer(each, 1)) for each in before),
        arm_of((each, an_answer(each, 1)) for each in after),
    )
    assert [each.id for each in found.pairs] == ["a"]
    assert (found.only_base, found.only_current) == (("b",), ("c",))


def test_equal_words_under_several_ids_pair_one_to_one() -> None:
    before = [a_prompt(name, words="same") for name in ("a", "b", "c")]
    after = [a_prompt(name, words="same") for name in ("b", "x")]
    found = pair(
        arm_of((each, an_answer(each, 1)) for each in before),
        arm_of((each, an_answer(each, 0)) for each in after),
    )
    assert [each.id for each in found.pairs] == ["b", "x"]
    assert found.only_base == ("c",)


def test_changed_words_are_refused_and_named() -> None:
    before, after = rows_of([1, 1, 1]), rows_of([1, 1, 1])
    changed = a_prompt("p001", words="other words")
    after[1] = (changed, an_answer(changed, 1))
    found = pair(arm_of(before), arm_of(after))
    assert found.changed == ("p001",)
    refused = refusal(a_run(), adapted(), found)
    assert refused is not None
    assert refused.message.startswith("1 prompt changed words or expectations between base and cu")
    assert "p001" in refused.message
    assert "--intersect" in refused.hint
    assert refusal(a_run(), adapted(), replace(found, how="intersected")) is None


def test_an_unfinished_run_is_refused_with_the_command_that_ends_it() -> None:
    found = pair(arm_of(rows_of([1] * 9)), arm_of(rows_of([1] * 2)))
    refused = refusal(a_run(), adapted(status=RunStatus.INTERRUPTED), found)
    assert refused is not None
    assert "lacks 7 prompts that base asked (its status: interrupted)" in refused.message
    assert "p002, p003, p004, p005, p006 and 2 more" in refused.message
    assert "punie eval --resume current" in refused.hint


def test_a_run_that_was_decided_early_is_whole() -> None:
    found = pair(arm_of(rows_of([1] * 9)), arm_of(rows_of([1] * 2)))
    assert refusal(a_run(), adapted(decided_after=2), found) is None


def test_a_base_that_lacks_prompts_is_the_one_that_is_named() -> None:
    found = pair(arm_of(rows_of([1])), arm_of(rows_of([1, 1])))
    refused = refusal(a_run(), adapted(), found)
    assert refused is not None
    assert refused.message.startswith("run base (suite greenhouse) lacks 1 prompt that current")


@pytest.mark.parametrize("how", ["paired", "intersected"])
def test_different_suites_have_nothing_to_pair(how: How) -> None:
    other = [(a_prompt(name), an_answer(a_prompt(name), 1)) for name in ("x", "y")]
    found = pair(arm_of(rows_of([1, 1])), arm_of(other), how)
    refused = refusal(a_run(), adapted(suite_name="other"), found)
    assert refused is not None
    assert "no prompt in common" in refused.message
    assert "--unpaired" in refused.hint


def test_a_run_without_answers_is_refused_in_every_way() -> None:
    for how in ("paired", "intersected", "unpaired"):
        refused = refusal(a_run(), adapted(), pair(arm_of(rows_of([1])), (), how))
        assert refused is not None
        assert refused.message.startswith("run current (suite greenhouse) has no answers")


def test_other_labels_are_told_and_those_of_the_current_run_count() -> None:
    found = pair(arm_of(rows_of([1, 0])), arm_of(rows_of([1, 0], category="new")))
    assert found.relabelled == ("p000", "p001")
    assert {each.category for each in found.pairs} == {"new"}


def test_a_plain_rate_is_an_arm() -> None:
    arm = arm_of_rates(298, 302)
    assert len(arm) == 302
    assert sum(each.side.score or 0 for each in arm) == 298
    assert len({each.id for each in arm}) == 302


NAMES = st.lists(st.sampled_from("abcdefgh"), unique=True)


@given(NAMES, NAMES, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(
    first: list[str], second: list[str], rng: random.Random
) -> None:
    """Words are shared between some ids, so prompts pair by id and by hash."""
    before = [a_prompt(name, words=name if name < "e" else "same") for name in first]
    after = [a_prompt(name, words=name if name < "d" else "same") for name in second]
    rows = [[(each, an_answer(each, 1)) for each in prompts] for prompts in (before, after)]
    found = pair(arm_of(rows[0]), arm_of(rows[1]))
    for each in rows:
        rng.shuffle(each)
    again = pair(arm_of(rows[0]), arm_of(rows[1]))
    assert again.pairs == found.pairs
    assert again.changed == found.changed
    assert set(again.only_base) == set(found.only_base)
    counted = len(found.pairs) + len(found.changed)
    assert counted + len(found.only_base) == len(first)
    assert counted + len(found.only_current) == len(second)
