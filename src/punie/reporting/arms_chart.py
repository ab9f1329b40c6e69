"""Two runs side by side: scores as bars with intervals, a pair of bars for each slice."""

from collections.abc import Sequence
from typing import NamedTuple

from punie.records.comparison import Comparison
from punie.records.summary import Estimate
from punie.reporting.numbers import percent, percent_interval
from punie.reporting.svg import svg_element, text_element
from punie.reporting.verdict_style import STANDALONE_VERDICT_CSS
from punie.text import one_line

_LEFT, _SPAN, _STEP, _TOP, _WIDTH = 184, 400, 46, 84, 760


class Arms(NamedTuple):
    """One slice in both runs."""

    name: str
    base: Estimate | None
    current: Estimate | None


def arms_of(comparison: Comparison) -> list[Arms]:
    """Overall, categories and roles."""
    slices = (*comparison.categories, *comparison.roles)
    return [
        Arms("overall", comparison.base_score, comparison.current_score),
        *(Arms(each.name, each.base, each.current) for each in slices),
    ]


def arms_cell(base: Estimate | None, current: Estimate | None, *, label: str) -> str:
    """Both scores from 0 to 100 % across the width of a cell: the base above, with a hollow dot."""
    body = _bar(base, 8, hollow=True, scaled_to=100, unit="%")
    body += _bar(current, 24, scaled_to=100, unit="%")
    return svg_element(
        body, title=_said(label, base, current), width=0, height=32, standalone=False, fluid=True
    )


def arms_chart(
    arms: Sequence[Arms], *, names: tuple[str, str], title: str, standalone: bool = False
) -> str:
    """A pair of bars for each slice with both numbers beside it; `names` are base and current."""
    bottom = _TOP + _STEP * len(arms)
    base_name, current_name = (one_line(name, 44) for name in names)
    parts = [
        text_element("20", 30, one_line(title, 70), kind="head"),
        '<circle class="hollow" cx="25" cy="50" r="4"/>',
        text_element("36", 54, f"base: {base_name}"),
        f'<circle class="point" cx="{_WIDTH / 2 + 5:g}" cy="50" r="5"/>',
        text_element(f"{_WIDTH / 2 + 16:g}", 54, f"current: {current_name}"),
    ]
    for at in (0, 25, 50, 75, 100):
        x = f"{_LEFT + _SPAN * at / 100:g}"
        parts.append(f'<line class="axis" x1="{x}" x2="{x}" y1="{_TOP - 10}" y2="{bottom}"/>')
        parts.append(text_element(x, bottom + 15, f"{at} %", anchor="middle"))
    for index, (name, base, current) in enumerate(arms):
        y = _TOP + _STEP * index
        parts.append(text_element("20", y + 20, one_line(name, 22), kind="strong"))
        for estimate, down, hollow in ((base, 8, True), (current, 24, False)):
            parts.append(_bar(estimate, y + down, hollow=hollow, scaled_to=_SPAN, left=_LEFT))
            told = percent_interval(estimate) if estimate else "nothing to score"
            kind = "" if hollow or not estimate else "strong"
            parts.append(
                text_element(f"{_WIDTH - 20}", y + down + 4, told, anchor="end", kind=kind)
            )
    said = "; ".join(_said(each.name, each.base, each.current) for each in arms)
    return svg_element(
        "".join(parts),
        title=f"{title}: {said}",
        width=_WIDTH,
        height=bottom + 30,
        standalone=standalone,
        style=STANDALONE_VERDICT_CSS,
    )


def _said(name: str, base: Estimate | None, current: Estimate | None) -> str:
    before, after = (percent(each.value if each else None) for each in (base, current))
    return f"{name} {before} to {after}"


def _bar(
    estimate: Estimate | None,
    y: float,
    *,
    scaled_to: float,
    left: float = 0,
    unit: str = "",
    hollow: bool = False,
) -> str:
    box = f'x="{left}" y="{y - 5:g}" height="10" rx="2"'
    track = f'<rect class="track" {box} width="{scaled_to:g}{unit}"/>'
    if estimate is None:
        return track
    low, mean, high = (
        scaled_to * min(1.0, max(0.0, each))
        for each in (estimate.low, estimate.value, estimate.high)
    )
    fill, line, dot = ("soft", "thin", "hollow") if hollow else ("fill", "whisker", "point")
    reach = f'x1="{left + low:.2f}{unit}" x2="{left + high:.2f}{unit}" y1="{y:g}" y2="{y:g}"'
    return (
        f'{track}<rect class="{fill}" {box} width="{mean:.2f}{unit}"/>'
        f'<line class="{line}" {reach}/>'
        f'<circle class="{dot}" cx="{left + mean:.2f}{unit}" cy="{y:g}" r="4"/>'
    )
