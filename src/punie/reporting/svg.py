"""Charts as SVG text: pure functions of numbers, one colour scheme, a title for those who listen.

Inside a page the colours come from the page's custom properties and `CHART_CSS` is its style.
Standalone, for a file beside a journal entry, a chart brings both, and follows the reader's
preference for light or dark on a ground of its own: a page around it may not follow the same.
No chart says by colour alone what its text does not say. The hues are told apart by every common
form of colour blindness (blue against grey).
"""

import math
import re
from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple
from xml.sax.saxutils import escape, quoteattr

from punie.records.summary import Estimate
from punie.reporting.numbers import count, percent, percent_interval
from punie.text import one_line

CHART_CSS = """
.chart{display:block;overflow:visible;font-family:var(--sans);font-variant-numeric:tabular-nums}
.chart text{fill:var(--muted);font-size:11px}
.chart .strong{fill:var(--ink);font-size:12.5px}
.chart .head{fill:var(--ink);font-size:14px;font-weight:600}
.chart .track{fill:var(--track)}
.chart .fill{fill:var(--fill)}
.chart .whisker{stroke:var(--ink);stroke-width:1.5}
.chart .point{fill:var(--ink);stroke:var(--surface);stroke-width:1.5}
.chart .axis{stroke:var(--line);stroke-width:1}
.chart .mark{stroke:var(--ink);stroke-width:1;stroke-dasharray:2 2}
.chart .trace{fill:none;stroke:var(--accent);stroke-width:1.5;stroke-linejoin:round}
.chart .end{fill:var(--accent)}
"""
_STANDALONE_CSS = """
.chart{--sans:system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif;--ink:#1b1c20;
--muted:#63666e;--surface:#fff;--line:#e4e4e0;--track:#f0f0ed;--fill:#a9bdf5;--accent:#3a5bd0}
@media (prefers-color-scheme:dark){.chart{--ink:#ecedf0;--muted:#9b9ea8;--surface:#16171b;
--line:#2c2e35;--track:#24262c;--fill:#3f5391;--accent:#93aaf5}}
.chart .ground{fill:var(--surface)}
"""


class Chart(NamedTuple):
    """A picture for a file of its own, and the words that stand for it."""

    title: str
    svg: str


def svg_element(
    body: str,
    *,
    title: str,
    width: float,
    height: float,
    standalone: bool,
    fluid: bool = False,
    style: str = "",
) -> str:
    """Wrap elements drawn on `width` x `height`; `fluid` ones use percentages and stretch.

    `style` is what a standalone chart needs beside `CHART_CSS`.
    """
    label = one_line(title, 400)
    box = f'width="100%" height="{height:g}"' if fluid else f'viewBox="0 0 {width:g} {height:g}"'
    if standalone:
        box = f'xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" {box}'
        ground = '<rect class="ground" width="100%" height="100%" rx="8"/>'
        body = f"<style>{_STANDALONE_CSS}{CHART_CSS}{style}</style>{ground}{body}"
    return (
        f'<svg class="chart" role="img" {box} aria-label={quoteattr(label)}>'
        f"<title>{escape(label)}</title>{body}</svg>"
    )


def text_element(x: str, y: float, words: str, *, anchor: str = "start", kind: str = "") -> str:
    """A line of words at a place; `kind` is a class of `CHART_CSS`."""
    shown = f' class="{kind}"' if kind else ""
    return f'<text x="{x}" y="{y:g}" text-anchor="{anchor}"{shown}>{escape(words)}</text>'


def _share(value: float) -> float:
    return 100 * min(1.0, max(0.0, value))


def _interval(low: float, mean: float, high: float, y: float, unit: str = "") -> str:
    """A whisker from `low` to `high` with a point at `mean`, in user units or percent."""
    tall = f'y1="{y - 4:g}" y2="{y + 4:g}"'
    ends = "".join(
        f'<line class="whisker" x1="{x:.2f}{unit}" x2="{x:.2f}{unit}" {tall}/>' for x in (low, high)
    )
    line = f'x1="{low:.2f}{unit}" x2="{high:.2f}{unit}" y1="{y:g}" y2="{y:g}"'
    point = f'<circle class="point" cx="{mean:.2f}{unit}" cy="{y:g}" r="4"/>'
    return f'<line class="whisker" {line}/>{ends}{point}'


def bar(estimate: Estimate, *, label: str) -> str:
    """One score as a bar over the whole width of its cell, its 95 % interval as a whisker."""
    low, mean, high = (_share(v) for v in (estimate.low, estimate.value, estimate.high))
    body = (
        '<rect class="track" y="4" width="100%" height="12" rx="2"/>'
        f'<rect class="fill" y="4" width="{mean:.2f}%" height="12" rx="2"/>'
        f"{_interval(low, mean, high, 10, '%')}"
    )
    title = f"{label}: {percent_interval(estimate)}"
    return svg_element(body, title=title, width=0, height=20, standalone=False, fluid=True)


def share_bar(part: int, whole: int, *, label: str) -> str:
    """`part` of `whole` as a plain bar over the width of its cell."""
    mean = _share(part / whole if whole else 0)
    body = (
        '<rect class="track" y="6" width="100%" height="8" rx="2"/>'
        f'<rect class="fill" y="6" width="{mean:.2f}%" height="8" rx="2"/>'
    )
    title = f"{label}: {count(part)} of {count(whole)}"
    return svg_element(body, title=title, width=0, height=20, standalone=False, fluid=True)


def gauge(estimate: Estimate, *, label: str) -> str:
    """The headline score on a scale from 0 to 100 %, its 95 % interval as a band."""
    low, mean, high = (_share(v) for v in (estimate.low, estimate.value, estimate.high))
    ticks = "".join(
        f'<line class="axis" x1="{at}%" x2="{at}%" y1="24" y2="29"/>'
        + text_element(f"{at}%", 42, f"{at} %" if at == 100 else str(at), anchor=anchor)
        for at, anchor in (
            (0, "start"),
            (25, "middle"),
            (50, "middle"),
            (75, "middle"),
            (100, "end"),
        )
    )
    body = (
        '<rect class="track" y="11" width="100%" height="10" rx="5"/>'
        f'<rect class="fill" x="{low:.2f}%" y="11" width="{high - low:.2f}%" height="10" rx="5"/>'
        f'<circle class="point" cx="{mean:.2f}%" cy="16" r="8"/>{ticks}'
    )
    title = f"{label}: {percent_interval(estimate)}, on a scale from 0 to 100 %"
    return svg_element(body, title=title, width=0, height=46, standalone=False, fluid=True)


def slice_chart(
    rows: Sequence[tuple[str, Estimate | None]], *, title: str, standalone: bool = False
) -> str:
    """Horizontal bars with 95 % intervals, one a named slice, with the numbers beside them."""
    left, span, step, top = 168, 300, 30, 58
    bottom = top + step * len(rows)
    parts = [text_element("20", 30, one_line(title, 70), kind="head")]
    for at in (0, 25, 50, 75, 100):
        x = left + span * at / 100
        parts.append(f'<line class="axis" x1="{x}" x2="{x}" y1="{top - 6}" y2="{bottom}"/>')
        parts.append(text_element(f"{x:g}", bottom + 15, f"{at} %", anchor="middle"))
    for index, (name, estimate) in enumerate(rows):
        y = top + step * index + 9
        parts.append(text_element("20", y + 4, one_line(name, 22), kind="strong"))
        if estimate is None:
            parts.append(text_element(f"{left + 4}", y + 4, "nothing to score"))
            continue
        low, mean, high = (
            left + span * _share(v) / 100 for v in (estimate.low, estimate.value, estimate.high)
        )
        box = f'x="{left}" y="{y - 6}" width="{mean - left:.1f}" height="12" rx="2"'
        parts += [
            f'<rect class="fill" {box}/>',
            _interval(low, mean, high, y),
            text_element(f"{left + span + 20}", y + 4, percent_interval(estimate), kind="strong"),
            text_element("680", y + 4, f"n {count(estimate.n)}", anchor="end"),
        ]
    said = "; ".join(
        f"{name} {percent(estimate.value) if estimate else 'not scored'}" for name, estimate in rows
    )
    return svg_element(
        "".join(parts),
        title=f"{title}: {said}",
        width=700,
        height=bottom + 30,
        standalone=standalone,
    )


TICK_STEPS = (1, 2, 5)
_BIN_STEPS = (1, 1.5, 2, 2.5, 3, 4, 5, 7.5)


def round_step(span: float, pieces: int, steps: Sequence[float]) -> float:
    """One of `steps` times a power of ten: the first that cuts `span` into at most `pieces`."""
    raw = span / pieces
    power = 10.0 ** math.floor(math.log10(raw))
    return next((step * power for step in steps if step * power >= raw), 10 * power)


def plain_tick(label: str) -> str:
    """Write a round number without its zeros: `1.00 s` as `1 s`."""
    return re.sub(r"\.0+(?!\d)", "", label)


def bins(values: Sequence[float]) -> tuple[float, float, list[int], int]:
    """Lower edge, width and counts of equal bins, and how many values lie beyond the last.

    A few far outliers would press everything else into one bin: past three times the 95th
    percentile the last bin says "and more" instead.
    """
    ranked = sorted(values)
    highest = ranked[-1]
    usual = ranked[math.ceil(0.95 * len(ranked)) - 1]
    upper = 1.5 * usual if 0 < 3 * usual < highest else highest
    lower = 0.0 if ranked[0] < 0.6 * upper else ranked[0]
    pieces = min(24, 8 + len(ranked) // 8)
    width = round_step((upper - lower) or abs(upper) or 1.0, pieces, _BIN_STEPS)
    lower = width * math.floor(lower / width)
    size = max(1, math.floor((upper - lower) / width) + 1)
    counts = [0] * size
    for value in ranked:
        counts[min(size - 1, math.floor((value - lower) / width))] += 1
    beyond = sum(value >= lower + size * width for value in ranked)
    return lower, width, counts, beyond


def histogram(
    values: Sequence[float],
    *,
    title: str,
    write: Callable[[float], str],
    high: float | None = None,
    standalone: bool = False,
) -> str:
    """The distribution of at least one finite value, with its median and, if given, its p95.

    `write` formats a value with its unit; `high` is the 95th percentile.
    """
    lower, width, counts, beyond = bins(values)
    left, right, floor, roof = 14.0, 346.0, 106.0, 38.0
    scale = (right - left) / (width * len(counts))
    tallest = max(counts)
    parts = [f'<line class="axis" x1="{left}" x2="{right}" y1="{floor}" y2="{floor}"/>']
    for index, number in enumerate(counts):
        if number:
            x, tall = left + index * width * scale, (floor - roof) * number / tallest
            parts.append(
                f'<rect class="fill" x="{x + 0.75:.1f}" y="{floor - tall:.1f}" rx="1.5"'
                f' width="{width * scale - 1.5:.1f}" height="{tall:.1f}"/>'
            )
    step = round_step(width * len(counts), 5, TICK_STEPS)
    tick = step * math.ceil(lower / step - 1e-9)
    while (x := left + (tick - lower) * scale) <= right - 12:
        parts.append(
            text_element(
                f"{x:.1f}",
                floor + 16,
                plain_tick(write(tick)),
                anchor="middle" if x > 30 else "start",
            )
        )
        tick += step
    if beyond:
        parts.append(text_element(f"{right}", floor - 6, f"{count(beyond)} more →", anchor="end"))
    middle = median(values)
    marks = [("median", middle, 12.0)] + ([("p95", high, 26.0)] if high is not None else [])
    for name, value, y in marks:
        x = min(right, left + (value - lower) * scale)
        anchor, words = ("start", x + 4) if x < 0.6 * right else ("end", x - 4)
        parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 8}" y2="{floor}"/>')
        parts.append(text_element(f"{words:.1f}", y, f"{name} {write(value)}", anchor=anchor))
    said = f"{title}: {count(len(values))} values, median {write(middle)}"
    said += f", 95 % at most {write(high)}" if high is not None else ""
    body = "".join(parts)
    if not standalone:
        return svg_element(body, title=said, width=360, height=128, standalone=False)
    # A file has no caption beside it.
    head = text_element("20", 30, one_line(title, 44), kind="head")
    body = f'{head}<g transform="translate(6 44)">{body}</g>'
    return svg_element(body, title=said, width=372, height=180, standalone=True)


def sparkline(
    values: Sequence[float | None],
    *,
    title: str,
    width: float = 120,
    height: float = 28,
    standalone: bool = False,
) -> str:
    """A line without axes, its last value a dot. None leaves a gap."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    reach = (high - low) or 1.0
    stride = (width - 8) / max(1, len(values) - 1)
    strokes: list[list[str]] = [[]]
    last = ""
    for index, value in enumerate(values):
        if value is None or not math.isfinite(value):
            strokes.append([])
            continue
        # Equal values run along the middle, not along the floor.
        rise = (value - low) / reach if high > low else 0.5
        x, y = 4 + index * stride, height - 4 - rise * (height - 8)
        strokes[-1].append(f"{x:.1f},{y:.1f}")
        last = f'<circle class="end" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>'
    lines = (f'<polyline class="trace" points="{" ".join(s)}"/>' for s in strokes if len(s) > 1)
    body = "".join(lines) + last
    return svg_element(body, title=title, width=width, height=height, standalone=standalone)
