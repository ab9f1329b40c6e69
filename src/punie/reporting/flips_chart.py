"""What became of every compared prompt: one bar in four parts."""

from collections.abc import Mapping

from punie.records.comparison import Bucket
from punie.reporting.numbers import count, counted, percent
from punie.reporting.svg import svg_element, text_element
from punie.reporting.verdict_style import STANDALONE_VERDICT_CSS
from punie.text import one_line

_KINDS = {
    Bucket.REGRESSED: "regressed",
    Bucket.FIXED: "fixed",
    Bucket.STILL_FAILING: "failing",
    Bucket.STILL_PASSING: "kept",
}
_LEFT, _SPAN, _WIDTH = 20, 720, 760
# Stripes tell the losses apart on paper and for every eye; each way of running says another thing.
_STRIPES = (
    '<defs><pattern id="stripes-regressed" width="7" height="7" patternUnits="userSpaceOnUse"'
    ' patternTransform="rotate(45)"><line class="stripe" x1="0" x2="0" y1="0" y2="7"/></pattern>'
    '<pattern id="stripes-failing" width="7" height="7" patternUnits="userSpaceOnUse"'
    ' patternTransform="rotate(-45)"><line class="stripe" x1="0" x2="0" y1="0" y2="7"/></pattern>'
    "</defs>"
)
MEANINGS = {
    Bucket.REGRESSED: "right before, wrong now",
    Bucket.FIXED: "wrong before, right now",
    Bucket.STILL_FAILING: "wrong in both",
    Bucket.STILL_PASSING: "right in both",
}


def flips_bar(buckets: Mapping[Bucket, int]) -> str:
    """The bar across the width of its cell; its legend belongs beside it."""
    body = _STRIPES + _parts(buckets, y=2, height=20, left=0, span=100, unit="%")
    return svg_element(body, title=_said(buckets), width=0, height=24, standalone=False, fluid=True)


def flips_chart(buckets: Mapping[Bucket, int], *, title: str, standalone: bool = False) -> str:
    """The bar with a line for each part."""
    parts = [
        text_element("20", 30, one_line(title, 70), kind="head"),
        _STRIPES,
        _parts(buckets, y=46, height=26, left=_LEFT, span=_SPAN),
    ]
    total = sum(buckets.values())
    for index, bucket in enumerate(_KINDS):
        x, y = _LEFT + (index % 2) * 370, 100 + 24 * (index // 2)
        number = buckets.get(bucket, 0)
        share = f" ({percent(number / total)})" if total else ""
        parts.append(_piece(bucket, f"{x}", y - 10, "14", 12))
        parts.append(text_element(f"{x + 22}", y, f"{count(number)} {bucket}", kind="strong"))
        parts.append(text_element(f"{x + 136}", y, f"{MEANINGS[bucket]}{share}"))
    return svg_element(
        "".join(parts),
        title=f"{title}: {_said(buckets)}",
        width=_WIDTH,
        height=144,
        standalone=standalone,
        style=STANDALONE_VERDICT_CSS,
    )


def _parts(
    buckets: Mapping[Bucket, int],
    *,
    y: float,
    height: float,
    left: float,
    span: float,
    unit: str = "",
) -> str:
    total = sum(buckets.values())
    if not total:
        box = f'x="{left}{unit}" y="{y:g}" width="{span}{unit}" height="{height:g}"'
        return f'<rect class="track" {box}/>'
    drawn, at = "", left
    for bucket in _KINDS:
        width = span * buckets.get(bucket, 0) / total
        if width:
            drawn += _piece(bucket, f"{at:.3f}{unit}", y, f"{width:.3f}{unit}", height)
        at += width
    return drawn


def _piece(bucket: Bucket, x: str, y: float, width: str, height: float) -> str:
    box = f'x="{x}" y="{y:g}" width="{width}" height="{height:g}"'
    piece = f'<rect class="{_KINDS[bucket]}" {box}/>'
    if bucket in (Bucket.REGRESSED, Bucket.STILL_FAILING):
        piece += f'<rect fill="url(#stripes-{_KINDS[bucket]})" {box}/>'
    return piece


def _said(buckets: Mapping[Bucket, int]) -> str:
    told = ", ".join(f"{count(buckets.get(bucket, 0))} {bucket}" for bucket in _KINDS)
    return f"of {counted(sum(buckets.values()), 'prompt')} {told}"
