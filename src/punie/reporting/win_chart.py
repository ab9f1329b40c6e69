"""Wins, ties and losses before a judge: one bar a slice."""

from collections.abc import Sequence

from punie.records.duel import DuelSlice, DuelSummary
from punie.reporting.numbers import count, percent_interval
from punie.reporting.svg import svg_element, text_element
from punie.reporting.verdict_style import STANDALONE_VERDICT_CSS
from punie.text import one_line

_LEFT, _SPAN, _STEP, _TOP, _WIDTH = 184, 330, 30, 84, 760
# Losses are striped: nothing is told apart by colour alone.
_STRIPES = (
    '<defs><pattern id="stripes-loss" width="7" height="7" patternUnits="userSpaceOnUse"'
    ' patternTransform="rotate(45)"><line class="stripe" x1="0" x2="0" y1="0" y2="7"/></pattern>'
    "</defs>"
)


def slices_of(duel: DuelSummary) -> tuple[DuelSlice, ...]:
    """Overall, categories and roles."""
    return (duel.overall, *duel.categories, *duel.roles)


def win_cell(each: DuelSlice) -> str:
    """Wins, ties and losses across the width of a cell."""
    body = _STRIPES + _bar(each, y=4, left=0, span=100, unit="%")
    return svg_element(body, title=_said(each), width=0, height=20, standalone=False, fluid=True)


def win_chart(slices: Sequence[DuelSlice], *, title: str, standalone: bool = False) -> str:
    """A bar for each slice with its counts, and the win rate (a tie is half) beside it."""
    parts = [
        text_element("20", 30, one_line(title, 70), kind="head"),
        _STRIPES,
    ]
    for x, kind, words in (
        (20, "fixed", "wins"),
        (92, "kept", "ties"),
        (160, "regressed", "losses"),
    ):
        parts.append(_piece(kind, f"{x}", 45, "14", 12))
        parts.append(text_element(f"{x + 20}", 55, words))
    parts.append(text_element(f"{_LEFT + _SPAN + 12}", 55, "won/lost/tied"))
    parts.append(text_element(f"{_WIDTH - 20}", 55, "win rate, ties half", anchor="end"))
    for index, each in enumerate(slices):
        y = _TOP + _STEP * index
        counts = f"{count(each.wins)}/{count(each.losses)}/{count(each.ties)}"
        parts += [
            text_element("20", y + 14, one_line(each.name, 22), kind="strong"),
            _bar(each, y=y + 4, left=_LEFT, span=_SPAN),
            text_element(f"{_LEFT + _SPAN + 12}", y + 14, counts),
            text_element(
                f"{_WIDTH - 20}",
                y + 14,
                percent_interval(each.win_rate),
                anchor="end",
                kind="strong",
            ),
        ]
    return svg_element(
        "".join(parts),
        title=f"{title}: {'; '.join(map(_said, slices))}",
        width=_WIDTH,
        height=_TOP + _STEP * len(slices) + 14,
        standalone=standalone,
        style=STANDALONE_VERDICT_CSS,
    )


def _bar(each: DuelSlice, *, y: float, left: float, span: float, unit: str = "") -> str:
    if not each.judged:
        return f'<rect class="track" x="{left}{unit}" y="{y:g}" width="{span}{unit}" height="12"/>'
    drawn, at = "", left
    for kind, number in (("fixed", each.wins), ("kept", each.ties), ("regressed", each.losses)):
        width = span * number / each.judged
        if number:
            drawn += _piece(kind, f"{at:.3f}{unit}", y, f"{width:.3f}{unit}", 12)
        at += width
    return drawn


def _piece(kind: str, x: str, y: float, width: str, height: float) -> str:
    box = f'x="{x}" y="{y:g}" width="{width}" height="{height:g}"'
    stripes = f'<rect fill="url(#stripes-loss)" {box}/>' if kind == "regressed" else ""
    return f'<rect class="{kind}" {box}/>{stripes}'


def _said(each: DuelSlice) -> str:
    faults = f", {count(each.faults)} not judged" if each.faults else ""
    return (
        f"{each.name}: {count(each.wins)} won, {count(each.ties)} tied, "
        f"{count(each.losses)} lost{faults}"
    )
