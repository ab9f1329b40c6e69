"""The loss curve of a line."""

import math

import pytest

from punie.reporting.loss import sparkline

CURVES: list[tuple[list[float], int, str]] = [
    ([], 10, ""),
    ([2.0], 10, "▁"),
    ([1.0, 1.0, 1.0], 10, "▁▁▁"),
    ([8, 7, 6, 5, 4, 3, 2, 1], 8, "█▇▆▅▄▃▂▁"),
    ([8, 8, 1, 1], 2, "█▁"),
    ([4, 2, 1], 2, "█▁"),
    ([3.0, math.nan, 1.0], 3, "█·▁"),
    ([math.inf, 2.0, 1.0], 3, "·█▁"),
    ([1.0, 2.0], 0, ""),
]


@pytest.mark.parametrize(("values", "width", "line"), CURVES)
def test_a_curve_is_drawn_between_its_lowest_and_its_highest(
    values: list[float], width: int, line: str
) -> None:
    assert sparkline(values, width) == line


def test_a_long_curve_keeps_its_width() -> None:
    assert len(sparkline([1 / (1 + step) for step in range(1000)], 32)) == 32
