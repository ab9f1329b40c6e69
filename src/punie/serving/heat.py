"""Whether the machine is so hot that it slows down."""

import re
import sys
from pathlib import Path
from typing import NamedTuple

from punie.records.benchmark import Heat
from punie.serving.told import inside, line_of, number_of, told

PMSET = "/usr/bin/pmset"
ZONES = Path("/sys/class/thermal")
PROCESSORS = Path("/sys/devices/system/cpu")
HOT_CELSIUS = 95.0
"""Where a zone names no temperature of its own at which it slows down."""
FULL_SPEED = 100
_LIMIT = re.compile(r"CPU_(?:Speed|Scheduler)_Limit\s*=\s*(\d+)")


class Temperature(NamedTuple):
    """Whether it is hot, and the hottest sensor in °C."""

    heat: Heat
    celsius: float | None = None


def temperature() -> Temperature:
    """Ask the system; what it does not tell is `Heat.UNKNOWN` and None.

    macOS (untested) tells degrees to root alone; its warnings are all that is asked for.
    """
    if sys.platform == "darwin":
        return Temperature(read_pmset(told([PMSET, "-g", "therm"])))
    if sys.platform.startswith("linux"):
        return linux_temperature(ZONES)
    return Temperature(Heat.UNKNOWN)


def throttled() -> int | None:
    """How often the processors slowed down for their heat since the start of the system, or None.

    Only Linux on x86 counts it.
    """
    return linux_throttled(PROCESSORS) if sys.platform.startswith("linux") else None


def read_pmset(text: str) -> Heat:
    """Read `pmset -g therm`: limits in percent, or notes that nothing was recorded."""
    limits = [int(limit) for limit in _LIMIT.findall(text)]
    if limits:
        return Heat.NORMAL if min(limits) >= FULL_SPEED else Heat.HOT
    lines = [line for line in text.splitlines() if "hermal warning level" in line]
    if not lines:
        return Heat.UNKNOWN
    return Heat.NORMAL if all("No thermal warning" in line for line in lines) else Heat.HOT


def linux_temperature(zones: Path) -> Temperature:
    """Read the kernel's thermal zones (its document sysfs-api), in thousandths of a degree.

    A zone is hot from its lowest trip point of the kinds `passive`, `hot` and `critical`.
    """
    hottest: float | None = None
    hot = False
    for zone in inside(zones, "thermal_zone*"):
        milli = number_of(zone / "temp")
        if milli is None or milli <= 0:
            continue
        celsius = milli / 1000
        hottest = celsius if hottest is None else max(hottest, celsius)
        hot = hot or celsius >= _slows_down_at(zone)
    if hottest is None:
        return Temperature(Heat.UNKNOWN)
    return Temperature(Heat.HOT if hot else Heat.NORMAL, hottest)


def _slows_down_at(zone: Path) -> float:
    points: list[float] = []
    for kind in inside(zone, "trip_point_*_type"):
        if line_of(kind) in ("passive", "hot", "critical"):
            milli = number_of(kind.with_name(kind.name.replace("_type", "_temp")))
            points += [] if milli is None or milli <= 0 else [milli / 1000]
    return min(points, default=HOT_CELSIUS)


def linux_throttled(processors: Path) -> int | None:
    """The counts of all processors together; None where the kernel keeps none."""
    files = inside(processors, "cpu[0-9]*/thermal_throttle/core_throttle_count")
    counts = [count for file in files if (count := number_of(file)) is not None]
    return sum(counts) if counts else None
