"""One entry: what punie knows is filled in, what only a person knows is asked for.

Front matter and the marked region are punie's and are never edited; all else is the person's.
"""

import hashlib
import platform
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from pydantic import JsonValue

from punie.errors import InputError, JournalError
from punie.journal.charts import charts_of
from punie.journal.document import front_matter
from punie.journal.folder import ENTRY, RUN, add_folder, find_entry
from punie.journal.page import page
from punie.journal.recompute import problems_of
from punie.journal.record import Dataset, EntryHead, RunRecord, decode, encode, make_record
from punie.journal.replay import report_of
from punie.records.judgement import Judged
from punie.records.result import Outcome
from punie.records.run import EvalReport, Run
from punie.records.suite import EvalPrompt
from punie.records.summary import Summary
from punie.reporting.escaping import code, escape
from punie.reporting.markdown import RESULTS_FORMAT, results_markdown
from punie.reporting.numbers import counted, short_hash
from punie.reporting.privacy import Privacy
from punie.text import one_line

GOAL_LENGTH = 200


def write_entry(
    project_root: Path,
    report: EvalReport,
    rows: Iterable[tuple[EvalPrompt, Outcome]],
    *,
    goal: str,
    dataset: Dataset | None = None,
    baseline: str | None = None,
    verdict: str | None = None,
    supersedes: str | None = None,
    text: bool = False,
    judged: Mapping[tuple[str, int], Judged] | None = None,
    now: datetime | None = None,
) -> Path:
    """Write a run into the journal as a new entry and return the entry's folder.

    `rows` are the run's outcomes in the suite's order, `report.outcomes` is not read. A `verdict`
    comes from a comparison with the run `baseline`, so both are given or neither. `supersedes`
    names an earlier entry. Prompts and answers are written only with `text`. `judged` is what the
    run's judge said, by prompt and repeat; without it the judge is left out. Raises InputError for
    arguments that do not fit, JournalError where the rows do not give the run's own summary, and
    StoreError where the journal cannot be written.
    """
    shown = one_line(goal, GOAL_LENGTH)
    if not shown:
        raise InputError("the goal is empty", hint="say in a few words what was tried")
    if (baseline is None) != (verdict is None):
        raise InputError(
            "a verdict is that of a comparison",
            hint="give the baseline and the verdict, or neither",
        )
    replaced = find_entry(project_root, supersedes).name if supersedes else None
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    summary = report.summary
    pairs = list(rows)

    def files(entry_id: str) -> Mapping[str, bytes]:
        head = EntryHead(
            id=entry_id,
            date=f"{moment:%Y-%m-%dT%H:%MZ}",
            goal=shown,
            dataset=dataset,
            baseline=baseline,
            verdict=verdict or plain_verdict(summary),
            supersedes=replaced,
            text=text,
        )
        privacy = Privacy(root=project_root, home=Path.home(), host=platform.node())
        record = make_record(
            report,
            pairs,
            head,
            results_format=RESULTS_FORMAT,
            privacy=privacy,
            judged=judged,
        )
        return _files(record)

    return add_folder(project_root, shown, moment, files)


def plain_verdict(summary: Summary) -> str:
    """What a run says on its own, without another to compare it with."""
    if summary.must_pass_failed:
        return "must-pass failed"
    if summary.faults:
        return "measured with faults"
    return "measured" if summary.score else "unscored"


def front_values(record: RunRecord, run_sha256: str) -> dict[str, JsonValue]:
    """The front matter of an entry, in its order. Scores have four decimals."""
    entry, run, score = record.entry, record.run, _summary(record.run).score
    dataset = entry.dataset
    return {
        "id": entry.id,
        "date": entry.date,
        "goal": entry.goal,
        "base_model": one_line(run.model.name, GOAL_LENGTH),
        "adapter": one_line(run.model.adapter, GOAL_LENGTH) if run.model.adapter else None,
        "suite": f"{one_line(run.suite_name, GOAL_LENGTH)}@{short_hash(run.suite_hash)}",
        "dataset": (
            f"{one_line(dataset.name, GOAL_LENGTH)}@{short_hash(dataset.hash)}" if dataset else None
        ),
        "seed": run.sampling.seed,
        "score": round(score.value, 4) if score else None,
        "interval": [round(score.low, 4), round(score.high, 4)] if score else None,
        "baseline": entry.baseline,
        "verdict": entry.verdict,
        "supersedes": entry.supersedes,
        "run_sha256": run_sha256,
    }


def results_of(record: RunRecord) -> str:
    """The marked region's text, written from the record alone."""
    report = report_of(record)
    results = results_markdown(
        report, report.outcomes, text=record.entry.text, results_format=record.results_format
    )
    pictures = [f"![{chart.title}]({name})" for name, chart in charts_of(report).items()]
    return "\n\n".join([results, *pictures])


def sha256(content: bytes) -> str:
    """SHA-256 as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def _files(record: RunRecord) -> dict[str, bytes]:
    # What a check will read is what the entry is written from.
    record = decode(encode(record))
    if problems := problems_of(record):
        raise JournalError(
            f"run {record.run.id} does not agree with its own rows: {problems[0].what}",
            hint="a run is journaled with all of its rows: load it anew",
        )
    charts = {name: chart.svg.encode() for name, chart in charts_of(report_of(record)).items()}
    results = results_of(record)
    record = record.model_copy(
        update={
            "results_sha256": sha256(results.encode()),
            "charts": {name: sha256(content) for name, content in charts.items()},
        }
    )
    run_json = encode(record)
    text = page(
        front=front_matter(front_values(record, sha256(run_json))),
        goal=record.entry.goal,
        date=record.entry.date,
        done=_done(record),
        command=record.run.provenance.command,
        results=results,
        files=_file_list(record),
    )
    return {ENTRY: text.encode(), RUN: run_json, **charts}


def _done(record: RunRecord) -> str:
    run, dataset = record.run, record.entry.dataset
    summary = _summary(run)
    adapter = f" with the adapter {code(run.model.adapter)}" if run.model.adapter else ""
    repeats = f", {run.repeats} times each" if run.repeats > 1 else ""
    suite = f"{code(run.suite_name)} {escape(run.suite_version)}"
    asked = f"{counted(summary.prompts, 'prompt')}{repeats}"
    lines = [f"- Measured {code(run.model.name)}{adapter} on the suite {suite}: {asked}."]
    if dataset:
        lines.append(f"- Dataset: {code(dataset.name)} @{code(short_hash(dataset.hash))}.")
    if record.entry.baseline:
        lines.append(f"- Compared with the run {code(record.entry.baseline)}.")
    if record.entry.supersedes:
        lines.append(f"- Replaces the entry {code(record.entry.supersedes)}.")
    return "\n".join(lines)


def _file_list(record: RunRecord) -> str:
    run = record.run
    lines = [f"- [{RUN}]({RUN}): the run, every prompt with its score and culprit"]
    charts = charts_of(report_of(record))
    lines += [f"- [{name}]({name}): {chart.title}" for name, chart in charts.items()]
    if run.suite_source and run.suite_source != "builtin":
        lines.append(f"- {code(run.suite_source)}: the suite")
    if run.model.adapter:
        lines.append(f"- {code(run.model.adapter)}: the adapter")
    return "\n".join(lines)


def _summary(run: Run) -> Summary:
    if run.summary is None:
        msg = f"run {run.id} has no summary yet"
        raise ValueError(msg)
    return run.summary
