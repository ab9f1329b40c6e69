"""A judge in the journal: its numbers follow from the marks in the rows, or the check says so."""

import json
from pathlib import Path
from typing import Any

import pytest

import journal_run
from punie.analysis.judged import judge_summary
from punie.journal.check import check_journal
from punie.journal.entry import write_entry
from punie.journal.recompute import problems_of
from punie.journal.record import RunRecord, decode, encode
from punie.records.judgement import Judged
from punie.records.result import EvalResult
from punie.records.run import EvalReport
from synthetic_judgement import JUDGE, RUBRIC, a_judge_fault, a_judgement
from synthetic_run import Rows


def judged_report() -> tuple[EvalReport, Rows, dict[tuple[str, int], Judged]]:
    rows = journal_run.rows()
    report = journal_run.report(rows)
    answered = [(prompt, each) for prompt, each in rows if isinstance(each, EvalResult)]
    said: dict[tuple[str, int], Judged] = {}
    for number, (prompt, each) in enumerate(answered):
        place = {"repeat": each.repeat, "answer_chars": number}
        said[prompt.id, each.repeat] = (
            a_judgement(prompt.id, 1 + number % 5, **place)
            if number
            else a_judge_fault(prompt.id, **place)
        )
    summary = judge_summary(
        [(prompt, said[prompt.id, each.repeat]) for prompt, each in answered],
        judge=JUDGE,
        rubric=RUBRIC,
        answers=len(answered),
        unmarked=[prompt for prompt, each in rows if not isinstance(each, EvalResult)],
        prices=(1.0, 2.0),
    )
    run = report.run.model_copy(update={"judged": summary})
    return report.model_copy(update={"run": run}), rows, said


@pytest.fixture
def entry(tmp_path: Path) -> Path:
    report, rows, said = judged_report()
    return write_entry(tmp_path, report, rows, goal="Judge it", judged=said)


def record_of(entry: Path) -> RunRecord:
    return decode((entry / "run.json").read_bytes())


def test_an_entry_with_a_judge_is_sound(entry: Path, tmp_path: Path) -> None:
    assert check_journal(tmp_path, [entry.name]).findings == ()
    record = record_of(entry)
    assert problems_of(record) == []
    assert record.run.judged is not None
    assert record.run.judged.judge.url is None
    kept = [row.judged for row in record.rows if row.judged]
    assert len(kept) == record.run.judged.judged + record.run.judged.faults
    assert {each.reason for each in kept} == {""}  # a judge may repeat the answer
    assert "What a judge says" in (entry / "entry.md").read_text()


def test_words_of_the_judge_are_kept_with_those_of_the_run(tmp_path: Path) -> None:
    report, rows, said = judged_report()
    entry = write_entry(tmp_path, report, rows, goal="Judge it", judged=said, text=True)
    assert {row.judged.reason for row in record_of(entry).rows if row.judged} == {"", "made up"}
    assert check_journal(tmp_path, [entry.name]).findings == ()


def test_without_judgements_the_entry_names_no_judge(tmp_path: Path) -> None:
    report, rows, _ = judged_report()
    entry = write_entry(tmp_path, report, rows, goal="Judge it")
    assert record_of(entry).run.judged is None
    assert "What a judge says" not in (entry / "entry.md").read_text()
    assert check_journal(tmp_path, [entry.name]).findings == ()


def changed(record: RunRecord, change: Any) -> RunRecord:
    data = json.loads(encode(record))
    change(data)
    return RunRecord.model_validate(data)


def _better_mark(data: Any) -> None:
    row = next(r for r in data["rows"] if r.get("judged", {}).get("marks", {}).get("format") == 2)
    row["judged"]["marks"]["format"] = 5


def _no_fault(data: Any) -> None:
    row = next(row for row in data["rows"] if "fault" in row.get("judged", {}))
    del row["judged"]


def _higher_score(data: Any) -> None:
    data["run"]["judged"]["score"]["value"] = 0.99


def _mark_out_of_range(data: Any) -> None:
    row = next(row for row in data["rows"] if "marks" in row.get("judged", {}))
    row["judged"]["marks"]["format"] = 6


def _no_judge(data: Any) -> None:
    del data["run"]["judged"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_better_mark, "judged.dimensions.format.mark is "),
        (_no_fault, "judged.faults is 1, the rows give 0"),
        (_higher_score, "judged.score.value is 0.99"),
        (_mark_out_of_range, "its marks are none of the rubric's"),
        (_no_judge, "nobody judged"),
    ],
)
def test_marks_that_do_not_give_the_numbers_are_found(entry: Path, change: Any, says: str) -> None:
    found = problems_of(changed(record_of(entry), change))
    assert any(says in problem.what for problem in found), found
