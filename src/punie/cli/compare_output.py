"""What a comparison leaves: a table, a page, a file, a step summary, a journal entry."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from punie.cli.comparing import Match
from punie.cli.guards import trained_manifest
from punie.cli.output import emit_json, err, out, safe
from punie.cli.written import format_by_ending, write_whole
from punie.errors import InputError, PunieError
from punie.records.compared import Matrix
from punie.records.gate import Verdict
from punie.reporting import comparison_wording as words
from punie.reporting.answers import got_line
from punie.reporting.comparison_markdown import Answers, matrix_markdown, titled_markdown
from punie.reporting.flipped import FlippedRow, flipped_rows, telling
from punie.reporting.heat_map import HeatRow
from punie.settings import Loaded
from punie.store.runs import RunStore
from punie.text import inert_json

SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"
SUMMARY_BYTES = 1_000_000
"""What GitHub takes of one step's summary is a mebibyte; other steps of it may have written."""
_ANNOTATIONS = {Verdict.FAIL: "error", Verdict.INCONCLUSIVE: "warning"}


@dataclass(frozen=True, slots=True)
class Found:
    """Each contender matched against the base, and all of them with each other."""

    matches: tuple[Match, ...]
    matrix: Matrix | None = None
    warnings: tuple[str, ...] = ()
    prompts: tuple[HeatRow, ...] = ()
    """Each prompt in each of several runs."""


def refuse_output(output: Path | None, wanted: str | None, *, several: bool) -> None:
    """Raise InputError for what could not be written, before anything is compared."""
    if "html" in {wanted, format_by_ending(output) if output else None} and several:
        raise InputError("a page shows two runs, and more were given", hint="write markdown")


def show(
    found: Found, settings: Loaded, store: RunStore | None, *, wanted: str, output: Path | None
) -> None:
    """Print a comparison in the wanted format, and write its page and its file."""
    answers = settings.values.journal.text
    if wanted == "text":
        _print(found)  # first: there is something to read while a large page is written
    written_pages = [write_page(each, store, found) for each in found.matches]
    warnings = (*found.warnings, *(why for _, why in written_pages if why))
    if output:
        _write(output, written(found, format_by_ending(output), answers=answers))
    notes = err()
    if wanted == "text":
        for page in dict.fromkeys(page for page, _ in written_pages if page):
            notes.print(f"page  {_short(page)}", markup=False, soft_wrap=True)
        if output:
            notes.print(f"file  {_short(output)}", markup=False, soft_wrap=True)
    elif wanted == "json":
        emit_json("compare", as_json(found), warnings)
        return
    elif wanted == "github":
        _github(found, answers=answers)
    else:
        for piece in written(found, wanted, answers=answers):
            # A page says of itself that it is UTF-8; what is to be read here is as the terminal.
            click.echo(piece.encode("utf-8", "replace") if wanted == "html" else piece, nl=False)
    for line in warnings:
        notes.print(safe(line), soft_wrap=True)


def _print(found: Found) -> None:
    from punie.reporting.comparison_terminal import comparison_view, matrix_view

    console = out()
    for number, each in enumerate(found.matches):
        if number:
            console.print()
        console.print(comparison_view(each.compared))
    if found.matrix:
        console.print()
        console.print(matrix_view(found.matrix))


def as_json(found: Found) -> dict[str, Any]:
    """Everything that was found, as the command's data."""
    return {
        "compared": [each.compared.model_dump(mode="json") for each in found.matches],
        "matrix": found.matrix.model_dump(mode="json") if found.matrix else None,
    }


def written(found: Found, wanted: str, *, answers: bool) -> Iterable[str]:
    """A comparison as markdown, HTML or JSON; `answers` lets what models said into markdown."""
    if wanted == "json":
        import json

        return [inert_json(json.dumps(as_json(found), ensure_ascii=False, indent=2)), "\n"]
    if wanted == "html":
        (match,) = found.matches
        return page_of(match)
    parts = [
        titled_markdown(each.compared, answers=_answers(each) if answers else None)
        for each in found.matches
    ]
    if found.matrix:
        parts.append(f"## Each with each\n\n{matrix_markdown(found.matrix)}\n")
    return ["\n".join(parts)]


def flips_of(match: Match) -> Iterable[FlippedRow]:
    """The flipped prompts of a match with both runs' answers."""
    flips = match.compared.comparisons[0].flips
    return flipped_rows(flips, match.base.rows, match.current.rows)


def _answers(match: Match) -> Answers:
    return {
        row.flip.id: (got_line(telling(row.base)[1]), got_line(telling(row.current)[1]))
        for row in flips_of(match)
    }


def page_of(match: Match, among: Found | None = None) -> Iterable[str]:
    """A match as the pieces of one HTML page, with what was found of all runs beside these two."""
    from punie.reporting.comparison_html import render_comparison

    known = match.base.words and match.current.words
    return render_comparison(
        match.compared,
        flips_of(match),
        words=known,
        matrix=among.matrix if among else None,
        prompts=among.prompts if among else (),
    )


def write_page(
    match: Match, store: RunStore | None, among: Found | None = None
) -> tuple[Path | None, str]:
    """Write the page beside the current run's report, where that run lies in the database.

    Nobody asked for it, so where it cannot be written, a warning says why and the verdict stands.
    """
    if store is None or not match.current.stored:
        return None, ""
    try:
        path = store.run_folder(match.current.run.id) / f"against-{match.base.run.id}.html"
        _write(path, page_of(match, among))
    except PunieError as error:
        return None, f"the page could not be written: {error.message}"
    return path, ""


def _write(path: Path, pieces: Iterable[str]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, pieces)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}", hint="--output FILE") from error


def draw(found: Found, *, svg: Path | None, png: Path | None) -> list[Path]:
    """Write the charts of each match, of several each into a folder named for its current run.

    Of several runs there is a map of all prompts too.
    """
    from punie.cli.pictures import write_pictures
    from punie.reporting.comparison_charts import charts_of_comparison
    from punie.reporting.heat_map import heat_map
    from punie.reporting.svg import Chart

    written: list[Path] = []
    for each in found.matches:
        own = each.current.run.id if found.matches[1:] else ""
        folders = {"svg": svg and svg / own, "png": png and png / own}
        written += write_pictures(charts_of_comparison(each.compared), **folders)
    if found.prompts:
        title = "Every prompt in every run"
        drawn = heat_map(found.prompts, columns="run", title=title, standalone=True)
        written += write_pictures({"prompts.svg": Chart(title, drawn)}, svg=svg, png=png)
    return written


def _github(found: Found, *, answers: bool) -> None:
    """Append to the step's summary, and annotate what failed or is undecided.

    Outside of a step the summary goes to stdout.
    """
    text = "".join(written(found, "markdown", answers=answers))
    content = text.encode("utf-8", "replace")[:SUMMARY_BYTES].decode("utf-8", "ignore")
    target = os.environ.get(SUMMARY_VARIABLE)
    if target:
        try:
            with Path(target).open("a", encoding="utf-8") as file:
                file.write(content)
        except OSError as error:
            what = f"{SUMMARY_VARIABLE}={target}: {error.strerror or error}"
            raise InputError(what, hint="--format markdown prints it instead") from error
    else:
        click.echo(content, nl=False)
    for each in found.matches:
        report = each.compared.gate
        for result in report.results if report else ():
            if level := _ANNOTATIONS.get(result.verdict):
                told = f"{result.name}: {result.asked}; {result.found}"
                title = f"title=punie {result.verdict.value}"
                # As bytes: where a workflow reads along, text is never a command.
                click.echo(f"::{level} {title}::{_command_text(told)}".encode("utf-8", "replace"))


def _command_text(text: str) -> str:
    """A workflow command's text: one line, in which nothing is a command of its own."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def write_journal(match: Match, settings: Loaded, goal: str, supersedes: str | None = None) -> Path:
    """Write the journal entry of a match, which may replace an earlier entry."""
    from punie.journal.comparison import write_comparison_entry

    if settings.values.journal.entries == "never":
        raise InputError("journal is set to never here", hint="punie config shows where")
    return write_comparison_entry(
        settings.project,
        match.versus,
        match.gates,
        how=match.how,
        goal=goal,
        own_suite=match.own_suite,
        missing=match.compared.missing,
        training=trained_manifest(match.current.run.model, settings.project),
        duel=match.compared.duel,
        calibrations=match.compared.calibrations,
        supersedes=supersedes,
    )


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def headline(match: Match) -> str:
    """A match in one line: `better  +88.9 [+79.3 to +93.1]  A against B on S`."""
    first = match.compared.comparisons[0]
    gap = words.difference(first.score)
    return f"{words.word_of(first)}  {gap}  {words.subject(match.compared)}"
