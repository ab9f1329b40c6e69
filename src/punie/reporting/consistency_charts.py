"""The two pictures of consistency: each prompt with each answer, and what more tries bring."""

from punie.records.consistency import Consistency
from punie.reporting.heat_map import heat_map, rows_of
from punie.reporting.pass_k_chart import pass_k_chart
from punie.reporting.svg import Chart

HEAT, CURVE = "heat-map.svg", "pass-k.svg"


def charts_of(found: Consistency, *, standalone: bool = True) -> dict[str, Chart]:
    """The charts by file name; without scored answers there is no curve."""
    title = "Answers by prompt and repeat"
    drawn = heat_map(rows_of(found.prompts), columns="repeat", title=title, standalone=standalone)
    charts = {HEAT: Chart(title, drawn)}
    if curve := found.overall.curve:
        title = "What more tries bring"
        charts[CURVE] = Chart(title, pass_k_chart(curve, title=title, standalone=standalone))
    return charts
