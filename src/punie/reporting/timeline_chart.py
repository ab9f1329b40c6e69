"""Interactions over time as a chart: pure."""

from datetime import datetime
from itertools import pairwise

from punie.records.interactions import Timeline
from punie.reporting.markdown import sparkline
from punie.reporting.numbers import count, counted
from punie.reporting.svg import svg_element, text_element
from punie.text import one_line

_LEFT, _RIGHT, _TOP, _FLOOR = 20.0, 680.0, 56.0, 176.0


def timeline_chart(timeline: Timeline, *, title: str, standalone: bool = False) -> str:
    """A bar for each period, as high as its number; the foot of it are those that failed."""
    first, last = (_start(timeline, at) for at in (0, -1))
    slots = 1 + round((last - first).total_seconds() / timeline.seconds)
    width = (_RIGHT - _LEFT) / slots
    tallest = max(each.count for each in timeline.periods)
    failed = sum(each.failed for each in timeline.periods)
    parts = [
        text_element("20", 30, one_line(title, 70), kind="head"),
        f'<line class="axis" x1="{_LEFT:g}" x2="{_RIGHT:g}" y1="{_FLOOR:g}" y2="{_FLOOR:g}"/>',
    ]
    for at, each in enumerate(timeline.periods):
        slot = round((_start(timeline, at) - first).total_seconds() / timeline.seconds)
        x = _LEFT + slot * width
        for number, kind in ((each.count, "fill"), (each.failed, "end")):
            if number:
                tall = (_FLOOR - _TOP) * number / tallest
                parts.append(
                    f'<rect class="{kind}" x="{x:.2f}" y="{_FLOOR - tall:.2f}"'
                    f' width="{max(0.8, 0.86 * width):.2f}" height="{tall:.2f}"/>'
                )
    words = f"highest {count(tallest)} in one {timeline.period}"
    words += f"; at the foot: {count(failed)} failed" if failed else ""
    parts += [
        text_element(f"{_LEFT:g}", _FLOOR + 18, day(timeline.periods[0].start)),
        text_element(f"{_RIGHT:g}", _FLOOR + 18, day(timeline.periods[-1].start), anchor="end"),
        text_element(f"{_RIGHT:g}", _TOP - 8, words, anchor="end"),
    ]
    total = counted(sum(each.count for each in timeline.periods), "interaction")
    said = f"{title}: {total} from {day(timeline.periods[0].start)}"
    said += f" to {day(timeline.periods[-1].start)}; {words}"
    return svg_element("".join(parts), title=said, width=700, height=206, standalone=standalone)


def day(written: str) -> str:
    """A period's start as people write it: `1 Oct 2025`, with the hour where it is not midnight."""
    start = datetime.fromisoformat(written)
    hour = "" if (start.hour, start.minute) == (0, 0) else f", {start:%H:%M} UTC"
    return f"{start.day} {start:%b %Y}{hour}"


def sparks(timeline: Timeline, width: int) -> str:
    """The numbers over time in at most `width` blocks, from none `▁` to the highest `█`.

    Periods in which nothing happened count; where there are more than blocks, a block is the mean
    of its share of them.
    """
    first = _start(timeline, 0)
    counts: dict[int, int] = {}
    for at, each in enumerate(timeline.periods):
        slot = round((_start(timeline, at) - first).total_seconds() / timeline.seconds)
        counts[slot] = each.count
    slots = max(counts) + 1
    blocks = max(1, min(width, slots))
    edges = [slots * at // blocks for at in range(blocks + 1)]
    means = [
        sum(counts.get(slot, 0) for slot in range(start, end)) / (end - start)
        for start, end in pairwise(edges)
    ]
    return sparkline([mean / max(means) for mean in means])


def _start(timeline: Timeline, at: int) -> datetime:
    return datetime.fromisoformat(timeline.periods[at].start)
