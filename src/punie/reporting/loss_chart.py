"""The loss of a training as a chart: pure."""

import math
from collections.abc import Callable, Iterable, Sequence

from punie.records.adapter import LossPoint
from punie.reporting.numbers import count
from punie.reporting.svg import TICK_STEPS, round_step, svg_element, text_element
from punie.text import one_line

_LEFT, _RIGHT, _TOP, _FLOOR = 58.0, 560.0, 58.0, 288.0
_WIDTH, _HEIGHT = 700, 336
_GAP = 16.0
_Place = Callable[[float], float]
_Points = list[tuple[int, float]]


def loss_chart(
    losses: Sequence[LossPoint], *, kept: int | None, title: str, standalone: bool = False
) -> str:
    """Training loss as a thin line, validation loss as a thick one with dots, over iterations.

    `kept` is the iteration of the checkpoint that was kept; a dashed line marks it, and its words
    say its loss. At least one loss must be a number.
    """
    train = _points((each.step, each.train) for each in losses)
    valid = _points((each.step, each.valid) for each in losses)
    known = [value for _, value in (*train, *valid)]
    last = max(each.step for each in losses)
    low, high, step = _scale(min(known), max(known))

    def across(at: float) -> float:
        return _LEFT + (_RIGHT - _LEFT) * at / max(last, 1)

    def up(loss: float) -> float:
        return _FLOOR - (_FLOOR - _TOP) * (loss - low) / (high - low)

    parts = [
        text_element("20", 30, one_line(title, 70), kind="head"),
        *_grid(low, high, step, up),
        *_iterations(last, across),
    ]
    if kept is not None:
        parts += _mark(kept, dict(valid).get(kept), across, up)
    parts += _line(train, across, up, 'class="whisker" fill="none" opacity="0.45"')
    parts += _line(valid, across, up, 'class="trace"')
    parts += [
        f'<circle class="end" cx="{across(at):.1f}" cy="{up(loss):.1f}" r="2.5"/>'
        for at, loss in valid
    ]
    parts += _names(train, valid, up)
    body = "".join(parts)
    return svg_element(
        body,
        title=_said(title, train, valid, kept),
        width=_WIDTH,
        height=_HEIGHT,
        standalone=standalone,
    )


def _points(found: Iterable[tuple[int, float | None]]) -> _Points:
    return [(step, loss) for step, loss in found if loss is not None and math.isfinite(loss)]


def _scale(low: float, high: float) -> tuple[float, float, float]:
    """Floor, roof and step of the axis: round numbers around the losses, 0 where it is near."""
    if low < (high - low) / 2:
        low = min(0.0, low)
    # A curve that is flat, or nearly, is drawn as flat.
    reach = max(high - low, abs(high) / 10, 1e-6)
    step = round_step(reach, 5, TICK_STEPS)
    floor, roof = step * math.floor(low / step), step * math.ceil(high / step)
    return floor, roof if roof > floor else floor + step, step


def _grid(low: float, high: float, step: float, up: _Place) -> list[str]:
    decimals = max(0, -math.floor(math.log10(step)))
    parts: list[str] = []
    for index in range(round((high - low) / step) + 1):
        value = low + index * step
        y = up(value)
        parts.append(
            f'<line class="axis" x1="{_LEFT}" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            + text_element(f"{_LEFT - 8}", y + 4, f"{value:.{decimals}f}", anchor="end")
        )
    return parts


def _iterations(last: int, across: _Place) -> list[str]:
    step = max(1, round(round_step(max(last, 1), 6, TICK_STEPS)))
    ticks = [
        text_element(f"{across(at):.1f}", _FLOOR + 18, count(at), anchor="middle")
        for at in range(0, last + 1, step)
    ]
    middle = (_LEFT + _RIGHT) / 2
    return [*ticks, text_element(f"{middle}", _FLOOR + 36, "iteration", anchor="middle")]


def _mark(kept: int, loss: float | None, across: _Place, up: _Place) -> list[str]:
    x = across(kept)
    words = f"kept: {count(kept)}" + (f", {_loss(loss)}" if loss is not None else "")
    parts = [f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 8}" y2="{_FLOOR}"/>']
    parts.append(text_element(f"{x:.1f}", _TOP - 12, words, anchor="middle", kind="strong"))
    if loss is not None:
        parts.append(f'<circle class="point" cx="{x:.1f}" cy="{up(loss):.1f}" r="5"/>')
    return parts


def _line(points: _Points, across: _Place, up: _Place, look: str) -> list[str]:
    places = " ".join(f"{across(at):.1f},{up(loss):.1f}" for at, loss in points)
    return [f'<polyline {look} points="{places}"/>'] if len(points) > 1 else []


def _names(train: _Points, valid: _Points, up: _Place) -> list[str]:
    """What each line is, with its last value, beside its end and clear of the other's."""
    ends = [
        (up(points[-1][1]), f"{name} {_loss(points[-1][1])}")
        for name, points in (("training", train), ("validation", valid))
        if points
    ]
    ends.sort()
    if len(ends) == 2 and ends[1][0] - ends[0][0] < _GAP:
        middle = (ends[0][0] + ends[1][0]) / 2
        ends = [
            (middle - _GAP / 2, ends[0][1]),
            (middle + _GAP / 2, ends[1][1]),
        ]
    return [text_element(f"{_RIGHT + 10}", y + 4, words, kind="strong") for y, words in ends]


def _said(title: str, train: _Points, valid: _Points, kept: int | None) -> str:
    parts = [
        f"{name} loss {_loss(points[0][1])} to {_loss(points[-1][1])}"
        for name, points in (("training", train), ("validation", valid))
        if points
    ]
    if kept is not None:
        parts.append(f"kept is the checkpoint of iteration {count(kept)}")
    return f"{title}: {'; '.join(parts)}"


def _loss(value: float) -> str:
    return f"{value:.3g}"
