"""`punie runs`: what was measured before."""

import contextlib
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from punie.cli.output import emit_json, out, safe
from punie.errors import InputError
from punie.records.result import EvalFault, Outcome
from punie.records.run import Run

if TYPE_CHECKING:
    from rich.console import RenderableType

    from punie.store.runs import RunStore

NARROW, WIDE = 72, 90
"""Columns below which the list of runs shows the least, and from which on it shows all."""
PARTIAL = "*"
"""Marks a score that is not the mean over all categories."""
LINE = 300
"""Characters of one prompt's line in `show`."""
SHOWN_TEXT = 2000
"""Characters of a text that `show --prompt` prints."""


@click.group()
def runs() -> None:
    """List, show, export and delete runs.

    A RUN is an id, a unique beginning of one, `last`, `last~1`, or an adapter's name.
    """


@runs.command("list")
@click.option("--suite", help="Only runs of this suite.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def list_command(suite: str | None, limit: int, as_json: bool) -> None:  # noqa: FBT001 - click
    """The newest runs first."""
    from punie.settings import find_project
    from punie.store.runs import RunStore

    with RunStore(find_project(Path.cwd())) as store:
        heads = store.heads(suite=suite, limit=limit)
    if as_json:
        emit_json("runs list", [run.model_dump(mode="json") for run in heads])
        return
    if not heads:
        click.echo("no runs yet: punie eval", err=True)
        return
    out().print(_table(heads))


def _where(run: Run) -> str:
    """The backend, with its packing: `mlx`, `cuda NF4`."""
    from punie.analysis.served_by import PACKED

    return " ".join(filter(None, (run.model.backend, PACKED.get(run.model.quantization))))


def _table(heads: list[Run]) -> object:
    """Ids stay whole; suite and model give way where the window is narrow."""
    from rich import box
    from rich.table import Table

    from punie.reporting.numbers import counted, percent, percent_interval
    from punie.reporting.wording import half_measured, model_title

    width = out().width
    wide, narrow = width >= WIDE, width < NARROW
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("run", no_wrap=True)
    for name in () if narrow else ("suite", "model"):
        table.add_column(name, overflow="ellipsis", no_wrap=True)
    several = not narrow and len({_where(run) for run in heads}) > 1
    if several:
        table.add_column("on", no_wrap=True)
    room = max(12, width - (72 if wide else 52) - 10 * several)  # what the other columns leave
    table.add_column("score", justify="right", no_wrap=True)
    if wide:
        table.add_column("n", justify="right", no_wrap=True)
    if not narrow:
        table.add_column("status", no_wrap=True)
    any_partial = any(run.summary and half_measured(run.summary) for run in heads)
    if any_partial:
        table.caption = f"{PARTIAL} whole categories have no answer: punie runs show RUN"
        table.caption_justify = "left"
    for run in heads:
        summary = run.summary
        title = model_title(run.model)
        if len(title) > room:  # the end of a path tells more than its beginning
            title = f"…{title[1 - room :]}"
        faults = f", {counted(summary.faults, 'fault')}" if summary and summary.faults else ""
        score = summary.score if summary else None
        cells = [run.id]
        cells += [] if narrow else [run.suite_name, title]
        cells += [_where(run)] if several else []
        shown = percent_interval(score) if wide else percent(score.value if score else None)
        partial = bool(summary and half_measured(summary))
        cells += [shown + (PARTIAL if partial else " " if any_partial else "")]
        cells += [str(summary.prompts) if summary else "–"] if wide else []
        status = run.status.value
        if summary and run.decided_after is not None:  # no measurement of its whole suite
            status = f"decided {summary.prompts}/{run.decided_of}"
        cells += [] if narrow else [status + faults]
        table.add_row(*(safe(cell) for cell in cells))
    return table


@runs.command("show")
@click.argument("run", default="last")
@click.option("--prompt", "prompt_id", help="The transcript of one prompt.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, with every outcome.")
def show_command(run: str, prompt_id: str | None, as_json: bool) -> None:  # noqa: FBT001 - click
    """A run's numbers, and what went wrong in it."""
    from punie.analysis.resume_command import resume_command
    from punie.settings import find_project
    from punie.store.runs import RunStore

    with RunStore(find_project(Path.cwd())) as store:
        head = store.find(run)
        if as_json:
            rows = [
                {"category": prompt.category, **outcome.model_dump(mode="json")}
                for prompt, outcome in store.rows(head.id)
                if prompt_id in (None, prompt.id)
            ]
            report = store.report(head)
            data = {
                "run": report.run.model_dump(mode="json"),
                "resume": resume_command(report.run, report.summary) or None,
                "outcomes": rows,
            }
            emit_json("runs show", data)
        elif prompt_id:
            _print_transcript(store, head, prompt_id)
        else:
            _print_run(store, head)


def _print_run(store: "RunStore", head: Run) -> None:
    from rich.text import Text

    from punie.reporting.terminal import eval_table, owed

    console = out()
    report = store.report(head)
    console.print(eval_table(report))
    if left := owed(report.model_copy(update={"suite": store.suite(head)})):
        console.print(f"\n{left}", markup=False, soft_wrap=True)
    unmeasured: list[str] = []
    titled = False
    for prompt, outcome in store.rows(head.id):
        if isinstance(outcome, EvalFault):
            line = f"{prompt.id}  {outcome.kind.value}: {outcome.message}{_again(outcome)}"
            unmeasured.append(_plain(line, LINE))
        elif outcome.passed is False:
            if not titled:
                console.print(Text("\nNot passed", style="dim"))
                titled = True
            notes = "; ".join(score.note for score in outcome.scores if not score.passed)
            line = f"{prompt.id}  {outcome.culprit or 'below its mark'}: {notes}{_again(outcome)}"
            console.print(_hanging(_plain(line, LINE)))
    if unmeasured:
        console.print(Text("\nNot measured, neither right nor wrong", style="dim"))
    for line in unmeasured:
        console.print(_hanging(line))


def _hanging(line: str) -> "RenderableType":
    """A line whose further lines, in a narrow window, stand under its text."""
    from rich.text import Text

    console = out()
    if console.soft_wrap:
        return Text(line)
    first, *rest = Text(line).wrap(console, max(20, console.width - 2))
    return Text("\n  ").join([first, *rest])


def _again(outcome: Outcome) -> str:
    """Why a prompt was asked again, for the end of its line."""
    failed = ", ".join(kind.value for kind in outcome.failures)
    return f" (asked again: {failed})" if failed else ""


def _print_transcript(store: "RunStore", head: Run, prompt_id: str) -> None:
    import json

    from rich.rule import Rule
    from rich.text import Text

    from punie.records.suite import MESSAGES
    from punie.reporting.wording import finish_words
    from punie.text import visible

    console = out()
    found = [(p, o) for p, o in store.rows(head.id) if p.id == prompt_id]
    if not found:
        raise InputError(
            f"run {head.id} did not ask {prompt_id}", hint=f"punie runs show {head.id} --json"
        )
    prompt = found[0][0]
    for message in MESSAGES.dump_python(prompt.messages, mode="json", exclude_defaults=True):
        console.print(Rule(message["role"], align="left"))
        shown = message.get("content") or json.dumps(message.get("tool_calls", ""), indent=2)
        console.print(Text(_plain(shown, SHOWN_TEXT)))
    for _, outcome in found:
        if isinstance(outcome, EvalFault):
            title = f"not measured: {outcome.kind.value}{_again(outcome)}"
            console.print(Rule(title, align="left"))
            console.print(Text(_plain(outcome.message, SHOWN_TEXT)))
            continue
        ended = finish_words(outcome.completion.finish_reason)
        told = "" if ended == "stop" else f", ended by {ended}"
        console.print(Rule(f"answer{visible(told)}{_again(outcome)}", align="left"))
        console.print(Text(_plain(outcome.completion.text, SHOWN_TEXT)))
        for call in outcome.completion.tool_calls:
            arguments = call.raw if call.arguments is None else json.dumps(call.arguments)
            console.print(Text(_plain(f"{call.name}({arguments})", SHOWN_TEXT)))
        for score in outcome.scores:
            verdict = "passed" if score.passed else f"{score.culprit or 'below its mark'}"
            console.print(
                Text(_plain(f"{score.scorer} {score.value:.2f} {verdict}: {score.note}", 500))
            )


def _plain(text: str, limit: int) -> str:
    """The beginning of what a model or server wrote, unable to do anything to a terminal."""
    from punie.text import visible

    return visible(text[:limit]) + (" …" if len(text) > limit else "")


@runs.command("export")
@click.argument("run", default="last")
@click.option("--format", "wanted", type=click.Choice(["json", "jsonl", "csv"]), help="Of stdout.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="A .json, .jsonl or .csv file, the summary beside.",
)
def export_command(run: str, wanted: str | None, output: Path | None) -> None:
    """Every outcome of a run, to stdout or a file."""
    from punie.cli.written import summary_file, write_results
    from punie.settings import find_project
    from punie.store.export import FORMATS
    from punie.store.runs import RunStore

    if output and wanted and output.suffix != f".{wanted}":
        raise InputError(f"--format {wanted} and {output.name} disagree", hint="leave --format out")
    with RunStore(find_project(Path.cwd())) as store:
        head = store.find(run)
        if output:
            write_results(store, head, output)
            click.echo(f"{output}, {summary_file(output).name}", err=True)
            return
        for piece in FORMATS[wanted or "json"](head, store.rows(head.id)):
            click.echo(piece, nl=False)


@runs.command("delete")
@click.argument("run", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def delete_command(run: tuple[str, ...], yes: bool, as_json: bool) -> None:  # noqa: FBT001 - click
    """Forget runs, with their logs and reports. Journal entries stay."""
    from punie.settings import find_project
    from punie.store.runs import RunStore

    with RunStore(find_project(Path.cwd())) as store:
        ids = list(dict.fromkeys(store.find(reference).id for reference in run))
        if not yes:
            if not sys.stdin.isatty():
                raise InputError("deleting needs --yes where nobody can be asked")
            click.confirm(f"delete {', '.join(ids)}?", abort=True)
        with contextlib.ExitStack() as at_work:
            for run_id in ids:
                at_work.enter_context(store.lock(run_id))
            store.delete(ids)
            for run_id in ids:
                shutil.rmtree(store.run_folder(run_id), ignore_errors=True)
    if as_json:
        emit_json("runs delete", {"deleted": ids})
    else:
        click.echo(f"deleted {', '.join(ids)}", err=True)
