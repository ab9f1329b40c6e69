"""Comparing two reports from Python."""

import pytest

import punie
from compared_project import a_suite, outcome_of
from punie.errors import InputError
from punie.records.comparison import Word
from punie.records.run import EvalReport, ModelIdentity, Run, RunStatus


def a_report(marks: str, *, run_id: str, size: int = 40) -> EvalReport:
    suite = a_suite(size)
    run = Run(
        id=run_id,
        created_at="2026-11-21T10:00:00Z",
        suite_name=suite.name,
        suite_version=suite.version,
        suite_hash=suite.hash,
        suite_source="here",
        model=ModelIdentity(name=run_id, backend="mlx"),
        sampling=suite.sampling,
        concurrency=1,
        status=RunStatus.DONE,
    )
    outcomes = tuple(outcome_of(p, m) for p, m in zip(suite.prompts, marks, strict=False))
    return EvalReport(run=run, suite=suite, outcomes=outcomes)


def test_two_reports_become_a_comparison() -> None:
    found = punie.compare_reports(
        a_report("0" * 40, run_id="a"), a_report("1" * 30 + "0" * 10, run_id="b")
    )
    assert isinstance(found, punie.Comparison)
    assert found.score is not None
    assert found.score.value == pytest.approx(0.75)
    assert found.word is Word.BETTER
    assert found.discordance is not None
    assert (found.discordance.gained, found.discordance.lost) == (30, 0)


def test_reports_of_other_prompts_are_refused() -> None:
    with pytest.raises(InputError, match="lacks 10 prompts"):
        punie.compare_reports(
            a_report("0" * 40, run_id="a"), a_report("1" * 30, run_id="b", size=30)
        )
