"""Judgements at rest, and what they come to."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from punie.analysis.judged import judge_summary
from punie.analysis.kinship import kinship, name_stem
from punie.errors import StoreError
from punie.records.judgement import Dimension, Judged, JudgeSummary, Reply, Rubric
from punie.records.run import ModelIdentity, Run
from punie.records.suite import EvalPrompt, EvalSuite, Sampling
from punie.store.judgements import JudgementStore
from punie.store.runs import RunStore
from synthetic_judgement import JUDGE, RUBRIC, a_judge_fault, a_judgement

GOLDEN = Path(__file__).with_name("golden")
REPLY = Reply(text="{}", tokens_in=400, tokens_out=50)


def a_run(run_id: str) -> Run:
    return Run(
        id=run_id,
        created_at="2026-01-01T00:00:00+00:00",
        suite_name="s",
        suite_version="1",
        suite_hash="h",
        suite_source="builtin",
        model=ModelIdentity(name="m", backend="mlx"),
        sampling=Sampling(),
        concurrency=1,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    suite = EvalSuite(name="s", prompts=(EvalPrompt(id="p0", messages=()),), hash="h")
    with RunStore(tmp_path) as runs:
        for run_id in ("r1", "r2"):
            runs.create(a_run(run_id), suite)
    return tmp_path


def test_replies_and_judgements_are_kept(project: Path) -> None:
    with JudgementStore(project) as store:
        assert store.get("k") is None
        store.put("k", REPLY)
        store.put("k", REPLY.model_copy(update={"text": "{ }"}))
        store.add("r1", JUDGE.key, a_judge_fault("p0"))
        store.add("r1", JUDGE.key, a_judgement("p0"))
        store.add("r1", JUDGE.key, a_judge_fault("p1"))
        store.add("r1", "another", a_judgement("p0", 1))
    with JudgementStore(project) as store:
        found = store.get("k")
        assert found is not None
        assert found.text == "{ }"
        assert store.of_run("r1", JUDGE.key) == {
            ("p0", 0): a_judgement("p0"),
            ("p1", 0): a_judge_fault("p1"),
        }
        assert store.of_run("r2", JUDGE.key) == {}


def test_a_reply_goes_with_the_last_run_that_used_it(project: Path) -> None:
    with JudgementStore(project) as store, RunStore(project) as runs:
        store.put("both", REPLY)
        store.put("one", REPLY)
        for run_id in ("r1", "r2"):
            store.use(run_id, "both")
            store.use(run_id, "both")
        store.use("r1", "one")
        store.add("r1", JUDGE.key, a_judgement("p0"))
        runs.delete(["r1"])
        assert store.get("one") is None
        assert store.get("both") == REPLY
        assert store.of_run("r1", JUDGE.key) == {}
        runs.delete(["r2"])
        assert store.get("both") is None


def test_what_is_not_a_run_or_not_readable_is_an_error(project: Path) -> None:
    with JudgementStore(project) as store:
        with pytest.raises(StoreError, match="FOREIGN KEY"):
            store.add("nobody", JUDGE.key, a_judgement("p0"))
        store.put("k", REPLY)
        with closing(sqlite3.connect(store.path)) as db:
            db.execute("UPDATE judge_replies SET body = '{}'")
            db.commit()
        with pytest.raises(StoreError, match="cannot be read"):
            store.get("k")


def test_the_third_schema_can_still_be_read(tmp_path: Path) -> None:
    (tmp_path / ".punie").mkdir()
    with closing(sqlite3.connect(tmp_path / ".punie" / "punie.db")) as db:
        db.executescript((GOLDEN / "store-v3.sql").read_text(encoding="utf-8"))
        ((judge,),) = db.execute("SELECT DISTINCT judge FROM judgements").fetchall()
    with JudgementStore(tmp_path) as store:
        assert store.of_run("20261121-010203-abcd", judge) == {
            ("p0", 0): a_judgement("p0"),
            ("p1", 0): a_judge_fault("p1"),
        }
        assert store.get("k" * 64) is not None
        with RunStore(tmp_path) as runs:
            runs.delete(["20261121-010203-abcd"])
        assert store.get("k" * 64) is None


def summary_of(*judged: Judged, categories: dict[str, str] | None = None) -> JudgeSummary:
    pairs = [
        (
            EvalPrompt(
                id=each.prompt_id, messages=(), category=(categories or {}).get(each.prompt_id, "c")
            ),
            each,
        )
        for each in judged
    ]
    return judge_summary(
        pairs, judge=JUDGE, rubric=RUBRIC, answers=len(judged), prices=(10.0, 20.0)
    )


def test_marks_become_means_by_dimension_and_overall() -> None:
    marks = [
        {"correctness": 5, "completeness": 3, "format": 1},
        {"correctness": 1, "completeness": 3, "format": 1},
    ]
    found = summary_of(*(a_judgement(f"p{n}", marks=each) for n, each in enumerate(marks)))
    assert [(each.name, each.mark, each.score.value) for each in found.dimensions] == [
        ("correctness", 3.0, 0.5),
        ("completeness", 3.0, 0.5),
        ("format", 1.0, 0.0),
    ]
    assert found.score is not None
    assert found.score.value == pytest.approx(1 / 3)
    first = found.dimensions[0]
    assert first.mark_low == pytest.approx(1 + 4 * first.score.low)
    assert 1 <= first.mark_low < 3 < first.mark_high <= 5


def test_weights_repeats_and_categories_count_as_in_a_run() -> None:
    found = summary_of(
        a_judgement("p0", 5),
        a_judgement("p0", 1, repeat=1),  # p0: 0.5
        a_judgement("p1", 5),  # category c: 0.75
        a_judgement("p2", 1),  # category d: 0
        categories={"p2": "d"},
    )
    assert found.score is not None
    assert (found.score.value, found.score.n) == (pytest.approx(0.375), 3)
    heavy = Dimension(name="heavy", question="?", levels={0: "no", 10: "yes"}, weight=3)
    light = Dimension(name="light", question="?", levels={1: "no", 5: "yes"})
    assert Rubric(dimensions=(heavy, light)).score({"heavy": 10, "light": 1}) == 0.75


def test_a_fault_is_counted_and_is_no_score() -> None:
    found = summary_of(a_judgement("p0", 4), a_judge_fault("p1"), a_judge_fault("p2"))
    assert found.score is not None
    assert (found.score.value, found.judged, found.faults) == (0.75, 1, 2)
    assert found.fault_kinds == {"prose instead of a judgement": 2}
    assert (found.asked_again, found.cost) == (2, None)  # the faults' tokens were not counted
    nothing = summary_of(a_judge_fault("p1"))
    assert nothing.score is None
    assert nothing.dimensions == ()


def test_only_what_was_asked_now_costs() -> None:
    found = summary_of(a_judgement("p0"), a_judgement("p1", cached=True), a_judgement("p2"))
    assert (found.cached, found.tokens_in, found.tokens_out) == (1, 800, 100)
    assert found.cost == pytest.approx((800 * 10 + 100 * 20) / 1e6)


def test_longer_answers_with_better_marks_are_seen() -> None:
    found = summary_of(*(a_judgement(f"p{n}", n, answer_chars=n * 100) for n in range(1, 6)))
    assert found.length_correlation == pytest.approx(1.0)
    same = summary_of(*(a_judgement(f"p{n}", 3, answer_chars=n) for n in range(5)))
    assert same.length_correlation is None


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("mlx-community/Qwen2.5-7B-Instruct-4bit", "qwen"),
        ("qwen3-4b", "qwen"),
        ("org/Meta-Llama-3-8B.gguf", "llama"),
        ("models/llama-2/", "llama"),
        ("gpt-4o-mini", "gpt"),
        ("123", ""),
    ],
)
def test_families_are_told_by_their_name(name: str, stem: str) -> None:
    assert name_stem(name) == stem


def test_kin_are_named_and_strangers_are_not() -> None:
    def kin(name: str, weights: str | None = None) -> str:
        return kinship(JUDGE.model_copy(update={"weights_hash": "w"}), model(name, weights))

    def model(name: str, weights: str | None) -> ModelIdentity:
        return ModelIdentity(name=name, backend="mlx", weights_hash=weights)

    assert kin("other", "w") == "The judge has the very weights that it judges."
    assert "goes by the name" in kin("some-judge")
    assert "called some" in kin("org/Some-Candidate-3B")
    assert kin("qwen3-4b", "v") == ""
