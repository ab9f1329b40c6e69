"""The times of two runs on one axis, with how they relate prompt by prompt."""

from punie.records.comparison import LatencyComparison
from punie.records.summary import Spread
from punie.reporting.numbers import counted, duration
from punie.reporting.svg import TICK_STEPS, plain_tick, round_step, svg_element, text_element
from punie.reporting.verdict_style import STANDALONE_VERDICT_CSS
from punie.text import one_line

_LEFT, _SPAN, _WIDTH, _FLOOR = 92, 570, 760, 158


def latency_chart(found: LatencyComparison, *, title: str, standalone: bool = False) -> str:
    """Each run from its fastest to its slowest answer, a band up to the 95th percentile.

    The dot is the median. A slowest answer far out is named instead of drawn to scale.
    """
    both = (found.base, found.current)
    usual = max(each.p95 for each in both)
    slowest = max(each.max for each in both)
    high = slowest if slowest <= 2 * usual else 1.25 * usual
    high = high or 1.0
    parts = [
        text_element("20", 30, one_line(title, 70), kind="head"),
        text_element(
            "20", 50, "line: fastest to slowest · band: 95 % of the answers · dot: median"
        ),
    ]
    step = round_step(high, 5, TICK_STEPS)
    for index in range(int(high / step + 1e-9) + 1):
        x = f"{_LEFT + _SPAN * index * step / high:.1f}"
        parts.append(f'<line class="axis" x1="{x}" x2="{x}" y1="66" y2="{_FLOOR}"/>')
        tick = plain_tick(duration(index * step))
        parts.append(text_element(x, _FLOOR + 15, tick, anchor="middle"))
    parts += _run("base", found.base, 88, high, hollow=True)
    parts += _run("current", found.current, 132, high, hollow=False)
    ratio = ratio_words(found)
    parts.append(text_element("20", _FLOOR + 44, ratio, kind="strong"))
    said = ", ".join(
        f"{name} median {duration(each.median)}, 95 % within {duration(each.p95)}"
        for name, each in zip(("base", "current"), both, strict=True)
    )
    return svg_element(
        "".join(parts),
        title=f"{title}: {said}; {ratio}",
        width=_WIDTH,
        height=_FLOOR + 62,
        standalone=standalone,
        style=STANDALONE_VERDICT_CSS,
    )


def ratio_words(found: LatencyComparison) -> str:
    """`A prompt takes 1.21 times as long [1.05 to 1.39], by the median over 60 prompts`."""
    return (
        f"A prompt takes {found.ratio:.2f} times as long [{found.low:.2f} to {found.high:.2f}], "
        f"by the median over {counted(found.n, 'prompt')}"
    )


def _run(name: str, spread: Spread, y: float, high: float, *, hollow: bool) -> list[str]:
    def across(value: float) -> float:
        return _LEFT + _SPAN * min(1.0, max(0.0, value / high))

    least, middle, usual, most = map(across, (spread.min, spread.median, spread.p95, spread.max))
    band, line, dot = ("soft", "thin", "hollow") if hollow else ("fill", "whisker", "point")
    box = f'x="{least:.1f}" y="{y - 8:g}" width="{max(1, usual - least):.1f}" height="16" rx="3"'
    far = spread.max > high
    return [
        text_element("20", y + 4, name, kind="strong"),
        f'<line class="{line}" x1="{least:.1f}" x2="{most:.1f}" y1="{y}" y2="{y}"/>',
        f'<rect class="{band}" {box}/>',
        f'<circle class="{dot}" cx="{middle:.1f}" cy="{y}" r="5"/>',
        text_element(f"{middle:.1f}", y - 12, duration(spread.median), anchor="middle"),
        text_element(
            f"{_WIDTH - 20}",
            y + 4,
            f"{'→ ' if far else ''}{duration(spread.max)}",
            anchor="end",
        ),
    ]
