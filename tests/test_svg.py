from collections.abc import Callable
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.records.summary import Estimate
from punie.reporting import svg
from punie.reporting.numbers import duration

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '</svg><script>alert(1)</script> "quoted" & \x00\x1b[31m \u202e \ud800 ]]>'
MIDDLING = Estimate(value=0.5, low=0.3, high=0.7, n=20)


def parse(written: str) -> ET.Element:
    """The root of a chart; inside a page HTML knows the namespace, XML has to be told."""
    named = written.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return ET.fromstring(written if "xmlns" in written else named)


CHARTS: dict[str, Callable[[str, bool], str]] = {
    "slices": lambda label, alone: svg.slice_chart(
        [(label, MIDDLING), ("nothing", None)], title=label, standalone=alone
    ),
    "histogram": lambda label, alone: svg.histogram(
        [0.2, 0.4, 0.4, 9.0], title=label, write=duration, high=0.6, standalone=alone
    ),
    "sparkline": lambda label, alone: svg.sparkline([1, None, 2], title=label, standalone=alone),
    "bar": lambda label, _: svg.bar(MIDDLING, label=label),
    "gauge": lambda label, _: svg.gauge(MIDDLING, label=label),
    "share": lambda label, _: svg.share_bar(1, 3, label=label),
}


@pytest.mark.parametrize("name", CHARTS)
@pytest.mark.parametrize("alone", [False, True])
def test_a_chart_is_well_formed_titled_and_inert_whatever_its_labels(name: str, *, alone: bool):
    root = parse(CHARTS[name](HOSTILE, alone))
    title = root.find(f"{SVG}title")
    assert title is not None
    assert "<script>alert(1)</script>" in (title.text or "")
    assert root.get("aria-label") == title.text
    allowed = {"svg", "title", "style", "rect", "line", "circle", "text", "polyline", "g"}
    assert {each.tag.removeprefix(SVG) for each in root.iter()} <= allowed
    assert not [key for each in root.iter() for key in each.attrib if key in {"style", "onload"}]


def test_a_standalone_chart_brings_both_colour_schemes_and_its_own_ground():
    root = parse(svg.slice_chart([("a", MIDDLING)], title="Scores", standalone=True))
    style = root.find(f"{SVG}style")
    assert style is not None
    assert "prefers-color-scheme:dark" in (style.text or "")
    assert root.find(f"{SVG}rect[@class='ground']") is not None
    assert root.get("width") == "700"


def test_a_slice_chart_says_in_text_what_it_draws():
    root = parse(svg.slice_chart([("tools", MIDDLING), ("prose", None)], title="Scores"))
    words = [each.text for each in root.iter(f"{SVG}text")]
    assert {"tools", "50.0 % [30–70]", "n 20", "nothing to score"} <= set(words)


@given(
    st.lists(
        st.floats(min_value=0, max_value=1e6, allow_subnormal=False).filter(
            lambda x: x == 0 or x > 1e-6
        ),
        min_size=1,
        max_size=60,
    )
)
def test_a_histogram_counts_every_value_once(values: list[float]):
    lower, width, counts, beyond = svg.bins(values)
    assert sum(counts) == len(values)
    assert 0 <= beyond <= counts[-1]
    assert lower <= min(values)
    assert len(counts) <= 60
    assert width > 0
    parse(svg.histogram(values, title="t", write=duration))


def test_far_outliers_do_not_press_the_rest_into_one_bin():
    values = [1 + at / 100 for at in range(99)] + [500.0]
    _, width, _, beyond = svg.bins(values)
    assert width < 1
    assert beyond == 1
    assert "1 more →" in svg.histogram(values, title="t", write=duration)


def test_ticks_carry_no_needless_zeros():
    root = parse(svg.histogram([0.5, 1.0, 2.0, 4.0], title="t", write=duration))
    ticks = [each.text for each in root.iter(f"{SVG}text")]
    assert {"0 s", "1 s", "2 s"} <= set(ticks)


@given(st.lists(st.none() | st.floats(allow_nan=True, allow_infinity=True, width=16), max_size=20))
def test_a_sparkline_survives_gaps_and_nonsense(values: list[float | None]):
    root = parse(svg.sparkline(values, title="t"))
    assert "nan" not in ET.tostring(root, encoding="unicode")


def test_a_sparkline_of_equal_values_runs_along_the_middle():
    root = parse(svg.sparkline([3, 3, 3], title="t", height=28))
    line = root.find(f"{SVG}polyline")
    assert line is not None
    assert {point.split(",")[1] for point in line.get("points", "").split()} == {"14.0"}
