"""What more tries bring: pass@k and pass^k over k, with their intervals: pure."""

from collections.abc import Callable, Sequence

from punie.records.consistency import CurvePoint
from punie.records.summary import Estimate
from punie.reporting.numbers import count, percent, percent_interval
from punie.reporting.svg import svg_element, text_element
from punie.text import one_line

_LEFT, _RIGHT, _TOP, _FLOOR = 64.0, 540.0, 62.0, 292.0
_WIDTH, _HEIGHT = 700, 340
_APART = 16.0
_TICK = 34.0
_Place = Callable[[float], float]


def pass_k_chart(points: Sequence[CurvePoint], *, title: str, standalone: bool = False) -> str:
    """The chance that one of k answers is right, rising, and that all of k are, falling.

    pass@k has round marks, pass^k square ones; each carries its 95 % interval and, at the end, its
    name. Between the two lies what is lost to inconsistency. At least one point.
    """
    first, last = points[0].k, points[-1].k

    def across(k: float) -> float:
        return _LEFT + (_RIGHT - _LEFT) * ((k - first) / (last - first) if last > first else 0.5)

    def up(share: float) -> float:
        return _FLOOR - (_FLOOR - _TOP) * min(1.0, max(0.0, share))

    at = [(across(point.k), point) for point in points]
    parts = [
        text_element("20", 30, one_line(title, 70), kind="head"),
        *_grid(up),
        *_ticks([point.k for point in points], across),
        _between([(x, up(p.pass_hat.value), up(p.pass_at.value)) for x, p in at]),
        *_curve([(x, point.pass_hat) for x, point in at], up, round_marks=False),
        *_curve([(x, point.pass_at) for x, point in at], up, round_marks=True),
        *_names(points[-1], up),
    ]
    return svg_element(
        "".join(parts),
        title=_said(title, points),
        width=_WIDTH,
        height=_HEIGHT,
        standalone=standalone,
    )


def _grid(up: _Place) -> list[str]:
    return [
        f'<line class="axis" x1="{_LEFT}" x2="{_RIGHT}" y1="{up(at):.1f}" y2="{up(at):.1f}"/>'
        + text_element(f"{_LEFT - 14:g}", up(at) + 4, f"{100 * at:g} %", anchor="end")
        for at in (0, 0.25, 0.5, 0.75, 1)
    ]


def _ticks(steps: Sequence[int], across: _Place) -> list[str]:
    """The k's, as many as there is place for, the last one among them."""
    shown = [steps[-1]]
    for k in reversed(steps):
        if across(shown[-1]) - across(k) >= _TICK:
            shown.append(k)
    ticks = [
        text_element(f"{across(k):.1f}", _FLOOR + 18, count(k), anchor="middle") for k in shown
    ]
    middle = (_LEFT + _RIGHT) / 2
    return [*ticks, text_element(f"{middle:g}", _FLOOR + 38, "k answers", anchor="middle")]


def _between(edges: Sequence[tuple[float, float, float]]) -> str:
    """The area between the two curves."""
    below = [f"{x:.1f},{low:.1f}" for x, low, _ in edges]
    above = [f"{x:.1f},{high:.1f}" for x, _, high in edges]
    return f'<polygon class="track" points="{" ".join([*below, *reversed(above)])}"/>'


def _curve(places: Sequence[tuple[float, Estimate]], up: _Place, *, round_marks: bool) -> list[str]:
    line = " ".join(f"{x:.1f},{up(each.value):.1f}" for x, each in places)
    look = 'class="trace"' if round_marks else 'class="whisker" fill="none"'
    parts = [f'<polyline {look} points="{line}"/>'] if len(places) > 1 else []
    for x, each in places:
        low, mean, high = up(each.low), up(each.value), up(each.high)
        # Both stand on one k: each a little to its own side, so that neither hides the other.
        beside = x + (2 if round_marks else -2)
        ends = f'x1="{beside:.1f}" x2="{beside:.1f}" y1="{low:.1f}" y2="{high:.1f}"'
        parts.append(f'<line class="whisker" opacity="0.55" {ends}/>')
        if round_marks:
            parts.append(f'<circle class="end" cx="{x:.1f}" cy="{mean:.1f}" r="4"/>')
        else:
            box = f'x="{x - 3.5:.1f}" y="{mean - 3.5:.1f}" width="7" height="7"'
            parts.append(f'<rect class="point" {box}/>')
    return parts


def _names(last: CurvePoint, up: _Place) -> list[str]:
    """What each curve is, with its last value, beside its end and clear of the other's."""
    high, low = up(last.pass_at.value), up(last.pass_hat.value)
    if low - high < 2 * _APART:
        middle = min(max((high + low) / 2, _TOP + _APART), _FLOOR - _APART)
        high, low = middle - _APART, middle + _APART
    return [
        text_element(f"{_RIGHT + 12:g}", y + down, words, kind=kind)
        for y, value, name, kinds in (
            (high, last.pass_at, "one of k right", "pass@k"),
            (low, last.pass_hat, "all k right", "pass^k"),
        )
        for down, words, kind in (
            (-2, f"{kinds} {percent(value.value)}", "strong"),
            (12, name, ""),
        )
    ]


def _said(title: str, points: Sequence[CurvePoint]) -> str:
    first, last = points[0], points[-1]
    return (
        f"{title}: a single answer is right in {percent_interval(first.pass_at)}; "
        f"of {count(last.k)} one is in {percent_interval(last.pass_at)}, "
        f"all are in {percent_interval(last.pass_hat)}"
    )
