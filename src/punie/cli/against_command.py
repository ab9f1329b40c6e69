"""The body of `punie eval --against`: measure and compare, then print both."""

import asyncio
from pathlib import Path
from typing import Any

import click

from punie.cli.against import Contest, measure_against
from punie.cli.against_plan import Aim
from punie.cli.eval import exit_code, print_run
from punie.cli.output import emit_json, err, out, safe
from punie.cli.wish import Wish
from punie.errors import EXIT_INTERRUPTED, EXIT_UNMEASURED
from punie.settings import load_settings

SAME_AGAIN = "the same command goes on with what is complete, and with what was cut short"
ANEW = "the same command measures both anew: times of two halves cannot be put together"


def run_against(wish: Wish, versus: dict[str, Any], *, as_json: bool) -> int:
    """Measure, compare, print; gives the exit code."""
    try:
        contest = asyncio.run(measure_against(wish, load_settings(Path.cwd()), Aim(**versus)))
    except asyncio.CancelledError:  # by the second Ctrl-C
        click.echo(ANEW if versus["latency"] else SAME_AGAIN, err=True)
        raise KeyboardInterrupt from None
    if as_json:
        warnings = (*contest.measured.warnings, *contest.warnings)
        emit_json("eval", contest.as_json(), warnings)
    else:
        _print(contest)
    return code_of(contest)


def code_of(contest: Contest) -> int:
    """The run's own code where nothing could be compared, then the gate's, then the run's."""
    code = exit_code(contest.measured)
    if code in {EXIT_INTERRUPTED, EXIT_UNMEASURED} or contest.found is None:
        return code
    return contest.code or code


def _print(contest: Contest) -> None:
    from punie.reporting.comparison_terminal import comparison_view

    print_run(contest.measured)
    notes = err()
    if contest.found is None:
        timed = contest.measured.report.run.timed_with is not None
        notes.print(ANEW if timed else SAME_AGAIN, markup=False, soft_wrap=True)
        return
    out().print()
    out().print(comparison_view(contest.found.compared))
    for name, path in (("page", contest.page), ("journal", contest.entry)):
        if path is not None:
            notes.print(f"{name:8} {_short(path)}", markup=False, soft_wrap=True)
    for line in contest.warnings:
        notes.print(safe(line), soft_wrap=True)


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
