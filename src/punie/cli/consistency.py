"""`punie consistency`: tells what a model cannot do from what it does only sometimes."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from punie.cli.output import emit_json, format_of_stdout
from punie.cli.pictures import picture_options, write_pictures
from punie.errors import InputError
from punie.records.consistency import Consistency, GreedyComparison
from punie.records.run import Run

if TYPE_CHECKING:
    from punie.cli.comparing import Contender, Row
    from punie.store.runs import RunStore

REPEATS, TEMPERATURE = 8, 0.7
"""What the command that a hint names asks for."""
FORMATS = ("text", "markdown", "html", "json")


@click.command("consistency")
@click.argument("run", default="last")
@click.option("--greedy", metavar="RUN", help="Compare with this run instead of the newest one.")
@click.option(
    "--k", metavar="K", type=click.IntRange(2), help="Answers that a prompt must have to count."
)
@click.option(
    "--format",
    "wanted",
    type=click.Choice(FORMATS),
    help="Of stdout [default: text].",
)
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write it as .md, .html or .json.",
)
@picture_options
@click.option("--json", "as_json", is_flag=True, help="As JSON, with every prompt.")
def consistency_command(
    *,
    run: str,
    greedy: str | None,
    k: int | None,
    wanted: str | None,
    output: Path | None,
    svg: Path | None,
    png: Path | None,
    as_json: bool,
) -> None:
    """Tell whether a model cannot answer, or answers differently each time.

    RUN asked each prompt several times (punie eval --repeats K --temperature T): an id, a unique
    beginning of one, `last`, `last~1`, an adapter's name, or a journal entry's run.json. Its
    answers are compared with each other, and with those at temperature 0 where there is such a run
    of the same suite, model and adapter.
    """
    from punie.cli.written import format_by_ending

    wanted = format_of_stdout(wanted, as_json=as_json)
    as_file = format_by_ending(output) if output else ""
    found, owed = _measured(run, greedy, k)
    notes = [*owed]
    if output:
        _write(_pieces(found, as_file), output)
        notes.append(str(output))
    if svg or png:
        from punie.reporting.consistency_charts import charts_of

        notes += map(str, write_pictures(charts_of(found), svg=svg, png=png))
    if wanted == "json":
        draws = [] if found.sampled else [found.draws.sentence]
        warnings = [*draws, *found.cautions, *owed]
        emit_json("consistency", found.model_dump(mode="json"), warnings)
        return
    _print(found, wanted)
    for line in notes:
        click.echo(line, err=True)


def _measured(
    reference: str, greedy: str | None, k: int | None
) -> tuple[Consistency, Sequence[str]]:
    """The consistency of a run, against greedy where that is known; and what to do next."""
    from punie.cli.comparing import recorded
    from punie.settings import find_project
    from punie.store.runs import RunStore

    if reference.endswith(".json") and greedy is None:
        return _found(recorded(Path(reference)), None, k), ()
    with RunStore(find_project(Path.cwd())) as store:
        source = _source(store, reference)
        found = _found(source, store, k)
        if greedy is None:
            return _with_newest_greedy(store, found)
        twin = _source(store, greedy)
        against = _against(found, twin.run, twin.rows())
        if against is None:
            raise InputError(
                f"run {twin.run.id} is no run at temperature 0 of the same prompts, model and "
                "adapter",
                hint=f"make one: {_command(source.run, 0)}",
            )
        return found.model_copy(update={"greedy": against}), ()


def _found(source: "Contender", store: "RunStore | None", k: int | None) -> Consistency:
    from punie.analysis.consistency import consistency
    from punie.scoring.normal import normal_answer

    run = source.run
    if run.repeats < 2:
        raise InputError(
            f"run {run.id} asked each prompt once: one answer cannot differ from itself",
            hint=f"ask several times: {_command(run, TEMPERATURE, REPEATS)}",
        )
    normalise = normal_answer if source.words else None
    asked = store.suite(run).prompts if store and source.stored else ()
    return consistency(run, asked, source.rows(), normalise, k=k)


def _source(store: "RunStore", reference: str) -> "Contender":
    from punie.cli.comparing import recorded, stored

    if reference.endswith(".json"):
        return recorded(Path(reference))
    return stored(store, store.find(reference))


def _with_newest_greedy(store: "RunStore", found: Consistency) -> tuple[Consistency, Sequence[str]]:
    """Beside the newest greedy run that asked some of the same prompts; how to make one if none."""
    if found.run.sampling.temperature == 0:
        return found, ()
    for head in store.heads(suite=found.run.suite_name):
        against = _against(found, head, store.rows(head.id))
        if against is not None:
            return found.model_copy(update={"greedy": against}), ()
    return found, (f"no greedy run to compare with; to make one: {_command(found.run, 0)}",)


def _against(found: Consistency, run: Run, rows: "Iterable[Row]") -> GreedyComparison | None:
    """The comparison with a greedy run; None where it is none, or has no prompt in common."""
    from punie.analysis.greedy import against_greedy, is_greedy_twin

    return against_greedy(found, run, rows) if is_greedy_twin(run, found.run) else None


def _command(run: Run, temperature: float, repeats: int = 1) -> str:
    """The command that measures the same in another way."""
    from punie.analysis.measure_command import measure_command

    options = ["--repeats", str(repeats)] if repeats > 1 else []
    return measure_command(run, options=[*options, "--temperature", f"{temperature:g}"])


def _write(pieces: Iterable[str], path: Path) -> None:
    from punie.cli.written import write_whole

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, pieces)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error


def _pieces(found: Consistency, wanted: str) -> Iterable[str]:
    """The report as text, in pieces."""
    if wanted == "json":
        return [found.model_dump_json(indent=2), "\n"]
    if wanted == "html":
        from punie.reporting.consistency_html import consistency_html

        return consistency_html(found)
    from punie.reporting.consistency_markdown import consistency_markdown

    return [consistency_markdown(found)]


def _print(found: Consistency, wanted: str) -> None:
    if wanted != "text":
        for piece in _pieces(found, wanted):
            click.echo(piece, nl=False)
        return
    from punie.cli.output import out
    from punie.reporting.consistency_terminal import consistency_view

    out().print(consistency_view(found))
