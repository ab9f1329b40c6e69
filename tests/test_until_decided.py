"""Asking until a sequential test decides: what it looks at, and when the run ends."""

from dataclasses import replace
from pathlib import Path

from fake_server import FakeServer
from punie.evaluation.run import run_evaluation
from punie.evaluation.until_decided import UntilDecided
from punie.records.expect import Exact, Expect
from punie.records.result import Completion, EvalFault, EvalResult, FaultKind, Outcome
from punie.records.run import ModelIdentity, Run, RunStatus
from punie.records.suite import EvalPrompt, EvalSuite, Message
from punie.reporting.wording import decided_part, notes
from punie.serving.endpoint import Endpoint
from punie.store.runs import RunStore
from punie.suites.select import in_drawn_order
from synthetic_run import synthetic_report


def prompts(number: int) -> list[EvalPrompt]:
    return [
        EvalPrompt(
            id=f"p{i}",
            messages=(Message(role="user", content=f"{i}"),),
            expect=Expect(exact=Exact(values=(f"{i}",))),
            hash=f"h{i}",
        )
        for i in range(number)
    ]


def answer(prompt: EvalPrompt, *, passed: bool | None) -> Outcome:
    return EvalResult(
        prompt_id=prompt.id,
        prompt_hash=prompt.hash,
        completion=Completion(),
        score=None if passed is None else float(passed),
        passed=passed,
    )


def fault(prompt: EvalPrompt) -> Outcome:
    return EvalFault(
        prompt_id=prompt.id, prompt_hash=prompt.hash, kind=FaultKind.TIMEOUT, message=""
    )


def two_more(gained: int, lost: int) -> bool:
    return abs(gained - lost) >= 2


def test_it_looks_at_prompts_in_their_order() -> None:
    """Answers that come early do not count before those that were asked before them."""
    asked = prompts(4)
    decide = UntilDecided(asked, {each.hash: False for each in asked}, two_more)
    assert not decide(asked[1], answer(asked[1], passed=True))
    assert not decide(asked[2], answer(asked[2], passed=True))
    assert (decide.gained, decide.lost) == (0, 0)
    assert decide(asked[0], answer(asked[0], passed=False))
    assert (decide.gained, decide.lost, decide.after) == (2, 0, 3)


def test_only_right_or_wrong_in_both_counts() -> None:
    asked = prompts(5)
    other = {"h0": True, "h1": True, "h2": True, "h4": True}
    decide = UntilDecided(asked, other, two_more)
    assert not decide(asked[0], fault(asked[0]))
    assert not decide(asked[1], answer(asked[1], passed=None))
    assert not decide(asked[2], answer(asked[2], passed=False))
    assert not decide(asked[3], answer(asked[3], passed=False))
    assert decide(asked[4], answer(asked[4], passed=False))
    assert (decide.gained, decide.lost, decide.after) == (0, 2, 5)


def test_prompts_of_a_group_are_one_flip_once_all_are_there() -> None:
    asked = [replace(each, group=f"g{at // 5}") for at, each in enumerate(prompts(15))]
    decide = UntilDecided(asked, {each.hash: False for each in asked}, two_more)
    for each in asked[:9]:
        assert not decide(each, answer(each, passed=True))
    assert (decide.gained, decide.lost) == (1, 0)
    assert decide(asked[9], answer(asked[9], passed=False))  # four of its five gained
    assert (decide.gained, decide.lost, decide.after) == (2, 0, 10)


def test_it_looks_only_while_every_category_has_prompts() -> None:
    categories = ["a", "b", "a", "b", "a", "a", "a", "a"]
    asked = [replace(p, category=c) for p, c in zip(prompts(8), categories, strict=True)]
    decide = UntilDecided(asked, {p.hash: p.category == "b" for p in asked}, two_more)
    for each in asked:
        decide(each, answer(each, passed=each.category == "a"))
    assert (decide.gained, decide.lost, decide.after) == (6, 2, None)


def test_prompts_without_weight_decide_nothing() -> None:
    asked = [replace(each, weight=0.0) for each in prompts(4)]
    decide = UntilDecided(asked, {each.hash: False for each in asked}, two_more)
    assert not any(decide(each, answer(each, passed=True)) for each in asked)
    assert (decide.gained, decide.lost) == (0, 0)


def test_it_stays_decided_and_counts_no_further() -> None:
    asked = prompts(4)
    decide = UntilDecided(asked, {each.hash: False for each in asked}, two_more)
    for each in asked[:2]:
        decide(each, answer(each, passed=True))
    assert decide(asked[2], answer(asked[2], passed=False))
    assert (decide.gained, decide.after) == (2, 2)


def a_suite(number: int) -> EvalSuite:
    return EvalSuite(name="s", prompts=tuple(prompts(number)), hash="h")


def at(server: FakeServer) -> Endpoint:
    identity = ModelIdentity(name="m", backend="endpoint")
    return Endpoint(base_url=server.url, model="m", identity=identity, timeout_s=5)


async def test_a_decided_run_is_done_and_asks_no_more() -> None:
    suite = a_suite(40)
    decide = UntilDecided(suite.prompts, {p.hash: False for p in suite.prompts}, two_more)
    async with FakeServer() as server:
        report = await run_evaluation(suite, at(server), concurrency=4, decide=decide)
        asked = len(server.requests)
    assert report.run.status is RunStatus.DONE
    assert decide.after == 2
    # What was in flight when it was decided counts too.
    assert len(report.outcomes) == report.summary.answered == asked
    assert 2 <= asked <= 2 + 4


async def test_a_run_that_decides_nothing_asks_all() -> None:
    suite = a_suite(6)
    decide = UntilDecided(suite.prompts, {p.hash: True for p in suite.prompts}, two_more)
    async with FakeServer() as server:
        report = await run_evaluation(suite, at(server), concurrency=2, decide=decide)
    assert report.run.status is RunStatus.DONE
    assert report.summary.answered == 6
    assert decide.after is None


async def test_answers_of_an_earlier_part_count() -> None:
    suite = a_suite(10)
    other = {p.hash: False for p in suite.prompts}
    before = [(p, answer(p, passed=True)) for p in suite.prompts[:2]]
    owed = [(p, 0) for p in suite.prompts[2:]]
    decide = UntilDecided(suite.prompts, other, two_more)
    async with FakeServer() as server:
        report = await run_evaluation(
            suite, at(server), concurrency=2, owed=owed, before=before, decide=decide
        )
        assert not server.requests
    assert report.run.status is RunStatus.DONE
    assert report.summary.answered == 2


def test_a_decided_run_says_so_wherever_its_score_stands() -> None:
    report, _ = synthetic_report()
    part = {"decided_after": 7, "decided_of": 1200}
    run = report.run.model_copy(update=part)
    asked = f"sked {report.summary.prompts} of 1,200 prompts, decided"
    (note,) = [each for each in notes(run, report.summary) if "decided" in each.text]
    assert f"A{asked}" in note.text
    assert note.level == "warning"
    assert not any("decided" in each.text for each in notes(report.run, report.summary))
    assert f"a{asked}" == decided_part(run, report.summary)


def test_a_decided_run_owes_no_more_than_its_faults(tmp_path: Path) -> None:
    suite = a_suite(5)
    head = Run(
        id="r1",
        created_at="2026-11-21T10:00:00.000+00:00",
        suite_name="s",
        suite_version="1",
        suite_hash="h",
        suite_source="",
        model=ModelIdentity(name="m", backend="endpoint"),
        sampling=suite.sampling,
        concurrency=1,
    )
    with RunStore(tmp_path) as store:
        store.create(head, suite)
        first, second, *_ = suite.prompts
        store.add(head.id, [answer(first, passed=True), fault(second)])
        assert len(store.owed(head, suite)) == 4
        decided = head.model_copy(update={"decided_after": 2})
        assert store.owed(decided, suite) == [(second, 0)]


def test_the_order_is_drawn_by_the_seed_and_leaves_nothing_out() -> None:
    suite = a_suite(30)
    first, again, other = (in_drawn_order(suite, seed).prompts for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert first != suite.prompts
    assert sorted(first, key=lambda p: p.id) == sorted(suite.prompts, key=lambda p: p.id)


def test_the_order_gives_each_category_its_turn_and_keeps_groups_together() -> None:
    suite = a_suite(40)
    categories = ["a"] * 30 + ["b"] * 10
    groups = [f"g{at // 3}" if at < 12 else None for at in range(40)]
    weights = [0.0 if at >= 38 else 1.0 for at in range(40)]
    parts = zip(suite.prompts, categories, groups, weights, strict=True)
    changed = tuple(replace(p, category=c, group=g, weight=w) for p, c, g, w in parts)
    drawn = in_drawn_order(suite.model_copy(update={"prompts": changed}), 3).prompts
    assert sorted(p.id for p in drawn) == sorted(p.id for p in changed)
    assert {p.weight for p in drawn[-2:]} == {0.0}
    named = [p.group for p in drawn if p.group]
    assert [named[at : at + 3].count(named[at]) for at in range(0, 12, 3)] == [3] * 4
    units = [
        p.category
        for at, p in enumerate(drawn)
        if not at or not p.group or p.group != drawn[at - 1].group
    ]
    assert all(set(units[at : at + 2]) == {"a", "b"} for at in range(0, 16, 2))
