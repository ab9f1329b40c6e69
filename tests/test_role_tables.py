"""Wherever runs of a suite with roles are shown, each role stands with its interval."""

import re
from collections.abc import Callable, Iterable

import pytest
from rich.console import Console, RenderableType

from punie.records.summary import Estimate
from punie.reporting import numbers
from punie.reporting.comparison_html import render_comparison
from punie.reporting.comparison_markdown import comparison_markdown
from punie.reporting.comparison_terminal import comparison_view
from punie.reporting.comparison_wording import difference
from punie.reporting.html import render_html
from punie.reporting.markdown import results_markdown
from punie.reporting.terminal import eval_table
from synthetic_comparison import a_compared, flipped, paired_rows
from synthetic_run import synthetic_report

REPORT, ROWS = synthetic_report(60, seed=3)
PAIRED = paired_rows(60)
COMPARED = a_compared(PAIRED)


def printed(shown: RenderableType) -> str:
    console = Console(width=110, color_system=None)
    with console.capture() as captured:
        console.print(shown)
    return captured.get()


def words_of(pieces: Iterable[str]) -> str:
    """A page without its tags, in one line."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", "".join(pieces)))


@pytest.mark.parametrize(
    "report",
    [
        pytest.param(lambda: printed(eval_table(REPORT)), id="terminal"),
        pytest.param(
            lambda: results_markdown(REPORT, [outcome for _, outcome in ROWS]), id="markdown"
        ),
        pytest.param(lambda: words_of(render_html(REPORT, ROWS)), id="page"),
    ],
)
def test_a_run_shows_its_roles(report: Callable[[], str]):
    shown = report()
    assert {each.name for each in REPORT.summary.roles} == {"coder", "researcher", "reviewer"}
    for each in REPORT.summary.roles:
        assert isinstance(each.score, Estimate)
        assert re.search(rf"\b{each.name}\b[^\n]*{re.escape(numbers.interval(each.score))}", shown)


@pytest.mark.parametrize(
    "report",
    [
        pytest.param(lambda: printed(comparison_view(COMPARED)), id="terminal"),
        pytest.param(lambda: comparison_markdown(COMPARED), id="markdown"),
        pytest.param(lambda: words_of(render_comparison(COMPARED, flipped(PAIRED))), id="page"),
    ],
)
def test_two_runs_show_the_difference_of_each_role(report: Callable[[], str]):
    shown = report()
    roles = COMPARED.comparisons[0].roles
    assert roles
    for each in roles:
        assert re.search(rf"\b{each.name}\b[^\n]*{re.escape(difference(each.difference))}", shown)
