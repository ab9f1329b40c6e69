"""`punie judge`: a model marks what another one answered."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from punie.cli.calibrate import calibrate_command
from punie.cli.judge_options import judge_options
from punie.cli.output import emit_json, err, out, safe
from punie.errors import InputError

if TYPE_CHECKING:
    from punie.cli.judge_served import JudgeWish
    from punie.cli.judging import JudgedRun
    from punie.records.judgement import Judged, JudgeSummary
    from punie.records.run import Run
    from punie.settings import Loaded

REASON = 300
"""Characters of a judge's reason that are printed."""


@click.group()
def judge() -> None:
    """Have answers marked by a model, and look at its marks.

    A RUN is an id, a unique beginning of one, `last`, `last~1`, or an adapter's name.
    """


judge.add_command(calibrate_command)


@judge.command("run")
@click.argument("run", default="last")
@judge_options(
    rubric="What to mark by [default: correctness, completeness, format].", required=True
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def run_command(  # noqa: PLR0917 - click passes by name
    run: str,
    judge: str,
    judge_model: str | None,
    rubric: Path | None,
    concurrency: int | None,
    as_json: bool,  # noqa: FBT001 - as above
) -> int:
    """Have each answer of a finished run marked by a rubric.

    What this judge has marked already is not asked again, so the same command goes on with an
    interrupted judging. A model is served by punie; its marks stand beside the run's score.
    """
    from punie.cli.judge_served import judge_wish
    from punie.settings import load_settings

    settings = load_settings(Path.cwd())
    wish = judge_wish(judge, judge_model, rubric, settings, concurrency=concurrency, quiet=as_json)
    try:
        judged = asyncio.run(_judge(run, wish, settings))
    except asyncio.CancelledError:  # by the second Ctrl-C
        raise KeyboardInterrupt from None
    summary = judged.summary
    assert summary is not None
    if as_json:
        data = {"run": judged.run.id, "judged": summary.model_dump(mode="json")}
        emit_json("judge run", data, judged.notes)
    else:
        _print(judged.run, summary)
        for note in judged.notes:
            err().print(safe(note), soft_wrap=True)
    return judged.exit_code


async def _judge(reference: str, wish: "JudgeWish", settings: "Loaded") -> "JudgedRun":
    from punie.cli.judging import judge_run
    from punie.cli.signals import signals
    from punie.cli.written import write_report
    from punie.serving.awake import awake
    from punie.store.runs import RunStore

    with awake(), signals() as heard, RunStore(settings.project) as store:
        run = store.find(reference)
        with store.lock(run.id):
            judged = await judge_run(wish, settings, store, run, heard)
            report = store.run_folder(run.id) / "report.html"
            write_report(store, store.report(judged.run), report)
    return judged


@judge.command("show")
@click.argument("run", default="last")
@click.option("--prompt", "prompt_id", metavar="ID", help="Only the marks of this prompt.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, with every judgement.")
def show_command(run: str, prompt_id: str | None, as_json: bool) -> None:  # noqa: FBT001 - click
    """What a run's judge says, answer by answer, the worst first."""
    from punie.settings import find_project
    from punie.store.judgements import JudgementStore
    from punie.store.runs import RunStore

    project = find_project(Path.cwd())
    with RunStore(project) as store:
        head = store.find(run)
    summary = head.judged
    if summary is None:
        raise InputError(
            f"run {head.id} was not judged yet", hint=f"punie judge run {head.id} --judge JUDGE"
        )
    with JudgementStore(project) as kept:
        judged = [
            each
            for each in kept.of_run(head.id, summary.judge.key).values()
            if prompt_id in (None, each.prompt_id)
        ]
    if prompt_id and not judged:
        raise InputError(f"run {head.id} has no judged answer to {prompt_id}")
    if as_json:
        each = [{"score": _score(one, summary), **one.model_dump(mode="json")} for one in judged]
        data = {"run": head.id, "judged": summary.model_dump(mode="json"), "judgements": each}
        emit_json("judge show", data)
        return
    if not prompt_id:
        _print(head, summary)
        out().print()
    for one in sorted(judged, key=lambda each: (_rank(each, summary), each.prompt_id, each.repeat)):
        out().print(safe(_line(one, summary)), soft_wrap=True)


@judge.command("rubric")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def rubric_command(file: Path | None, as_json: bool) -> None:  # noqa: FBT001 - click
    """Check a rubric, or print the built-in one to begin one's own with."""
    from punie.cli.judge_served import chosen_rubric
    from punie.judging.rubric import default_text

    rubric = chosen_rubric(file)
    if as_json:
        emit_json("judge rubric", {**rubric.model_dump(mode="json"), "hash": rubric.hash})
    elif file is None:
        click.echo(default_text(), nl=False)
    else:
        names = ", ".join(f"{d.name} {d.lowest}-{d.highest}" for d in rubric.dimensions)
        click.echo(f"{file}: {names}; hash {rubric.hash[:12]}")


def _print(run: "Run", summary: "JudgeSummary") -> None:
    from punie.reporting.judged_terminal import judged_table

    console = out()
    console.print(safe(f"run {run.id}, {run.model.name} on {run.suite_name}"))
    console.print(judged_table(summary))


def _score(judged: "Judged", summary: "JudgeSummary") -> float | None:
    from punie.records.judgement import Judgement

    return summary.rubric.score(judged.marks) if isinstance(judged, Judgement) else None


def _rank(judged: "Judged", summary: "JudgeSummary") -> float:
    """Faults first, then from the worst mark up."""
    score = _score(judged, summary)
    return -1.0 if score is None else score


def _line(judged: "Judged", summary: "JudgeSummary") -> str:
    from punie.records.judgement import JudgeFault
    from punie.text import one_line

    repeat = f" (repeat {judged.repeat + 1})" if judged.repeat else ""
    name = f"{one_line(judged.prompt_id, 80)}{repeat}"
    if isinstance(judged, JudgeFault):
        return f"{name}  {judged.kind}: {one_line(judged.message, REASON)}"
    marks = ", ".join(f"{d.name} {judged.marks[d.name]}" for d in summary.rubric.dimensions)
    notes = [word for word in ("repaired", "cached", "altered", "clipped") if getattr(judged, word)]
    noted = f" [{', '.join(notes)}]" if notes else ""
    return f"{name}  {marks}{noted}: {one_line(judged.reason, REASON)}"
