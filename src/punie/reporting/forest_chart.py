"""Differences with their intervals around a line at zero: a forest plot."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from punie.records.comparison import Comparison, Difference, Word
from punie.reporting.comparison_wording import difference as difference_words
from punie.reporting.comparison_wording import points
from punie.reporting.svg import TICK_STEPS, round_step, svg_element, text_element
from punie.reporting.verdict_style import STANDALONE_VERDICT_CSS, leaning
from punie.text import one_line

_LEFT, _SPAN, _STEP, _TOP = 184, 268, 28, 84
_WIDTH = 800
_NEAR = 8
"""Percent of a cell's width within which two labels would touch."""


class Scale(NamedTuple):
    """A range of differences, shares in [-1, 1], and the step of its ticks."""

    low: float
    high: float
    step: float

    def place(self, value: float) -> float:
        """Where a value stands between both ends, in [0, 1]."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))

    def ticks(self) -> list[float]:
        """Round values from end to end."""
        first = math.ceil(self.low / self.step - 1e-9)
        last = math.floor(self.high / self.step + 1e-9)
        return [at * self.step for at in range(first, last + 1)]


class Line(NamedTuple):
    """One line of the plot; without a word it heads those that follow."""

    name: str
    found: Difference | None = None
    word: str | None = None
    whole: bool = False
    """An overall difference, drawn as a diamond."""


def scale_of(found: Iterable[Difference | None], margin: float) -> Scale:
    """A range that holds every interval, zero and the margin's line, with room at both ends."""
    ends = [0.0, -margin]
    for each in found:
        ends += [each.low, each.high] if each is not None else []
    low, high = min(ends), max(ends)
    room = 0.06 * (high - low) or 0.05
    step = round_step(high - low + 2 * room, 6, TICK_STEPS)
    return Scale(max(-1.02, low - room), min(1.02, high + room), step)


def forest_cell(found: Difference, scale: Scale, *, margin: float, label: str) -> str:
    """One difference across the width of its cell, between the lines of zero and of the margin."""
    zero, floor = (100 * scale.place(at) for at in (0.0, -margin))
    body = (
        f'<line class="zero" x1="{zero:.2f}%" x2="{zero:.2f}%" y1="-8" y2="32"/>'
        f'<line class="mark" x1="{floor:.2f}%" x2="{floor:.2f}%" y1="-8" y2="32"/>'
        f"{_reach(found, scale, 12.0, scaled_to=100, unit='%')}"
    )
    title = f"{label}: {difference_words(found)} points"
    return svg_element(body, title=title, width=0, height=24, standalone=False, fluid=True)


def forest_axis(scale: Scale, *, margin: float) -> str:
    """The points under a column of such cells."""
    parts: list[str] = []
    for tick in scale.ticks():
        at = 100 * scale.place(tick)
        if 4 < at < 96:
            parts.append(f'<line class="axis" x1="{at:.2f}%" x2="{at:.2f}%" y1="0" y2="5"/>')
            parts.append(text_element(f"{at:.2f}%", 17, _tick(tick), anchor="middle"))
    floor, zero = (100 * scale.place(each) for each in (-margin, 0.0))
    ticks = [100 * scale.place(tick) for tick in scale.ticks()]
    if margin and all(abs(floor - each) > _NEAR for each in (zero, *ticks)):
        parts.append(text_element(f"{max(4, floor):.2f}%", 17, _tick(-margin), anchor="middle"))
    title = f"Points from {_tick(scale.low)} to {_tick(scale.high)}, the margin at {_tick(-margin)}"
    return svg_element(
        "".join(parts), title=title, width=0, height=20, standalone=False, fluid=True
    )


def lines_of(comparisons: Sequence[Comparison]) -> list[Line]:
    """Overall, categories and roles of the first comparison, then the other suites' overall."""
    first, *others = comparisons
    lines = [Line("overall", first.score, _word(first.word), whole=True)]
    for name, slices in (("Category", first.categories), ("Role", first.roles)):
        if slices:
            lines.append(Line(name))
        lines += [Line(each.name, each.difference, _word(each.word)) for each in slices]
    if others:
        lines.append(Line("Other suites"))
    lines += [Line(each.current.suite_name, each.score, _word(each.word)) for each in others]
    return lines


def _word(word: Word | None) -> str:
    return word.value if word else ""


def forest_chart(
    lines: Sequence[Line], *, margin: float, title: str, standalone: bool = False
) -> str:
    """The whole plot with its numbers and words; a dashed line stands at the margin."""
    scale = scale_of((each.found for each in lines), margin)
    bottom = _TOP + _STEP * len(lines)
    zero, floor = (_LEFT + _SPAN * scale.place(at) for at in (0.0, -margin))
    parts = [
        text_element("20", 30, one_line(title, 70), kind="head"),
        text_element(
            "20",
            50,
            f"points, with 95 % intervals; the dashed line is the margin, "
            f"a loss of {points(margin)}",
        ),
        *_grid(scale, bottom),
        f'<line class="zero" x1="{zero:.1f}" x2="{zero:.1f}" y1="{_TOP - 10}" y2="{bottom}"/>',
        f'<line class="mark" x1="{floor:.1f}" x2="{floor:.1f}" y1="{_TOP - 10}" y2="{bottom}"/>',
    ]
    for index, line in enumerate(lines):
        parts += _line(line, scale, _TOP + _STEP * index + 10)
    said = "; ".join(
        f"{line.name} {difference_words(line.found)}, {line.word or 'nothing to compare'}"
        for line in lines
        if line.word is not None
    )
    return svg_element(
        "".join(parts),
        title=f"{title}: {said}",
        width=_WIDTH,
        height=bottom + 30,
        standalone=standalone,
        style=STANDALONE_VERDICT_CSS,
    )


def _grid(scale: Scale, bottom: float) -> list[str]:
    parts: list[str] = []
    for tick in scale.ticks():
        x = f"{_LEFT + _SPAN * scale.place(tick):.1f}"
        parts.append(f'<line class="axis" x1="{x}" x2="{x}" y1="{_TOP - 10}" y2="{bottom}"/>')
        parts.append(text_element(x, bottom + 15, _tick(tick), anchor="middle"))
    return parts


def _line(line: Line, scale: Scale, y: float) -> list[str]:
    if line.word is None:
        return [text_element("20", y + 6, one_line(line.name, 30))]
    parts = [text_element("20", y + 4, one_line(line.name, 22), kind="strong")]
    if line.found is None:
        return [*parts, text_element(f"{_LEFT + _SPAN + 16}", y + 4, "nothing to compare")]
    return [
        *parts,
        _reach(line.found, scale, y, scaled_to=_SPAN, left=_LEFT, whole=line.whole),
        text_element(f"{_LEFT + _SPAN + 16}", y + 4, difference_words(line.found), kind="strong"),
        text_element(f"{_WIDTH - 20}", y + 4, one_line(line.word, 32), anchor="end"),
    ]


def _reach(
    found: Difference,
    scale: Scale,
    y: float,
    *,
    scaled_to: float,
    left: float = 0,
    unit: str = "",
    whole: bool = False,
) -> str:
    low, mean, high = (
        left + scaled_to * scale.place(at) for at in (found.low, found.value, found.high)
    )
    kind = leaning(found)
    ends = "".join(
        f'<line class="{kind} reach" x1="{x:.2f}{unit}" x2="{x:.2f}{unit}"'
        f' y1="{y - 4:g}" y2="{y + 4:g}"/>'
        for x in (low, high)
    )
    line = f'x1="{low:.2f}{unit}" x2="{high:.2f}{unit}" y1="{y:g}" y2="{y:g}"'
    point = f'<circle class="{kind} dot" cx="{mean:.2f}{unit}" cy="{y:g}" r="5"/>'
    if whole:
        corners = f"{mean - 7:.2f},{y:g} {mean:.2f},{y - 7:g} {mean + 7:.2f},{y:g}"
        point = f'<polygon class="{kind} dot" points="{corners} {mean:.2f},{y + 7:g}"/>'
    return f'<line class="{kind} reach" {line}/>{ends}{point}'


def _tick(share: float) -> str:
    value = round(100 * share, 1)
    written = f"{abs(value):g}"
    return written if value == 0 else f"{'+' if value > 0 else '−'}{written}"
