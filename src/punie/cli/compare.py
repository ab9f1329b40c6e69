"""`punie compare`: two runs become a verdict."""

import gc
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from punie.cli.judge_options import judge_options
from punie.cli.pictures import picture_options
from punie.errors import EXIT_OK, InputError

if TYPE_CHECKING:
    from collections.abc import Generator

    from punie.analysis.pairing import How
    from punie.cli.comparing import Contender
    from punie.records.compared import Matrix

FORMATS = ("text", "markdown", "html", "json", "github")


@click.command("compare")
@click.argument("base")
@click.argument("current", nargs=-1, required=True)
@click.option(
    "--gate",
    metavar="FILE|NAME",
    help="What must hold, as YAML. Exit code 3 where it fails, 4 where it is undecided.",
)
@click.option(
    "--fail-on-regression", is_flag=True, help="Exit code 3 where the default gate fails."
)
@click.option("--intersect", is_flag=True, help="Compare only what both runs asked.")
@click.option("--unpaired", is_flag=True, help="Compare two samples that share no prompts.")
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write it to a .md, .html or .json file too.",
)
@click.option("--format", "wanted", type=click.Choice(FORMATS), help="Of stdout [default: text].")
@judge_options(
    judge="Have a model say which answer to each prompt is better, asked in both orders.",
    rubric="What the judge decides by [default: correctness, completeness, format].",
)
@picture_options
@click.option(
    "--routes",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write who serves which role to a .yaml file.",
)
@click.option("--journal", metavar="GOAL", help="Write a journal entry with this goal.")
@click.option(
    "--supersedes",
    metavar="ENTRY",
    help="With --journal: the earlier entry that this one replaces.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def compare_command(
    *,
    base: str,
    current: tuple[str, ...],
    gate: str | None,
    fail_on_regression: bool,
    intersect: bool,
    unpaired: bool,
    output: Path | None,
    wanted: str | None,
    judge: str | None,
    judge_model: str | None,
    rubric: Path | None,
    svg: Path | None,
    png: Path | None,
    routes: Path | None,
    journal: str | None,
    supersedes: str | None,
    as_json: bool,
) -> int:
    """Compare runs prompt by prompt: what changed, how sure that is, and what to do.

    BASE and CURRENT are ids, unique beginnings of them, `last`, `last~1`, adapters' names, or paths
    of a journal's run.json; with --unpaired also of a baseline_metrics.json. Without --gate, an
    adapter must gain on its own suite and lose no more than 5 points elsewhere. Several CURRENT are
    each compared with BASE, and all with each other.
    """
    from punie.cli.compare_output import Found, draw, refuse_output, show, write_journal
    from punie.cli.comparing import contenders, exit_code, match
    from punie.cli.output import err, format_of_stdout
    from punie.cli.routes_file import write_routes
    from punie.gates.find import find_gates
    from punie.journal.folder import find_entry
    from punie.reporting.runs_map import map_rows
    from punie.settings import load_settings

    _refuse(
        len(current),
        intersect=intersect,
        unpaired=unpaired,
        routes=routes,
        journal=journal,
        supersedes=supersedes,
    )
    wanted = format_of_stdout(wanted, as_json=as_json)
    refuse_output(output, wanted, several=len(current) > 1)
    how: How = "intersected" if intersect else "unpaired" if unpaired else "paired"
    settings = load_settings(Path.cwd())
    if supersedes is not None:
        find_entry(settings.project, supersedes)  # or it is refused, before a judge is asked
    wish = None
    if judge or judge_model or rubric:
        from punie.cli.judge_served import optional_judge

        wish = optional_judge(judge, judge_model, rubric, settings, quiet=as_json)
    gates = find_gates(gate) if gate else None
    with _uncollected(), contenders(settings) as known:
        first, *others = [known.find(each) for each in (base, *current)]
        store = known.known
        matches = [
            match(first, each, gates, project=settings.project, how=how, store=store)
            for each in others
        ]
        ended = EXIT_OK
        if wish:
            from punie.cli.dueling import duelled

            matches, ended = duelled(wish, settings, matches)
        code, warning = exit_code(
            [each.compared for each in matches],
            gated=gates is not None,
            fail_on_regression=fail_on_regression,
        )
        code = max(code, ended)  # nothing judged, and an interrupt, are more than any gate's word
        several = [first, *others] if len(others) > 1 else []
        found = Found(
            tuple(matches),
            _matrix(several, how) if several else None,
            (warning,) if warning else (),
            tuple(map_rows([each.arm for each in several])),
        )
        show(found, settings, store, wanted=wanted, output=output)
        for path in draw(found, svg=svg, png=png):
            err().print(f"chart  {path}", markup=False, soft_wrap=True)
        if routes is not None:
            write_routes(matches[0], routes)
            err().print(f"routes  {routes}", markup=False, soft_wrap=True)
        if journal is not None:
            entry = write_journal(matches[0], settings, journal, supersedes)
            err().print(f"journal  {entry / 'entry.md'}", markup=False, soft_wrap=True)
    return code


def _refuse(
    currents: int,
    *,
    intersect: bool,
    unpaired: bool,
    routes: Path | None,
    journal: str | None,
    supersedes: str | None,
) -> None:
    """Raise InputError for what does not go together."""
    if intersect and unpaired:
        raise InputError("--intersect and --unpaired contradict each other", hint="drop one")
    if journal is not None and currents > 1:
        raise InputError("a journal entry is of two runs, and more were given", hint="one CURRENT")
    if routes is not None and currents > 1:
        raise InputError("routes are between two runs, and more were given", hint="one CURRENT")
    if journal is not None and not journal.strip():
        raise InputError("the goal of a journal entry is empty", hint="say what was tried")
    if supersedes is not None and journal is None:
        raise InputError("--supersedes is for a journal entry", hint="give its goal with --journal")


@contextmanager
def _uncollected() -> "Generator[None]":
    """Leave cycles alone for the block, a fifth of the time with thousands of prompts.

    What is compared lives to the end, and the collector would look through all of it again and
    again; memory is the same without it.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _matrix(contenders: "list[Contender]", how: "How") -> "Matrix":
    from punie.analysis.matrix import matrix_of
    from punie.analysis.served_by import served_by
    from punie.reporting.wording import model_title

    runs = [(each.run, each.arm) for each in contenders]
    titles = [model_title(each.run.model) for each in contenders]
    served = [served_by(each.run.model) for each in contenders]
    if len(set(served)) > 1:
        titles = [f"{title} on {how}" for title, how in zip(titles, served, strict=True)]
    return matrix_of(runs, titles, how)
