"""A chart as PNG, drawn by resvg: for places that show no SVG.

resvg knows neither custom properties nor media queries, so the colours of the light scheme are
written out first.
"""

import re

_MEDIA = re.compile(r"@media[^{]*\{[^{}]*\{[^{}]*\}\s*\}")
_PROPERTY = re.compile(r"--([a-z]+):((?:\"[^\"]*\"|[^;}\"])+)")
_USE = re.compile(r"var\(--([a-z]+)\)")
_LETTERS = '<text x="2" y="14" font-size="14" font-family="sans-serif">punie</text>'
_PROBE = '<svg xmlns="http://www.w3.org/2000/svg" width="60" height="20">{}</svg>'


def png_of(svg: str, *, scale: float = 2.0) -> bytes:
    """Draw a standalone chart in its light colours, `scale` pixels to each of its units.

    Raises ImportError where resvg is not installed.
    """
    from resvg_py import svg_to_bytes  # noqa: PLC0415 - an extra

    return svg_to_bytes(svg_string=_resolved(svg), zoom=scale)


def has_font() -> bool:
    """Whether letters leave a mark here: without any font resvg leaves them out in silence.

    Raises ImportError where resvg is not installed.
    """
    from resvg_py import svg_to_bytes  # noqa: PLC0415 - an extra

    blank, written = (svg_to_bytes(svg_string=_PROBE.format(each)) for each in ("", _LETTERS))
    return blank != written


def _resolved(svg: str) -> str:
    """Write out the custom properties of a chart's own style."""
    head, style, rest = _parts(svg)
    style = _MEDIA.sub("", style)
    colours = dict(_PROPERTY.findall(style))
    return head + _USE.sub(lambda use: colours.get(use[1], "none"), style) + rest


def _parts(svg: str) -> tuple[str, str, str]:
    """What stands before, in and behind the first style element; a label holds no markup."""
    begin, end = svg.find("<style>"), svg.find("</style>")
    return (svg[:begin], svg[begin:end], svg[end:]) if begin >= 0 else (svg, "", "")
