"""Heat map and pass^k curve as pictures."""

import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.records.consistency import CurvePoint, Mark
from punie.records.summary import Estimate
from punie.reporting.heat_map import (
    MOST_COLUMNS,
    MOST_ROWS,
    SYMBOLS,
    Cell,
    HeatRow,
    heat_map,
    legend,
    strip,
)
from punie.reporting.pass_k_chart import pass_k_chart

NAME = "{http://www.w3.org/2000/svg}"


def row(name: str, marks: str, group: str = "g") -> HeatRow:
    """Marks by the symbols of the terminal."""
    of = {symbol: mark for mark, symbol in SYMBOLS.items()}
    return HeatRow(name, group, tuple(Cell.of(of[each]) for each in marks))


def drawn(rows: list[HeatRow]) -> ET.Element:
    return ET.fromstring(heat_map(rows, columns="repeat", title="Answers", standalone=True))


def words_of(chart: ET.Element) -> list[str]:
    return [each.text or "" for each in chart.iter(f"{NAME}text")]


def boxes(chart: ET.Element, kind: str) -> int:
    """How many shapes of a class there are, without those of the key."""
    of_kind = (e for e in chart.iter(f"{NAME}path") if e.attrib["class"] == kind)
    shapes = [shape for e in of_kind for shape in re.findall(r"M[^M]*", e.attrib["d"])]
    return sum(
        float(shape[1:].split(" ")[1].split("h")[0].split("L")[0].split("l")[0]) > 70
        for shape in shapes
    )


def test_each_kind_of_answer_has_a_shape_of_its_own():
    chart = drawn([row("p", "✓✗△·○")])
    assert boxes(chart, "fill") == 1
    assert boxes(chart, "whisker") == 2  # the two strokes of a cross
    assert boxes(chart, "point") == 1
    assert boxes(chart, "axis") == 1
    assert boxes(chart, "track") == 4  # all but what was not asked stand on a ground


def test_rows_stand_by_group_and_the_most_often_right_first():
    rows = [row("b", "✗✗", "one"), row("z", "✓✓", "two"), row("a", "✓✗", "one")]
    words = words_of(drawn([*rows, row("f", "△△", "one")]))
    names = [word for word in words if word in {"a", "b", "f", "z"}]
    assert names == ["a", "b", "f", "z"]
    assert "one (25.0 %)" in words
    assert "two (100 %)" in words


def test_the_title_says_the_shares_to_who_cannot_see_them():
    title = drawn([row("a", "✓✗"), row("b", "✓✓")]).findtext(f"{NAME}title")
    assert title == "Answers: share right by category: g 75.0 % of 2 prompts"


def test_many_prompts_and_repeats_are_drawn_together():
    rows = [row(f"p{at}", "✓✗" * 60) for at in range(5 * MOST_ROWS)]
    chart = drawn(rows)
    words = words_of(chart)
    assert words.count("5 prompts") == MOST_ROWS
    assert boxes(chart, "track") <= MOST_ROWS * MOST_COLUMNS
    assert any("up to 5 prompts" in word and "3 repeats" in word for word in words)
    assert "120" in words


def test_a_name_is_shown_as_text():
    assert "<b>x" in words_of(drawn([row("<b>x", "✓", "<i>")]))


@given(st.lists(st.text("✓✗△·○", min_size=3, max_size=3), min_size=1, max_size=8))
def test_any_answers_are_drawn_inside_the_picture(answers: list[str]):
    chart = drawn([row(f"p{at}", marks, f"g{at % 2}") for at, marks in enumerate(answers)])
    height = float(chart.attrib["viewBox"].split()[3])
    for path in chart.iter(f"{NAME}path"):
        for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", path.attrib["d"]):
            assert 0 <= float(x) <= 700
            assert 0 <= float(y) <= height


def test_a_strip_is_a_character_an_answer_and_ends_in_an_ellipsis():
    marks = [Mark.RIGHT, Mark.WRONG, Mark.FAULT, Mark.UNASKED]
    assert strip(marks, 4) == "✓✗△·"
    assert strip(marks, 3) == "✓✗…"
    assert legend([Mark.FAULT, Mark.RIGHT]) == "✓ right  △ not measured"


def estimate(value: float) -> Estimate:
    return Estimate(value=value, low=max(0, value - 0.2), high=min(1, value + 0.1), n=20)


def a_curve(last: int) -> list[CurvePoint]:
    return [
        CurvePoint(k=k, pass_at=estimate(1 - 0.5**k), pass_hat=estimate(0.5**k))
        for k in range(1, last + 1)
    ]


def test_both_curves_carry_their_name_and_last_value():
    chart = ET.fromstring(pass_k_chart(a_curve(4), title="More tries", standalone=True))
    words = words_of(chart)
    assert "pass@k 93.8 %" in words
    assert "pass^k 6.2 %" in words
    assert [word for word in words if word.isdigit()] == ["4", "3", "2", "1"]
    assert len(list(chart.iter(f"{NAME}circle"))) == 4
    assert chart.findtext(f"{NAME}title") == (
        "More tries: a single answer is right in 50.0 % [30–60]; of 4 one is in "
        "93.8 % [74–100], all are in 6.2 % [0–16]"
    )


@pytest.mark.parametrize("last", [1, 2, 30])
def test_ends_that_meet_are_written_apart(last: int):
    points = [
        CurvePoint(k=k, pass_at=estimate(1), pass_hat=estimate(1)) for k in range(1, last + 1)
    ]
    chart = ET.fromstring(pass_k_chart(points, title="More tries", standalone=True))
    high, low = (
        float(each.attrib["y"])
        for each in chart.iter(f"{NAME}text")
        if (each.text or "").startswith("pass")
    )
    assert low - high >= 28
    places = [float(e.attrib["x"]) for e in chart.iter(f"{NAME}text") if (e.text or "").isdigit()]
    assert all(before - after >= 34 for before, after in pairwise(places))
