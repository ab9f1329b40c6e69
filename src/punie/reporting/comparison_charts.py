"""The pictures of a comparison as files of their own, for a journal entry or a talk."""

from punie.records.compared import Compared
from punie.reporting.arms_chart import arms_chart, arms_of
from punie.reporting.comparison_wording import titles
from punie.reporting.flips_chart import flips_chart
from punie.reporting.forest_chart import forest_chart, lines_of
from punie.reporting.latency_chart import latency_chart
from punie.reporting.svg import Chart
from punie.reporting.win_chart import slices_of, win_chart


def charts_of_comparison(compared: Compared) -> dict[str, Chart]:
    """Differences, scores, flips, times and a judge's word by file name, as far as there are any.

    All but the differences are those of the first comparison.
    """
    first, duel = compared.comparisons[0], compared.duel
    charts: dict[str, Chart] = {}
    lines = lines_of(compared.comparisons)
    if any(line.found for line in lines):
        title = "Difference, current minus base"
        drawn = forest_chart(lines, margin=first.margin, title=title, standalone=True)
        charts["differences.svg"] = Chart(title, drawn)
    if first.base_score or first.current_score:
        title = "Scores of both runs, with 95 % intervals"
        drawn = arms_chart(arms_of(first), names=titles(first), title=title, standalone=True)
        charts["arms.svg"] = Chart(title, drawn)
    if any(first.buckets.values()):
        title = "What became of every prompt"
        charts["flips.svg"] = Chart(title, flips_chart(first.buckets, title=title, standalone=True))
    if first.latency:
        title = "Latency of both runs"
        charts["latency.svg"] = Chart(
            title, latency_chart(first.latency, title=title, standalone=True)
        )
    if duel and duel.overall.judged:
        title = "Wins, ties and losses before the judge"
        charts["duel.svg"] = Chart(title, win_chart(slices_of(duel), title=title, standalone=True))
    return charts
