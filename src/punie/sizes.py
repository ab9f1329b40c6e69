"""How punie writes sizes of memory, files and counts: in powers of 1000, with three digits."""

import math
from collections.abc import Sequence

NOTHING = "–"
"""What stands where nothing was measured."""


def byte_size(size: float | None) -> str:
    """Write bytes in powers of 1000, as macOS and disks do: `512 B`, `8.1 MB`, `1.24 GB`."""
    if size is None or not math.isfinite(size):
        return NOTHING
    return scaled(size, ("B", "kB", "MB", "GB", "TB", "PB"), " ")


def scaled(value: float, units: Sequence[str], space: str) -> str:
    """Write a finite value in the first of `units`, each 1000 of the one before, that is enough."""
    step = 0
    while abs(value) >= 999.5 and step < len(units) - 1:
        value /= 1000
        step += 1
    # Three digits, never in scientific form; rounded to an integer, zero has no sign.
    text = f"{round(value):,}" if step == 0 or abs(value) >= 99.95 else f"{value:.3g}"
    return f"{text.replace('-', '−')}{space}{units[step]}"


def count(number: int | None) -> str:
    """Write a count in full, in groups of three: `12,345`."""
    return NOTHING if number is None else f"{number:,}".replace("-", "−")


def counted(number: int, noun: str, plural: str = "") -> str:
    """Write a count with its noun: `1 prompt`, `12 prompts`, `2 retries`."""
    return f"{count(number)} {noun if number == 1 else plural or noun + 's'}"
