"""The table of how punie writes numbers."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.records.summary import Estimate
from punie.reporting import numbers

TABLE: dict[Callable[..., str], list[tuple[float | None, str]]] = {
    numbers.points: [
        (None, "–"),
        (math.nan, "–"),
        (0, "0"),
        (-0.0, "0"),
        (0.0004, "0"),
        (-0.0004, "0"),
        (0.032, "+3.2"),
        (-0.125, "−12.5"),
        (1, "+100.0"),
    ],
    numbers.percent: [
        (None, "–"),
        (math.nan, "–"),
        (math.inf, "–"),
        (0, "0 %"),
        (-0.0, "0 %"),
        (1e-12, "0 %"),
        (0.0004, "< 0.1 %"),
        (0.0005, "0.1 %"),
        (1 / 3, "33.3 %"),
        (0.625, "62.5 %"),
        (0.999, "99.9 %"),
        (0.9996, "> 99.9 %"),
        (1 - 1e-12, "100 %"),
        (1, "100 %"),
        (-0.125, "−12.5 %"),
        (-0.0001, "0.0 %"),
    ],
    numbers.score: [
        (None, "–"),
        (0, "0"),
        (0.001, "0.01"),
        (2 / 3, "0.67"),
        (0.999, "0.99"),
        (1, "1"),
    ],
    numbers.duration: [
        (None, "–"),
        (0, "0 s"),
        (0.000_42, "0.42 ms"),
        (0.0042, "4.2 ms"),
        (0.0123, "12.3 ms"),
        (0.85, "850 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.00 s"),
        (1.2351, "1.24 s"),
        (12.345, "12.3 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.6, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (90_000, "1 d 01 h"),
        (-2, "−2.00 s"),
    ],
    numbers.time_left: [
        (None, "–"),
        (-3, "0 s"),
        (0.2, "1 s"),
        (7.1, "8 s"),
        (41, "40 s"),
        (56, "1 min"),
        (185, "3 min"),
        (3580, "1 h 00 min"),
        (5000, "1 h 25 min"),
    ],
    numbers.byte_size: [
        (None, "–"),
        (0, "0 B"),
        (512, "512 B"),
        (999.6, "1 kB"),
        (8_100_000, "8.1 MB"),
        (1_240_000_000, "1.24 GB"),
        (24_000_000_000, "24 GB"),
        (99_960_000, "100 MB"),
        (999_600_000, "1 GB"),
        (-0.2, "0 B"),
        (-2_500_000, "−2.5 MB"),
        (1.2e18, "1,200 PB"),
    ],
    numbers.compact: [
        (None, "–"),
        (950, "950"),
        (12_345, "12.3k"),
        (134_515_008, "135M"),
        (1_500_000_000, "1.5B"),
        (999_600, "1M"),
    ],
    numbers.count: [(None, "–"), (0, "0"), (12_345, "12,345"), (-4, "−4")],
    numbers.rate: [
        (None, "–"),
        (0.0, "0 tok/s"),
        (0.456, "0.456 tok/s"),
        (41.23, "41.2 tok/s"),
        (987.6, "988 tok/s"),
        (12_345.6, "12,346 tok/s"),
    ],
    numbers.cost: [
        (None, "–"),
        (0, "0"),
        (0.000_02, "< 0.0001"),
        (0.0421, "0.042"),
        (0.5, "0.50"),
        (12.5, "12.50"),
        (1234.5, "1,234.50"),
    ],
}

ROWS = [(write, value, text) for write, rows in TABLE.items() for value, text in rows]


@pytest.mark.parametrize(
    ("write", "value", "text"), ROWS, ids=[f"{w.__name__}-{v}" for w, v, _ in ROWS]
)
def test_a_number_is_written_as_in_the_table(
    write: Callable[..., str], value: float | None, text: str
):
    assert write(value) == text


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (0.625, 0.4512, 0.7698, "62.5 % [45–77]"),
        (0.625, 0.6123, 0.6377, "62.5 % [61.2–63.8]"),
        (0, -0.0001, 0.16, "0 % [0–16]"),
        (1, 0.84, 1, "100 % [84–100]"),
    ],
)
def test_an_interval_stands_beside_its_mean(value: float, low: float, high: float, text: str):
    assert numbers.percent_interval(Estimate(value=value, low=low, high=high, n=8)) == text


def test_nothing_measured_is_a_dash():
    assert numbers.percent_interval(None) == numbers.interval(None) == numbers.short_hash(None)


def test_nouns_follow_their_count():
    assert numbers.counted(1, "prompt") == "1 prompt"
    assert numbers.counted(1200, "prompt") == "1,200 prompts"
    assert numbers.counted(2, "retry", "retries") == "2 retries"


@given(st.floats(min_value=-1e15, max_value=1e15))
def test_no_number_is_ever_a_signed_zero_or_scientific(value: float):
    for write in (numbers.percent, numbers.duration, numbers.byte_size, numbers.rate, numbers.cost):
        text = write(value)
        assert text
        assert "nan" not in text
        assert "inf" not in text
        assert not text.startswith(("-", "−0 "))
        assert "e+" not in text


@given(st.floats(min_value=0, max_value=1e7), st.floats(min_value=0, max_value=1e7))
def test_a_longer_time_never_reads_shorter(one: float, other: float):
    def seconds(text: str) -> float:
        words = text.split()
        unit = {"ms": 1e-3, "s": 1, "min": 60, "h": 3600, "d": 86400}
        return sum(float(n) * unit[u] for n, u in zip(words[::2], words[1::2], strict=True))

    low, high = sorted((one, other))
    assert seconds(numbers.duration(low)) <= seconds(numbers.duration(high)) + 1e-9
