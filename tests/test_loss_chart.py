"""The loss of a training as a picture."""

import xml.etree.ElementTree as ET

from hypothesis import example, given
from hypothesis import strategies as st

from punie.records.adapter import LossPoint
from punie.reporting.loss_chart import loss_chart

NAME = "{http://www.w3.org/2000/svg}"
LOSSES = st.floats(0, 1e6) | st.none()


def a_curve() -> list[LossPoint]:
    return [
        LossPoint(step=step, train=3 / step, valid=4 / step if step % 5 == 0 else None)
        for step in range(1, 21)
    ]


def test_the_kept_checkpoint_is_marked_and_said() -> None:
    drawn = ET.fromstring(loss_chart(a_curve(), kept=15, title="Loss of x", standalone=True))
    words = [each.text for each in drawn.iter(f"{NAME}text")]
    assert "kept: 15, 0.267" in words
    assert "validation 0.2" in words
    assert "training 0.15" in words
    title = drawn.findtext(f"{NAME}title")
    assert title is not None
    assert title.startswith("Loss of x: training loss 3 to 0.15; validation loss 0.8 to 0.2")
    assert title.endswith("kept is the checkpoint of iteration 15")


def test_a_line_for_training_and_a_line_with_dots_for_validation() -> None:
    drawn = ET.fromstring(loss_chart(a_curve(), kept=None, title="Loss", standalone=True))
    lines = list(drawn.iter(f"{NAME}polyline"))
    assert [len(each.attrib["points"].split()) for each in lines] == [20, 4]
    assert len([e for e in drawn.iter(f"{NAME}circle") if e.attrib["class"] == "end"]) == 4


def test_ends_that_meet_are_written_apart() -> None:
    points = [LossPoint(step=step, train=1.0, valid=1.0) for step in (1, 2)]
    drawn = ET.fromstring(loss_chart(points, kept=None, title="Loss", standalone=True))
    found = [e for e in drawn.iter(f"{NAME}text") if (e.text or "").startswith(("tra", "val"))]
    heights = sorted(float(each.attrib["y"]) for each in found)
    assert heights[1] - heights[0] >= 14


@example([(5e-324, 0.0)], 1)
@example([(0.0, 0.0)], 0)
@given(
    st.lists(st.tuples(LOSSES, LOSSES), min_size=1, max_size=30).filter(
        lambda found: any(value is not None for pair in found for value in pair)
    ),
    st.integers(0, 40),
)
def test_any_curve_is_drawn_inside_the_picture(
    found: list[tuple[float | None, float | None]], kept: int
) -> None:
    points = [
        LossPoint(step=step, train=train, valid=valid)
        for step, (train, valid) in enumerate(found, 1)
    ]
    kept = min(kept, len(points))
    drawn = ET.fromstring(loss_chart(points, kept=kept, title="Loss", standalone=True))
    for line in drawn.iter(f"{NAME}polyline"):
        for place in line.attrib["points"].split():
            x, y = map(float, place.split(","))
            assert 58 <= x <= 560
            assert 57.9 <= y <= 288.1
