"""The pictures of an entry: SVG files, because GitHub strips SVG that stands inside markdown."""

from collections.abc import Sequence

from punie.records.result import EvalResult
from punie.records.run import EvalReport
from punie.records.summary import Summary
from punie.reporting.numbers import duration
from punie.reporting.svg import Chart, histogram, slice_chart


def charts_of(report: EvalReport) -> dict[str, Chart]:
    """The charts of a run by file name: its scores and its latencies, as far as it has them."""
    times = [each.completion.latency_s for each in report.outcomes if isinstance(each, EvalResult)]
    return charts_from(report.summary, times)


def charts_from(summary: Summary, times: Sequence[float]) -> dict[str, Chart]:
    """The same from a run's numbers and the seconds that each of its answers took."""
    charts: dict[str, Chart] = {}
    if summary.score:
        title = "Score by category, with 95 % intervals"
        rows = [
            ("overall", summary.score),
            *((each.name, each.score) for each in summary.categories),
        ]
        charts["scores.svg"] = Chart(title, slice_chart(rows, title=title, standalone=True))
    if times and summary.latency:
        title = "Latency of the answers"
        drawn = histogram(
            times, title=title, write=duration, high=summary.latency.p95, standalone=True
        )
        charts["latency.svg"] = Chart(title, drawn)
    return charts
